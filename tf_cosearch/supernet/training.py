from __future__ import annotations
import math
import tensorflow as tf
from tf_cosearch.supernet.reading import SharedReading, Survey
from tf_cosearch.supernet.optimizer import PartGradient, summed


class TrainingReading(SharedReading):
    def __init__(self, weights, tape, seed=(0, 0), **kw):
        super().__init__(**kw)
        self._weights, self._tape, self._seed = weights, tape, seed
        self.leaves = {}
        self._drops = 0

    def weight(self, key, part):
        value = self._weights.read(key, part)
        self._tape.watch(value)
        self.leaves[key] = part, value
        return value

    def moments(self, layer, x):
        return None

    def dropped(self, layer, x):
        self._drops += 1
        return tf.nn.experimental.stateless_dropout(x, layer.rate, (self._seed[0], self._seed[1] + self._drops))


def gradients(weights, network, x, y, teacher=None, **kw):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        reading = TrainingReading(weights, tape, **kw)
        logits = reading.logits(network, x)
        if teacher is None:
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
        else:
            loss = tf.nn.softmax_cross_entropy_with_logits(teacher, logits)
        loss = tf.reduce_mean(loss)
    keys = list(reading.leaves)
    grads = tape.gradient(loss, [reading.leaves[k][1] for k in keys])
    return loss, logits, {k: PartGradient(reading.leaves[k][0], g) for k, g in zip(keys, grads) if g is not None}
