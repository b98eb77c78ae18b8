import math

import pytest
import tensorflow as tf
import tflite_files
from tflite_files import WIDTH, loop

from tf_cosearch.networks.importers import tflite_import

MACS = 3 * WIDTH * WIDTH  # of a run: a product of [3, 8] by [8, 8]


def read(content, on_unknown=pytest.fail):
    return tflite_import.from_tflite(content, on_unknown)


def macs(rows):
    return sum(row.macs for row in rows)


@pytest.mark.parametrize(
    ("start", "compare", "limit", "step", "trips"),
    [
        (0, "LESS", 29, 1, 29),
        (0, "LESS", 29, 2, 15),
        (3, "LESS", 29, 5, 6),
        (0, "LESS_EQUAL", 6, 2, 4),
        (0, "LESS_EQUAL", 7, 2, 4),
        (20, "GREATER", 2, -3, 6),
        (20, "GREATER_EQUAL", 2, -3, 7),
        (1, "NOT_EQUAL", 9, 2, 4),
        (9, "LESS", 9, 1, 0),
        (0, "LESS", 10**9, 1, 10**9),
    ],
)
def test_trips(start, compare, limit, step, trips):
    rows = read(loop(start, compare, limit, step))
    assert macs(rows) == trips * MACS
    assert [row.repeats for row in rows] == ([trips] if trips else [])


def test_the_limit_may_come_first():
    assert macs(read(loop(0, "GREATER", 5, 1, limit_first=True))) == 5 * MACS


@pytest.mark.parametrize(
    ("start", "compare", "limit", "step"),
    [
        (0, "LESS", 9, -1),
        (1, "NOT_EQUAL", 8, 2),
        (0, "EQUAL", 0, 1),
        (-(2**31), "LESS", 2**31 - 1, 1),
    ],
)
def test_a_loop_that_may_never_end_is_named(start, compare, limit, step):
    reported = []
    rows = read(loop(start, compare, limit, step), reported.append)
    # 2**32 - 1 runs are more than anybody waits for.
    assert reported == ["WHILE of unknown length"]
    assert macs(rows) == MACS


def convert(function, *shapes):
    specs = [tf.TensorSpec(shape) for shape in shapes]
    concrete = tf.function(function).get_concrete_function(*specs)
    return tf.lite.TFLiteConverter.from_concrete_functions(
        [concrete], tf.Module()
    ).convert()


def test_loops_within_loops_multiply():
    weights = tf.random.stateless_uniform((WIDTH, WIDTH), (0, 1))

    def nested(x):
        for _ in tf.range(3):
            for _ in tf.range(4):
                x = tf.matmul(x, weights)
            x = tf.matmul(x, weights)
        return x

    rows = read(convert(nested, (3, WIDTH)))
    assert [row.repeats for row in rows if row.macs] == [12, 3]
    assert macs(rows) == 15 * MACS
    assert sum(row.params for row in rows) == WIDTH * WIDTH


def test_a_count_limits_a_condition_that_is_not_known():
    weights = tf.random.stateless_uniform((WIDTH, WIDTH), (0, 1))

    def bounded(x):
        i = 0
        while i < 6 and tf.reduce_sum(x) < 100.0:
            x = tf.matmul(x, weights)
            i += 1
        return x

    assert macs(read(convert(bounded, (3, WIDTH)))) == 6 * MACS


def test_what_a_loop_carries_depends_on_the_input_from_its_second_run():
    """The state starts as a constant, and its products count all the same."""
    weights = tf.random.stateless_uniform((WIDTH, WIDTH), (0, 1))

    def recurrent(x):
        state = tf.zeros((1, WIDTH))
        for i in tf.range(5):
            state = tf.matmul(state, weights) + tf.reshape(x[i], (1, WIDTH))
        return state

    rows = read(convert(recurrent, (5, WIDTH)))
    assert macs(rows) == 5 * WIDTH * WIDTH
    # Only the input comes from outside the chip, not what the state starts as.
    assert sum(r.repeats * r.network_in_elements for r in rows) == 5 * WIDTH
    # A run reads the row that it takes, not all of the input.
    taken = next(row for row in rows if row.op == "data_movement")
    assert (taken.in_elements, taken.repeats) == (WIDTH, 5)


