from __future__ import annotations
import numpy as np
import tensorflow as tf
from tf_cosearch.supernet.reading import SharedReading

class Calibration(SharedReading):
    def __init__(self, weights, **kw):
        super().__init__(**kw)
        self._weights = weights
        self.norms = {}
        self.ranges = {}

    def weight(self, key, part):
        return self._weights.read(key, part)

    def moments(self, layer, x):
        return None

    def observe(self, layer, mean, variance):
        self.norms[layer.name] = mean, variance

    def final(self, x):
        if not x.is_final and x.writer not in self.ranges:
            low = min(float(tf.reduce_min(x.value)), 0.0); high = max(float(tf.reduce_max(x.value)), 0.0)
            self.ranges[x.writer] = low, max(high, low + 1e-6)
        return x._replace(is_final=True)


class Measurement(SharedReading):
    def __init__(self, weights, calibration, int8=True, **kw):
        super().__init__(**kw)
        self._weights, self._c, self._int8 = weights, calibration, int8
        self._known = {}

    def weight(self, key, part):
        if key not in self._known:
            self._known[key] = self._weights.read(key, part)
        return self._known[key]

    def moments(self, layer, x):
        return self._c.norms[layer.name]

    def rounded(self, kernel, axis):
        if not self._int8:
            return kernel
        axes = [a for a in range(kernel.shape.rank) if a != axis]
        scale = tf.maximum(tf.reduce_max(tf.abs(kernel), axes, keepdims=True), 1e-12) / 127
        return tf.round(kernel / scale) * scale

    def final(self, x):
        if not self._int8 or x.is_final:
            return x
        low, high = self._c.ranges[x.writer]
        scale = (high - low) / 255
        zero = np.rint(-low / scale)
        q = tf.clip_by_value(tf.round(x.value / scale) + zero, 0, 255)
        return x._replace(value=(q - zero) * scale, is_final=True)


def accuracy(weights, network, images, batches, int8=True, **kw):
    c = Calibration(weights, **kw)
    c.logits(network, images)
    m = Measurement(weights, c, int8, **kw)
    right = total = 0
    for x, y in batches:
        right += int((tf.argmax(m.logits(network, x), 1).numpy() == y).sum()); total += len(y)
    return right / total
