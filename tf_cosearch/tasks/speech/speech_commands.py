"""A folder of spoken words in the layout of Speech Commands.

    yes/0a7c2a8d_nohash_0.wav       a folder a word, a file a clip
    validation_list.txt             which clips not to train on, or no such
    testing_list.txt                lists, and names decide
    _background_noise_/hum.wav      minutes of no word at all

Reference: Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech
Recognition", arXiv 1804.03209, and the README of the data set.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tf_cosearch import configuration
from tf_cosearch.tasks.speech import wav_files
from tf_cosearch.tasks.speech.log_mel import LogMel

NOISE = "_background_noise_"
"""The folder of noise, and the class of clips that are cut out of it."""

UNKNOWN = "_unknown_"
"""The class of all words that are not asked for."""

_LISTS = {"val": "validation_list.txt", "test": "testing_list.txt"}
_MOST = 2**27 - 1  # clips of a word, of the data set's own hash
_PARTS = {"train": (0.0, 0.8), "val": (0.8, 0.9), "test": (0.9, 1.0)}
_CHUNK = 64  # clips in memory at once


class _Clip(NamedTuple):
    """A second of a file, and what is said in it."""

    path: pathlib.Path
    word: str
    start: int = 0


def load(
    folder: pathlib.Path,
    features: LogMel,
    words: Sequence[str] = (),
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], list[str]]:
    """Reads the clips of a folder as features.

    A clip is cut, or filled up with silence, at its end. With noise there is a
    class more, which gets as many clips as the other classes have in the mean,
    cut out at random: the first eight tenths of each file are for training,
    then come validation and test.

    Args:
        folder: One folder a word.
        features: What to make of clips.
        words: Which to tell apart; clips of all others are the class
            `UNKNOWN`, of which as many are drawn as a word has in the mean.
            All if there are none.

    Returns:
        Features `[N, steps, bands, 1]` and labels `[N]` of `train`, `val` and
        `test`, and the names of the classes in the order of their labels.

    Raises:
        ValueError: If the folder is not of this layout, or a file cannot be
            used; says which and why.
    """
    splits, classes = _choose(folder, features, words)
    labels = {name: label for label, name in enumerate(classes)}
    return {
        split: (
            _read_features(clips, features),
            np.array([labels[clip.word] for clip in clips]),
        )
        for split, clips in splits.items()
    }, classes


def which_set(name: str) -> str:
    """The split of a clip that no list names, by the data set's own rule.

    Eight in ten are trained on. What a speaker says stays together, and no
    clip changes its place when others come: a hash of its name decides, up to
    `_nohash_`.

    Args:
        name: Of the file.

    Returns:
        `train`, `val` or `test`.

    Example:
    >>> which_set("bobby_nohash_0.wav") == which_set("bobby_nohash_1.wav")
    True
    """
    speaker = re.sub(r"_nohash_.*$", "", name)
    digest = hashlib.sha1(os.fsencode(speaker)).hexdigest()  # noqa: S324
    percent = int(digest, 16) % (_MOST + 1) * 100 / _MOST
    return "val" if percent < 10 else "test" if percent < 20 else "train"


def _choose(
    folder: pathlib.Path, features: LogMel, words: Sequence[str]
) -> tuple[dict[str, list[_Clip]], list[str]]:
    """The clips of each split, and the classes, before any sound is read."""
    spoken = _find(folder)
    noises = spoken.pop(NOISE, [])
    wanted = _check_words(words, spoken) if words else sorted(spoken)
    is_listed = _read_lists(folder)
    _check_lists(folder, is_listed, spoken)
    rng = np.random.default_rng(0)  # the same of a folder every time
    splits: dict[str, list[_Clip]] = {}
    for split, part in _PARTS.items():
        clips = [
            _Clip(path, word if word in wanted else UNKNOWN)
            for word, paths in spoken.items()
            for path in paths
            if is_listed.get(f"{word}/{path.name}", _unlisted(path, is_listed))
            == split
        ]
        known = [clip for clip in clips if clip.word in wanted]
        _check_split(folder, split, known, wanted)
        share = max(1, round(len(known) / len(wanted)))
        others = [clip for clip in clips if clip.word not in wanted]
        order = rng.permutation(len(others))[:share]
        splits[split] = [*known, *(others[i] for i in order)]
        if noises:
            splits[split] += _cut(noises, features, part, share, rng)
    present = {clip.word for clips in splits.values() for clip in clips}
    extra = [name for name in (NOISE, UNKNOWN) if name in present]
    return splits, [*extra, *(word for word in wanted if word not in extra)]


def _find(folder: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """All files of each word, and of noise."""
    found = {}
    for inner in sorted(folder.iterdir()):
        if not inner.is_dir() or inner.name.startswith("."):
            continue
        paths = sorted(inner.iterdir())
        found[inner.name] = [
            path
            for path in paths
            if path.suffix.lower() == ".wav" and path.is_file()
        ]
        if not found[inner.name]:
            raise ValueError(
                f"{inner} must hold .wav files. Received: "
                f"{', '.join(path.name for path in paths[:3]) or 'nothing'}."
            )
    if len(found.keys() - {NOISE}) < 2:
        raise ValueError(
            f"{folder} must hold a folder of .wav files for each of two words "
            f"or more. Received: {', '.join(found) or 'no folder'}."
        )
    return found


def _check_words(words: Sequence[str], spoken: Iterable[str]) -> list[str]:
    for word in words:
        if word not in spoken:
            raise configuration.unknown("word", word, spoken)
    return sorted(words)


def _read_lists(folder: pathlib.Path) -> dict[str, str]:
    """The split of each clip that a list names; empty without lists."""
    there = [name for name in _LISTS.values() if (folder / name).exists()]
    if len(there) == 1:
        raise ValueError(
            f"{folder} must hold both {' and '.join(_LISTS.values())}, or none "
            f"of them. Received: {there[0]} alone."
        )
    listed: dict[str, str] = {}
    for split, name in _LISTS.items() if there else ():
        try:
            lines = (folder / name).read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            raise ValueError(
                f"{folder / name} must be text, a line such as yes/one.wav a "
                "clip. Received: other bytes."
            ) from None
        for line in filter(None, map(str.strip, lines)):
            if listed.setdefault(line, split) != split:
                raise ValueError(
                    f"A clip must be in one list of {folder}. Received: {line} "
                    f"in {' and '.join(_LISTS.values())}."
                )
    return listed


def _check_lists(
    folder: pathlib.Path,
    listed: Iterable[str],
    spoken: Mapping[str, Sequence[pathlib.Path]],
) -> None:
    """Refuses lines that name no clip, which would be trained on.

    Words that are not there may be named: a folder may hold a part of a data
    set.
    """
    clips = {
        f"{word}/{p.name}" for word, paths in spoken.items() for p in paths
    }
    lost = [
        line
        for line in listed
        if line not in clips
        and (line.partition("/")[0] in spoken or "/" not in line)
    ]
    if lost:
        raise ValueError(
            f"{' and '.join(_LISTS.values())} of {folder} must name clips that "
            f"are there, as in yes/one.wav. Received: {lost[0]}, and in all "
            f"{len(lost)} such. Take them out of the lists."
        )


def _unlisted(path: pathlib.Path, is_listed: dict[str, str]) -> str:
    return "train" if is_listed else which_set(path.name)


def _check_split(
    folder: pathlib.Path, split: str, clips: list[_Clip], words: list[str]
) -> None:
    """Refuses a word that cannot be learned, and a split without words."""
    present = {clip.word for clip in clips}
    missing = [word for word in words if word not in present]
    if missing and (split == "train" or not present):
        told = f"none of {missing[0]}" if split == "train" else "none"
        names = {"train": "training", "val": "validation", "test": "test"}
        raise ValueError(
            f"{folder} must have clips for {names[split]}. Received: {told}. "
            f"Add clips, or name them in {' and '.join(_LISTS.values())}."
        )


def _cut(
    noises: list[pathlib.Path],
    features: LogMel,
    part: tuple[float, float],
    count: int,
    rng: np.random.Generator,
) -> Iterator[_Clip]:
    """Seconds at random out of a part of each file of noise."""
    lengths = [_length(path, features) for path in noises]
    for file in rng.integers(len(noises), size=count):
        first, last = (int(lengths[file] * share) for share in part)
        start = rng.integers(first, last - features.samples + 1)
        yield _Clip(noises[file], NOISE, int(start))


def _length(path: pathlib.Path, features: LogMel) -> int:
    """Samples of a file of noise; each split gets a clip's length or more."""
    length = wav_files.length(path, features.sample_rate)
    least = 10 * features.samples + 10
    if length < least:
        raise ValueError(
            f"{path} must last ten clips or more, as a tenth of it is for "
            f"validation and one for test. Received: {length} samples, fewer "
            f"than {least}."
        )
    return length


def _read_features(clips: list[_Clip], features: LogMel) -> np.ndarray:
    """Features of clips, a few of which are in memory as sound."""
    found = np.empty((len(clips), *features.shape), np.float32)
    for first in range(0, len(clips), _CHUNK):
        part = clips[first : first + _CHUNK]
        sounds = np.zeros((len(part), features.samples), np.int16)
        for sound, clip in zip(sounds, part, strict=True):
            read = wav_files.read(
                clip.path, features.sample_rate, features.samples, clip.start
            )
            sound[: len(read)] = read
        found[first : first + len(part)] = features(sounds)
    return found
