"""The speed of the cost model as a table to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def table(result: Mapping[str, Any]) -> str:
    """Every figure with its baseline.

    Args:
        result: What `speed.measure` gave.

    Returns:
        Lines, without the last newline.
    """
    general, space = result["general"], result["in_space"]
    exact, machine = result["exact_hardware"], result["machine"]
    return "\n".join(
        [
            f"general         {general['candidates_per_second']:>12,.0f} "
            f"candidates/s, {general['layers']} layers x "
            f"{general['mappings']} mappings, any table",
            f"  in the graph  {general['graph_candidates_per_second']:>12,.0f} "
            f"candidates/s: {_slower(general, 'graph_')}",
            f"  of a core     {general['candidates_per_core_second']:>12,.0f} "
            "candidates for each second of it",
            f"  first call    {general['first_call_seconds']:>12.2f} s, "
            f"{general['first_call_core_seconds']:.2f} s of a core",
            f"  peak memory   {general['peak_memory_bytes'] / 2**30:>12.2f} "
            f"GiB for {general['candidates']:,} candidates, all in all",
            f"in a space      {space['candidates_per_second']:>12,.0f} "
            f"candidates/s, {space['different_layers']} layers x "
            f"{space['different_arrays']:,} arrays priced once in "
            f"{space['price_list_seconds']:.2f} s",
            f"  by estimate   "
            f"{space['estimate_candidates_per_second']:>12,.0f} "
            f"candidates/s: {_slower(space, 'estimate_')}",
            f"  short list    "
            f"{space['shortlist_candidates_per_second']:>12,.0f} "
            "candidates/s, 512 networks x 2,000 accelerators; "
            f"{space['shortlist_first_seconds']:.2f} s at first",
            f"exact hardware  {exact['seconds']:>12.3f} s for "
            f"{exact['accelerators']:,} accelerators, {exact['layers']} layers",
            f"  first time    {exact['first_seconds']:>12.2f} s",
            f"  by estimate   {exact['estimate_seconds']:>12.3f} s",
            *(
                f"own model       {own['core_seconds']:>12.2f} s of a core, a "
                f"proposal in {package}; {own['first_core_seconds']:.2f} s the "
                f"first; a plain build {own['build_core_seconds']:.2f} s"
                for package, own in (result["own_models"] or {}).items()
            ),
            "",
            "   batch  layers  mappings  threads  candidates/s"
            "   of a core   Mlayers of a core",
            *(
                f"{row['batch']:>8}{row['layers']:>8}{row['mappings']:>10}"
                f"{row['threads']:>9}{row['candidates_per_second']:>14,.0f}"
                f"{row['candidates_per_core_second']:>12,.0f}"
                f"{row['layers_per_core_second'] / 1e6:>20.1f}"
                for row in result["scaling"]
            ),
            "",
            f"{machine['operations_per_layer']:,} operations a layer: "
            f"{machine['share_of_arithmetic']:.0%} of the "
            f"{machine['operations_per_core_second'] / 1e9:.1f} G operations/s "
            "measured on a core; tables take "
            f"{machine['share_of_memory_bandwidth']:.0%} of the "
            f"{machine['bytes_per_second'] / 1e9:.1f} GB/s measured",
        ]
    )


def _slower(rates: Mapping[str, float], baseline: str) -> str:
    name = "candidates_per_second"
    return f"{rates[name] / rates[baseline + name]:.1f} times slower"
