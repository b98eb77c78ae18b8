"""What is learned from finished trials: features, and a Gaussian process."""

from __future__ import annotations

import contextlib
import functools
import operator
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import threadpoolctl
from scipy import special
from sklearn.gaussian_process import GaussianProcessRegressor, kernels

from tf_cosearch import configuration
from tf_cosearch.accelerators import families

_BLAS = threadpoolctl.ThreadpoolController().select(user_api="blas")

KERNELS = {
    "linear": "a linear trend (arXiv 2010.02075)",
    "squared_exponential": "what is smooth, without a trend",
    "linear+matern": "a linear trend and what is smooth around it",
}
"""Kernels of `Surrogate`; each has noise as well."""

MOST = 256
"""Observations that a kernel's parameters are fitted to at most."""

WORK = ("macs", "params", "dram_bytes")
"""Costs that a trial's result may depend on, beside what is compared."""


class Encoder:
    """Turns genes into numbers that a distance makes sense of.

    Numbers become positions, on a logarithmic scale where they are positive;
    words become one column each. Where there are the parameters of one of a
    family's `relations`, its logarithm is a feature as well. Every parameter
    and relation has the same variance over its choices, and all together 1.

    Args:
        parameters: Each with a `name` and `choices`.

    Example:
    >>> from tf_cosearch.testing import ToySpace
    >>> encode = Encoder(ToySpace((2, 1)).parameters)
    >>> encode(np.asarray([[0, 0], [1, 0]])).ravel()
    array([-1.,  0.,  1.,  0.])

    Reference: Shi et al., arXiv 2010.02075, the relational features of the
    hardware.
    """

    def __init__(self, parameters: Sequence[Any]) -> None:
        self._tables = [_columns(p.choices) for p in parameters]
        position = {p.name: i for i, p in enumerate(parameters)}
        self._relations = [
            {position[path]: power for path, power in relation.items()}
            for relation in families.relations()
            if relation.keys() <= position.keys()
        ]
        self._logs = {
            i: np.log(np.asarray(parameters[i].choices, np.float64))
            for relation in self._relations
            for i in relation
        }
        free = sum(table.shape[1] > 0 for table in self._tables)
        free += len(self._relations)
        self._scale = 1 / np.sqrt(max(free, 1))

    def __call__(self, genes: np.ndarray) -> np.ndarray:
        """Encodes `[N, P]` choice indices as `[N, F]` numbers."""
        columns = [t[genes[:, i]] for i, t in enumerate(self._tables)]
        columns += [self._related(genes, r) for r in self._relations]
        columns.append(np.zeros((len(genes), 1)))  # at least one
        return np.concatenate(columns, axis=1) * self._scale

    def _related(
        self, genes: np.ndarray, relation: Mapping[int, int]
    ) -> np.ndarray:
        """The logarithm of a relation, `[N, 1]`, of variance 1."""
        total: Any = sum(
            power * (self._logs[i] - self._logs[i].mean())[genes[:, i]]
            for i, power in relation.items()
        )
        variance = sum(
            power**2 * self._logs[i].var() for i, power in relation.items()
        )
        return total[:, None] / np.sqrt(variance or 1.0)


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


def log_costs(
    costs: Mapping[str, np.ndarray], names: Sequence[str]
) -> np.ndarray:
    """Costs as features, on a scale where a factor is a distance.

    Args:
        costs: `[N]` numbers by name.
        names: Which to take.

    Returns:
        `[N, C]` logarithms of those of `names` that there are.
    """
    count = len(next(iter(costs.values())))
    named = [costs[name] for name in names if name in costs]
    stacked = np.asarray(named, np.float64).reshape(-1, count).T
    return np.log(np.maximum(stacked, 1e-9))


