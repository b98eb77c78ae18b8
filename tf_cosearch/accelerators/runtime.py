"""What running a network costs beside the accelerator's arithmetic."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from tf_cosearch.accelerators.parameter import Fixed


class Runtime(NamedTuple):
    """Fixed costs of driver and sequencer, and what a compiler achieves.

    The defaults are those of an ideal machine; `tools/calibrate.py` finds
    those of a device from measured latencies. What the accelerator cannot run
    the host's processor does, at `cpu_gmacs` and `cpu_gelements`. Fields are
    numbers or `[B]` tensors.

    By default that is the desktop of coral.ai/docs/edgetpu/benchmarks, which
    takes 53 ms for the 0.569 G multiply-accumulates of MobileNetV1. The
    elements that it resizes or compares are what DeepLab leaves it of 36.8 ms
    on a Coral by USB, rounded. Behind all but Coral's and Arm's chips it stands
    for a processor that nobody named: give yours.
    """

    inference_us: Annotated[Any, Fixed("us", 0, 1e6)] = 0
    layer_us: Annotated[Any, Fixed("us", 0, 1e4)] = 0
    compute_share: Annotated[Any, Fixed("share of the peak", 1e-3, 1)] = 1
    memory_share: Annotated[Any, Fixed("share of the ports", 1e-4, 1)] = 1
    cpu_gmacs: Annotated[Any, Fixed("GMAC/s", 1e-3, 1e6)] = 10.7
    cpu_gelements: Annotated[Any, Fixed("G elements/s", 1e-3, 1e6)] = 0.4

    def inference_cycles(self, clock_ghz: Any) -> Any:
        """Cycles of starting an inference and handing over its result."""
        return self.inference_us * 1e3 * clock_ghz

    def layer_cycles(self, clock_ghz: Any) -> Any:
        """Cycles of starting a layer."""
        return self.layer_us * 1e3 * clock_ghz

    def compute_cycles(self, cycles: Any) -> Any:
        """Cycles that compiled code takes for the ideal number of them."""
        return cycles * (1.0 / self.compute_share)

    def memory_cycles(self, cycles: Any) -> Any:
        """Cycles that PE memories take for the ideal number of them."""
        return cycles * (1.0 / self.memory_share)
