"""How long a search has run, over all its interruptions."""

from __future__ import annotations

import time

from tf_cosearch import configuration


class SearchClock:
    """Counts the seconds of a search, and says when they are up.

    Attributes:
        max_hours: After how many hours no trial begins any more; None is
            never.

    Example:
    >>> clock = SearchClock()
    >>> clock.limit(2)
    >>> clock.start()
    >>> clock.resume(7200)  # that many seconds it ran before
    >>> clock.is_over()
    True
    """

    def __init__(self) -> None:
        self.max_hours: float | None = None
        self._before = 0.0
        self._began: float | None = None

    def limit(self, max_hours: float | None) -> None:
        """Sets after how many hours its time is up; None is never.

        Raises:
            ValueError: If the hours are no positive number.
        """
        if max_hours is not None:
            checked = configuration.number(max_hours, "`max_hours`")
            if checked <= 0:
                raise ValueError(
                    f"`max_hours` must be more than 0. Received: {max_hours!r}."
                )
            max_hours = checked
        self.max_hours = max_hours

    def start(self) -> None:
        """Lets the clock run."""
        self._began = time.monotonic()

    def resume(self, seconds: float) -> None:
        """Goes on from what a file says, unless it has counted more."""
        self._before += max(seconds - self.seconds, 0.0)

    @property
    def seconds(self) -> float:
        """What it has counted."""
        if self._began is None:
            return self._before
        return self._before + time.monotonic() - self._began

    def is_over(self) -> bool:
        """Whether the hours are up."""
        limit = self.max_hours
        return limit is not None and self.seconds >= 3600 * limit