class Surrogate:
    """A Gaussian process from features to what a trial reports, with noise.

    Its kernel's parameters maximise the likelihood of the first observations,
    each time these have grown by a quarter, up to `MOST`. So what it predicts
    follows from the observations in their order alone, and one more costs
    little.

    Args:
        kernel: One of `KERNELS`.

    Raises:
        ValueError: If the kernel is unknown.

    Example:
    >>> x = np.linspace(0, 1, 12)[:, None]
    >>> model = Surrogate().fit(x, np.sin(3 * x[:, 0]))
    >>> mean, std = model.predict(np.asarray([[0.5], [3.0]]))
    >>> bool(abs(mean[0] - np.sin(1.5)) < 0.01), bool(std[0] < std[1])
    (True, True)

    Reference: Rasmussen and Williams, Gaussian Processes for Machine
    Learning, algorithm 2.1 and section 5.4.1.
    """

    def __init__(self, kernel: str = "linear+matern") -> None:
        if kernel not in KERNELS:
            raise configuration.unknown("kernel", kernel, KERNELS)
        self._untuned = _kernel(kernel)
        self._tuned: Any = None
        self._tuned_on = b""
        self._process: Any = None

    def fit(self, features: Any, values: Any) -> Surrogate:
        """Learns from observations, in the order that they were made.

        Args:
            features: `[N, F]`, at least one row, of variances about 1
                together.
            values: `[N]` finite numbers.

        Returns:
            The model.

        Raises:
            ValueError: If there is no observation, or one is not finite.
        """
        features = np.asarray(features, np.float64)
        values = np.asarray(values, np.float64)
        finite = np.isfinite(features).all(axis=-1) & np.isfinite(values)
        if not (len(values) and finite.all()):
            raise ValueError(
                "A model must be fitted to one or more finite observations. "
                f"Received: {len(values)}, {finite.sum()} finite. Leave out "
                "trials that failed."
            )
        rows = _whole_steps(len(values))
        first = features[:rows], values[:rows]
        key = first[0].tobytes() + first[1].tobytes()
        if key != self._tuned_on:
            targets = (first[1] - first[1].mean()) / (first[1].std() + 1e-9)
            process = _process(
                self._untuned, "fmin_l_bfgs_b", first[0], targets
            )
            self._tuned, self._tuned_on = process.kernel_, key
        self._condition(features, values)
        return self

    def believe(self, features: Any, values: Any = None) -> Surrogate:
        """Takes more for observed, with the parameters that there are.

        Args:
            features: `[M, F]`, of trials that are running or failed.
            values: `[M]`. Defaults to what is expected of them, so that
                others are looked for.

        Returns:
            The model.

        Raises:
            ValueError: If the model is not fitted.

        Reference: Ginsbourger et al., Kriging is well-suited to parallelize
        optimization, 2010: the kriging believer.
        """
        if values is None:
            values, _ = self.predict(features)
        self._condition(
            np.concatenate([self._features, features]),
            np.concatenate([self._values, values]),
        )
        return self

    def predict(self, features: Any) -> tuple[np.ndarray, np.ndarray]:
        """Predicts what designs would report.

        Args:
            features: `[N, F]`.

        Returns:
            Means and standard deviations without the noise, `[N]` each.

        Raises:
            ValueError: If the model is not fitted.
        """
        if self._process is None:
            raise ValueError(
                "A model must be fitted before it predicts. Received: no "
                "observation. Call `fit`."
            )
        with _quietly():
            mean, std = self._process.predict(features, return_std=True)
        noise = self._tuned.k2.noise_level  # part of scikit-learn's deviation
        std = np.sqrt(np.maximum(std**2 - noise, 1e-6))
        return mean * self._std + self._mean, std * self._std

    @property
    def values(self) -> np.ndarray:
        """What is known or believed, `[N]`."""
        return self._values

    @property
    def evidence(self) -> float:
        """The logarithm of how likely this model makes what it knows."""
        return float(self._process.log_marginal_likelihood_value_)

    def _condition(self, features: np.ndarray, values: np.ndarray) -> None:
        """Computes what predictions need of all observations."""
        self._features, self._values = features, values
        self._mean, self._std = values.mean(), values.std() + 1e-9
        targets = (values - self._mean) / self._std
        self._process = _process(self._tuned, None, features, targets)


