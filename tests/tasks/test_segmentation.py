import numpy as np
import pytest
from PIL import Image

import tf_cosearch as cs
from tf_cosearch import testing
from tf_cosearch.identity import Identity
from tf_cosearch.networks.layer_ops import LayerRecorder
from tf_cosearch.networks.spaces.template import Template
from tf_cosearch.search.space import describe
from tf_cosearch.tasks import scenes as scenes_lib
from tf_cosearch.tasks.scenes import scenes
from tf_cosearch.training import datasets, inputs

SEGMENTATION = cs.tasks.make("segmentation")


class TestSegmentation(testing.TaskSuite):
    task = cs.tasks.make({"name": "segmentation", "width": 8})
    wrong = (
        np.zeros(32, int),
        np.full((32, 16, 12), 4),
        np.full((32, 16, 12), 0.5),
        np.zeros((32, 12, 16), int),
        np.zeros((32, 16, 12, 4), int),
    )

    def data(self):
        rng = np.random.default_rng(0)
        x = rng.random((32, *self.image), np.float32)
        return x, rng.integers(self.classes, size=x.shape[:3])

    def perfect(self, targets):
        return 20 * np.eye(self.classes)[targets]


class TestOddSizes(TestSegmentation):
    image = (13, 10, 3)
    wrong = (np.zeros((32, 14, 10), int),)

    @pytest.mark.slow
    def test_a_training_ends_in_an_int8_file_that_is_measured(self):
        super().test_a_training_ends_in_an_int8_file_that_is_measured()


def names(shapes, image, **options):
    """Rows of a head after stages of such shapes."""
    record = LayerRecorder()
    stages = [record.input(*shape) for shape in shapes]
    task = cs.tasks.make({"name": "segmentation", **options})
    y = task.head(record, stages, image=image, classes=3, dropout=0.5)
    assert record.shape(y) == (*image[:2], 3)
    return [row.name for row in record.layers()]


def test_the_head_reads_the_last_stage_that_is_large_enough():
    shapes = [(32, 32, 8), (16, 16, 16), (8, 8, 24), (4, 4, 32)]
    image = (32, 32, 3)
    assert names(shapes, image) == [
        "deep",
        "deep_up0",
        "deep_up1",
        "early",
        "meet",
        "refine",
        "logits",
        "logits_up0",
    ]
    assert "logits_up0" not in names(shapes, image, output_stride=1)
    assert "deep_up1" not in names(shapes, image, output_stride=4)
    assert "early" not in names(shapes[:1], image)
    # A stride of 3 leads back at once, and is cropped to what was there.
    assert names([(4, 4, 8)], (11, 12, 3))[-2:] == [
        "logits_up0",
        "logits_crop0",
    ]


def test_classes_that_no_pixel_has_do_not_count():
    labels = np.asarray([[[0, 1], [1, 1]]])
    answers = 9.0 * np.eye(5)[[[[0, 1], [1, 0]]]]
    [metric] = SEGMENTATION.metrics(5)
    metric.update_state(labels, answers)
    score = SEGMENTATION.score([(answers, labels)], 5)["accuracy"]
    assert score == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert float(metric.result()) == pytest.approx(score)


def test_masks_of_no_pixels_are_refused():
    with pytest.raises(ValueError, match="must hold masks"):
        SEGMENTATION.count([np.zeros((0, 8, 8), int)], "npz:none")


def test_scenes_are_drawn_alike_and_apart():
    first, again = scenes("40", None), scenes("40", None)
    for split, count in (("train", 24), ("val", 8), ("test", 8)):
        images, masks = first[split]
        assert images.shape == (count, 32, 32, 1)
        np.testing.assert_array_equal(images, again[split][0])
        np.testing.assert_array_equal(masks, again[split][1])
        # What is no digit is noise, below the ink of those.
        assert images[masks == 0].max() <= 0.3
        assert images[masks > 0].min() >= 0.5
    more = scenes("80", (20, 24))["train"][0]
    assert more.shape == (48, 20, 24, 1)
    with pytest.raises(ValueError, match="scenes:N"):
        scenes("many", None)
    with pytest.raises(ValueError, match="16"):
        scenes("", (8, 32))


def test_no_digit_and_no_draw_is_in_two_splits(monkeypatch):
    seen = []

    def draw(rng, digits, labels, height, width):
        seen.append((rng.random(), {digit.tobytes() for digit in digits}))
        return np.zeros((height, width)), np.zeros((height, width))

    monkeypatch.setattr(scenes_lib, "_scene", draw)
    scenes("10", None)
    draws, digits = zip(*seen, strict=True)
    assert len(set(draws)) == len(draws) == 10
    train, val, test = digits[0], digits[6], digits[8]
    assert not train & val
    assert not (train | val) & test
    assert len(test) > 100


def test_another_task_is_named_where_runs_differ():
    told = [
        Identity(describe(cs.SearchSpace.load("digits", task=task)))
        for task in (
            "classification",
            {"name": "segmentation", "width": 8},
            {"name": "segmentation", "width": 16},
        )
    ]
    assert told[0].differences(told[1]) == [
        "space.task=segmentation, not classification"
    ]
    assert told[2].differences(told[1]) == ["space.task.width=8, not 16"]


@pytest.fixture
def folder(tmp_path):
    """Ten images of 6 x 9 pixels: a third of class 2, a column of 1, else 0."""
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    mask = np.zeros((6, 9), np.uint8)
    mask[:, :3], mask[:, 8] = 2, 1
    for i in range(10):
        image = rng.integers(256, size=(6, 9, 3)).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / "images" / f"{i}.png")
        palette = Image.fromarray(mask).convert("P")
        palette.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
        (palette if i % 2 else Image.fromarray(mask)).save(
            tmp_path / "masks" / f"{i}.png"
        )
    return tmp_path


