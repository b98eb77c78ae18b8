import gzip
import struct
import tracemalloc

import numpy as np
import pytest
import small_idx

from tf_cosearch.training import datasets, idx_files

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture
def folder(tmp_path):
    small_idx.write_set(tmp_path)
    return tmp_path


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_folder_becomes_three_splits(tmp_path, ending):
    small_idx.write_set(tmp_path, ending=ending)
    data = datasets.load(f"idx:{tmp_path}")
    assert data.name == f"idx:{tmp_path}"
    assert (data.input_shape, data.classes) == ((4, 4, 1), 3)
    splits = (data.train, data.validation, data.test)
    assert [x.shape for x, _ in splits] == [
        (48, 4, 4, 1),
        (12, 4, 4, 1),
        (20, 4, 4, 1),
    ]
    for x, y in splits:
        assert x.dtype == np.uint8
        np.testing.assert_array_equal(x[:, 0, 1, 0], y)
    # Only what is called t10k is tested on.
    np.testing.assert_array_equal(data.test[0][:, 0, 0, 0], np.arange(20))
    learned = np.concatenate([data.train[0], data.validation[0]])
    np.testing.assert_array_equal(np.sort(learned[:, 0, 0, 0]), np.arange(60))


def test_without_a_test_set_a_fifth_is_split_off(folder):
    for path in folder.glob("t10k-*"):
        path.unlink()
    data = datasets.load(f"idx:{folder}")
    splits = (data.train, data.validation, data.test)
    assert [len(x) for x, _ in splits] == [36, 12, 12]


@pytest.mark.parametrize(
    "change",
    [
        lambda name: name.replace("-idx", ".idx"),
        lambda name: f"emnist-letters-{name}.gz",
        lambda name: name.replace("t10k", "test"),
        lambda name: name.replace("idx1-ubyte", "idx1-int"),
    ],
)
def test_usual_names_are_found(folder, change):
    for path in folder.iterdir():
        path.rename(folder / change(path.name))
    (folder / "emnist-letters-mapping.txt").write_text("1 65 97")
    (folder / "latest-images-idx3-ubyte").write_bytes(b"")
    (folder / "emnist-letters-train-images.idx3-ubyte").mkdir(exist_ok=True)
    data = datasets.load(f"idx:{folder}")
    assert (len(data.train[0]), len(data.test[0])) == (48, 20)


def test_packed_or_not_is_told_by_the_content(folder):
    small_idx.write(folder / "a.gz", np.zeros((60, 4, 4), np.uint8))
    (folder / "a.gz").rename(folder / IMAGES)
    path = folder / LABELS
    path.rename(folder / f"{LABELS}.gz")
    assert datasets.load(f"idx:{folder}").classes == 3


def test_the_unpacked_of_two_is_read(folder):
    (folder / f"{IMAGES}.gz").write_bytes(b"half of a download")
    assert len(datasets.load(f"idx:{folder}").train[0]) == 48


@pytest.mark.parametrize(
    ("others", "named"),
    [
        (
            ["emnist-digits-train-images-idx3-ubyte.gz"],
            r"emnist-digits-train-images-idx3-ubyte\.gz, train-labels",
        ),
        (
            ["test-images-idx3-ubyte.gz"],
            r"t10k-images-idx3-ubyte, test-images-idx3-ubyte\.gz\.",
        ),
        (["train-labels.idx1-ubyte"], r"train-labels-idx1-ubyte, train-labels"),
    ],
)
def test_several_sets_are_refused(folder, others, named):
    for name in others:
        (folder / name).write_bytes(b"")
    with pytest.raises(ValueError, match=rf"must hold one IDX .*{named}"):
        datasets.load(f"idx:{folder}")


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("train-labels-idx1-ubyte", "train-labels-idx1-ubyte, plain or"),
        ("train-images-idx3-ubyte", "train-images-idx3-ubyte, plain or"),
        ("t10k-labels-idx1-ubyte", "t10k-labels-idx1-ubyte, plain or"),
        ("*", "train-images-idx3-ubyte, .* no file of such a name"),
    ],
)
def test_missing_files_are_named(folder, gone, message):
    for path in folder.glob(gone):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=f"must hold {message}"):
        datasets.load(f"idx:{folder}")


