import numpy as np
import pytest

from tf_cosearch.networks.tape import Tape
from tf_cosearch.networks.workload import Layer, LayerTable, pad, to_array


def conv(**bounds):
    return Layer("conv", "conv2d", 8, 8, 16, 8, 8, 4, **bounds)


def test_counts_of_a_layer_and_of_its_row_agree():
    rows = [
        conv(k_h=3, k_w=5, groups=2),
        Layer("mm", "matmul", 6, 1, 8, 6, 1, 4, groups=2),
        Layer("pool", "pool", 1, 1, 4, 8, 8, 4, k_h=8, k_w=8, groups=4),
        conv(use_bias=False),
    ]
    table = pad([rows])
    assert table.macs().numpy()[0].tolist() == [r.macs for r in rows]
    assert table.params().numpy()[0].tolist() == [r.params for r in rows]
    assert rows[0].macs == 64 * 16 * 2 * 15
    assert rows[0].params == 16 * 2 * 15 + 16
    assert rows[1].params == 0
    assert rows[1].macs == 6 * 8 * 2
    assert rows[2].macs == 0


@pytest.mark.parametrize(
    ("size", "outputs", "kernel", "stride", "touched"),
    [
        (8, 8, 3, 1, 8),  # padded on both sides: every row
        (8, 6, 3, 1, 8),  # no padding
        (9, 4, 2, 2, 8),  # the last row is left over
        (7, 3, 2, 3, 5),  # rows 0 1, 3 4 and 6 with one of padding
        (4, 2, 3, 5, 2),  # rows 0 and 3, each with two of padding
        (1, 1, 3, 2, 1),
    ],
)
def test_elements_in_windows_are_touched(
    size, outputs, kernel, stride, touched
):
    shape = {"k_h": kernel, "stride_h": stride}
    tall = Layer("tall", "conv2d", outputs, 2, 1, size, 2, 5, **shape)
    shape = {"k_w": kernel, "stride_w": stride}
    wide = Layer("wide", "conv2d", 2, outputs, 1, 2, size, 5, **shape)
    assert tall.touched_elements == wide.touched_elements == touched * 2 * 5
    table = pad([[tall, wide]], 3)
    assert table.touched_elements().numpy().tolist() == [
        [touched * 10, touched * 10, 1]
    ]
    images = table.stack_images(3.0).touched_elements(3.0)
    assert images.numpy().tolist() == [[touched * 30, touched * 30, 3]]


def test_padding_is_marked_and_counts_nothing():
    table = pad([[conv()], [conv(), conv()]], 3)
    assert table.is_layer.numpy().tolist() == [[1, 0, 0], [1, 1, 0]]
    assert table.params().numpy()[0, 1:].tolist() == [0, 0]
    assert all(np.isfinite(field.numpy()).all() for field in table)


def test_arrays_and_layers_pad_alike():
    one, other = pad([[conv()]]), pad([to_array([conv()])])
    for field in LayerTable._fields:
        assert (getattr(one, field) == getattr(other, field)).numpy().all()


def test_networks_must_fit():
    with pytest.raises(
        ValueError, match=r"max_layers=1, but network 1 .* 2 layers"
    ):
        pad([[conv()], [conv(), conv()]], 1)
    with pytest.raises(ValueError, match="at least one network"):
        pad([])


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"k_h": 0}, "k_h must be a positive whole number"),
        ({"groups": 3}, "groups must divide in_c and out_c"),
        ({"groups": -1}, "groups"),
        ({"held_elements": -1}, "held_elements"),
        ({"weight_bits": 0}, "weight_bits"),
        ({"dilation_w": 0}, "dilation_w must be a positive whole number"),
        ({"output_bits": 0}, "output_bits"),
        ({"repeats": 0}, "repeats"),
        ({"stored_elements": -1}, "stored_elements must be a non-negative"),
        ({"network_in_elements": 0.5}, "network_in_elements"),
    ],
)
def test_impossible_layers_are_refused(bounds, message):
    with pytest.raises(ValueError, match=message):
        conv(**bounds)


def test_unknown_operations_are_refused():
    with pytest.raises(ValueError, match="Did you mean 'conv2d'"):
        Layer("x", "conv2", 8, 8, 16, 8, 8, 4)


def test_tape_holds_what_is_read_later():
    tape = Tape()
    image = tape.input(4, 4, 2)
    a = tape.add("a", "conv2d", [image], (4, 4, 8))
    b = tape.add("b", "conv2d", [a], (4, 4, 8))
    c = tape.add("c", "elementwise", [b, a], (4, 4, 8))
    tape.add("d", "elementwise", [c, image], (4, 4, 8))
    rows = {row.name: row for row in tape.layers()}
    # The image is needed at the end: held, except by `a`, which reads it.
    assert rows["a"].held_elements == 0
    assert rows["b"].held_elements == 32
    assert rows["c"].held_elements == 32
    assert rows["c"].side_elements == 128
    assert rows["d"].side_elements == 32
    # What leaves the chip is held no longer than the network needs it.
    kept = {row.name: row for row in tape.layers([a])}
    assert kept["d"].held_elements == 0


