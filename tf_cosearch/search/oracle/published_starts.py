"""Published networks as places to start a search from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tf_cosearch import configuration
from tf_cosearch.networks.spaces.template import load_network

if TYPE_CHECKING:
    from tf_cosearch.search.space import SearchSpace


def names(space: SearchSpace) -> list[str]:
    """Names of the published networks that a space holds.

    Example:
    >>> from tf_cosearch.search.space import SearchSpace
    >>> names(SearchSpace.load("evolved"))
    ['efficientnet_b0', 'efficientnet_lite0']
    """
    inside = []
    for name in configuration.names("networks"):
        try:
            space.network_space.encode(load_network(name))
        except ValueError:
            continue
        inside.append(name)
    return inside


def encode(
    space: SearchSpace, wanted: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    """Finds networks in a space.

    Args:
        space: Where to look; image size and number of classes are its own.
        wanted: Names of published networks, or YAML files of networks.

    Returns:
        Their genes `[S]` by name.

    Raises:
        ValueError: If the space does not hold one; says which it does.
        FileNotFoundError: If a file does not exist.
    """
    if isinstance(wanted, str):
        wanted = [wanted]
    if not isinstance(wanted, Iterable):
        raise ValueError(
            "`start_from` must be names or files of networks. Received: "
            f"{wanted!r}."
        )
    networks = {}
    for name in wanted:
        try:
            networks[name] = space.network_space.encode(load_network(name))
        except ValueError as error:  # noqa: PERF203
            inside = ", ".join(names(space)) or "none"
            raise ValueError(
                f"A search must start from networks of its space. {error} "
                f"Published networks in {space.name}: {inside}."
            ) from None
    return networks
