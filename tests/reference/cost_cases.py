"""Random layers and accelerators, small enough to be walked."""

import random

from tf_cosearch import accelerators
from tf_cosearch.networks.workload import Layer


def random_layer(rng):
    """A layer of any kind, small enough to be walked in milliseconds."""
    while True:
        layer = _layer(rng, rng.choice(KINDS))
        per_group = layer.in_c // layer.groups
        products = layer.pixels * layer.out_c * per_group * layer.k_h
        # Few taps far apart may all land on padding, which no layer does.
        if products * layer.k_w <= 150_000 and layer.touched_elements:
            return layer


KINDS = (
    *("conv2d", "conv2d", "depthwise_conv2d", "depthwise_conv2d"),
    *("grouped", "grouped", "dense", "matmul"),
    *("pool", "pool", "elementwise", "data_movement", "embedding"),
)


def _layer(rng, kind):
    height, width = rng.randint(1, 12), rng.randint(1, 12)
    in_c, out_c, groups, side = rng.randint(1, 40), rng.randint(1, 40), 1, 0
    k_h, k_w = rng.choice([1, 1, 2, 3, 4, 5, 7]), rng.choice([1, 2, 3, 5, 7])
    stride_h, stride_w = rng.randint(1, 3), rng.randint(1, 3)
    if kind == "grouped":
        groups = rng.randint(2, 7)
        in_c, out_c = groups * rng.randint(1, 6), groups * rng.randint(1, 12)
    if kind == "depthwise_conv2d":
        groups, out_c = in_c, in_c * rng.choice([1, 1, 2])
    simple = ("dense", "matmul", "elementwise", "data_movement", "embedding")
    if kind in simple:
        k_h = k_w = stride_h = stride_w = 1
    if kind == "dense":
        height = width = 1
    if kind in ("pool", "elementwise", "data_movement"):
        out_c = groups = in_c
    if kind == "embedding":
        in_c = 1
    if kind == "pool" and rng.random() < 0.5:  # of all there is
        in_c = out_c = groups = rng.choice([1, 2, in_c])
        k_h, k_w, height, width = 4 * height, 2 * width, 1, 1
    dilation_h = _dilation(rng, k_h, stride_h)
    dilation_w = _dilation(rng, k_w, stride_w)
    span_h = (k_h - 1) * dilation_h + 1
    span_w = (k_w - 1) * dilation_w + 1
    if kind in ("elementwise", "data_movement"):
        side = rng.choice([0, height * width * in_c])
    # Padding "same", none at all, or any that leaves no window outside.
    most, widest = (
        rng.randint(0, 2 * span_h - 2),
        rng.randint(0, 2 * span_w - 2),
    )
    sizes = rng.choice(
        [
            (height * stride_h, width * stride_w),
            ((height - 1) * stride_h + span_h, (width - 1) * stride_w + span_w),
            (
                max((height - 1) * stride_h + span_h - most, 1),
                max((width - 1) * stride_w + span_w - widest, 1),
            ),
        ]
    )
    return Layer(
        kind,
        "conv2d" if kind == "grouped" else kind,
        height,
        width,
        out_c,
        *sizes,
        in_c,
        k_h,
        k_w,
        stride_h,
        stride_w,
        groups,
        use_bias=rng.random() < 0.5 and kind != "embedding",
        weight_bits=rng.choice([2, 3, 4, 8, 8, 12, 16]),
        activation_bits=rng.choice([2, 4, 6, 8, 8, 16]),
        side_elements=side,
        held_elements=rng.choice([0, 0, 500]),
        dilation_h=dilation_h,
        dilation_w=dilation_w,
        output_bits=rng.choice([None, None, 4, 8, 32, 64]),
        repeats=rng.choice([1, 1, 1, 5]),
        stored_elements=rng.choice([7, 700, 9000])
        if kind == "embedding"
        else rng.choice([0, 0, 0, 24]),
    )


def _dilation(rng, kernel, stride):
    """Rows between taps, one of them a multiple of the stride or its part."""
    if kernel == 1:
        return 1
    return rng.choice(
        [1, 1, *(d for d in (2, 3, 4, 6) if d % stride == 0 or stride % d == 0)]
    )