def test_an_embedding_must_have_a_table():
    with pytest.raises(ValueError, match=r"must have stored_elements.*'words'"):
        Layer("words", "embedding", 7, 1, 16, 7, 1, 1)


def test_parameters_are_stored_once():
    words = Layer("words", "embedding", 7, 1, 16, 7, 1, 1, stored_elements=80)
    gains = Layer("gains", "elementwise", 8, 8, 4, 8, 8, 4, stored_elements=8)
    rows = [
        words,
        conv(repeats=3),
        conv(repeats=3, reuses_weights=True),
        gains,
    ]
    assert [row.params for row in rows] == [80, 16 * 4 + 16, 0, 8]
    assert [row.macs for row in rows] == [0, 3 * 4096, 3 * 4096, 0]


def test_hand_made_tables_read_first_and_write_last():
    first = conv()
    array = to_array([first, conv(), conv(output_bits=32)])
    table = LayerTable(*array.T)
    assert table.network_in_elements.tolist() == [8 * 8 * 4, 0, 0]
    assert table.network_out_elements.tolist() == [0, 0, 8 * 8 * 16]
    assert table.output_bits.tolist() == [8, 8, 32]
    told = to_array([first, conv(network_out_elements=5)])
    assert LayerTable(*told.T).network_in_elements.tolist() == [0, 0]


def test_optional_columns_may_be_left_out():
    plain = pad([[conv()]])
    assert len(plain.columns()) == len(plain) - len(plain._field_defaults)
    assert len(LayerTable(*plain.columns()).columns()) == len(plain.columns())
    for change in (
        {"dilation_h": 2},
        {"output_bits": 4},
        {"repeats": 2},
        {"reuses_weights": True},
        {"stored_elements": 9},
    ):
        table = pad([[conv(), conv(**change)]], 3)
        assert len(table.columns()) == len(table)
        for column, field in zip(table.columns(), table, strict=True):
            assert (column == field.numpy()).all()
    mixed = LayerTable(*plain.columns(), dilation_w=np.full((1, 1), 2.0))
    assert [c.tolist() for c in mixed.columns()[-6:]] == [
        [[1]],
        [[2]],
        [[8]],
        [[1]],
        [[0]],
        [[0]],
    ]


def test_tape_finds_what_comes_from_outside_and_leaves():
    tape = Tape()
    image, mask = tape.input(8, 8, 4), tape.input(8, 8, 1, bits=32)
    a = tape.add("a", "conv2d", [image], (4, 4, 8), stride_h=2, stride_w=2)
    b = tape.add("b", "conv2d", [image], (8, 8, 8))
    c = tape.add("c", "elementwise", [b, mask], (8, 8, 8), output_bits=16)
    rows = {row.name: row for row in tape.layers([a, c])}
    # Both convolutions read the image, so all of it comes, once.
    assert [r.network_in_elements for r in rows.values()] == [256, 0, 256]
    assert [r.network_out_elements for r in rows.values()] == [128, 0, 512]
    # An element of 32 bits counts as four of 8.
    assert (rows["c"].side_elements, c.bits) == (256, 16)


@pytest.mark.parametrize(("parts", "leaving"), [(1, 16), (2, 32), (3, 32)])
def test_parts_of_a_tensor_leave_and_never_more_than_all_of_it(parts, leaving):
    tape = Tape()
    both = tape.add("split", "data_movement", [tape.input(2, 2, 8)], (2, 2, 8))
    (row,) = tape.layers([both._replace(channels=4)] * parts)
    assert row.network_out_elements == leaving


def test_tape_leaves_out_what_strides_jump_over():
    tape = Tape()
    image = tape.input(8, 8, 4)
    tape.add("a", "conv2d", [image], (2, 2, 8), stride_h=4, stride_w=4)
    (row,) = tape.layers()
    assert row.network_in_elements == row.touched_elements == 16
    assert row.network_out_elements == 32


def test_tape_divides_a_sequence_among_runs():
    tape = Tape()
    sequence = tape.input(10, 1, 6)
    step = sequence._replace(height=1)
    states = tape.add(
        "step", "dense", [step], (1, 1, 4), (10, 1, 4), repeats=10
    )
    (row,) = tape.layers()
    assert (states.elements, row.out_elements) == (40, 4)
    assert (row.network_in_elements, row.network_out_elements) == (6, 4)
