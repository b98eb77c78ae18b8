"""Layers over sequences and volumes, counted by hand and against Keras."""

import keras
import numpy as np
import pytest
import tf_keras

from tf_cosearch.networks.importers import keras_import

BOTH = pytest.mark.parametrize(
    "package", [keras, tf_keras], ids=["keras", "tf_keras"]
)


def total(layers, what):
    return sum(getattr(layer, what) for layer in layers)


def read(package, shape, *layers):
    """The rows of a chain of layers, all counted; and the model."""
    x = image = package.Input(shape)
    for layer in layers:
        x = layer(x)
    model = package.Model(image, x)
    rows = keras_import.from_keras(model, pytest.fail)
    assert total(rows, "params") == model.count_params()
    return rows, model


@BOTH
def test_an_lstm_by_hand(package):
    layer = package.layers.LSTM(5, return_sequences=True, name="lstm")
    rows, _ = read(package, (7, 3), layer)
    assert [
        (r.name, r.op, r.out_h, r.out_c, r.repeats, r.macs, r.params)
        for r in rows
    ] == [
        ("lstm/input", "dense", 7, 20, 1, 7 * 3 * 20, 3 * 20 + 20),
        ("lstm/state", "dense", 1, 20, 7, 7 * 5 * 20, 5 * 20),
        ("lstm/gates", "elementwise", 1, 20, 7, 0, 0),
        ("lstm/cell", "elementwise", 1, 5, 7, 0, 0),
    ]
    assert rows[0].network_in_elements == 21


@BOTH
@pytest.mark.parametrize("many", [True, False])
def test_recurrent_layers(package, many):
    """One product a weight and time step; parameters once."""
    kl = package.layers
    settings = {"return_sequences": many, "name": "layer"}
    for layer, gates in (
        (kl.LSTM(5, **settings), 4),
        (kl.GRU(5, **settings), 3),
        (kl.GRU(5, reset_after=False, use_bias=False, **settings), 3),
        (kl.SimpleRNN(5, unroll=True, go_backwards=True, **settings), 1),
        (kl.RNN(kl.GRUCell(5), **settings), 3),
    ):
        rows, _ = read(package, (7, 3), layer, kl.Dense(2))
        *_, dense = rows
        assert total(rows[:-1], "macs") == 7 * gates * 5 * (3 + 5)
        assert dense.macs == (7 if many else 1) * 10
        assert (dense.in_h, dense.in_c) == (7 if many else 1, 5)


@BOTH
def test_cells_on_top_of_each_other(package):
    kl = package.layers
    cells = [kl.LSTMCell(5, name="low"), kl.SimpleRNNCell(2, name="high")]
    rows, _ = read(package, (7, 3), kl.RNN(cells, name="rnn"))
    assert total(rows, "macs") == 7 * (20 * 8 + 2 * 7)
    assert {row.name.rpartition("/")[0] for row in rows} == {
        "rnn/low",
        "rnn/high",
    }


@BOTH
@pytest.mark.parametrize(("many", "leaving"), [(True, 7 * 12), (False, 14)])
def test_states_leave_the_chip_as_far_as_they_are_outputs(
    package, many, leaving
):
    """Of a run a seventh of them, rounded up."""
    layer = package.layers.GRU(12, return_sequences=many)
    rows, _ = read(package, (7, 3), layer)
    assert sum(r.repeats * r.network_out_elements for r in rows) == leaving


@BOTH
@pytest.mark.parametrize("mode", ["concat", "sum", None])
def test_both_directions(package, mode):
    kl = package.layers
    inner = kl.GRU(5, return_sequences=True)
    both = kl.Bidirectional(inner, merge_mode=mode, name="both")
    image = package.Input((7, 3))
    model = package.Model(image, both(image))
    rows = keras_import.from_keras(model, pytest.fail)
    assert total(rows, "macs") == 2 * 7 * 15 * 8
    assert total(rows, "params") == model.count_params()
    merged = [row for row in rows if row.name == "both/merge"]
    assert [row.op for row in merged] == {
        "concat": ["data_movement"],
        "sum": ["elementwise"],
        None: [],
    }[mode]
    # Both directions read the sequence, which comes from outside once.
    assert [
        row.network_in_elements for row in rows if row.name.endswith("input")
    ] == [21, 0]


@BOTH
def test_states_are_outputs(package):
    kl = package.layers
    image = package.Input((7, 3))
    seen, h, c = kl.LSTM(5, return_state=True, name="encoder")(image)
    y = kl.LSTM(5, return_sequences=True)(image, initial_state=[h, c])
    model = package.Model(image, [kl.Add()([seen, h]), y])
    rows = keras_import.from_keras(model, pytest.fail)
    assert total(rows, "macs") == 2 * 7 * 20 * 8
    assert total(rows, "params") == model.count_params()


