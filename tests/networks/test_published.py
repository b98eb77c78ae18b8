import functools

import keras
import pytest

from tf_cosearch.networks import dlrm, published
from tf_cosearch.networks.published_layouts import Layout

# Multiply-accumulates in G and parameters in M, as published:
# - MACs of EfficientNet-EdgeTPU, Inception V2 to V4, Inception-ResNet and the
#   ResNets of version 2: half of the GOP of the Vitis AI model zoo;
# - DenseNet, VGG, ResNet-18, SqueezeNet 1.1, parameters of SqueezeNet and
#   MobileNetV3, Inception V1 (there GoogLeNet, with the same 3x3 for 5x5):
#   torchvision's table of models; MACs of SqueezeNet 1.0:
#   albanie/convnet-burden;
# - MobileNet V1 to V3-Large, MobileNetEdgeTPU: research/slim of
#   tensorflow/models, mobilenet_v1.md and mobilenet/README.md;
# - MobileNetV3-Small: arXiv 1905.02244, table 3; NASNet: arXiv 1707.07012,
#   table 2; ResNets of version 1: arXiv 1512.03385, table 1, but ResNet-50 as
#   in Keras: tf2_resnet50 of the Vitis AI model zoo;
# - EfficientNet-B0: arXiv 1905.11946 has 0.39 G and 5.3 M with
#   squeeze-excite, whose layers take 0.65 M parameters;
# - MobileNetEdgeTPUv2, Xception and all other parameters: timm's
#   results/benchmark-infer-*.csv; Inception V2: OpenVINO's googlenet-v2.
COUNTS = {
    "densenet121": ("2.83", "7.98"),
    "densenet169": ("3.36", "14.15"),
    "densenet201": ("4.29", "20.01"),
    "efficientnet_b0": ("0.39", "4.65"),
    "efficientnet_edgetpu_l": ("9.68", "10.59"),
    "efficientnet_edgetpu_m": ("3.67", "6.90"),
    "efficientnet_edgetpu_s": ("2.36", "5.44"),
    "inception_resnet_v2": ("13.175", "55.84"),
    "inception_v1": ("1.50", "6.62"),
    "inception_v2": ("1.94", "11.185"),
    "inception_v3": ("5.725", "23.83"),
    "inception_v4": ("12.275", "42.68"),
    "mobilenet_edgetpu_dm0.75": ("0.624", "2.9"),
    "mobilenet_edgetpu_dm1.0": ("0.990", "4.09"),
    "mobilenet_edgetpu_v2_l": ("2.55", "10.92"),
    "mobilenet_edgetpu_v2_m": ("1.85", "8.46"),
    "mobilenet_edgetpu_v2_s": ("1.21", "5.99"),
    "mobilenet_edgetpu_v2_xs": ("0.7", "4.46"),
    "mobilenet_v1": ("0.569", "4.24"),
    "mobilenet_v2": ("0.300", "3.47"),
    "mobilenet_v3_large": ("0.217", "5.48"),
    "mobilenet_v3_small": ("0.056", "2.54"),
    "nasnet_mobile": ("0.564", "5.3"),
    "resnet18": ("1.814", "11.69"),
    "resnet101_v2": ("13.39", "44.54"),
    "resnet152_v2": ("20.235", "60.19"),
    "resnet50_v2": ("6.55", "25.55"),
    "squeezenet": ("0.837", "1.248"),
    "squeezenet_v1.1": ("0.35", "1.235"),
    "vgg16": ("15.47", "138.36"),
    "vgg19": ("19.63", "143.67"),
    "xception": ("8.4", "22.86"),
}
RESNETS_AT_224 = {
    "resnet50_v1": ("3.88", "25.56"),
    "resnet101_v1": ("7.6", "44.55"),
    "resnet152_v1": ("11.3", "60.19"),
}
# models/official/efficientnet/lite/README.md; parameters as above.
EFFICIENTNET_LITE = {
    "efficientnet_lite0": ("0.407", "4.65"),
    "efficientnet_lite1": ("0.631", "5.42"),
    "efficientnet_lite2": ("0.899", "6.09"),
    "efficientnet_lite3": ("1.44", "8.20"),
    "efficientnet_lite4": ("2.64", "13.01"),
}
# Redone by hand: kernels times positions; the parameters of a Transformer's
# layers are those of nn.TransformerEncoderLayer(512, 8) and -DecoderLayer.
STEPS, WIDE, INNER = 128, 512, 2048
PROJECTED = STEPS * WIDE * WIDE
ATTENTION_MACS = 4 * PROJECTED + 2 * STEPS * STEPS * WIDE
FEED_FORWARD_MACS = 2 * STEPS * WIDE * INNER
OTHERS = {
    "dqn": (
        400 * 8 * 8 * 4 * 32
        + 81 * 4 * 4 * 32 * 64
        + 49 * 3 * 3 * 64 * 64
        + 3136 * 512
        + 512 * 18,
        1693362,
    ),
    "mlp": (784 * 512 + 512 * 512 + 512 * 10, 669706),
    "transformer_encoder": (ATTENTION_MACS + FEED_FORWARD_MACS, 3152384),
    "transformer_decoder": (2 * ATTENTION_MACS + FEED_FORWARD_MACS, 4204032),
}