def test_a_file_is_no_folder(folder):
    with pytest.raises(NotADirectoryError, match=f"the file .*{IMAGES}"):
        datasets.load(f"idx:{folder / IMAGES}")


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_types_and_their_order_of_bytes(tmp_path, dtype):
    array = np.arange(24).reshape(1, 2, 3, 4).astype(dtype)
    array[0, 0, 0, 0] = 100 if dtype == "u1" else -100
    small_idx.write(tmp_path / "a", array)
    read = idx_files.read(tmp_path / "a", (4,))
    assert read.dtype == np.dtype(dtype)
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, array)


def test_channels(folder):
    images = np.arange(60 * 8 * 3).reshape(60, 2, 4, 3) % 251
    small_idx.write(folder / IMAGES, images.astype(np.uint8))
    for path in folder.glob("t10k-*"):
        path.unlink()
    data = datasets.load(f"idx:{folder}")
    assert data.input_shape == (2, 4, 3)
    assert data.test[0].shape == (12, 2, 4, 3)


def test_labels_from_1_become_those_from_0(folder, caplog):
    for split, count in (("train", 60), ("t10k", 20)):
        labels = (np.arange(count) % 26 + 1).astype(np.uint8)
        small_idx.write(folder / f"{split}-labels-idx1-ubyte", labels)
    data = datasets.load(f"idx:{folder}")
    assert data.classes == 26
    np.testing.assert_array_equal(data.test[1], np.arange(20))
    assert "count from 1" in caplog.text


@pytest.mark.parametrize("first", [0, 2])
def test_other_labels_stay_as_they_are(folder, caplog, first):
    """Class 0 may be in one split only, and a class may be missing."""
    labels = (np.arange(60) % 3 + 1).astype(np.uint8)
    small_idx.write(folder / LABELS, labels + (first == 2))
    if first == 2:
        small_idx.write(folder / "t10k-labels-idx1-ubyte", labels[:20] + 1)
    data = datasets.load(f"idx:{folder}")
    assert data.classes == (5 if first == 2 else 4)
    assert data.test[1].min() == first
    assert not caplog.text


WHOLE = small_idx.content(np.zeros((60, 4, 4), np.uint8))
PACKED = gzip.compress(WHOLE, mtime=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (b"\0\0\x08", "begins with 00 00 08"),
        (b"PK\3\4" + WHOLE, "begins with 50 4b 03 04"),
        (b"\0\1" + WHOLE[2:], "begins with 00 01 08 03"),
        (b"\0\0\x0a" + WHOLE[3:], "begins with 00 00 0a"),
        (WHOLE[:10], "ends in its header"),
        (WHOLE[:-1], "959"),
        (WHOLE + b"\0", "960 bytes, and that has more"),
        (WHOLE[:4] + bytes(4) + WHOLE[8:], "more"),
        (b"\0\0\x08\3" + bytes(12), r"\[0, 0, 0\], so 0 bytes"),
        (
            small_idx.content(np.zeros((60, 16), np.uint8)),
            "2 dimensions, not 3 or 4",
        ),
        (b"\0\0\x08\xff" + WHOLE * 2, "255 dimensions"),
        (PACKED[:-1], "end-of-stream"),
        (PACKED[:20], "end-of-stream"),
        (PACKED[:-8] + bytes(4) + PACKED[-4:], "CRC"),
        (PACKED[:12] + b"\xff\xff" + PACKED[14:], "Error"),
        (PACKED + b"more", "gzip"),
        (gzip.compress(WHOLE[:-1], mtime=0), "959"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_damaged_files_are_named(folder, content, message):
    (folder / IMAGES).write_bytes(content)
    with pytest.raises(ValueError, match=f"{IMAGES} must be .*{message}"):
        datasets.load(f"idx:{folder}")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_promise_of_terabytes_takes_no_memory(folder, pack):
    header = b"\0\0\x0e\3" + struct.pack(">3I", 2**32 - 1, 2**12, 2**12)
    (folder / IMAGES).write_bytes(pack(header + bytes(1000)))
    tracemalloc.start()
    with pytest.raises(ValueError, match="and that has 1,000"):
        datasets.load(f"idx:{folder}")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20e6


def test_labels_of_another_number(folder):
    small_idx.write(folder / LABELS, np.zeros(59, np.uint8))
    with pytest.raises(
        ValueError, match=rf"{LABELS} must .* of {IMAGES}\. .*59 .* 60 images"
    ):
        datasets.load(f"idx:{folder}")
