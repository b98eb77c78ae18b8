"""Arm's compiler for Ethos-U as an evaluator."""

from __future__ import annotations

import csv
import importlib.metadata
import importlib.util
import pathlib
import re
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

from tf_cosearch.accelerators import families
from tf_cosearch.accelerators.families.ethos_u.ethos_u import EthosU
from tf_cosearch.accelerators.families.ethos_u85.ethos_u85 import EthosU85
from tf_cosearch.evaluators import program
from tf_cosearch.evaluators.evaluator import (
    BuiltDesign,
    Evaluator,
    Quantity,
    RefusedError,
    positive,
)

PACKAGE = "ethos-u-vela"

_MAIN = "from ethosu.vela.vela import main; main()"
_OF_FILE = re.compile(
    r"^(RuntimeError: Compilation failed: (?!.*bad_alloc)"
    r"|ethosu\.vela\.errors\.(InputFile|UnsupportedFeature|Allocation"
    r"|ByteAlignment|ByteSize)Error: )",
    re.MULTILINE,
)  # how an error begins that it would raise again for the same file
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_OF_CPU = re.compile(r"CPU operators = (\d+)")


class Vela(Evaluator):
    """Compiles the file for an Ethos-U and says what Vela predicts of it.

    It is compiled for the Ethos-U of the design: one of as many multipliers,
    in a system that Vela knows. The option `accelerator` is for designs with
    another accelerator, which a search should hold to one.

    `latency_ms` is `cycles` at the clock of the system, `peak_memory_kib` the
    SRAM, and `model_kib` what is stored in flash and DRAM. Time of
    `cpu_operators`, which an Ethos-U cannot run, is in none of them.

    Args:
        accelerator: One of Vela's `--accelerator-config`; by default that of
            the design.
        system: One of its `--system-config`; by default Vela's choice.
        memory_mode: One of its `--memory-mode`; by default Vela's choice.
        timeout_s: Most seconds that it may take.

    Raises:
        ImportError: If Vela is not installed.
        ValueError: If an option is not possible.

    Reference: https://pypi.org/project/ethos-u-vela/.
    """

    costs = (
        "latency_ms",
        "peak_memory_kib",
        "model_kib",
        "cycles",
        "cpu_operators",
    )
    is_exclusive = False
    keeps_time = True

    def __init__(
        self,
        accelerator: str | None = None,
        system: str | None = None,
        memory_mode: str | None = None,
        timeout_s: float = 600.0,
    ) -> None:
        if importlib.util.find_spec("ethosu") is None:
            raise ImportError(
                f"Vela must be installed. Received: no package {PACKAGE}. "
                "Run pip install 'tf_cosearch[vela]'."
            )
        self.accelerator = accelerator
        self.system = system
        self.memory_mode = memory_mode
        self.timeout_s = positive("timeout_s", timeout_s)
        for name, value in (
            ("accelerator", accelerator),
            ("system", system),
            ("memory_mode", memory_mode),
        ):
            if value is not None and not _NAME.fullmatch(str(value)):
                raise ValueError(
                    f"`{name}` must be a name that Vela knows. Received: "
                    f"{value!r}. See vela --help."
                )

    def describe(self) -> dict[str, Any]:
        """With its version, as the next one may schedule otherwise."""
        version = importlib.metadata.version(PACKAGE)
        return {**super().describe(), "version": version}

    def check(self, accelerator: Any) -> None:
        """Refuses a family that Vela compiles nothing for, unless told what."""
        if self.accelerator is None:
            configuration(accelerator)

    def measure(self, design: BuiltDesign) -> Mapping[str, Quantity]:
        """Compiles the file."""
        flags = {
            "--accelerator-config": self.accelerator
            or configuration(design.accelerator),
            "--system-config": self.system,
            "--memory-mode": self.memory_mode,
        }
        chosen = [
            word for flag in flags.items() if flag[1] for word in map(str, flag)
        ]
        temporary = tempfile.TemporaryDirectory(prefix="vela_")
        with temporary as name:
            folder = pathlib.Path(name)
            model = folder / "model.tflite"
            model.write_bytes(design.tflite.read_bytes())
            try:
                said = program.run(
                    [
                        sys.executable,
                        "-c",
                        _MAIN,
                        str(model),
                        f"--output-dir={folder}",
                        *chosen,
                    ],
                    temporary,
                    self.timeout_s,
                )
            except program.ExitError as error:
                if error.code < 0 or not _OF_FILE.search(error.log):
                    raise  # killed, a full disk: whatever the file is
                raise RefusedError(
                    f"Vela must compile the file. {error}"
                ) from None
            summaries = list(folder.glob("*_summary_*.csv"))
            if not summaries:
                raise RefusedError(
                    "Vela must leave a summary. Received: none. The file may "
                    "have nothing that an Ethos-U can run."
                )
            with summaries[0].open(newline="") as file:
                row = next(csv.DictReader(file))
        on_cpu = _OF_CPU.search(said)
        flash_kib = sum(
            float(row[f"{memory}_memory_used"])
            for memory in ("on_chip_flash", "off_chip_flash", "dram")
        )
        return {
            "latency_ms": Quantity(1e3 * float(row["inference_time"]), "ms"),
            "peak_memory_kib": Quantity(float(row["sram_memory_used"]), "KiB"),
            "model_kib": Quantity(flash_kib, "KiB"),
            "cycles": Quantity(float(row["cycles_total"]), ""),
            "cpu_operators": Quantity(float(on_cpu[1]) if on_cpu else 0.0, ""),
        }


def configuration(accelerator: Any) -> str:
    """What Vela calls the Ethos-U that an accelerator is.

    Raises:
        RefusedError: If it is none.

    Example:
    >>> from tf_cosearch.accelerators import presets
    >>> configuration(presets.load_accelerator("ethos_u55_64"))
    'ethos-u55-64'
    """
    if isinstance(accelerator, EthosU85):
        return f"ethos-u85-{int(accelerator.macs_per_cycle())}"
    if not isinstance(accelerator, EthosU):
        raise RefusedError(
            "Vela must be told an Ethos-U. Received: a design of the family "
            f"{families.name_of(accelerator)}, and no option `accelerator`. "
            "Search or take an Ethos-U, such as --accelerator=ethos_u55_128, "
            "or give --evaluator_option=accelerator=ethos-u55-128, in Python "
            'evaluator_options={"accelerator": "ethos-u55-128"}.'
        )
    units = int(accelerator.macs_per_cycle())
    in_dram = accelerator.system_sram.arena_in_dram > 0
    is_u65 = units > 256 or (units == 256 and in_dram)
    return f"ethos-u{65 if is_u65 else 55}-{units}"
