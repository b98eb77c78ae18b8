"""Numbers and tables as people and other programs read them."""

from __future__ import annotations

import csv
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any


def count(number: float, digits: int = 4) -> str:
    """A number of things in thousands, millions or milliards.

    Args:
        number: How many.
        digits: That are shown.

    Example:
    >>> count(300_774_272), count(999)
    ('300.8 M', '999')
    """
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= factor:
            return f"{number / factor:.{digits}g} {prefix}"
    return f"{number:.{digits}g}"


def duration(seconds: float) -> str:
    """A time in seconds or, from 90 s on, in minutes.

    Args:
        seconds: How long.

    Example:
    >>> duration(89), duration(150)
    ('89 s', '2 min')
    """
    if seconds >= 90:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:.0f} s"


def command(name: str) -> str:
    """How a command is typed: by its script in a checkout, else installed.

    Args:
        name: Of `commands.names()`.
    """
    script = f"tools/{name}.py"
    is_checkout = pathlib.Path(__file__).parents[1].joinpath(script).is_file()
    return f"python {script}" if is_checkout else f"cosearch {name}"


def line(said: object, most: int) -> str:
    r"""What a program said as one line that no terminal obeys.

    Args:
        said: Any text, or what has one, such as an error.
        most: Characters of it that are kept.

    Example:
    >>> line("no \x1b[31mmemory:\n  300 KiB", 16)
    'no [31mmemory: 3'
    """
    plain = (c if c.isprintable() else " " for c in str(said))
    return " ".join("".join(plain).split())[:most]


def table(rows: Sequence[Sequence[str]], align: str, gap: str = "  ") -> str:
    """Cells in columns.

    Args:
        rows: Rows of as many cells each; the first one is the header.
        align: For each column `<` or `>`: to the left or to the right.
        gap: What is between two columns.

    Returns:
        A line for each row, without the last newline.

    Example:
    >>> print(table([("network", "ms"), ("a", "12.5")], "<>"))
    network    ms
    a        12.5
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    columns = gap.join(
        f"{{:{side}{width}}}" for side, width in zip(align, widths, strict=True)
    )
    return "\n".join(columns.format(*row).rstrip() for row in rows)


def comma_separated(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()
) -> str:
    r"""A table for other programs, as CSV.

    Args:
        rows: Values by column, all of the same columns.
        columns: Those of a table without rows.

    Returns:
        A line for each row, after the header.

    Example:
    >>> comma_separated([{"a": 1, "b": None}])
    'a,b\n1,\n'
    """
    file = io.StringIO()
    names = list(rows[0] if rows else columns)
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
