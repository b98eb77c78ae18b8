"""What is learned from finished trials: a Gaussian process over features."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import threadpoolctl
from sklearn.gaussian_process import GaussianProcessRegressor, kernels

_BLAS = threadpoolctl.ThreadpoolController().select(user_api="blas")

MOST = 256
"""Points that the kernel's parameters are fitted to."""


class Encoder:
    """Turns genes into numbers that a distance makes sense of.

    Numbers become positions from 0 to 1, on a logarithmic scale where they
    are positive; words become one column each. Every parameter has the same
    variance over its choices, and all together have 1.

    Args:
        parameters: Each with a `name` and `choices`.

    Example:
    >>> from tf_cosearch.testing import ToySpace
    >>> encode = Encoder(ToySpace((2, 1)).parameters)
    >>> encode(np.asarray([[0, 0], [1, 0]])).ravel()
    array([-1.,  0.,  1.,  0.])
    """

    def __init__(self, parameters: Sequence[Any]) -> None:
        self._tables = [_columns(p.choices) for p in parameters]
        free = sum(table.shape[1] > 0 for table in self._tables)
        self._scale = 1 / np.sqrt(max(free, 1))

    def __call__(self, genes: np.ndarray) -> np.ndarray:
        """Encodes `[N, S]` choice indices as `[N, F]` numbers."""
        columns = [t[genes[:, i]] for i, t in enumerate(self._tables)]
        columns.append(np.zeros((len(genes), 1)))  # at least one
        return np.concatenate(columns, axis=1) * self._scale


def _columns(choices: Sequence[Any]) -> np.ndarray:
    """`[choices, columns]`, of mean 0 and variances that add up to 1."""
    if len(choices) == 1:
        return np.zeros((1, 0))
    if isinstance(choices[0], str):
        table = np.eye(len(choices))
    else:
        table = np.asarray(choices, np.float64)[:, None]
        table = np.log(table) if table.min() > 0 else table
    table = table - table.mean(axis=0)
    return table / np.sqrt((table**2).mean(axis=0).sum())


class AccuracyModel:
    """A Gaussian process with a linear trend, and noise.

    Its kernel's parameters maximise the likelihood of the first points, each
    time these have grown by a quarter, up to `MOST`. So what it predicts
    follows from the points in their order alone, and a point more costs
    little.
    """

    def __init__(self) -> None:
        self._kernel: Any = None
        self._fitted = 0

    def tune(self, features: np.ndarray, values: Any) -> None:
        """Fits the kernel's parameters, if there are enough new points.

        Args:
            features: `[N, F]`, of variances about 1 together; in the order
                in which the points became known.
            values: `[N]`.
        """
        first = _whole_steps(len(features))
        if first == self._fitted:
            return
        kernel = (
            kernels.ConstantKernel(1.0, (1e-3, 1e3))
            * kernels.DotProduct(1.0, (1e-3, 1e3))
            + kernels.ConstantKernel(1.0, (1e-3, 1e3))
            * kernels.Matern(1.0, (1e-1, 1e2), nu=2.5)
            + kernels.WhiteKernel(1e-2, (1e-4, 1.0))
        )
        targets = np.asarray(values[:first], np.float64)
        targets = (targets - targets.mean()) / (targets.std() + 1e-9)
        process = _process(kernel, "fmin_l_bfgs_b", features[:first], targets)
        self._kernel, self._fitted = process.kernel_, first

    def learn(self, features: np.ndarray, values: Any) -> None:
        """Replaces what is known.

        Args:
            features: `[N, F]`.
            values: `[N]`.
        """
        values = np.asarray(values, np.float64)
        self._mean, self._std = values.mean(), values.std() + 1e-9
        targets = (values - self._mean) / self._std
        self._process = _process(self._kernel, None, features, targets)

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is expected of other points.

        Args:
            features: `[N, F]`.

        Returns:
            Means and standard deviations without the noise, `[N]` each.
        """
        with _quietly():
            mean, std = self._process.predict(features, return_std=True)
        noise = self._kernel.k2.noise_level
        std = np.sqrt(np.maximum(std**2 - noise, 1e-6))
        return mean * self._std + self._mean, std * self._std


def _whole_steps(count: int) -> int:
    """The last of 4, 6, 8, 11, 14, … that has been reached."""
    reached = min(count, 4)
    while (larger := reached * 5 // 4 + 1) <= min(count, MOST):
        reached = larger
    return reached


def _process(
    kernel: Any, optimizer: Any, features: np.ndarray, targets: np.ndarray
) -> GaussianProcessRegressor:
    process = GaussianProcessRegressor(kernel, optimizer=optimizer)
    with _quietly():
        return process.fit(features, targets)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without warnings of rounding and bounds, and on one core.

    Matrices are so small that threads would only wait for each other.
    """
    with warnings.catch_warnings(), _BLAS.limit(limits=1):
        warnings.simplefilter("ignore")
        yield
