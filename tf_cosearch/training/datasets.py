"""Named image data sets.

A data set is one function, found by its name:

    @dataset("mine")
    def mine(argument, *, seed, image_size):
        return Dataset("mine", (x, y), (xv, yv), (xt, yt), (32, 32, 3), 10)

which `load("mine:ARGUMENT")` then calls.
"""

from __future__ import annotations

import contextlib
import dataclasses
import numbers
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tf_cosearch import configuration, files, tasks
from tf_cosearch.tasks import CLASSIFICATION, Classification, Task
from tf_cosearch.tasks.task import Splits
from tf_cosearch.training import idx_files

Arrays = tuple[Any, Any]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set in three splits.

    Each split is `(images, labels)`, as `prepare` takes it: images
    `[N, H, W, C]`, float32 or uint8, and integer labels `[N]`, or what the
    task has instead of these; or a `tf.data.Dataset` and None.

    Attributes:
        name: What it was loaded as.
        train: What the weights learn from.
        validation: What designs are chosen by.
        test: Touched once, for the exported design.
        input_shape: (height, width, channels).
        classes: Labels are in [0, classes); or whatever a task counts.
        taken: Splits that are part of the training images of the source, as
            there were no others.
    """

    name: str
    train: Arrays
    validation: Arrays
    test: Arrays
    input_shape: tuple[int, int, int]
    classes: int
    taken: tuple[str, ...] = ()


_DATASETS: dict[str, Callable[..., Dataset]] = {}


def dataset(name: str) -> Callable[[Callable[..., Dataset]], Any]:
    """Registers a data set under a name that `load` understands.

    Args:
        name: What stands before the colon.

    Returns:
        A decorator for a function of the text after the colon (may be
        empty) and the keywords `seed` and `image_size`.
    """

    def register(function: Callable[..., Dataset]) -> Callable[..., Dataset]:
        _DATASETS[name] = function
        return function

    return register


def load(
    spec: str,
    seed: int = 0,
    image_size: tuple[int, int] | None = None,
    train_size: int | None = None,
    validation_size: int | None = None,
    task: Task = CLASSIFICATION,
) -> Dataset:
    """Loads a data set by name.

    Args:
        spec: `digits`, `npz:FILE`, `idx:FOLDER`, `images:FOLDER`, `tfds:NAME`,
            what `dataset` has registered, or what the task has.
        seed: Decides which images go into splits that the source does not
            have, and into a part of one; the same seed gives the same.
        image_size: (height, width) that `images` and `tfds` resize to.
        train_size: How many of the training images to take, of every class
            in proportion; all if left out.
        validation_size: The same of the validation images.
        task: What the data are for.

    Returns:
        The data set.

    Raises:
        ValueError: If the name is unknown, the source cannot be used, or a
            split does not have as many images.
        FileNotFoundError: If the file or folder does not exist.
        NotADirectoryError: If a file is given for a folder.
        ImportError: If `tfds` needs a package that is not installed.

    Example:
    >>> digits = load("digits")
    >>> digits.train[0].shape, digits.input_shape, digits.classes
    ((1079, 8, 8, 1), (8, 8, 1), 10)
    >>> len(load("digits", train_size=100).train[0])
    100
    """
    name, _, argument = spec.partition(":")
    sources = task.sources()
    if name not in {"npz", *sources, *_DATASETS}:
        raise _unknown(name, {"npz", *sources, *_DATASETS})
    sizes = {"train_size": train_size, "validation_size": validation_size}
    for what, size in sizes.items():
        _check_size(size, what)
    if name in sources:
        splits = sources[name](argument, image_size)
        data = _complete(spec, splits, seed, task=task)
    elif name == "npz":
        data = _complete(spec, _npz(argument), seed, task=task)
    else:
        data = _DATASETS[name](argument, seed=seed, image_size=image_size)
        data = _for_task(data, task)
    return dataclasses.replace(
        data,
        train=_part(
            data.train, train_size, f"train_size of {spec}", seed, task
        ),
        validation=_part(
            data.validation,
            validation_size,
            f"validation_size of {spec}",
            seed,
            task,
        ),
    )


def _unknown(name: str, known: Iterable[str]) -> ValueError:
    """An error that says whether some other task has such data."""
    error = configuration.unknown("data set", name, known)
    for task in tasks.names():
        with contextlib.suppress(TypeError, ValueError):  # it needs options
            if name in tasks.make(task).sources():
                return ValueError(f"{error} It is there with --task={task}.")
    return error


def _for_task(data: Dataset, task: Task) -> Dataset:
    """A classification data set, whose labels may be targets of a task."""
    targets = [y for _, y in (data.train, data.validation, data.test)]
    if targets[0] is None or isinstance(task, Classification):
        return data
    count = task.count([np.asarray(y) for y in targets], data.name)
    return dataclasses.replace(data, classes=count)


@dataset("digits")
def digits(
    argument: str = "",
    *,
    seed: int = 0,
    image_size: tuple[int, int] | None = None,
) -> Dataset:
    """1,797 handwritten digits of 8x8 pixels that come with scikit-learn."""
    del argument, image_size
    from sklearn.datasets import load_digits

    source = load_digits()
    # Pixels count to 16.
    images = (source.images / 16).astype(np.float32)
    return _complete("digits", {"train": (images, source.target)}, seed)


def _npz(argument: str) -> Splits:
    """Arrays of a NumPy file.

    Keys `x_train` and `y_train`; optionally `x_val` and `y_val`, `x_test` and
    `y_test`. A split that is missing is taken from the training images.
    """
    arrays = files.read_npz(argument, "npz:FILE")
    splits = {}
    for split in ("train", "val", "test"):
        present = [k for k in (f"x_{split}", f"y_{split}") if k in arrays]
        if len(present) == 2:
            splits[split] = (arrays[f"x_{split}"], arrays[f"y_{split}"])
        elif present or split == "train":
            raise ValueError(
                f"{argument} must hold x_{split} and y_{split}. Received: "
                f"{', '.join(arrays) or 'nothing'}."
            )
    return splits


@dataset("idx")
def idx(
    argument: str, *, seed: int = 0, image_size: tuple[int, int] | None = None
) -> Dataset:
    """A folder with files of MNIST's format, see `idx_files`."""
    del image_size
    _must_exist(argument, "idx:FOLDER")
    folder = pathlib.Path(argument)
    if not folder.is_dir():
        raise NotADirectoryError(
            "idx:FOLDER must be the folder of the files. Received: the file "
            f"{argument}."
        )
    return _complete(f"idx:{argument}", idx_files.load(folder), seed)