class SurrogateOfTwo:
    """Two models, one of which does not see the last feature, averaged.

    Each counts for as much as what was observed is likely under it. So a
    feature that says nothing does no harm, once there are observations.

    Example:
    >>> x = np.linspace(0, 1, 12)[:, None]
    >>> chance = np.random.default_rng(0).normal(size=(12, 1))
    >>> wave = np.sin(3 * x[:, 0])
    >>> told = SurrogateOfTwo().fit(np.hstack([chance, x, wave[:, None]]), wave)
    >>> untold = SurrogateOfTwo().fit(np.hstack([x, chance]), wave)
    >>> told.trust > 0.5 > untold.trust
    True

    Reference: Hoeting et al., Bayesian Model Averaging: A Tutorial,
    Statistical Science 14(4), 1999, equations 1 and 2.
    """

    def __init__(self) -> None:
        self._with, self._without = Surrogate(), Surrogate()
        self.trust = 0.5

    def fit(self, features: np.ndarray, values: Any) -> SurrogateOfTwo:
        """See `Surrogate.fit`; the last of the features is the doubtful one."""
        self._with.fit(features, values)
        self._without.fit(features[:, :-1], values)
        ahead = self._with.evidence - self._without.evidence
        self.trust = float(special.expit(ahead))
        return self

    def believe(
        self, features: np.ndarray, values: Any = None
    ) -> SurrogateOfTwo:
        """See `Surrogate.believe`."""
        if values is None:
            values, _ = self.predict(features)
        self._with.believe(features, values)
        self._without.believe(features[:, :-1], values)
        return self

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Surrogate.predict`."""
        means, stds = zip(
            self._with.predict(features),
            self._without.predict(features[:, :-1]),
            strict=True,
        )
        shares = self.trust, 1 - self.trust
        mean = np.average(means, axis=0, weights=shares)
        squares = np.square(stds) + np.square(np.subtract(means, mean))
        return mean, np.sqrt(np.average(squares, axis=0, weights=shares))

    @property
    def values(self) -> np.ndarray:
        """See `Surrogate.values`."""
        return self._with.values


def expected_improvement(mean: Any, std: Any, best: Any) -> Any:
    """How much a normal value exceeds the best so far, `E[max(A - best, 0)]`.

    Args:
        mean: Of the value, as are the others of one shape or broadcast.
        std: Not negative.
        best: What is to exceed.

    Returns:
        Not negative, of the broadcast shape.

    Reference: Jones et al., Efficient Global Optimization of Expensive
    Black-Box Functions, J. Global Optimization 1998, equation 15.
    """
    std = np.maximum(std, 1e-12)
    z = (mean - best) / std
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    return std * (z * special.ndtr(z) + density)


def _whole_steps(count: int) -> int:
    """The last of 1, 2, 3, 4, 6, 8, 11, 14, … that has been reached."""
    reached = min(count, 4)
    while (larger := reached * 5 // 4 + 1) <= min(count, MOST):
        reached = larger
    return reached


def _kernel(name: str) -> Any:
    """A kernel for features and values of about unit size; noise is last."""
    amplitude = (1e-3, 1e3)
    parts = {
        "linear": kernels.ConstantKernel(1.0, amplitude)
        * kernels.DotProduct(1.0, (1e-3, 1e3)),
        "squared_exponential": kernels.ConstantKernel(1.0, amplitude)
        * kernels.RBF(1.0, (1e-1, 1e2)),
        "matern": kernels.ConstantKernel(1.0, amplitude)
        * kernels.Matern(1.0, (1e-1, 1e2), nu=2.5),
    }
    trends = [parts[part] for part in name.split("+")]
    return functools.reduce(operator.add, trends) + kernels.WhiteKernel(
        1e-2, (1e-4, 1.0)
    )


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
