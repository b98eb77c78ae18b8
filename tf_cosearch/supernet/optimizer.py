"""Gradient steps on the parts of the shared weights that took part."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_cosearch.supernet.layer_rules import Part
from tf_cosearch.supernet.weights import SharedWeights


class PartGradient(NamedTuple):
    """The gradient of a part of a weight.

    Attributes:
        part: Which part.
        gradient: Of the loss, of the part's shape.
    """

    part: Part
    gradient: Any


def summed(
    paths: Iterable[dict[str, PartGradient]],
) -> dict[str, PartGradient]:
    """Gradients of several paths together, each of the largest part."""
    total: dict[str, PartGradient] = {}
    for path in paths:
        for key, mine in path.items():
            other = total.get(key)
            if other is None:
                total[key] = mine
                continue
            shape = tuple(map(max, mine.part.shape, other.part.shape))
            part = mine.part._replace(shape=shape)
            gradient = _within(part, mine) + _within(part, other)
            total[key] = PartGradient(part, gradient)
    return total


def _within(part: Part, inner: PartGradient) -> Any:
    """A gradient with zeros around, as large as a part that holds its own."""
    if part.shape == inner.part.shape:
        return inner.gradient
    paddings = []
    for axis, (size, most) in enumerate(
        zip(inner.part.shape, part.shape, strict=True)
    ):
        before = (most - size) // 2 if axis < part.window else 0
        paddings.append((before, most - size - before))
    return tf.pad(inner.gradient, paddings)


class Adam:
    def __init__(self, weights, b1=0.9, b2=0.999, eps=1e-7, **_):
        self.w = weights; self.m = {}; self.v = {}; self.t = {}
        self.b1, self.b2, self.eps = b1, b2, eps

    def step(self, gradients, lr):
        for key, (part, g) in gradients.items():
            a = self.w.arrays[key]
            if key not in self.m:
                self.m[key] = np.zeros_like(a); self.v[key] = np.zeros_like(a); self.t[key] = 0
            self.t[key] += 1
            t = self.t[key]
            box = self.w.box(key, part)
            g = g.numpy()
            m, v = self.m[key][box], self.v[key][box]
            m += (1 - self.b1) * (g - m)
            v += (1 - self.b2) * (g * g - v)
            alpha = lr * (1 - self.b2**t) ** 0.5 / (1 - self.b1**t)
            a[box] -= np.float32(alpha) * m / (np.sqrt(v) + np.float32(self.eps))


class Momentum:
    def __init__(self, weights, momentum=0.9, decay=0.0):
        self.w = weights; self.m = {}; self.mu = momentum; self.decay = decay

    def step(self, gradients, lr):
        for key, (part, g) in gradients.items():
            a = self.w.arrays[key]
            if key not in self.m:
                self.m[key] = np.zeros_like(a)
            box = self.w.box(key, part)
            w = a[box]; g = g.numpy()
            if self.decay and key.endswith("kernel"):
                g = g + np.float32(self.decay) * w
            m = self.m[key][box]
            m *= self.mu
            m += g
            w -= np.float32(lr) * (g + np.float32(self.mu) * m)
