r"""Says which bit width gives networks the most throughput on a given area.

    cosearch compare_bit_widths --network=mobilenet_v2 --network=vgg16 \
        --area_mm2=2 --bandwidth_gbs=25 --bandwidth_gbs=4 --output=bits.png

HCM's question (arXiv 2004.08906): an array of processing elements of one 3x3
kernel, as many as fit the area at each width, between 2 and 16 bits, once with
a memory that is never waited for and once with each of the bandwidths.
"""

from absl import flags

from tf_cosearch.commands import command_line

FLAGS = flags.FLAGS
flags.DEFINE_multi_string(
    "network",
    ["mobilenet_v2", "vgg16"],
    "Name or YAML file of a network; may be repeated.",
)
command_line.define_positive("area_mm2", "Area of the array at 28 nm.")
flags.DEFINE_multi_float(
    "bandwidth_gbs",
    [25.0, 4.0],
    "Bandwidth of a memory; may be repeated.",
    lower_bound=0.001,
)
command_line.define_positive("clock_ghz", "Clock of the array.")
flags.DEFINE_string(
    "output", "bit_widths.png", "Picture to write: .png, .svg or .pdf."
)
FLAGS.set_default("area_mm2", 2.0)
FLAGS.set_default("clock_ghz", 0.8)

_TOLD = (2, 4, 8, 16)


def main() -> None:
    from tf_cosearch import text
    from tf_cosearch.cost.explain import bit_widths
    from tf_cosearch.designs import bit_widths_picture
    from tf_cosearch.networks import published

    output = command_line.output_picture(FLAGS.output)
    bandwidths = [None, *FLAGS.bandwidth_gbs]
    results = {}
    for name in FLAGS.network:
        layers = published.load(name)
        results[name] = {
            bandwidth: bit_widths.sweep(
                layers, FLAGS.area_mm2, bandwidth, FLAGS.clock_ghz
            )
            for bandwidth in bandwidths
        }
    rows = [["network", "GB/s", "best bits", *(f"fps at {b}" for b in _TOLD)]]
    for name, lines in results.items():
        for bandwidth, line in lines.items():
            fps = {each.bits: each.fps for each in line}
            rows.append(
                [
                    name,
                    "no limit" if bandwidth is None else f"{bandwidth:g}",
                    str(bit_widths.widest_of_the_best(line).bits),
                    *(f"{fps[bits]:,.0f}" for bits in _TOLD),
                ]
            )
    print(text.table(rows, "<" + ">" * (2 + len(_TOLD))))
    title = f"{FLAGS.area_mm2:g} mm² of 3x3 elements, {FLAGS.clock_ghz:g} GHz"
    bit_widths_picture.plot(results, output, title)
    print(f"Wrote {output}.")