@BOTH
def test_a_cell_that_two_layers_share(package):
    kl = package.layers
    cell = kl.SimpleRNNCell(3, name="cell")
    one = kl.RNN(cell, return_sequences=True, name="one")
    rows, _ = read(package, (7, 3), one, kl.RNN(cell, name="two"))
    assert total(rows, "macs") == 2 * 7 * 18
    assert [row.reuses_weights for row in rows if row.op == "dense"] == [
        False, False, True, True,
    ]  # fmt: skip


@BOTH
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_convolutional_lstms(package, axes):
    kl = package.layers
    size = (6, 7, 8)[:axes]
    layer = getattr(kl, f"ConvLSTM{axes}D")(
        5, 3, strides=2, padding="same", return_sequences=True, name="layer"
    )
    rows, model = read(package, (4, *size, 3), layer)
    positions = np.prod([-(-n // 2) for n in size])
    taps = 3**axes
    assert total(rows, "macs") == 4 * positions * taps * 20 * (3 + 5)
    assert {row.repeats for row in rows} == {4}
    assert total(rows, "params") == model.count_params()


@BOTH
def test_steps_are_rows_of_what_treats_them_alike(package):
    kl = package.layers
    each = kl.TimeDistributed(kl.Dense(5, activation="tanh"), name="each")
    rows, _ = read(package, (7, 3), each)
    assert [(r.name, r.out_h, r.repeats, r.macs) for r in rows] == [
        ("each", 7, 1, 105),
        ("each/tanh", 7, 1, 0),
    ]


@BOTH
def test_a_network_for_every_frame(package):
    """Odd sizes and strides: frames one below the other would not do."""
    kl = package.layers
    frame = package.Sequential(
        [
            kl.Conv2D(5, 3, strides=2, padding="same", name="conv"),
            kl.MaxPooling2D(),
            kl.Flatten(),
            kl.Dense(2, name="dense"),
        ],
        name="frame",
    )
    rows, _ = read(
        package,
        (4, 7, 9, 3),
        kl.TimeDistributed(frame, name="each"),
        kl.LSTM(2, name="lstm"),
    )
    found = {row.name: row for row in rows}
    conv = found["each/conv"]
    assert (conv.in_h, conv.in_w, conv.out_h, conv.repeats) == (7, 9, 4, 4)
    assert conv.macs == 4 * 4 * 5 * 5 * 27
    assert found["each/dense"].macs == 4 * 2 * 20
    assert found["lstm/input"].macs == 4 * 2 * 8
    assert conv.network_in_elements == 7 * 9 * 3  # of a run


@BOTH
def test_steps_of_steps(package):
    """Four sequences of five steps: the state runs twenty times."""
    kl = package.layers
    each = kl.TimeDistributed(kl.SimpleRNN(2, name="rnn"), name="each")
    rows, _ = read(package, (4, 5, 3), each)
    found = {row.name: row for row in rows}
    assert (found["each/input"].repeats, found["each/state"].repeats) == (4, 20)
    assert total(rows, "macs") == 4 * 5 * 2 * (3 + 2)


@BOTH
def test_volumes(package):
    kl = package.layers
    rows, _ = read(
        package,
        (5, 6, 7, 3),
        kl.Conv3D(4, (3, 2, 3), strides=(2, 1, 2), padding="same", name="conv"),
        kl.Conv3D(4, 2, groups=2, name="grouped"),
        kl.MaxPooling3D((1, 2, 2), name="pool"),
        kl.UpSampling3D(2),
        kl.ZeroPadding3D(1),
        kl.Conv3DTranspose(5, (2, 3, 4), (1, 2, 3), name="up"),
        kl.GlobalAveragePooling3D(name="mean"),
        kl.Dense(2, name="dense"),
    )
    macs = {}
    for row in rows:
        name = row.name.partition("/")[0]
        macs[name] = macs.get(name, 0) + row.macs
    assert macs["conv"] == 3 * 6 * 4 * 4 * 3 * 18
    assert macs["grouped"] == 2 * 5 * 3 * 4 * 2 * 8
    assert macs["up"] == 6 * 6 * 4 * 4 * 5 * 24
    assert macs["dense"] == 10
    pool = next(row for row in rows if row.name == "pool")
    assert (pool.k_h, pool.k_w, pool.out_h, pool.out_w) == (2, 2, 4, 1)


@BOTH
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_windows_of_a_volume_touch_it(package, kernel, padding):
    """A row must be one that can be priced, whatever its strides."""
    import tf_cosearch as cs

    for strides in (1, 2, 3, (1, 3, 2)):
        layer = package.layers.Conv3D(
            2, kernel, strides=strides, padding=padding, name="conv"
        )
        [row], model = read(package, (5, 6, 7, 3), layer)
        positions = np.prod(model.output_shape[1:-1])
        assert row.macs == positions * 2 * 3 * kernel**3
        cost = cs.estimate(cs.pad([[row]]), cs.load_accelerator("edge_tpu"))
        assert np.isfinite(cost.latency_ms).all()


@BOTH
def test_embedding(package):
    kl = package.layers
    image = package.Input((7,), dtype="int32")
    y = kl.Embedding(100, 6, name="table")(image)
    model = package.Model(image, kl.Dense(2)(kl.GlobalAveragePooling1D()(y)))
    rows = keras_import.from_keras(model, pytest.fail)
    assert (rows[0].op, rows[0].stored_elements) == ("embedding", 600)
    assert (rows[0].activation_bits, rows[0].in_elements) == (32, 7)
    assert total(rows, "params") == model.count_params()
    assert total(rows, "macs") == 12


def test_a_table_that_is_read_both_ways():
    table = keras.layers.ReversibleEmbedding(100, 6, name="table")
    image = keras.Input((7,), dtype="int32")
    model = keras.Model(image, table(table(image), reverse=True))
    rows = keras_import.from_keras(model, pytest.fail)
    assert [(row.op, row.macs, row.params) for row in rows] == [
        ("embedding", 0, 600), ("dense", 7 * 6 * 100, 0),
    ]  # fmt: skip


@BOTH
def test_attention_without_projections(package):
    kl = package.layers
    query, value = package.Input((7, 6)), package.Input((5, 6))
    for layer, more in (
        (kl.Attention(use_scale=True, name="a"), 0),
        (kl.AdditiveAttention(name="b"), 0),
        (kl.Attention(score_mode="concat", name="c"), -7 * 5 * 6),
    ):
        y, scores = layer([query, value], return_attention_scores=True)
        model = package.Model([query, value], [y, scores])
        rows = keras_import.from_keras(model, pytest.fail)
        assert total(rows, "macs") == 2 * 7 * 5 * 6 + more
        assert total(rows, "params") == model.count_params()
        assert sum(row.network_in_elements for row in rows) == 7 * 6 + 5 * 6
        # Pairs are an image, which keeps rows and columns of an array busy.
        hidden = [row for row in rows if row.name.endswith("/tanh")]
        assert [(row.out_h, row.out_w) for row in hidden] == [(7, 5)] * (
            layer.name != "a"
        )


@BOTH
def test_attention_over_images_and_with_scores(package):
    kl = package.layers
    image = package.Input((3, 4, 8))
    layer = kl.MultiHeadAttention(2, 5, attention_axes=(2,), name="a")
    y, scores = layer(image, image, return_attention_scores=True)
    model = package.Model(image, [y, scores])
    rows = keras_import.from_keras(model, pytest.fail)
    assert total(rows, "params") == model.count_params()
    projections = 4 * 3 * 4 * 8 * 10
    assert total(rows, "macs") == projections + 2 * 3 * 2 * 4 * 4 * 5
    every = kl.MultiHeadAttention(2, 5, output_shape=3, name="b")(image, image)
    model = package.Model(image, every)
    rows = keras_import.from_keras(model, pytest.fail)
    assert total(rows, "params") == model.count_params()
    projections = 3 * 12 * 8 * 10 + 12 * 10 * 3
    assert total(rows, "macs") == projections + 2 * 2 * 12 * 12 * 5


@pytest.mark.parametrize("gate", [False, True])
def test_grouped_queries(gate):
    kl = keras.layers
    image = keras.Input((7, 8))
    layer = kl.GroupQueryAttention(5, 4, 2, use_gate=gate, name="a")
    model = keras.Model(image, layer(image, image))
    rows = keras_import.from_keras(model, pytest.fail)
    assert total(rows, "params") == model.count_params()
    heads = 4 + 4 + 2 + 2 + 4 * gate
    assert total(rows, "macs") == 7 * 8 * 5 * heads + 2 * 4 * 7 * 7 * 5


@BOTH
def test_a_layer_that_is_called_several_times(package):
    kl = package.layers
    conv = kl.Conv2D(3, 3, padding="same", name="conv")
    dense = kl.Dense(3, name="dense")
    inner = package.Sequential([dense, kl.LayerNormalization()])
    each = kl.TimeDistributed(dense)
    rows, _ = read(package, (4, 5, 3), conv, inner, conv, inner, each)
    assert total(rows, "macs") == 2 * 20 * 81 + 3 * 20 * 9
    weights = [row for row in rows if row.name.startswith("conv")]
    assert [row.reuses_weights for row in weights] == [False, True]


@BOTH
def test_gains_of_normalisations_and_activations(package):
    kl = package.layers
    rows, _ = read(
        package,
        (4, 5, 6),
        kl.LayerNormalization(),
        kl.GroupNormalization(2),
        kl.PReLU(shared_axes=[1, 2]),
        kl.PReLU(),
    )
    assert [row.params for row in rows] == [12, 12, 6, 120]
    assert {row.op for row in rows} == {"elementwise"}


@BOTH
@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((None, 3), r"fixed length.*Input\(\(LENGTH, 3\)\)"),
        ((None, None, 3), r"image size.*input_px"),
    ],
)
def test_open_inputs(package, shape, advice):
    image = package.Input(shape)
    layer = package.layers.Dense(2)
    with pytest.raises(ValueError, match=advice):
        keras_import.from_keras(package.Model(image, layer(image)))


@BOTH
def test_several_inputs_and_outputs_cross_the_edge_of_the_chip(package):
    kl = package.layers
    one, two = package.Input((4, 4, 3)), package.Input((4, 4, 5))
    x = kl.Conv2D(2, 1, name="first")(one)
    y = kl.Conv2D(2, 1, name="second")(two)
    model = package.Model([one, two], [x, kl.Add(name="sum")([x, y])])
    rows = keras_import.from_keras(model)
    assert [
        (r.name, r.network_in_elements, r.network_out_elements) for r in rows
    ] == [("first", 48, 32), ("second", 80, 0), ("sum", 0, 32)]


@BOTH
def test_a_model_within_takes_images_of_any_size(package):
    """As networks without a top do; here two sizes share the weights."""
    kl = package.layers
    image = package.Input((None, None, 3))
    y = kl.Conv2D(3, 3, strides=2, padding="same", name="conv")(image)
    y = kl.Add()([y, kl.DepthwiseConv2D(3, padding="same", name="dw")(y)])
    base = package.Model(image, kl.ReLU()(kl.ZeroPadding2D(1)(y)), name="base")
    rows, _ = read(package, (16, 12, 3), base, base)
    assert [(r.name, r.out_h, r.out_w) for r in rows if r.k_h == 3] == [
        ("base/conv", 8, 6),
        ("base/dw", 8, 6),
        ("base/conv:2", 5, 4),
        ("base/dw:2", 5, 4),
    ]
    assert total(rows, "macs") == (48 + 20) * (81 + 27)


@BOTH
def test_an_einsum_that_states_its_shape_in_part(package):
    kl = package.layers
    einsum = kl.EinsumDense("abc,cd->abd", (None, 6), bias_axes="d")
    rows, _ = read(package, (7, 8), einsum, kl.Dense(2), kl.Flatten())
    assert [row.macs for row in rows] == [7 * 48, 7 * 12]
    einsum = kl.EinsumDense("...c,cde->...de", (2, 3))
    rows, _ = read(package, (7, 8), einsum)
    assert [row.macs for row in rows] == [7 * 48]


def test_dtype_policies_are_said_to_be_ignored(monkeypatch):
    logged = []
    monkeypatch.setattr(
        "absl.logging.warning", lambda text, *args: logged.append(text % args)
    )
    image = keras.Input((8,))
    half = keras.layers.Dense(4, dtype="mixed_bfloat16", name="half")(image)
    rows = keras_import.from_keras(keras.Model(image, half))
    assert "bfloat16 and" not in logged[0]
    assert "in bfloat16; every float is costed as the 8-bit" in logged[0]
    assert rows[0].activation_bits == rows[0].weight_bits == 8
    plain = keras.layers.Dense(4)(image)
    keras_import.from_keras(keras.Model(image, plain))
    assert len(logged) == 1


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_integers_keep_their_bits():
    image = keras.Input((4, 8))
    found = keras.ops.argmax(image, axis=-1)
    [row] = keras_import.from_keras(keras.Model(image, found), pytest.fail)
    assert (row.activation_bits, row.output_bits) == (8, 32)
    dense = keras.layers.Dense(4, name="dense")
    dense.build((None, 8))
    dense.quantize("int4")
    [row] = keras_import.from_keras(
        keras.Sequential([keras.Input((8,)), dense])
    )
    assert (row.weight_bits, row.activation_bits, row.params) == (4, 8, 36)
