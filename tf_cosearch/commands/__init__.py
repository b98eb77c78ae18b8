"""Commands: `cosearch NAME --flags`, or `python tools/NAME.py` in a checkout.

Each is a module with flags, a `main`, and a docstring that `--help` prints.
Its flags are of the whole process: a process imports one of them.
"""

from __future__ import annotations

import ast
import importlib
import pathlib
import pkgutil
import re
import sys

_SHARED = "command_line"  # the one module here that is no command


def names() -> list[str]:
    """Names of the commands.

    Example:
    >>> names()[:2]
    ['benchmark_correction', 'benchmark_cost_model']
    """
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in found if name != _SHARED)


def summary(name: str) -> str:
    """What a command does, the first line of its docstring.

    Args:
        name: One of `names()`.

    Example:
    >>> summary("report")
    'Writes the page of a search, one file to click through.'
    """
    source = pathlib.Path(__file__).with_name(f"{name}.py").read_bytes()
    told = ast.get_docstring(ast.parse(source)) or ""
    return told.partition("\n")[0]


def main() -> None:
    """Runs the command that `cosearch` is followed by, and exits."""
    from tf_cosearch.commands import command_line

    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in names():
        del sys.argv[1]
        run(name)
    command_line.guard(lambda: _tell(name))


def _tell(name: str) -> None:
    """Says which commands there are, of which none was asked for."""
    from tf_cosearch import configuration

    if name not in ("--help", "-h"):
        raise configuration.unknown("command", name, names())
    print(listing())


def listing() -> str:
    """What `cosearch` alone prints: each command and what it does."""
    known = names()
    wide = max(map(len, known))
    return "\n".join(
        [
            "cosearch COMMAND --flag=value ...",
            "",
            *(f"  {name:{wide}}  {summary(name)}" for name in known),
            "",
            "cosearch COMMAND --help says more, and which flags it has.",
        ]
    )


def run(name: str, form: str = "cosearch {}") -> None:
    """Runs a command with the flags of this process, and exits.

    Args:
        name: One of `names()`.
        form: How one types a command, with {} for its name.
    """
    from tf_cosearch.commands import command_line

    sys.argv[0] = form.format(name)
    command = importlib.import_module(f"{__name__}.{name}")
    told = re.sub(
        r"\bcosearch (\w+)",
        lambda found: form.format(found[1]),
        command.__doc__ or "",
    )
    command_line.run(command.main, command.__name__, told)


def run_script(file: str) -> None:
    """Runs the command that a file of `tools/` is named after, and exits.

    Args:
        file: The path of the file.
    """
    run(pathlib.Path(file).stem, "python tools/{}.py")