@dataset("images")
def images(
    argument: str, *, seed: int = 0, image_size: tuple[int, int] | None = None
) -> Dataset:
    """A folder with one folder of images a class, kept in memory as uint8.

    The folder may hold `train` and, optionally, `val` and `test` folders,
    each with the same class folders; a missing one is split off `train`.
    """
    _must_exist(argument, "images:FOLDER")
    folder = pathlib.Path(argument)
    if not folder.is_dir():
        raise NotADirectoryError(
            "images:FOLDER must be a folder with one folder of images a "
            f"class. Received: the file {argument}."
        )
    if image_size is None:
        raise ValueError(
            "images:FOLDER must be resized to one size. Received: "
            "image_size=None. Pass image_size=(height, width)."
        )
    import keras
    import tensorflow as tf

    names = [n for n in ("train", "val", "test") if (folder / n).is_dir()]
    splits, classes = {}, None
    for name in names if "train" in names else [""]:
        found = keras.utils.image_dataset_from_directory(
            folder / name,
            image_size=image_size,
            shuffle=False,
            verbose=False,
            class_names=classes,
        )
        classes = found.class_names
        try:
            splits[name or "train"] = _in_memory(found)
        except tf.errors.OpError as error:
            damaged = next(filter(None, map(_damage, found.file_paths)), error)
            raise ValueError(
                f"Every image of {folder / name} must be readable. Received: "
                f"{damaged}."
            ) from None
    return _complete(f"images:{argument}", splits, seed, len(classes or ()))


@dataset("tfds")
def tfds(
    argument: str, *, seed: int = 0, image_size: tuple[int, int] | None = None
) -> Dataset:
    """A classification set of TensorFlow Datasets, kept in memory as uint8."""
    try:
        import tensorflow_datasets
    except ImportError:
        raise ImportError(
            "tfds:NAME needs TensorFlow Datasets. Received: "
            f"tfds:{argument}. Run: pip install 'tf_cosearch[tfds]'"
        ) from None
    import tensorflow as tf

    loaded, info = tensorflow_datasets.load(
        argument, as_supervised=True, with_info=True
    )

    def resize(image: Any, label: Any) -> tuple[Any, Any]:
        if image_size is not None:
            image = tf.image.resize(image, image_size)
        return image, label

    splits = {
        ours: _in_memory(loaded[theirs].map(resize).batch(256))
        for ours, theirs in (
            ("train", "train"),
            ("val", "validation"),
            ("test", "test"),
        )
        if theirs in loaded
    }
    classes = info.features["label"].num_classes
    return _complete(f"tfds:{argument}", splits, seed, classes)


