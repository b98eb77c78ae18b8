import sys
import types

import keras
import numpy as np
import pytest

from tf_cosearch.training import datasets


def test_digits_is_stratified_and_the_same_every_time():
    digits = datasets.load("digits")
    splits = (digits.train, digits.validation, digits.test)
    assert [len(x) for x, _ in splits] == [1079, 359, 359]
    assert sum(len(y) for _, y in splits) == 1797
    for x, y in splits:
        assert x.dtype == np.float32
        assert x.shape[1:] == (8, 8, 1)
        assert x.min() == 0
        assert x.max() == 1
        counts = np.bincount(y, minlength=10) / len(y)
        np.testing.assert_allclose(counts, 0.1, atol=0.01)
    again = datasets.load("digits")
    np.testing.assert_array_equal(digits.test[0], again.test[0])
    other = datasets.load("digits", seed=1)
    assert not np.array_equal(digits.test[1], other.test[1])


def test_no_image_is_in_two_splits(tmp_path):
    x = np.arange(100, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2))
    np.savez(tmp_path / "d.npz", x_train=x, y_train=np.arange(100) % 5)
    data = datasets.load(f"npz:{tmp_path / 'd.npz'}")
    splits = (data.train, data.validation, data.test)
    assert [len(x) for x, _ in splits] == [60, 20, 20]
    everything = np.concatenate([x[:, 0, 0, 0] for x, _ in splits])
    np.testing.assert_array_equal(np.sort(everything), np.arange(100))
    for images, labels in splits:
        np.testing.assert_array_equal(images[:, 0, 0, 0] % 5, labels)
    assert data.input_shape == (2, 2, 1)
    assert data.classes == 5


def test_npz_takes_the_splits_that_are_there(tmp_path):
    x, y = np.zeros((10, 4, 4, 3), np.uint8), np.arange(10) % 3
    np.savez(
        tmp_path / "d.npz",
        x_train=x,
        y_train=y,
        x_val=x[:4],
        y_val=y[:4],
        x_test=x[:3],
        y_test=y[:3],
    )
    data = datasets.load(f"npz:{tmp_path / 'd.npz'}")
    assert (len(data.train[0]), len(data.validation[0])) == (10, 4)
    assert len(data.test[0]) == 3


def test_one_hot_labels_count_as_classes(tmp_path):
    y = np.eye(4)[np.arange(40) % 4]
    np.savez(tmp_path / "d.npz", x_train=np.zeros((40, 2, 2)), y_train=y)
    data = datasets.load(f"npz:{tmp_path / 'd.npz'}")
    assert data.classes == 4
    np.testing.assert_array_equal(data.test[1].sum(0), [2, 2, 2, 2])


def test_classes_are_those_of_all_splits(tmp_path):
    # The only image of class 9 is validated on, or even tested.
    y = np.arange(20) % 3
    np.savez(
        tmp_path / "d.npz",
        **_arrays(20, y),
        x_val=np.zeros((1, 2, 2)),
        y_val=[9],
    )
    assert datasets.load(f"npz:{tmp_path / 'd.npz'}").classes == 10
    y[0] = 9
    np.savez(tmp_path / "d.npz", **_arrays(20, y))
    counts = {
        datasets.load(f"npz:{tmp_path / 'd.npz'}", seed=seed).classes
        for seed in range(20)
    }
    assert counts == {10}


def _arrays(count, y):
    return {"x_train": np.zeros((count, 2, 2)), "y_train": y}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros(3)}, "must hold x_train and y_train"),
        (
            {
                "x_train": np.zeros((4, 2, 2)),
                "y_train": np.zeros(4),
                "x_val": np.zeros(1),
            },
            "must hold x_val and y_val",
        ),
        (
            {"x_train": np.zeros((4, 2, 2)), "y_train": np.zeros(3)},
            "a label for each",
        ),
        ({"x_train": np.zeros(4), "y_train": np.zeros(4)}, "must hold images"),
        (_arrays(10, np.array(1)), r"d\.npz must hold .* labels of shape \(\)"),
        (_arrays(2, np.array(["a", "b"])), r"d\.npz must be integers"),
        (
            _arrays(2, np.array([0, np.nan])),
            r"d\.npz must be integers.*nan\]",
        ),
        (
            _arrays(2, np.array([0, 0.5])),
            r"d\.npz must be integers.*0\.5\]",
        ),
        (_arrays(3, np.arange(3)), r"d\.npz must hold at least one .*: 3\."),
    ],
)
def test_npz_without_what_it_needs(tmp_path, arrays, message):
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        datasets.load(f"npz:{tmp_path / 'd.npz'}")


