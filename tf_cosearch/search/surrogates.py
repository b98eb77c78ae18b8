"""What is learned from finished trials: features, and a Gaussian process.

Nothing here imports scikit-learn before a model is fitted.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tf_cosearch import configuration

if TYPE_CHECKING:
    from tf_cosearch.search.space import SearchSpace

KERNELS = {
    "linear": "the paper's: linear in the features",
    "squared_exponential": "the paper's ablation: smooth, no trend",
    "linear+matern": "a linear trend and what is smooth around it",
}
"""Kernels of `AccuracyModel`; each has noise as well."""

MOST_FITTED = 192
"""Observations that hyperparameters are fitted to at most."""

COST_FEATURES = (
    "latency_ms",
    "energy_mj",
    "area_mm2",
    "macs",
    "params",
    "dram_bytes",
)
"""Costs that a trial's result may depend on."""

_PES = {"pe_array/columns": 1, "pe_array/rows": 1}
_UNITS = {**_PES, "pe_array/lanes": 1, "pe_array/simd_units": 1}
RELATIONS: dict[str, dict[str, int]] = {
    "aspect ratio": {"pe_array/columns": 1, "pe_array/rows": -1},
    "PEs": _PES,
    "SIMD units": _UNITS,
    "memory": {**_PES, "pe_memory/capacity_mib": 1},
    "memory of a SIMD unit": {
        "pe_memory/capacity_mib": 1,
        "pe_array/lanes": -1,
        "pe_array/simd_units": -1,
    },
    "registers of a SIMD unit": {
        "register_file/capacity_kib": 1,
        "pe_array/simd_units": -1,
    },
    "SIMD units to bandwidth": {**_UNITS, "dram/bandwidth_gbs": -1},
}
"""Products and ratios of parameters that matter together: exponents."""


class Encoder:
    """Turns genomes into features.

    A gene of ordered choices is its position, 0 to 1; one of unordered
    choices (words) is one-hot. Where the space has the parameters of a
    relation, its base-2 logarithm is a feature as well. A gene without a
    second choice has none.

    Args:
        space: What the genomes belong to.
        network_only: Whether to leave out the accelerator.

    Reference: Shi et al., arXiv 2010.02075, the relational features of the
    hardware.
    """

    def __init__(self, space: SearchSpace, network_only: bool = False) -> None:
        count = space.num_network_parameters if network_only else None
        self._parameters = space.parameters[:count]
        positions = {p.name: i for i, p in enumerate(self._parameters)}
        self._relations = [
            {positions[path]: power for path, power in relation.items()}
            for relation in RELATIONS.values()
            if relation.keys() <= positions.keys()
        ]

    def __call__(self, genomes: np.ndarray) -> np.ndarray:
        """Encodes genomes.

        Args:
            genomes: `[N, P]` choice indices.

        Returns:
            `[N, F]` float64 features.
        """
        genomes = np.asarray(genomes)
        columns = [np.zeros((len(genomes), 0))]
        for position, parameter in enumerate(self._parameters):
            genes, count = genomes[:, position], len(parameter.choices)
            if isinstance(parameter.choices[0], str):
                columns.append(np.eye(count)[genes])
            elif count > 1:
                columns.append(genes[:, None] / (count - 1))
        for relation in self._relations:
            logarithms = [
                power * np.log2(self._parameters[i].choices)[genomes[:, i]]
                for i, power in relation.items()
            ]
            columns.append(np.sum(logarithms, axis=0)[:, None])
        return np.concatenate(columns, axis=1)