def test_what_runs_overwrite_leaves_the_chip_once():
    [row] = read(loop(0, "LESS", 6, 1))
    assert row.repeats * row.network_out_elements == 3 * WIDTH
    assert row.repeats * row.network_in_elements == 3 * WIDTH


def branches(condition=None):
    """One branch multiplies, the other one only adds."""
    file = tflite_files.File()
    main, *both = (tflite_files.Graph(file) for _ in range(3))
    x = main.input([3, WIDTH])
    if condition is None:
        condition = main.add(
            "REDUCE_ANY", [x, main.integers(0, 1)], [[]], "BOOL"
        )
    else:
        condition = main.integers(condition)
    options = {"options": "IfOptions"}
    options |= {"thenSubgraphIndex": 1, "elseSubgraphIndex": 2}
    main.add("IF", [condition, x], [[3, WIDTH]], **options)
    for graph in both:
        x = graph.input([3, WIDTH])
        if graph is both[0]:
            weights = graph.weights(WIDTH, WIDTH)
            graph.add("FULLY_CONNECTED", [x, weights, -1], [[3, WIDTH]])
        else:
            graph.add("ADD", [x, x], [[3, WIDTH]])
    return file.content()


@pytest.mark.parametrize(("taken", "work"), [(None, MACS), (1, MACS), (0, 0)])
def test_the_dearer_branch_counts_unless_it_is_known(taken, work):
    assert macs(read(branches(taken))) == work


def calls(*callees):
    """Graphs that call one another; `callees[i]` are those of graph i."""
    file = tflite_files.File()
    for called in callees:
        graph = tflite_files.Graph(file)
        x = graph.input([3, WIDTH])
        for index in called:
            x = graph.add(
                "CALL", [x], [[3, WIDTH]], options="CallOptions", subgraph=index
            )
        weights = graph.weights(WIDTH, WIDTH)
        graph.add("FULLY_CONNECTED", [x, weights, -1], [[3, WIDTH]])
    return file.content()


def test_graphs_are_called():
    assert macs(read(calls([1, 2], [2], []))) == 4 * MACS


@pytest.mark.parametrize(
    ("callees", "message"),
    [
        ([[0]], "calls itself"),
        ([[1], [0]], "calls itself"),
        ([[7]], "graph 7, which is not there"),
        ([*([[i + 1, i + 1]] for i in range(20)), [[]]], "operators"),
    ],
)
def test_endless_calls_are_refused(callees, message):
    if len(callees) > 2:
        callees = [called for [called] in callees]
    with pytest.raises(ValueError, match=message):
        read(calls(*callees))


def test_variables_are_read_and_written_for_free():
    """What an earlier inference has left is no parameter, but is read."""
    graph = tflite_files.Graph()
    x = graph.input([1, 4])
    options = {"options": "VarHandleOptions", "sharedName": "memory"}
    memory = graph.add("VAR_HANDLE", [], [[]], "RESOURCE", **options)
    before = graph.add("READ_VARIABLE", [memory], [[1, 4]])
    both = graph.add("ADD", [x, before], [[1, 4]])
    graph.add("ASSIGN_VARIABLE", [memory, both], [])
    graph.add("FULLY_CONNECTED", [both, graph.weights(2, 4), -1], [[1, 2]])
    rows = read(graph.content())
    assert [row.op for row in rows] == ["elementwise", "dense"]
    assert (rows[0].in_elements, rows[0].params) == (8, 0)
    assert math.prod((rows[1].macs, rows[1].params)) == 64