def test_truncated_npz(tmp_path):
    path = tmp_path / "d.npz"
    np.savez(path, x_train=np.zeros((4, 2, 2)), y_train=np.zeros(4))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"must be a file of numpy\.savez"):
        datasets.load(f"npz:{path}")


def test_plain_npy_is_no_npz(tmp_path):
    np.save(tmp_path / "d.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"must be a file of numpy\.savez"):
        datasets.load(f"npz:{tmp_path / 'd.npy'}")


def _draw(folder, count, value):
    folder.mkdir(parents=True)
    for i in range(count):
        image = np.full((6, 6, 3), value, np.uint8)
        keras.utils.save_img(folder / f"{i}.png", image, scale=False)


def test_folder_of_class_folders(tmp_path):
    _draw(tmp_path / "dark", 10, 50)
    _draw(tmp_path / "light", 10, 200)
    data = datasets.load(f"images:{tmp_path}", image_size=(4, 4))
    assert data.input_shape == (4, 4, 3)
    assert data.classes == 2
    assert [len(s[0]) for s in (data.train, data.validation, data.test)] == [
        12,
        4,
        4,
    ]
    for images, labels in (data.train, data.validation, data.test):
        assert set(labels) == {0, 1}
        np.testing.assert_array_equal(
            images[:, 0, 0, 0], np.where(labels == 0, 50, 200)
        )


def test_folder_with_splits(tmp_path):
    for split, count in (("train", 8), ("val", 3), ("test", 2)):
        _draw(tmp_path / split / "a", count, 10)
        _draw(tmp_path / split / "b", count, 20)
    data = datasets.load(f"images:{tmp_path}", image_size=(6, 6))
    assert [len(s[0]) for s in (data.train, data.validation, data.test)] == [
        16,
        6,
        4,
    ]


def test_file_is_no_folder(tmp_path):
    path = tmp_path / "cat.png"
    path.write_bytes(b"")
    with pytest.raises(NotADirectoryError, match=r"the file .*cat\.png"):
        datasets.load(f"images:{path}", image_size=(4, 4))


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_damaged_image_is_named(tmp_path, ending):
    _draw(tmp_path / "a", 10, 50)
    path = tmp_path / "a" / f"damaged.{ending}"
    keras.utils.save_img(path, np.zeros((32, 32, 3)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf"readable\. .*damaged\.{ending} \("):
        datasets.load(f"images:{tmp_path}", image_size=(4, 4))


def test_folder_needs_a_size(tmp_path):
    with pytest.raises(ValueError, match="Pass image_size"):
        datasets.load(f"images:{tmp_path}")


@pytest.mark.parametrize(
    "spec", ["npz:nowhere.npz", "images:nowhere", "npz:", "idx:nowhere", "idx:"]
)
def test_missing_source(spec):
    with pytest.raises(FileNotFoundError, match="must exist"):
        datasets.load(spec, image_size=(2, 2))


def test_unknown_name_says_the_closest():
    with pytest.raises(ValueError, match="Did you mean 'digits'"):
        datasets.load("digit")


def test_tfds_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'tf_cosearch\[tfds\]'"):
        datasets.load("tfds:mnist")


def test_tfds_splits_and_sizes(monkeypatch):
    import tensorflow as tf

    def fake_load(name, as_supervised, with_info):
        assert name == "cats"
        x = np.full((10, 8, 8, 3), 100, np.uint8)
        made = tf.data.Dataset.from_tensor_slices((x, np.arange(10) % 2))
        label = types.SimpleNamespace(num_classes=3)
        info = types.SimpleNamespace(features={"label": label})
        return {"train": made, "test": made.take(4)}, info

    module = types.SimpleNamespace(load=fake_load)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)
    data = datasets.load("tfds:cats", image_size=(4, 4))
    assert data.input_shape == (4, 4, 3)
    assert data.classes == 3
    assert (len(data.train[0]), len(data.validation[0])) == (8, 2)
    assert len(data.test[0]) == 4
    assert data.train[0].dtype == np.uint8
    assert (data.train[0] == 100).all()


def test_a_part_has_the_classes_in_proportion(tmp_path):
    y = np.repeat([0, 1, 2], [50, 30, 20])
    x = np.arange(100, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2))
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_val=x + 100, y_val=y)
    spec = f"npz:{tmp_path / 'd.npz'}"
    whole = datasets.load(spec)
    data = datasets.load(spec, train_size=40, validation_size=10)
    np.testing.assert_array_equal(np.bincount(data.train[1]), [20, 12, 8])
    np.testing.assert_array_equal(np.bincount(data.validation[1]), [5, 3, 2])
    for part, all_of_it in (
        (data.train, whole.train),
        (data.validation, whole.validation),
    ):
        labels = dict(zip(all_of_it[0][:, 0, 0, 0], all_of_it[1], strict=True))
        numbers = part[0][:, 0, 0, 0]
        assert len(set(numbers)) == len(numbers)
        assert [labels[n] for n in numbers] == part[1].tolist()
    np.testing.assert_array_equal(data.test[0], whole.test[0])
    assert data.classes == 3


