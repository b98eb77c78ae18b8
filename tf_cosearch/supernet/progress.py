"""Lines that tell how far the training of a supernet is."""

from __future__ import annotations

import time

from tf_cosearch import text

_PAUSE = 5.0
"""Seconds between two lines, at least."""


class Progress:
    """Prints a line an epoch, or every few seconds if epochs are short.

    Args:
        verbose: 0 prints nothing.
        epochs: How many there will be.
    """

    def __init__(self, verbose: int, epochs: int) -> None:
        from rich.console import Console

        self._console = Console(
            quiet=not verbose, highlight=False, markup=False, soft_wrap=True
        )
        self._epochs = epochs

    def begin(self, name: str, weights: int, size: int, done: int) -> None:
        """Says what is trained.

        Args:
            name: Of the space.
            weights: How many there are.
            size: Bytes that they take, with moments and copies.
            done: Epochs that there have been.
        """
        self._began = self._told = time.monotonic()
        self._done = done
        self._console.print(
            f"Supernet of {name}: {text.count(weights)} weights, "
            f"{text.count(size, 2)}B with their moments and a copy of both."
        )
        if done == self._epochs:
            self._console.print(f"All {done} epochs are done already.")
        elif done:
            self._console.print(f"Continuing after {done} epochs.")

    def remark(self, line: str) -> None:
        """Says what happened between two epochs."""
        self._console.print(f"{line}.")

    def epoch(self, epoch: int, loss: float) -> None:
        """Says what an epoch has come to.

        Args:
            epoch: How many there have been.
            loss: The mean loss of the last.
        """
        now = time.monotonic()
        is_last = epoch == self._epochs
        if now - self._told < _PAUSE and not is_last:
            return
        self._told = now
        took = now - self._began
        left = took / (epoch - self._done) * (self._epochs - epoch)
        self._console.print(
            f"epoch {epoch}/{self._epochs}  loss {loss:.4f}  "
            f"{text.duration(took)}"
            + ("" if is_last else f"  ({text.duration(left)} left)")
        )