def test_a_folder_of_masks_is_read(folder):
    data = datasets.load(
        f"images:{folder}", image_size=(12, 18), task=SEGMENTATION
    )
    assert (data.input_shape, data.classes) == ((12, 18, 3), 3)
    for x, y in (data.train, data.validation, data.test):
        assert x.dtype == np.uint8
        assert y.shape == x.shape[:3]
        # Masks are not mixed: between 2 and 0 there is no 1.
        assert (y[:, :, :6] == 2).all()
        assert (y[:, :, 6:16] == 0).all()
        assert (y[:, :, 16:] == 1).all()


def test_wrong_folders_are_refused(folder):
    def load(**changes):
        size = {"image_size": (6, 9), **changes}
        return datasets.load(f"images:{folder}", task=SEGMENTATION, **size)

    with pytest.raises(ValueError, match="resized to one size"):
        load(image_size=None)
    mask = np.zeros((6, 9), np.uint8)
    mask[0, 0] = 255
    Image.fromarray(mask).save(folder / "masks" / "3.png")
    with pytest.raises(ValueError, match=r"0, 1, 2, 255, none of 3\."):
        load()
    Image.fromarray(np.zeros((6, 9, 3), np.uint8)).save(
        folder / "masks" / "3.png"
    )
    with pytest.raises(ValueError, match="one number a pixel"):
        load()
    (folder / "masks" / "3.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"3\.png"):
        load()
    (folder / "masks" / "3.png").unlink()
    with pytest.raises(FileNotFoundError, match="3 in one alone"):
        load()
    lossy = Image.fromarray(np.zeros((6, 9), np.uint8))
    lossy.save(folder / "masks" / "3.jpg")
    with pytest.raises(ValueError, match=r"without losses.*3\.jpg"):
        load()
    lossy.save(folder / "images" / "3.jpg")
    with pytest.raises(ValueError, match=r"3\.png beside 3\.jpg"):
        load()


def test_a_split_may_lack_a_class_that_another_has(tmp_path):
    masks = np.arange(30).reshape(-1, 1, 1) % 3 * np.ones((1, 4, 4), int)
    arrays = {"x_train": np.zeros((30, 4, 4, 1)), "y_train": masks}
    arrays |= {"x_val": np.zeros((2, 4, 4, 1)), "y_val": masks[[0, 2]]}
    path = tmp_path / "masks.npz"
    np.savez(path, **arrays)
    assert datasets.load(f"npz:{path}", task=SEGMENTATION).classes == 3
    np.savez(path, **{**arrays, "y_train": masks * 2})
    with pytest.raises(ValueError, match=r"0, 2, 4, none of 1\."):
        datasets.load(f"npz:{path}", task=SEGMENTATION)


def test_data_of_another_task_are_refused():
    with pytest.raises(ValueError, match=r"masks \[N, H, W\].*Received"):
        datasets.load("digits", task=SEGMENTATION)
    x, y = scenes("20", (16, 16))["train"]
    with pytest.raises(ValueError, match="Labels of the data"):
        inputs.check(x, y, (16, 16, 1), 5, "data")
    with pytest.raises(ValueError, match="class_weight"):
        inputs.prepare(
            x,
            y,
            input_shape=(16, 16, 1),
            classes=5,
            validation_data=(x, y),
            class_weight=dict.fromkeys(range(5), 1.0),
            task=SEGMENTATION,
        )


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        3,
        {"width": 8},
        {"name": ["segmentation"]},
        {"name": "segmentation", "width": "wide"},
        {"name": "segmentation", "width": {"a": 1}},
        {"name": "segmentation", "output_stride": 0},
        {"name": "segmentation", "stride": 2},
    ],
)
def test_a_space_of_no_task_is_refused(said):
    stages = [{"filters": 8, "block": "conv_bn"}]
    content = {"stem": {"filters": 8}, "stages": stages, "task": said}
    with pytest.raises(ValueError, match=r"must be|Unknown"):
        Template(content, "wrong", (8, 8, 1), 3)


def test_weights_of_images_count_in_a_loss():
    y = np.asarray([[[0, 1]], [[1, 1]]])
    logits = np.log([[[[3.0, 1.0], [1.0, 3.0]]], [[[1.0, 1.0], [1.0, 1.0]]]])
    loss = SEGMENTATION.loss()(y, logits, sample_weight=np.asarray([1.0, 0.0]))
    assert float(loss) == pytest.approx(np.log(4 / 3) / 2)


def test_a_tuner_takes_a_task_and_refuses_what_it_has_itself(tmp_path):
    x, y = scenes("20", (16, 16))["train"]
    space = cs.SearchSpace.load("digits", (16, 16, 1), 5)
    tuner = cs.CoSearchTuner(
        space, task="segmentation", loss=max, directory=tmp_path
    )
    assert tuner.space.task == SEGMENTATION
    narrow = {"name": "segmentation", "width": 16}
    space = cs.SearchSpace.load("digits", (16, 16, 1), 5, task=narrow)
    # As on the command line, a name leaves options as they are.
    assert space.with_task("segmentation").task.width == 16
    assert space.with_task({"name": "segmentation"}).task.width == 32
    assert space.network_space.with_task("segmentation").task.width == 16
    with pytest.raises(ValueError, match="loss must be left"):
        tuner.search(x, y, validation_data=(x, y))
    with pytest.raises(ValueError, match="a hypermodel"):
        cs.CoSearchTuner(hypermodel=max, task="segmentation")
