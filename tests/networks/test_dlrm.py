"""Recommendation models against counts by hand, and as Keras builds them."""

import keras
import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch import accelerators
from tf_cosearch.cost.off_chip import live_and_stored_bytes
from tf_cosearch.networks import dlrm, published
from tf_cosearch.networks.dlrm import Dlrm
from tf_cosearch.networks.importers import keras_import
from tf_cosearch.networks.layer_ops import KerasBuilder, LayerRecorder
from tf_cosearch.networks.precision import Precision
from tf_cosearch.networks.workload import to_array
from tf_cosearch.supernet import layer_rules

SMALL = Dlrm(4, (100, 10, 3), 8, (16,), (12,))


def test_the_published_models_have_the_parameters_of_their_papers():
    """About 540 million, and 187,767,399 rows of 128."""
    rows = published.load("dlrm")
    layers = [(13, 512), (512, 256), (256, 64), (64, 16)]
    layers += [(16 + 27 * 26 // 2, 512), (512, 256), (256, 1)]
    macs = sum(n * m for n, m in layers)
    assert sum(row.macs for row in rows) == macs + 27 * 16 * 27
    tables = 33762577 * 16
    biases = sum(m for _, m in layers)
    assert sum(row.params for row in rows) == tables + macs + biases
    assert round(sum(row.params for row in rows) / 1e6) == 541
    rows = published.load("dlrm_terabyte")
    stored = [row.params for row in rows if row.op == "embedding"]
    assert (len(stored), sum(stored)) == (26, 187767399 * 128)
    [top] = [row for row in rows if row.name == "top1"]
    assert top.in_c == 479
    with pytest.raises(ValueError, match=r"no image.*input_px=8 for dlrm"):
        published.load("dlrm", 8)


@pytest.mark.parametrize("lookups", [1, 3])
def test_rows_are_those_of_a_model_with_an_input_for_each_table(lookups):
    def end(ops, dense, numbers):
        return dlrm.interact(ops, dense, numbers, *SMALL[1:4])

    record = LayerRecorder()
    dense = record.input(1, 1, 4)
    end(record, dense, [record.input(1, 1, lookups, 32) for _ in range(3)])
    inputs = [keras.Input((1, 1, 4))]
    inputs += [keras.Input((1, 1, lookups), dtype="int32") for _ in range(3)]
    model = keras.Model(inputs, end(KerasBuilder(keras), inputs[0], inputs[1:]))
    read = keras_import.from_keras(model, pytest.fail)
    assert np.array_equal(to_array(record.layers()), to_array(read))
    assert sum(row.params for row in read) == model.count_params()


def test_the_model_multiplies_all_pairs_of_vectors():
    """Row 2 of a table of tens, row 0 of one of ones, and the dense vector."""
    ops = KerasBuilder(keras)
    inputs = [keras.Input((1, 1, 2))]
    inputs += [keras.Input((1, 1, 1), dtype="int32") for _ in range(2)]
    y = dlrm.interact(ops, inputs[0], inputs[1:], (3, 2), 2, ())
    model = keras.Model(inputs, y)
    model.get_layer("bottom1").set_weights([np.eye(2), np.zeros(2)])
    model.get_layer("table1").set_weights([10 * np.arange(6).reshape(3, 2)])
    model.get_layer("table2").set_weights([np.ones((2, 2))])
    dense = np.asarray([[[[3.0, 4.0]]]])
    numbers = [np.full((1, 1, 1, 1), number) for number in (2, 0)]
    answer = np.ravel(model([dense, *numbers]))
    rows = [[3, 4], [40, 50], [1, 1]]
    pairs = [np.dot(rows[i], rows[j]) for i, j in ((1, 0), (2, 0), (2, 1))]
    np.testing.assert_allclose(answer, [3, 4, *pairs])


def test_bits_of_tables_count_in_size_and_traffic():
    """Of 113 rows of 16 numbers; of 4 bits each has a scale of 32."""
    model = SMALL._replace(dimension=16)
    chip = accelerators.from_paths({"pe_memory/weight_share": 0})
    table = cs.pad([model.layers(bits) for bits in (4, 8, 16)])
    sizes = live_and_stored_bytes(table.arrays())[1].sum(-1)
    np.testing.assert_allclose(sizes - sizes[1], 113 * np.array([-4, 0, 16]))
    cost = cs.estimate(table, chip)
    moved = cost.dram_bytes.numpy()
    np.testing.assert_allclose(moved - moved[1], 3 * np.array([-4, 0, 16]))
    assert len({*cost.macs.numpy()}) == 1
    # Rows are scaled, or rounded.
    assert cost.energy_mj.numpy().argmin() == 1


@pytest.mark.parametrize("family", ["edge_tpu", "systolic", "ethos_u"])
def test_a_table_off_the_chip_costs_what_is_read_of_it(family):
    """A thousand times as many rows pass nothing more through the DRAM."""
    names = {"systolic": "systolic_32x32", "ethos_u": "ethos_u55_128"}
    chip = cs.load_accelerator(names.get(family, "edge_tpu"))
    moved = []
    for rows in (10**10, 10**11):
        network = SMALL._replace(tables=(rows, rows)).layers()
        moved.append(float(cs.estimate(cs.pad([network]), chip).dram_bytes[0]))
    assert moved[0] == pytest.approx(moved[1], abs=1)
    assert moved[0] < 20_000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"table_rows": 0}, "`table_rows` must .* at least 1. Received: 0"),
        ({"dimension": 0}, "`dimension` must .* at least 1. Received: 0"),
    ],
)
def test_tables_that_cannot_be_are_refused(settings, message):
    record = LayerRecorder()
    told = {"table_rows": 5, "dimension": 4, **settings}
    with pytest.raises(ValueError, match=message):
        record.embedding(record.input(1, 1, 1, 32), **told)


def test_tables_of_bits_without_a_format_are_refused():
    with pytest.raises(ValueError, match=r"table_bits .*4 or 8 or 16.*: 5"):
        SMALL.layers(5)


def test_vectors_of_different_lengths_are_refused():
    record = LayerRecorder()
    some = [record.input(1, 1, channels) for channels in (8, 4)]
    with pytest.raises(ValueError, match=r"of one length\. Received"):
        record.dot_interaction(some)
    with pytest.raises(ValueError, match=r"of one length\. Received"):
        record.dot_interaction(some[:1])


def test_numbers_of_rows_keep_their_bits_whatever_those_of_the_block():
    record = LayerRecorder()
    with record.at(Precision(activation_bits=16)):
        record.embedding(record.input(1, 1, 1, 32), 5, 4)
    [row] = record.layers()
    assert (row.activation_bits, row.output_bits) == (32, 16)


def test_a_supernet_refuses_a_table_by_name():
    import tf_keras

    layer = tf_keras.layers.Embedding(5, 4, name="table1")
    with pytest.raises(ValueError, match="table1"):
        layer_rules.rule(layer).check(layer, [(None, 1)])
