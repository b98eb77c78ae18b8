"""Lines that tell how far something is, and how long it will take."""

from __future__ import annotations

import time

from tf_cosearch import text

_PAUSE = 5.0
"""Seconds between two lines, at least."""


class Clock:
    """Says now and then how long it will take to do the rest.

    Args:
        most: How much there is to do.
        done: How much has been done before.
    """

    def __init__(self, most: int, done: int = 0) -> None:
        self._most, self._before = most, done
        self._began = self._told = time.monotonic()

    def left(self, done: int) -> str | None:
        """The end of a line, `None` if it is not time for one.

        Args:
            done: How much has been done.

        Returns:
            Nothing once all is done.
        """
        now = time.monotonic()
        if done == self._most:
            return ""
        if now - self._told < _PAUSE:
            return None
        self._told = now
        rate = (now - self._began) / max(done - self._before, 1)
        return f"  ({text.duration(rate * (self._most - done))} left)"

    def took(self) -> str:
        """How long it has taken."""
        return text.duration(time.monotonic() - self._began)


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
        self._clock = Clock(self._epochs, done)
        self._console.print(
            f"Supernet of {name}: {text.count(weights)} weights, "
            f"{text.count(size, 3)}B with their moments and a copy of both."
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
        left = self._clock.left(epoch)
        if left is not None:
            self._console.print(
                f"epoch {epoch}/{self._epochs}  loss {loss:.4f}  "
                f"{self._clock.took()}{left}"
            )