def test_the_same_seed_takes_the_same_images():
    def taken(seed, **sizes):
        return datasets.load("digits", seed, **sizes).validation[0]

    ours = taken(0, validation_size=50)
    np.testing.assert_array_equal(ours, taken(0, validation_size=50))
    # Whatever is taken of the other split.
    both = taken(0, validation_size=50, train_size=10)
    np.testing.assert_array_equal(ours, both)
    assert not np.array_equal(ours, taken(1, validation_size=50))
    np.testing.assert_array_equal(taken(0), taken(0, validation_size=359))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"train_size": 1080}, "train_size of digits must be at most 1079"),
        ({"validation_size": 360}, "validation_size of .* must be at most 359"),
        ({"train_size": 0}, "train_size must be .* 1 or more.*: 0"),
        ({"train_size": -1}, "1 or more.*: -1"),
        ({"validation_size": 0.5}, r"validation_size must be .*: 0\.5"),
        ({"train_size": True}, "must be a number of images.*True"),
        ({"train_size": "9"}, "must be a number of images.*'9'"),
    ],
)
def test_sizes_that_are_none(sizes, message):
    with pytest.raises(ValueError, match=message):
        datasets.load("digits", **sizes)


def test_no_part_of_a_pipeline():
    import tensorflow as tf

    pipeline = tf.data.Dataset.from_tensors((np.zeros((5, 2, 2, 1)), [0] * 5))

    @datasets.dataset("mine")
    def mine(argument, *, seed, image_size):
        each = (pipeline, None)
        return datasets.Dataset("mine", each, each, each, (2, 2, 1), 1)

    try:
        assert datasets.load("mine").train == (pipeline, None)
        with pytest.raises(ValueError, match=r"Use its take\(batches\)"):
            datasets.load("mine", train_size=1)
    finally:
        del datasets._DATASETS["mine"]


def test_a_user_adds_a_data_set():
    @datasets.dataset("mine")
    def mine(argument, *, seed, image_size):
        x, y = np.zeros((5, 2, 2, 1)), np.zeros(5, int)
        return datasets.Dataset(argument, (x, y), (x, y), (x, y), (2, 2, 1), 1)

    try:
        assert datasets.load("mine:hello:there").name == "hello:there"
    finally:
        del datasets._DATASETS["mine"]


def test_a_split_that_lacks_labels_is_named(tmp_path):
    np.savez(
        tmp_path / "short.npz",
        x_train=np.zeros((20, 4, 4, 1), np.float32),
        y_train=np.arange(20) % 2,
        x_val=np.zeros((10, 4, 4, 1), np.float32),
        y_val=np.arange(9) % 2,
    )
    with pytest.raises(
        ValueError, match=r"in the split val, .*\(10, 4, 4, 1\)"
    ):
        datasets.load(f"npz:{tmp_path / 'short.npz'}")


def test_splits_taken_from_training_images_are_known(tmp_path):
    arrays = {
        "x_train": np.zeros((20, 4, 4, 1), np.float32),
        "y_train": np.arange(20) % 2,
    }
    path = tmp_path / "some.npz"
    np.savez(path, **arrays)
    assert datasets.load(f"npz:{path}").taken == ("validation", "test")
    arrays |= {"x_test": arrays["x_train"][:4], "y_test": arrays["y_train"][:4]}
    np.savez(path, **arrays)
    assert datasets.load(f"npz:{path}").taken == ("validation",)