@functools.cache
def load(name, input_px=None):
    """Loads a network once, and refuses rows of unknown operations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("absl.logging.warning", lambda *text: pytest.fail(text))
        return published.load(name, input_px)


def near(text, rel):
    """Within a share of what was published, or one of its last digit."""
    last_digit = 10.0 ** -len(text.partition(".")[2])
    return pytest.approx(float(text), rel=rel, abs=last_digit)


def macs(rows):
    return sum(row.macs for row in rows) / 1e9


def params(rows):
    return sum(row.params for row in rows) / 1e6


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_the_published_ones(name):
    assert macs(load(name)) == near(COUNTS[name][0], 0.01)
    # Published ones have two parameters of each batch norm, rows have its
    # bias, and nothing of those no convolution can take in (DenseNet).
    assert params(load(name)) == near(COUNTS[name][1], 0.012)


@pytest.mark.parametrize("name", RESNETS_AT_224)
def test_counts_of_resnets_are_those_at_224_pixels(name):
    rows = load(name, 224)
    assert macs(rows) == near(RESNETS_AT_224[name][0], 0.01)
    assert params(rows) == near(RESNETS_AT_224[name][1], 0.01)
    assert params(load(name)) == params(rows)


@pytest.mark.parametrize("name", EFFICIENTNET_LITE)
def test_efficientnet_lite_was_published_with_its_batch_norms(name):
    rows = load(name)
    normalized = sum(row.pixels * row.out_c for row in rows if "conv" in row.op)
    counted = macs(rows) + 3 * normalized / 1e9  # scale, shift, ReLU6
    assert counted == near(EFFICIENTNET_LITE[name][0], 0.005)
    assert params(rows) == near(EFFICIENTNET_LITE[name][1], 0.01)


@pytest.mark.parametrize("name", OTHERS)
def test_counts_of_others_are_those_done_by_hand(name):
    rows = load(name)
    assert sum(row.macs for row in rows) == OTHERS[name][0]
    assert sum(row.params for row in rows) == OTHERS[name][1]
    assert len({row.name for row in rows}) == len(rows)


def test_a_transformer_has_heads_and_vector_operations():
    rows = {row.name: row for row in load("transformer_encoder", 64)}
    scores = rows["attention/scores"]
    assert scores.macs == 64 * 64 * WIDE
    assert rows["attention/softmax"].out_elements == 8 * 64 * 64
    for name in ("attention/softmax", "feed_forward_norm"):
        assert rows[name].kind.is_vector


def test_the_keyword_spotter_is_the_published_one():
    rows = load("ds_cnn")
    # Operations of GreenWaves-Technologies/keyword_spotting for "Small"; of
    # kernels above 1x1 a bias for each output is among them.
    pairs = [row for row in rows if "conv" in row.op]
    assert [
        row.macs + (row.k_h > 1) * row.pixels * row.out_c for row in pairs
    ] == [328_000, *[80_000, 512_000] * 4]
    assert rows[-1].macs == 768
    # arXiv 1711.07128: 38.6 KB, all weights and the two largest maps.
    largest = max(row.pixels * row.out_c for row in rows)
    assert sum(row.params for row in rows) + 2 * largest == 38_604
    # Keras' summary of mlcommons/tiny has 24,908 parameters: four of each
    # batch norm beside a bias, 64 channels of nine convolutions.
    assert sum(row.params for row in rows) + 9 * 4 * 64 == 24_908


@pytest.mark.parametrize(
    "name",
    sorted({*published.names()} - {*OTHERS, *dlrm.PUBLISHED, "ds_cnn"}),
)
def test_every_network_loads_and_ends_in_a_classifier(name):
    rows = load(name)
    assert macs(rows) > 0.04
    assert rows[0].in_c == 3
    # SqueezeNet classifies every position and averages what it found.
    classifier = rows[-2] if rows[-1].op == "pool" else rows[-1]
    assert classifier.op in ("conv2d", "dense")
    assert classifier.out_c in (1000, 1001)
    assert len({row.name for row in rows}) == len(rows)


def test_every_network_with_a_published_latency_is_there():
    named = """
        mobilenet_v1 inception_v1 resnet50_v1 vgg16 efficientnet_edgetpu_s
        efficientnet_lite0 efficientnet_lite2 mobilenet_edgetpu_dm1.0
        mobilenet_edgetpu_dm1.5 mobilenet_edgetpu_v2_tiny
        mobilenet_edgetpu_v2_s mobilenet_edgetpu_v2_l
    """
    assert set(named.split()) <= set(published.names())
    assert published.names() == sorted(set(published.names()))


def test_aliases_are_the_networks_they_stand_for():
    assert load("mobilenet_edgetpu_dm1.0") == load("mobilenet_edgetpu")
    assert load("densenet") == load("densenet121")


@pytest.mark.parametrize("name", ["mobilenet_v1", "inception_v1", "vgg16"])
def test_the_size_of_the_image_can_be_another(name):
    rows = load(name, 160)
    assert rows[0].in_h == rows[0].in_w == 160
    assert macs(rows) < 0.6 * macs(load(name))


def test_the_size_of_the_image_leaves_the_channels():
    first = load("ds_cnn", 64)[0]
    assert (first.in_h, first.in_w, first.in_c) == (64, 64, 1)


def test_shapes_of_branches():
    # arXiv 1409.4842, table 1: 28x28x480, 14x14x832, 7x7x1024.
    ends = {row.name: row for row in load("inception_v1")}
    for name, shape in (
        ("mixed_3c_concat", (28, 28, 480)),
        ("mixed_4f_concat", (14, 14, 832)),
        ("mixed_5c_concat", (7, 7, 1024)),
    ):
        assert (ends[name].out_h, ends[name].out_w, ends[name].out_c) == shape
    # arXiv 1602.07261: 35x35x384, 17x17x1024, 8x8x1536.
    ends = {row.name: row for row in load("inception_v4")}
    for name, shape in (
        ("mixed_5e_concat", (35, 35, 384)),
        ("mixed_6h_concat", (17, 17, 1024)),
        ("mixed_7d_concat", (8, 8, 1536)),
    ):
        assert (ends[name].out_h, ends[name].out_w, ends[name].out_c) == shape
    # arXiv 1602.07360, table 1: 55, 27 and 13.
    ends = {row.name: row for row in load("squeezenet")}
    names = ("fire2_1", "fire5_1", "fire9_1")
    assert [ends[name].out_h for name in names] == [55, 27, 13]


def test_loading_leaves_nothing_behind():
    before = keras.layers.Conv2D(1, 1).name
    first, second = published.load("xception"), published.load("xception")
    assert first == second
    after = keras.layers.Conv2D(1, 1).name
    count = [int(name.partition("_")[2] or 0) for name in (before, after)]
    assert count[1] == count[0] + 1
    weight = keras.layers.Dense(2)
    weight.build((None, 3))
    assert weight.kernel.numpy().shape == (3, 2)


def test_files_are_loaded_too(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "input_shape: [8, 8, 3]\nclasses: 10\nstem: {filters: 8}\n"
        "stages: [{block: depthwise_separable, filters: 16}]\n"
    )
    assert [row.name for row in published.load(str(path))] == [
        "stem/conv",
        "stage1/block1/depthwise",
        "stage1/block1/pointwise",
        "pool",
        "logits",
    ]
    with pytest.raises(FileNotFoundError, match=r"none\.yaml"):
        published.load("none.yaml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("inception_v5",), "Did you mean 'inception_v4'"),
        (("",), "Unknown network: ''"),
        (("mobilenet_v1", 0), "`input_px` must be an integer of at least 1"),
        (("vgg16", 8.5), "`input_px` must be an integer"),
        (("inception_v4", 16), "large enough for inception_v4.*input_px=16"),
    ],
)
def test_what_cannot_be_loaded(arguments, message):
    with pytest.raises(ValueError, match=message):
        published.load(*arguments)


def test_layouts_follow_their_notation():
    with pytest.raises(ValueError, match=r"'64#3' in stem_2"):
        Layout({"stem": "32 64#3"}, 10).build(keras, 8)