def log_costs(costs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Costs as features, on a scale where a factor is a distance.

    Args:
        costs: `[N]` numbers for each scalar of `Cost`.

    Returns:
        `[N, C]` logarithms of those of `COST_FEATURES` that there are.
    """
    named = [costs[name] for name in COST_FEATURES if name in costs]
    return np.log(np.maximum(np.stack(named, axis=1), 1e-9))


def fitted_rows(count: int) -> int:
    """Observations that hyperparameters are fitted to: 2^k or 3 x 2^k.

    They are refitted when a search has grown by a half or a third, which
    costs little over the search and depends on nothing but its trials.

    Example:
    >>> [fitted_rows(n) for n in (1, 4, 5, 11, 12, 100, 1000)]
    [1, 4, 4, 8, 12, 96, 192]
    """
    power = 1 << (count.bit_length() - 1)
    return min(MOST_FITTED, power * 3 // 2 if 2 * count >= 3 * power else power)


class _Fit(NamedTuple):
    """Hyperparameters, and the scales that they hold for."""

    theta: np.ndarray
    center: np.ndarray
    width: np.ndarray
    mean: float
    std: float


class AccuracyModel:
    """A Gaussian process from features to what a trial reports.

    Hyperparameters maximise the marginal likelihood of the first
    `fitted_rows` observations, and are kept until there are more of those;
    predictions always follow from all observations. So a model that is
    fitted once to a search predicts what one does that grew with it.

    Args:
        kernel: One of `KERNELS`.
        steps: Most steps of the optimiser of hyperparameters.

    Raises:
        ValueError: If the kernel is unknown or there is no step.

    Example:
    >>> x = np.linspace(0, 1, 12)[:, None]
    >>> model = AccuracyModel().fit(x, np.sin(3 * x[:, 0]))
    >>> mean, std = model.predict(np.asarray([[0.5], [3.0]]))
    >>> bool(abs(mean[0] - np.sin(1.5)) < 0.01), bool(std[0] < std[1])
    (True, True)

    Reference: Rasmussen and Williams, Gaussian Processes for Machine
    Learning, algorithm 2.1 and section 5.4.1.
    """

    def __init__(self, kernel: str = "linear+matern", steps: int = 40) -> None:
        if kernel not in KERNELS:
            raise configuration.unknown("kernel", kernel, KERNELS)
        self._kernel = kernel
        self._steps = configuration.at_least("steps", steps, 1)
        self._fits: dict[bytes, _Fit] = {}
        self._features = self._values = np.zeros(0)
        self._fit: _Fit | None = None
        self._process: Any = None

    def fit(self, features: Any, values: Any) -> AccuracyModel:
        """Learns from observations, in the order that they were made.

        Args:
            features: `[N, F]`, at least one row.
            values: `[N]` finite numbers.

        Returns:
            The model.

        Raises:
            ValueError: If there is no observation, or one is not finite.
        """
        self._features = np.asarray(features, np.float64)
        self._values = np.asarray(values, np.float64)
        finite = np.isfinite(self._features).all(axis=-1) & np.isfinite(
            self._values
        )
        if not (len(self._values) and finite.all()):
            raise ValueError(
                "A model must be fitted to one or more finite observations. "
                f"Received: {len(self._values)}, {finite.sum()} finite. "
                "Leave out trials that failed."
            )
        rows = fitted_rows(len(self._values))
        first = self._features[:rows], self._values[:rows]
        key = first[0].tobytes() + first[1].tobytes()
        if key not in self._fits:
            self._fits = {key: self._optimise(*first)}
        self._fit = self._fits[key]
        self._condition()
        return self

    def believe(self, features: Any) -> AccuracyModel:
        """Takes predictions for observed, so that others are looked for.

        Args:
            features: `[M, F]`, of trials that are running.

        Returns:
            The model.

        Reference: Ginsbourger et al., Kriging is well-suited to parallelize
        optimization, 2010: the kriging believer.
        """
        mean, _ = self.predict(features)
        self._features = np.concatenate([self._features, features])
        self._values = np.append(self._values, mean)
        self._condition()
        return self

    def predict(self, features: Any) -> tuple[np.ndarray, np.ndarray]:
        """Predicts what designs would report, without noise.

        Args:
            features: `[N, F]`.

        Returns:
            The `[N]` means and standard deviations.

        Raises:
            ValueError: If the model is not fitted.
        """
        fit = self._fitted()
        scaled = (np.asarray(features, np.float64) - fit.center) / fit.width
        with _one_thread():
            mean, std = self._process.predict(scaled, return_std=True)
        noise = np.exp(fit.theta[-1])  # part of scikit-learn's deviation
        std = np.sqrt(np.maximum(std**2 - noise, 0))
        return fit.mean + fit.std * mean, fit.std * std

    def _fitted(self) -> _Fit:
        if self._fit is None:
            raise ValueError(
                "A model must be fitted before it predicts. Received: no "
                "observation. Call `fit`."
            )
        return self._fit

    def _condition(self) -> None:
        """Computes what predictions need of all observations."""
        fit = self._fitted()
        self._process = _process(
            _kernel(self._kernel).clone_with_theta(fit.theta),
            (self._features - fit.center) / fit.width,
            (self._values - fit.mean) / fit.std,
        )

    def _optimise(self, features: np.ndarray, values: np.ndarray) -> _Fit:
        """Scales observations and fits hyperparameters to them."""
        from scipy import optimize

        spread = features.std(axis=0)
        width = np.where(spread > 1e-9, spread, 1.0)
        width *= np.sqrt(max(features.shape[1], 1))
        center, mean = features.mean(axis=0), float(values.mean())
        std = float(values.std())
        std = std if std > 1e-9 else 1.0
        process = _process(
            _kernel(self._kernel),
            (features - center) / width,
            (values - mean) / std,
        )

        def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
            likelihood, gradient = process.log_marginal_likelihood(
                theta, eval_gradient=True, clone_kernel=False
            )
            return -likelihood, -gradient

        # Not by scikit-learn's `fit`, which warns of every bound it meets.
        start, bounds = process.kernel_.theta.copy(), process.kernel_.bounds
        with _one_thread():
            found = optimize.minimize(
                loss,
                start,
                jac=True,
                bounds=bounds,
                method="L-BFGS-B",
                options={"maxiter": self._steps},
            )
        theta = found.x if np.isfinite(found.x).all() else start
        return _Fit(theta, center, width, mean, std)


def _kernel(name: str) -> Any:
    """A kernel for features and values of about unit size; noise is last."""
    from sklearn.gaussian_process import kernels

    amplitude = (1e-3, 1e2)
    scale = {"length_scale": 1.0, "length_scale_bounds": (0.1, 10.0)}
    parts = {
        "linear": kernels.ConstantKernel(1.0, amplitude)
        * kernels.DotProduct(1.0, "fixed"),
        "squared_exponential": kernels.ConstantKernel(1.0, amplitude)
        * kernels.RBF(**scale),
        "matern": kernels.ConstantKernel(1.0, amplitude)
        * kernels.Matern(**scale, nu=2.5),
    }
    trends = [parts[part] for part in name.split("+")]
    return functools.reduce(operator.add, trends) + kernels.WhiteKernel(
        0.1, (1e-4, 1.0)
    )


def _process(kernel: Any, features: np.ndarray, values: np.ndarray) -> Any:
    from sklearn.gaussian_process import GaussianProcessRegressor

    process = GaussianProcessRegressor(kernel, optimizer=None)
    with _one_thread():
        return process.fit(features, values)


def _one_thread() -> Any:
    """Matrices this small are slower on more, far so on a busy machine."""
    import threadpoolctl

    return threadpoolctl.threadpool_limits(1)
