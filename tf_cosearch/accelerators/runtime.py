"""What running a network costs beside the accelerator's arithmetic."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from tf_cosearch.accelerators.parameter import Fixed


class Runtime(NamedTuple):
    """Fixed costs of driver and sequencer, and what a compiler achieves.

    The defaults are those of an ideal machine; `tools/calibrate.py` finds
    those of a device from measured latencies. Fields are numbers or `[B]`
    tensors.
    """

    inference_us: Annotated[Any, Fixed("us", 0, 1e6)] = 0
    layer_us: Annotated[Any, Fixed("us", 0, 1e4)] = 0
    compute_share: Annotated[Any, Fixed("share of the peak", 1e-3, 1)] = 1
    memory_share: Annotated[Any, Fixed("share of the ports", 1e-4, 1)] = 1

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
