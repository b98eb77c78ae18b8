"""Which networks a proposal may price, where each has to be built to be read.

A template's networks cost next to nothing to read, so all are within reach. A
user's own `build(hp)` takes a tenth of a second or more. There a proposal
prices those that earlier proposals have built, as many as there are, and a
fixed number of new ones: in the order that an algorithm suggests them, so that
proposals follow from the seed and not from a clock.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from tf_cosearch import files

if TYPE_CHECKING:
    from tf_cosearch.networks.spaces.network_space import Genes
    from tf_cosearch.search.space import SearchSpace

FILE = "networks.jsonl"
"""What the networks of a run were read as: a line each, after one on the space.

So a run that is continued need not build them again, and proposes what it
would have proposed without the interruption.
"""

# Turns before the first proposal: what the space was built with, and the rest.
_FIRST, _BEFORE = -2, -1


class Reach:
    """The networks that may be priced now.

    Args:
        space: Whose networks.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._turn = _BEFORE
        # When each was read first.
        self._turn_of = (
            dict.fromkeys(space.network_space.built(), _FIRST)
            if self.is_limited
            else {}
        )
        self._left = space.new_networks or 0
        self._opened: set[Genes] = set()
        self._starts_empty = False
        self._file: pathlib.Path | None = None
        self._is_loaded = True
        # What the file is to hold before a line is added to it, if another.
        self._whole: str | None = None

    @property
    def is_limited(self) -> bool:
        """Whether a network has to be built to be priced."""
        return self._space.new_networks is not None

    def keep_in(self, folder: str | os.PathLike[str]) -> None:
        """Keeps what is read in a folder, and uses what is there.

        Called again, it uses what has come since. Nothing is written until a
        network is read, so that looking at a run of another process does not
        disturb it.
        """
        self._file = pathlib.Path(folder, FILE)
        self._is_loaded = not self.is_limited

    def begin(self, turn: int) -> None:
        """Begins a proposal: others were before, and some may be new.

        Args:
            turn: Number of the trial it is for.
        """
        self._turn = turn
        self._opened = set()
        self.refill()

    def refill(self) -> None:
        """Lets the proposal read as many new networks as at its start."""
        self._left = self._space.new_networks or 0

    @contextlib.contextmanager
    def afresh(self) -> Iterator[None]:
        """Does something whose outcome outlasts the proposal it is done in.

        It must not depend on which proposal that is, so that no network is
        within reach at first but new ones.
        """
        before = self._left, self._opened, self._starts_empty
        self._opened, self._starts_empty = set(), True
        self.refill()
        try:
            yield
        finally:
            self._left, opened, self._starts_empty = before
            self._opened = opened

    def know(self, networks: np.ndarray) -> None:
        """Takes `[N, S]` networks of trials as read before."""
        if self.is_limited:
            self._load()
            for genes in map(tuple, np.asarray(networks).tolist()):
                self._turn_of.setdefault(self._canonical(genes), _BEFORE)

    def known(self) -> np.ndarray:
        """`[N, S]` networks that were read before this proposal.

        None if that costs next to nothing.
        """
        self._load()
        genes = [
            genes
            for genes in self._turn_of
            if self._is_earlier(genes) and self._is_network(genes)
        ]
        width = self._space.num_network_parameters
        return np.asarray(genes, np.int64).reshape(len(genes), width)

    def _is_earlier(self, genes: Genes) -> bool:
        """Whether a network was read before what is done now."""
        turn = self._turn_of.get(genes, self._turn)
        most = _BEFORE if self._starts_empty else self._turn
        return turn < most or turn == _FIRST

    def holds(self, networks: np.ndarray) -> bool:
        """Whether all `[N, S]` networks are within reach without a build."""
        return not self.is_limited or all(
            genes in self._opened or self._is_earlier(genes)
            for genes in map(self._canonical, map(tuple, networks.tolist()))
        )

    def mask(self, networks: np.ndarray, times: int = 1) -> np.ndarray:
        """Which networks may be priced; those that are new are built.

        Args:
            networks: `[N, S]` canonical genes, the most wanted first.
            times: How many times this will be asked in all, so that as many
                new ones are left each time.

        Returns:
            `[N]` booleans.
        """
        if not self.is_limited:
            return np.ones(len(networks), bool)
        self._load()
        spare = self._left - -(-self._left // times)
        return np.asarray(
            [self._open(tuple(g), spare) for g in networks.tolist()], bool
        )

    def _open(self, genes: Genes, spare: int) -> bool:
        genes = self._canonical(genes)
        if genes not in self._opened:
            if not self._is_earlier(genes):
                if self._left <= spare:
                    return False
                self._left -= 1
            self._opened.add(genes)
        is_network = self._is_network(genes)
        least = self._canonical(genes)
        self._opened.add(least)
        if least not in self._turn_of or genes not in self._turn_of:
            self._turn_of.setdefault(genes, self._turn)
            self._turn_of.setdefault(least, self._turn)
            self._write(genes)
        return is_network

    def _canonical(self, genes: Genes) -> Genes:
        return self._space.network_space.canonical(genes)

    def _is_network(self, genes: Genes) -> bool:
        return self._space.network_space.is_network(genes)

    # What is kept on the disk.

    def _write(self, genes: Genes) -> None:
        if self._file is None:
            return
        line = {
            "turn": self._turn,
            "genes": genes,
            **self._space.network_space.export_reading(genes),
        }
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            if not self._file.exists():
                self._whole = self._header
            if self._whole is not None:
                files.write_text(self._file, self._whole)
                self._whole = None
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:  # it can be built again
            logging.warning("%s cannot be written: %s.", self._file, error)

    @property
    def _header(self) -> str:
        return json.dumps({"space": self._space.fingerprint}) + "\n"

    def _load(self) -> None:
        if self._is_loaded or self._file is None:
            return
        self._is_loaded = True
        try:
            text = self._file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        lines = text.splitlines(keepends=True)
        whole = [self._header]
        for line in lines[1:] if text.startswith(self._header) else ():
            try:
                if not line.endswith("\n"):
                    raise ValueError("It is not whole.")
                self._read(json.loads(line))
            except (ValueError, TypeError, KeyError, RecursionError):
                break  # a kill has cut it short, or somebody changed it
            whole.append(line)
        self._whole = "".join(whole) if lines and whole != lines else None

    def _read(self, line: dict[str, Any]) -> None:
        genes = tuple(map(int, line["genes"]))
        counts = self._space.choice_counts[: len(genes)]
        is_inside = len(genes) == self._space.num_network_parameters and all(
            0 <= gene < count for gene, count in zip(genes, counts, strict=True)
        )
        if not is_inside:
            raise ValueError("Genes must be inside the space.")
        self._space.network_space.import_reading(genes, line)
        for each in (genes, self._canonical(genes)):
            self._turn_of.setdefault(each, int(line["turn"]))
