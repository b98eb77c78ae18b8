"""How far do fewer bits help on an area, and where does the memory limit?"""

from __future__ import annotations

import functools
import itertools
from typing import Any

from tf_cosearch.cost.explain import bit_widths
from tf_cosearch.designs import bit_widths_picture
from tf_cosearch.experiments import Findings, Setting, experiment
from tf_cosearch.networks import published

AREA_MM2, CLOCK_GHZ = 2.0, 0.8
BANDWIDTHS: tuple[float | None, ...] = (None, 25.0, 4.0)


@experiment(
    paper="HCM, arXiv 2004.08906",
    question="Do fewer bits make networks faster on the same area, and less "
    "so once they wait for the memory?",
)
def complexity_roofline(setting: Setting) -> Findings:
    """Sweeps the bits of weights and activations, see `cost.explain`.

    As many processing elements of a 3x3 kernel as fit 2 mm2 at each width, as
    `tools/compare_bit_widths.py`. Short: MobileNetV2 and VGG16. Long: ResNet-18
    and Inception-V3 as well.
    """
    names = ["mobilenet_v2", "vgg16"]
    names += [] if setting.is_short else ["resnet18", "inception_v3"]
    results = {
        name: {
            bandwidth: bit_widths.sweep(
                published.load(name), AREA_MM2, bandwidth, CLOCK_GHZ
            )
            for bandwidth in BANDWIDTHS
        }
        for name in names
    }
    rows: list[dict[str, Any]] = [
        {
            "network": name,
            "bandwidth_gbs": bandwidth or "no limit",
            **each._asdict(),
        }
        for name, lines in results.items()
        for bandwidth, line in lines.items()
        for each in line
    ]
    gains = {
        name: [
            _fps(line, 4) / _fps(line, 8)
            for line in (lines[None], lines[BANDWIDTHS[-1]])
        ]
        for name, lines in results.items()
    }
    is_narrower_faster = all(
        each.fps >= wider.fps
        for lines in results.values()
        for line in lines.values()
        for each, wider in itertools.pairwise(line)
    )
    told = "; ".join(
        f"{name} {free:.2f} times as fast in 4 bits as in 8 without a limit, "
        f"{bound:.2f} times at {BANDWIDTHS[-1]:g} GB/s"
        for name, (free, bound) in gains.items()
    )
    title = f"{AREA_MM2:g} mm² of 3x3 elements, {CLOCK_GHZ:g} GHz"
    return Findings(
        rows,
        is_narrower_faster
        and all(free > bound for free, bound in gains.values()),
        told,
        functools.partial(bit_widths_picture.plot, results, title=title),
    )


def _fps(line: Any, bits: int) -> float:
    return next(float(each.fps) for each in line if each.bits == bits)
