"""What a network takes of memory, against the file that it becomes."""

import keras
import numpy as np
import pytest
import tf_keras
from ai_edge_litert import interpreter as litert

import tf_cosearch as cs
from tf_cosearch.metrics.values import Designs, Values
from tf_cosearch.networks.workload import Layer
from tf_cosearch.training import qat


def values(layers):
    """What follows from layers alone."""

    def designs(rows):
        return Designs(cs.pad([layers]).arrays(), None)

    return Values({"latency_ms": np.ones(1)}, designs)


def test_by_hand():
    """The image is held for the addition, 8 bits but for a sum of 32."""
    rows = [
        Layer("a", "conv2d", 8, 8, 16, 8, 8, 4, 3, 3),
        Layer("b", "conv2d", 8, 8, 4, 8, 8, 16, held_elements=256),
        Layer("c", "dense", 1, 1, 10, 1, 1, 256, use_bias=False),
        Layer("d", "dense", 1, 1, 10, 1, 1, 10, weight_bits=4, output_bits=32),
    ]
    found = values(rows)
    live = [256 + 1024, 1024 + 256 + 256, 256 + 10, 10 + 40]
    assert found["peak_memory_kib"] == max(live) / 1024
    stored = [16 * 4 * 9 + 16 * 4, 4 * 16 + 4 * 4, 2560, 100 / 2 + 40]
    assert found["model_kib"] == sum(stored) / 1024
    twice = values(
        [
            *rows,
            Layer(
                "e",
                "dense",
                1,
                1,
                10,
                1,
                1,
                10,
                weight_bits=4,
                reuses_weights=True,
            ),
        ]
    )
    assert twice["model_kib"] == found["model_kib"]


@pytest.fixture(scope="module", params=[1, 2])
def network(request):
    space = cs.SearchSpace.load("digits")
    genome = space.sample(np.random.default_rng(0), 3)[request.param]
    return space.decode(genome).network


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    model = qat.quantize(network.build(tf_keras))
    rng = np.random.default_rng(0)
    for weight in model.trainable_variables:  # zeros would not be stored
        weight.assign(rng.uniform(0.1, 1, weight.shape))
    path = tmp_path_factory.mktemp("memory") / "model.tflite"
    path.write_bytes(qat.to_tflite(model))
    return path


def test_template_keras_and_tflite_agree(network, file):
    expected = values(network.layers())
    for layers in (
        cs.from_keras(network.build(keras)),
        cs.from_tflite(file),
    ):
        for name in ("peak_memory_kib", "model_kib"):
            assert values(layers)[name] == expected[name]


def largest_live_set(interpreter):
    """Bytes of the activations that exist at once, operation by operation."""
    details = interpreter.get_tensor_details()
    size = {
        each["index"]: int(np.prod(each["shape"]))
        * np.dtype(each["dtype"]).itemsize
        for each in details
    }
    operations = interpreter._get_ops_details()
    begin = {each["index"]: 0 for each in interpreter.get_input_details()}
    end = {}
    for place, operation in enumerate(operations):
        for index in operation["outputs"]:
            begin[index] = end[index] = place
        for index in operation["inputs"]:
            if index in begin:
                end[index] = place
    return max(
        sum(
            size[index]
            for index in begin
            if begin[index] <= place <= end[index]
        )
        for place in range(len(operations))
    )


def test_the_interpreter_needs_as_much(network, file):
    """Its operations are those of the layer table, and so are its tensors."""
    interpreter = litert.Interpreter(
        str(file),
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
    )
    interpreter.allocate_tensors()
    expected = largest_live_set(interpreter) / 1024
    assert values(network.layers())["peak_memory_kib"] == expected


def test_a_table_of_arrays_counts_as_one_of_tensors():
    first = Layer("a", "dense", 1, 1, 10, 1, 1, 10, repeats=3)
    again = Layer("b", "dense", 1, 1, 10, 1, 1, 10, reuses_weights=True)
    table = cs.pad([[first, again]])
    arrays = table.arrays()
    assert arrays.params().tolist() == [[110, 0]]
    assert arrays.all_runs(arrays.macs()).tolist() == [[300, 100]]
    np.testing.assert_array_equal(arrays.output_bits, [[8, 8]])
    bare = table._replace(output_bits=None, repeats=1.0, stored_elements=0.0)
    assert bare.arrays().repeats.tolist() == [[1, 1]]
    np.testing.assert_array_equal(bare.arrays().output_bits, [[8, 8]])
