"""A stage of a network: the keys it is described by, and their choices."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tf_cosearch import configuration
from tf_cosearch.networks import blocks, precision
from tf_cosearch.networks.layer_ops import LayerRecorder
from tf_cosearch.networks.network import BlockSpec
from tf_cosearch.networks.spaces import effect
from tf_cosearch.networks.spaces.network_space import Parameter
from tf_cosearch.networks.stage_values import (
    STAGE_KEYS,
    check_value,
    kernel_choices,
    round_channels,
)


class Stage:
    """A run of blocks that share a width; the first one may step.

    Args:
        name: Its path, for example `stage2`.
        content: Its keys: `filters`, `stride`, `repeats`, `width_multiplier`,
            `block`, the options of the block, and `per`: whether its blocks
            choose together (`stage`) or each on its own (`block`). A list is
            a choice.
        where: What file it comes from, for messages.

    Raises:
        ValueError: If a key or a value is not known or possible.
    """

    def __init__(
        self, name: str, content: Mapping[str, Any], where: str
    ) -> None:
        where = f"{where}, {name}"
        configuration.check_keys(content, where, content, ["filters", "block"])
        self.name = name
        self.keys = {
            key: self._read(key, value, where)
            for key, value in content.items()
            if key != "per"
        }
        types = self.keys["block"][0]
        accepted = {key for block in types for key in blocks.options(block)}
        configuration.check_keys(
            content, where, ["per", "block", *STAGE_KEYS, *accepted]
        )
        precision.check({k: self.keys[k][0] for k in self.keys}, where)
        per = content.get("per", "stage")
        if per not in ("stage", "block"):
            raise configuration.unknown(
                f"per in {where}", per, ("stage", "block")
            )
        if "skip" in types and (per != "block" or types == ("skip",)):
            raise ValueError(
                f"`skip` in {where} must be one block of several, chosen per "
                f"block. Received: block={list(types)}, per={per}. Set "
                "`per: block` and another block beside it."
            )
        self._block_paths = (
            [f"block{i + 1}/" for i in range(self._most("repeats"))]
            if per == "block"
            else [""]
        )
        self._places = self._searched_keys()
        self._position = {at: place for place, at in enumerate(self._places)}
        self.parameters = tuple(
            Parameter(f"{name}/{path}{key}", self._choices(path, key))
            for path, key in self._places
        )
        self._canonical: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._decided: dict[tuple[int, ...], tuple[bool, ...]] = {}
        self._specs: dict[tuple[int, ...], tuple[BlockSpec, ...]] = {}

    @staticmethod
    def _read(
        key: str, value: object, where: str
    ) -> tuple[tuple[Any, ...], bool]:
        """Choices of a key and whether they are a choice at all."""
        searched = isinstance(value, list)
        values = value if isinstance(value, list) else [value]
        choices = tuple(check_value(key, each, where) for each in values)
        if key == "kernel_size":
            choices = kernel_choices(choices)
        if not choices or len(set(choices)) < len(choices):
            raise ValueError(
                f"{key} in {where} must be a list of different values. "
                f"Received: {value!r}."
            )
        return choices, searched

    def _most(self, key: str) -> int:
        return max(self.keys[key][0]) if key in self.keys else 1

    def _searched_keys(self) -> list[tuple[str, str]]:
        of_stage = [
            ("", key)
            for key in STAGE_KEYS
            if key in self.keys and self.keys[key][1]
        ]
        of_block = [
            (path, key) for path in self._block_paths for key in self._own
        ]
        return of_stage + of_block

    def _choices(self, path: str, key: str) -> tuple[Any, ...]:
        choices = self.keys[key][0]
        if key == "block" and path == "block1/":
            return tuple(block for block in choices if block != "skip")
        return choices

    def _value(self, genes: Sequence[int], path: str, key: str) -> Any:
        """What a key says under given genes."""
        place = self._position.get((path, key))
        if place is not None:
            return self.parameters[place].choices[genes[place]]
        return self.keys[key][0][0] if key in self.keys else 1

    def canonical(self, genes: tuple[int, ...]) -> tuple[int, ...]:
        """The first genes that stand for the same run of blocks.

        Args:
            genes: Indices of the choices, one for each parameter.

        Returns:
            Genes that are equal for equal runs: choices that make no
            difference are 0, widths that round to one are one, and skipped
            blocks come last.
        """
        found = self._canonical.get(genes)
        if found is None:
            found = self._canonical[genes] = self._find_canonical(genes)
        return found

    def decided(self, genes: tuple[int, ...]) -> tuple[bool, ...]:
        """Which genes make a difference.

        Args:
            genes: Canonical indices of the choices, one for each parameter.

        Returns:
            For each whether the run would be another one with some other
            choice there, the others staying.
        """
        found = self._decided.get(genes)
        if found is None:
            found = self._decided[genes] = tuple(
                self._is_decided(genes, place) for place in range(len(genes))
            )
        return found

    def _is_decided(self, genes: tuple[int, ...], place: int) -> bool:
        path, key = self._places[place]
        if key in STAGE_KEYS:
            before, after = genes[:place], genes[place + 1 :]
            return any(
                self._find_canonical((*before, choice, *after)) != genes
                for choice in range(len(self.parameters[place].choices))
            )
        depth = self._value(genes, "", "repeats")
        if self._block_paths.index(path) >= depth:
            return False
        # Another block there is another run: canonical ones skip at the end.
        values = tuple(self._value(genes, path, own) for own in self._own)
        at = self._own.index(key)
        return any(
            self._alike[(*values[:at], other, *values[at + 1 :])]
            != self._alike[values]
            for other in self._choices(path, key)
        )

    def _find_canonical(self, genes: tuple[int, ...]) -> tuple[int, ...]:
        shared = {
            key: self._value(genes, "", key)
            for path, key in self._places
            if key in STAGE_KEYS
        }
        filters, scale = self._widths[self._width(genes)]
        shared |= {"filters": filters, "width_multiplier": scale}
        depth = self._value(genes, "", "repeats")
        found = [
            self._alike[tuple(self._value(genes, p, k) for k in self._own)]
            for p in self._block_paths[:depth]
        ]
        first, others = found[:1], found[1:]
        kept = first + [v for v in others if v not in self._skips]
        if len(self._block_paths) > 1:
            depths = self.keys["repeats"][0]
            shared["repeats"] = min(d for d in depths if d >= len(kept))
            skips = [values for values in others if values in self._skips]
            kept += skips[: shared["repeats"] - len(kept)]
        runs = dict(zip(self._block_paths, kept, strict=False))
        return tuple(
            self._choices(path, key).index(
                shared[key]
                if key in STAGE_KEYS
                else runs[path][self._own.index(key)]
            )
            if key in STAGE_KEYS or path in runs
            else 0
            for path, key in self._places
        )

    @functools.cached_property
    def _own(self) -> list[str]:
        """The searched keys of a block."""
        return [
            key
            for key, (_, searched) in self.keys.items()
            if searched and key not in STAGE_KEYS
        ]

    @functools.cached_property
    def _alike(self) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        """For values of a block's keys, the first ones that do the same."""
        first: dict[Any, tuple[Any, ...]] = {}
        choices = [self.keys[key][0] for key in self._own]
        return {
            values: first.setdefault(self._effect(values), values)
            for values in itertools.product(*choices)
        }

    @functools.cached_property
    def _widths(self) -> dict[int, tuple[Any, Any]]:
        """The first filters and multiplier for each width."""
        found: dict[int, tuple[Any, Any]] = {}
        scales, _ = self.keys.get("width_multiplier", ((None,), False))
        for filters, scale in itertools.product(
            self.keys["filters"][0], scales
        ):
            width = (
                filters if scale is None else round_channels(filters * scale)
            )
            found.setdefault(width, (filters, scale))
        return found

    def _effect(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return effect.effect(
            *self._options(dict(zip(self._own, values, strict=True))),
            self._effect_width,
            self._most("stride"),
        )

    @functools.cached_property
    def _effect_width(self) -> int:
        """A width to see what blocks do at: all groups divide it.

        Tables have a column each, of those that come in.
        """
        groups, _ = self.keys.get("groups", ((1,), False))
        width = math.lcm(max(self._widths), *groups)
        tables, _ = self.keys.get("tables", (("",), False))
        most = max(len(str(text).split()) for text in tables)
        return width * (most // width + 1)

    def _options(
        self, chosen: Mapping[str, Any]
    ) -> tuple[str, tuple[tuple[str, Any], ...]]:
        """A block and its options, the first of each choice not made."""
        values = {k: choices[0] for k, (choices, _) in self.keys.items()}
        values |= chosen
        accepted = blocks.options(values["block"])
        options = sorted((k, v) for k, v in values.items() if k in accepted)
        return values["block"], tuple(options)

    @functools.cached_property
    def _skips(self) -> set[tuple[Any, ...]]:
        """Values of a block's keys by which it hands its own width on."""
        return {v for v in self._alike if effect.is_nothing(self._effect(v))}

    def _may_be_first(self, values: tuple[Any, ...]) -> bool:
        chosen = dict(zip(self._own, values, strict=True))
        return chosen.get("block") != "skip"

    def _width(self, genes: tuple[int, ...]) -> int:
        filters = self._value(genes, "", "filters")
        if "width_multiplier" not in self.keys:
            return int(filters)
        scale = self._value(genes, "", "width_multiplier")
        return round_channels(filters * scale)

    def decode(self, genes: tuple[int, ...]) -> tuple[BlockSpec, ...]:
        """The blocks that genes stand for.

        Args:
            genes: Indices of the choices, one for each parameter.

        Returns:
            The blocks in order.
        """
        specs = self._specs.get(genes)
        if specs is None:
            specs = self._specs[genes] = self._decode(genes)
        return specs

    def _decode(self, genes: tuple[int, ...]) -> tuple[BlockSpec, ...]:
        filters = self._width(genes)
        specs = []
        for index in range(self._value(genes, "", "repeats")):
            path = self._block_paths[index if len(self._block_paths) > 1 else 0]
            block = self._value(genes, path, "block")
            accepted = blocks.options(block)
            chosen = {
                key: self._value(genes, path, key)
                for key in self.keys
                if key in accepted
            }
            specs.append(
                BlockSpec(
                    self._block_path(index),
                    block,
                    filters,
                    self._value(genes, "", "stride") if index == 0 else 1,
                    tuple(sorted(chosen.items())),
                )
            )
        return tuple(specs)

    def depths(self) -> tuple[int, ...]:
        """How many blocks there may be."""
        return self.keys.get("repeats", ((1,), False))[0]

    def blocks_at(self, index: int) -> list[BlockSpec]:
        """All blocks that may stand at a place, each once.

        Args:
            index: 0 for the first block of the stage.
        """
        path = self._block_paths[index if len(self._block_paths) > 1 else 0]
        strides = self.keys.get("stride", ((1,), False))[0]
        options = {
            self._options(dict(zip(self._own, values, strict=True)))
            for values in set(self._alike.values())
        }
        return [
            BlockSpec(self._block_path(index), block, filters, stride, chosen)
            for block, chosen in sorted(options, key=repr)
            if block in self._blocks_of(path)
            for filters in self._widths
            for stride in (strides if index == 0 else (1,))
        ]

    def _blocks_of(self, path: str) -> tuple[Any, ...]:
        if "block" in self._own:
            return self._choices(path, "block")
        return self.keys["block"][0]

    def _block_path(self, index: int) -> str:
        single = self.name in ("stem", "head")
        return self.name if single else f"{self.name}/block{index + 1}"

    def encode(self, specs: Sequence[BlockSpec]) -> tuple[int, ...] | None:
        """The genes of given blocks, the inverse of `decode`.

        Args:
            specs: Blocks in order; what the stage fixes is not compared.

        Returns:
            Indices of the choices, or `None` if a block needs a value that
            the stage does not offer.
        """
        if not specs:
            return None
        genes = []
        for path, key in self._places:
            index = (
                self._block_paths.index(path) if key not in STAGE_KEYS else 0
            )
            value = self._asked(specs, min(index, len(specs) - 1), key)
            choices = self._choices(path, key)
            is_used = index < len(specs)
            if value not in choices and is_used and value is not None:
                return None
            genes.append(choices.index(value) if value in choices else 0)
        return tuple(genes)

    def _asked(self, specs: Sequence[BlockSpec], index: int, key: str) -> Any:
        """What given blocks say to a key, `None` if nothing."""
        spec = specs[index]
        if key == "repeats":
            return len(specs)
        if key == "width_multiplier":
            width = self.keys["filters"][0][0]
            return next(
                (
                    scale
                    for scale in self.keys[key][0]
                    if round_channels(width * scale) == spec.filters
                ),
                math.nan,
            )
        if key in ("filters", "stride", "block"):
            return getattr(spec, key)
        defaults = blocks.options(spec.block)
        value = dict(spec.options).get(key, defaults.get(key))
        if key == "kernel_size" and value is not None:
            return kernel_choices([value, *self.keys[key][0]])[0]
        return value

    def count(self) -> int:
        """Number of different runs of blocks."""
        strides = len(self.keys.get("stride", ((1,), False))[0])
        depths = self.keys.get("repeats", ((1,), False))[0]
        different = set(self._alike.values())
        first = sum(self._may_be_first(values) for values in different)
        others = len(different - self._skips)
        if len(self._block_paths) == 1:
            runs = first * len(depths)
        else:
            if others < len(different):
                depths = tuple(range(1, max(depths) + 1))
            runs = sum(first * others ** (depth - 1) for depth in depths)
        return len(self._widths) * strides * runs

    def max_layers(self) -> int:
        """Rows that the deepest run of blocks has at most."""
        deepest = max(effect.rows(self._effect(v)) for v in self._alike)
        return deepest * self._most("repeats")

    def widths(self) -> set[int]:
        """Channels that the stage can end in."""
        return set(self._widths)

    def check_blocks(self, inputs: set[int], where: str) -> None:
        """Refuses blocks that do not take the channels they may meet."""
        is_grouped = self.keys.get("groups", ((1,), False))[0] != (1,)
        width = self._effect_width
        steps = {*itertools.product(inputs, self._widths)}
        steps |= {(w, w) for w in self._widths if self._most("repeats") > 1}
        needs, keys = f"{where}, {self.name} must fit its channels", ["block"]
        if is_grouped:
            needs = (
                f"groups in {where}, {self.name} must divide every number of "
                "channels they may meet"
            )
            steps.add((2 * width, width))
            keys += [k for k in ("expansion", "groups") if k in self.keys]
        for values in itertools.product(*(self.keys[key][0] for key in keys)):
            block, options = self._options(dict(zip(keys, values, strict=True)))
            for start, filters in sorted(steps) if block != "skip" else ():
                recorder = LayerRecorder()
                spec = BlockSpec("", block, filters, 1, options)
                try:
                    spec.apply(recorder, recorder.input(8, 8, start))
                except ValueError as error:
                    raise ValueError(f"{needs}. {error}") from None
        is_shared = self._block_paths == [""] and self._most("repeats") > 1
        if self._skips and is_shared:
            raise ValueError(
                f"Blocks in {where}, {self.name} that hand their input on must "
                "be chosen per block. Received: per=stage. Set `per: block`."
            )
