"""How a supernet shares its weights and trains them, as a user says it."""

from __future__ import annotations

import dataclasses

from tf_cosearch import configuration
from tf_cosearch.networks import blocks
from tf_cosearch.supernet import paths as paths_lib


@dataclasses.dataclass(frozen=True)
class Sharing:
    """What networks share of a layer that both have.

    Attributes:
        apart: Settings of a block whose values have weights of their own. With
            `block` operators share nothing, as in HSCoNAS; with `kernel_size`
            neither do kernels.
        norms_apart: Whether each number of channels has normalisations of its
            own.

    Reference: Guo et al., Single Path One-Shot, arXiv 1904.00420; Yu et al.,
    Slimmable Neural Networks, arXiv 1812.08928 (normalisations of their own).
    """

    apart: tuple[str, ...] = ("block",)
    norms_apart: bool = False


@dataclasses.dataclass(frozen=True)
class SupernetOptions:
    """How weights are shared and trained.

    Attributes:
        epochs: Of the training of all networks.
        learning_rate: Where it starts; it falls to 0 along a cosine.
        paths: Which networks share a step: `uniform`, `sandwich`, or those of
            a controller, `reinforce` or `ppo`, see `OneShot`.
        apart: See `Sharing`.
        norms_apart: See `Sharing`.
        shrink_stages: How often the space shrinks after that, see
            `ProgressiveShrinking`; each time some epochs follow.
        shrink_keep: Share of the choices of a layer that stay, at least one.

    Raises:
        ValueError: If a value is not possible.

    Example:
    >>> SupernetOptions(paths="sandwich").paths
    'sandwich'
    """

    epochs: int = 60
    learning_rate: float = 1.0
    paths: str = "uniform"
    apart: tuple[str, ...] = Sharing.apart
    norms_apart: bool = Sharing.norms_apart
    shrink_stages: int = 0
    shrink_keep: float = 0.5

    def __post_init__(self) -> None:
        configuration.at_least("epochs", self.epochs, 1)
        rate = configuration.number(self.learning_rate, "`learning_rate`")
        if rate <= 0:
            raise ValueError(
                "`learning_rate` must be positive. Received: "
                f"{self.learning_rate!r}."
            )
        known = [*paths_lib.PATHS, *paths_lib.CONTROLLERS]
        if self.paths not in known:
            raise configuration.unknown("paths", self.paths, known)
        if not isinstance(self.apart, (tuple, list)):
            raise ValueError(
                "`apart` must be a tuple of settings of a block. Received: "
                f"{self.apart!r}."
            )
        settings = {"block"}.union(*map(blocks.options, blocks.names()))
        for name in self.apart:
            if name not in settings:
                raise configuration.unknown("setting in apart", name, settings)
        if not isinstance(self.norms_apart, bool):
            raise ValueError(
                "`norms_apart` must be True or False. Received: "
                f"{self.norms_apart!r}."
            )
        configuration.at_least("shrink_stages", self.shrink_stages, 0)
        keep = configuration.share("shrink_keep", self.shrink_keep)
        if not self.shrink_stages and keep != type(self).shrink_keep:
            raise ValueError(
                "`shrink_keep` must be for a space that shrinks. Received: "
                f"{keep!r} and no `shrink_stages`. Set them, too."
            )
        if self.shrink_stages and self.paths in paths_lib.CONTROLLERS:
            raise ValueError(
                "`shrink_stages` must be 0 for paths of a controller, which "
                f"narrows the space itself. Received: {self.shrink_stages} "
                f"and {self.paths!r}. Leave one out."
            )
        object.__setattr__(self, "shrink_keep", keep)
        object.__setattr__(self, "learning_rate", rate)
        object.__setattr__(self, "apart", tuple(self.apart))

    @property
    def sharing(self) -> Sharing:
        """What networks share."""
        return Sharing(self.apart, self.norms_apart)