def random_chip(rng):
    values = {
        "pe_array/columns": rng.randint(1, 4),
        "pe_array/rows": rng.randint(1, 3),
        "pe_array/lanes": rng.randint(1, 3),
        "pe_array/simd_units": rng.randint(1, 8),
        "pe_array/dot_width": rng.randint(1, 4),
        "pe_array/input_streams": rng.randint(1, 10),
        "pe_array/pipeline_cycles": rng.choice([0, 8]),
        "register_file/capacity_kib": rng.choice([0.0625, 0.25, 0.5, 2]),
        "pe_memory/capacity_mib": rng.choice([0.001, 0.004, 0.1]),
        "pe_memory/width_bytes": rng.choice([4, 32, 256]),
        "pe_memory/weight_share": rng.choice([0, 0.5, 1]),
        "pe_memory/activation_share": rng.choice([0, 0.5, 1, 1]),
        "interconnect/width_bytes": rng.choice([2, 16, 64]),
        "dram/bandwidth_gbs": rng.choice([0.5, 5, 25]),
        "dram/onload_share": rng.choice([0, 0.5, 1]),
        "runtime/layer_us": rng.choice([0, 1]),
        "runtime/inference_us": rng.choice([0, 1]),
        "runtime/compute_share": rng.choice([1, 0.5]),
        "runtime/memory_share": rng.choice([1, 0.25]),
    }
    other = random.Random(repr(values))  # as many draws of `rng` as ever
    nibbles = random.Random(repr(values) + "nibbles")
    values |= {
        "host_link/input_gbs": other.choice([0, 0, 0.4]),
        "host_link/output_gbs": other.choice([0, 0, 0.1]),
        "host_link/instruction_bytes": other.choice([0, 2800]),
        "pe_array/vector_units": other.choice([4096, 4096, 2]),
        "pe_array/int4_products": nibbles.choice([1, 1, 2, 4]),
        "pe_memory/whole_layers": other.choice([0, 1]),
        "pe_memory/padded_weights": other.choice([0, 1]),
        "pe_memory/tile_kib": other.choice([0, 0, 0.5, 2]),
        "interconnect/activation_width_bytes": other.choice([0, 0, 0.5]),
        "interconnect/ring_width_bytes": other.choice([0, 4]),
        "process/clocked_share": other.choice([0, 0.25, 1]),
        "dram/byte_pj": other.choice([70, 5]),
        "dram/idle_mw": other.choice([0, 3]),
        "host_link/byte_pj": other.choice([0, 1e4]),
        "host_link/idle_mw": other.choice([0, 20]),
    }
    return accelerators.from_paths(values)


def random_chain(rng, depth):
    """Layers of which most alone read what the one before writes."""
    height, width = rng.randint(3, 24), rng.randint(2, 9)
    channels, bits = rng.randint(1, 24), rng.choice([4, 8, 8, 8, 16])
    layers: list = []
    for _ in range(depth):
        op = rng.choice(["conv2d", "conv2d", "depthwise_conv2d", "pool", "add"])
        k_h, k_w, s_h, s_w, d_h, side = 1, 1, 1, 1, 1, 0
        out_c = channels
        if op == "add":
            side = height * width * channels
        else:
            k_h, k_w = rng.choice([1, 1, 3, 3, 5]), rng.choice([1, 3])
            s_h, s_w = rng.choice([1, 1, 2]), rng.choice([1, 1, 2])
            d_h = rng.choice([1, 1, 2]) if s_h == 1 else 1
        if op == "conv2d":
            out_c = rng.randint(1, 40)
        span = (k_h - 1) * d_h + 1
        out_h, out_w = -(-height // s_h), -(-width // s_w)
        if op != "add" and height > span and rng.random() < 0.3:  # no padding
            out_h = (height - span) // s_h + 1
        out_bits = rng.choice([None, None, None, None, 8])
        layers.append(
            Layer(
                op,
                "elementwise" if op == "add" else op,
                *(out_h, out_w, out_c, height, width, channels),
                *(k_h, k_w, s_h, s_w),
                groups=channels if op == "depthwise_conv2d" else 1,
                dilation_h=d_h,
                use_bias=rng.random() < 0.5,
                weight_bits=rng.choice([4, 8, 8]),
                activation_bits=bits,
                output_bits=out_bits,
                side_elements=side,
                held_elements=rng.choice([0, 0, 300]),
                repeats=rng.choice([1] * 19 + [2]),
                continues=rng.random() < 0.95,
            )
        )
        height, width, channels = out_h, out_w, out_c
        bits = out_bits or bits
    return layers