def _check_size(size: Any, what: str) -> None:
    is_whole = isinstance(size, numbers.Integral) and size is not True
    if size is not None and not (is_whole and size >= 1):
        raise ValueError(
            f"{what} must be a number of images, 1 or more, or None. "
            f"Received: {size!r}."
        )


def _part(
    split: Arrays, size: int | None, what: str, seed: int, task: Task
) -> Arrays:
    """Takes so many images, of every class in proportion."""
    if size is None:
        return split
    x, y = split
    if y is None:
        raise ValueError(
            f"{what} must be None, as that is a tf.data.Dataset. Received: "
            f"{size}. Use its take(batches)."
        )
    if size > len(x):
        raise ValueError(
            f"{what} must be at most {len(x)}, as many images as it has. "
            f"Received: {size}."
        )
    x, y = np.asarray(x), np.asarray(y)
    _, taken = _stratified(task.strata(y), size, np.random.default_rng(seed))
    return x[taken], y[taken]


def _must_exist(path: str, spec: str) -> None:
    if not path or not pathlib.Path(path).exists():
        raise FileNotFoundError(f"{spec} must exist. Received: {path!r}.")


def _in_memory(batches: Any) -> Arrays:
    parts = list(batches.as_numpy_iterator())
    x = np.concatenate([np.clip(np.rint(x), 0, 255) for x, _ in parts])
    return x.astype(np.uint8), np.concatenate([y for _, y in parts])


def _damage(path: str) -> str:
    """The file and what is wrong with it, empty for a good image."""
    import tensorflow as tf

    try:
        tf.io.decode_image(tf.io.read_file(path))
    except (tf.errors.OpError, ValueError) as error:
        return f"{path} ({str(error).splitlines()[0]})"
    return ""


def _complete(
    name: str,
    splits: Splits,
    seed: int,
    classes: int = 0,
    task: Task = CLASSIFICATION,
) -> Dataset:
    """Splits off what the source does not have: a fifth of it for each."""
    splits = {k: (_channels(x), np.asarray(y)) for k, (x, y) in splits.items()}
    for split, (x, y) in splits.items():
        input_shape = task.input_shape(x, name)
        if not y.ndim or len(x) != len(y):
            raise ValueError(
                f"{name} must hold a label for each image. Received: in the "
                f"split {split}, images of shape {x.shape} and labels of shape "
                f"{y.shape}."
            )
    x, y = splits["train"]
    count = task.count([y for _, y in splits.values()], name)
    classes = classes or count
    if len(x) < 5 and len(splits) < 3:
        raise ValueError(
            f"{name} must hold at least one image for each split, so 5 for "
            "training where one is missing: it takes a fifth of them. "
            f"Received: {len(x)}."
        )
    rng = np.random.default_rng(seed)
    held_out = len(x) // 5
    absent = tuple(
        {"val": "validation"}.get(split, split)
        for split in ("val", "test")
        if split not in splits
    )
    for missing in ("test", "val"):
        if missing in splits:
            continue
        kept, taken = _stratified(task.strata(y), held_out, rng)
        splits[missing] = x[taken], y[taken]
        x, y = x[kept], y[kept]
    return Dataset(
        name=name,
        train=(x, y),
        validation=splits["val"],
        test=splits["test"],
        input_shape=input_shape,
        classes=classes,
        taken=absent,
    )


def _channels(x: Any) -> np.ndarray:
    x = np.asarray(x)
    return x[..., np.newaxis] if x.ndim == 3 else x


def _stratified(
    labels: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Takes about `count` of every class's images in proportion."""
    order = rng.permutation(len(labels))
    # Sorted by class, every (N / count)-th image is a proportional share.
    order = order[np.argsort(labels[order], kind="stable")]
    chosen = np.zeros(len(labels), bool)
    if count:
        chosen[order[np.arange(count) * len(labels) // count]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
