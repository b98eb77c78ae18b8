import os
import re
import struct
import tracemalloc
import wave

import numpy as np
import pytest

from tf_cosearch.tasks.speech import speech_commands, tones, wav_files
from tf_cosearch.tasks.speech.log_mel import LogMel

# Of the lists of Speech Commands v0.02.
VALIDATION = ["a69b9b3e", "439c84f4", "409c962a", "dbaf8fc6", "3cc595de"]
TESTING = ["d5b963aa", "f9643d42", "b97c9f77", "189cbabe", "8fe67225"]

FEATURES = LogMel(sample_rate=1000, high_hz=500, bands=4)
LEVELS = {"yes": 0.1, "no": 0.01, "left": 0.001}


def write(path, samples=1000, level=0.1, rate=1000, channels=1, width=2):
    """A WAV file of noise, whose loudness says what it is."""
    path.parent.mkdir(exist_ok=True)
    noise = np.random.default_rng(0).normal(size=(samples, channels))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        scaled = noise * level * 32768
        file.writeframes(scaled.astype({1: "u1", 2: "<i2"}[width]).tobytes())


@pytest.fixture
def folder(tmp_path):
    """Three words by two speakers of each split, and lists that say so."""
    speakers = {"train": ("t0", "t1"), "validation": "v0", "testing": "e0"}
    for split, names in speakers.items():
        names = [names] if isinstance(names, str) else names
        clips = [f"{w}/{n}_nohash_0.wav" for w in LEVELS for n in names]
        for clip in clips:
            write(tmp_path / clip, level=LEVELS[clip.partition("/")[0]])
        if split != "train":
            text = "".join(f"{clip}\n" for clip in clips)
            (tmp_path / f"{split}_list.txt").write_text(text)
    return tmp_path


def levels(x):
    """The loudness of clips, to the nearest of those that were written."""
    known = np.array([*LEVELS.values(), 1e-4])
    loud = np.exp(x.mean(axis=(1, 2, 3)))[:, None]
    unit = np.exp(FEATURES(noise(1.0)).mean())
    return known[np.abs(np.log(loud / (unit * known))).argmin(axis=1)]


def noise(level):
    rng = np.random.default_rng(0)
    return rng.normal(size=(1, FEATURES.samples)) * level


def test_the_rule_is_that_of_the_data_set():
    for split, speakers in (("val", VALIDATION), ("test", TESTING)):
        names = [
            f"{speaker}_nohash_{i}.wav" for i, speaker in enumerate(speakers)
        ]
        assert {speech_commands.which_set(name) for name in names} == {split}
    # A name that is no UTF-8 has a place, too.
    assert speech_commands.which_set("\udcff_nohash_0.wav") == "train"
    random = [f"{i:08x}_nohash_0.wav" for i in range(4000)]
    train = [speech_commands.which_set(name) == "train" for name in random]
    assert np.mean(train) == pytest.approx(0.8, abs=0.02)


def test_lists_say_what_is_trained_on(folder):
    splits, classes = speech_commands.load(folder, FEATURES)
    assert classes == ["left", "no", "yes"]
    counts = {
        split: np.bincount(y).tolist() for split, (_, y) in splits.items()
    }
    assert counts == {"train": [2] * 3, "val": [1] * 3, "test": [1] * 3}
    for x, y in splits.values():
        assert (x.dtype, x.shape[1:]) == (np.float32, (49, 4, 1))
        expected = [LEVELS[classes[label]] for label in y]
        np.testing.assert_array_equal(levels(x), expected)


def test_names_in_lists_may_have_blanks(folder):
    (folder / "no").rename(folder / "turn on")
    (folder / "yes" / "e0_nohash_0.wav").rename(folder / "yes" / "my clip.wav")
    for name in ("validation_list.txt", "testing_list.txt"):
        text = (folder / name).read_text().replace("no/", "turn on/")
        text = text.replace("yes/e0_nohash_0.wav", "yes/my clip.wav ")
        # Words that are not there may be named.
        (folder / name).write_text(f"{text}\nstop/{name}.wav\n")
    splits, classes = speech_commands.load(folder, FEATURES)
    assert classes == ["left", "turn on", "yes"]
    assert [len(y) for _, y in splits.values()] == [6, 3, 3]


@pytest.mark.parametrize("line", ["yes/e1.wav", "yes/e0_nohash_0.mp3", "e0"])
def test_lines_that_name_no_clip_are_refused(folder, line):
    with (folder / "testing_list.txt").open("a") as file:
        file.write(f"{line}\nleft/e1.wav\n")
    with pytest.raises(
        ValueError, match=f"Received: {line}, and in all 2 such"
    ):
        speech_commands.load(folder, FEATURES)


def test_without_lists_names_decide(folder):
    for name in ("validation_list.txt", "testing_list.txt"):
        (folder / name).unlink()
    for word in LEVELS:
        for speaker in (*VALIDATION[:2], *TESTING[:3]):
            write(folder / word / f"{speaker}_nohash_0.wav")
    known = [path.name for path in (folder / "yes").iterdir()]
    expected = [speech_commands.which_set(name) for name in known]
    splits, _ = speech_commands.load(folder, FEATURES)
    for split, (x, _) in splits.items():
        assert len(x) == 3 * expected.count(split)


def test_clips_are_cut_or_filled_up_at_their_end(folder):
    write(folder / "yes/t0_nohash_0.wav", samples=1500)
    write(folder / "yes/t1_nohash_0.WAV", samples=1)
    (folder / "yes/t1_nohash_0.wav").unlink()
    splits, _ = speech_commands.load(folder, FEATURES)
    x, y = splits["train"]
    sound = np.random.default_rng(0).normal(size=(1500, 1)).T * 3276.8
    long, short = x[y == 2]
    np.testing.assert_array_equal(
        long, FEATURES(sound[:, :1000].astype(np.int16))[0]
    )
    assert (short[1:] == np.float32(np.log(1e-6))).all()


def test_other_words_are_one_class_of_the_size_of_a_word(folder):
    for i in range(6):
        write(folder / "left" / f"more{i}_nohash_0.wav", level=0.001)
    splits, classes = speech_commands.load(folder, FEATURES, ("yes", "no"))
    assert classes == ["_unknown_", "no", "yes"]
    for split, most in (("train", 2), ("val", 1), ("test", 1)):
        x, y = splits[split]
        assert np.bincount(y).tolist() == [most] * 3
        expected = np.array([0.001, 0.01, 0.1])[y]
        np.testing.assert_array_equal(levels(x), expected)


def test_noise_is_a_class_whose_splits_share_no_sound(folder):
    """The file gets softer from its first, to its second and third part."""
    path = folder / "_background_noise_/hum.wav"
    write(path, samples=20_000, level=1)
    (folder / "_background_noise_/README.md").write_text("Not a sound.")
    samples = wav_files.read(path, 1000, 20_000).astype(float)
    for part, level in zip(
        (slice(16_000), slice(16_000, 18_000), slice(18_000, None)),
        (0.1, 0.01, 0.001),
        strict=True,
    ):
        samples[part] = (
            np.random.default_rng(0).normal(size=len(samples[part])) * level
        )
    wav_files.write(path, samples, 1000)
    splits, classes = speech_commands.load(folder, FEATURES)
    assert classes[0] == "_background_noise_"
    for split, level, count in (
        ("train", 0.1, 2),
        ("val", 0.01, 1),
        ("test", 0.001, 1),
    ):
        x, y = splits[split]
        assert np.sum(y == 0) == count
        np.testing.assert_array_equal(levels(x[y == 0]), [level] * count)
    again, _ = speech_commands.load(folder, FEATURES)
    for split, (x, _) in splits.items():
        np.testing.assert_array_equal(x, again[split][0])


@pytest.mark.parametrize(
    ("split", "first", "last"),
    [("train", 0, 16_000), ("val", 16_000, 18_000), ("test", 18_000, 20_000)],
)
def test_clips_of_noise_come_from_all_of_their_part(
    tmp_path, split, first, last
):
    path = tmp_path / "noise/hum.wav"
    write(path, samples=20_000)
    part = speech_commands._PARTS[split]
    rng = np.random.default_rng(0)
    clips = speech_commands._cut([path], FEATURES, part, 3000, rng)
    starts = [clip.start for clip in clips]
    assert first <= min(starts) < first + 30
    assert last - 30 < max(starts) + FEATURES.samples <= last


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def as_float(path):
    """Of the format that 32-bit floats have."""
    content = path.read_bytes()
    path.write_bytes(content[:20] + struct.pack("<H", 3) + content[22:])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: write(p, rate=8000), "1 channels, 16 bits, 8000 Hz.*sox"),
        (lambda p: write(p, channels=2), "one channel.*2 channels, 16 bits"),
        (lambda p: write(p, width=1), "16 bits and 1000 Hz.*8 bits, 1000 Hz"),
        (lambda p: write(p, samples=0), "a sample or more. Received: none"),
        (as_float, "16-bit PCM. Received: unknown format: 3"),
        (lambda p: cut(p, 0), "16-bit PCM. Received: one that ends too early"),
        (lambda p: cut(p, 30), "must be a WAV file of 16-bit PCM"),
        (lambda p: cut(p, 44 + 1001), "Received: 500 of 1000 from 0 on"),
        (lambda p: p.write_bytes(b"ID3" * 99), "not start with RIFF"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(folder, damage, message):
    path = folder / "no/t1_nohash_0.wav"
    damage(path)
    with pytest.raises(ValueError, match=f"(?s)no/t1_nohash_0.wav.*{message}"):
        speech_commands.load(folder, FEATURES)


def short_noise(folder):
    write(folder / "_background_noise_/click.wav", samples=10_009)


def one_word(folder):
    for path in [*(folder / "yes").iterdir(), *(folder / "no").iterdir()]:
        path.unlink()
    (folder / "yes").rmdir()
    (folder / "no").rmdir()


def no_training(folder):
    for name in ("t0", "t1"):
        (folder / f"no/{name}_nohash_0.wav").unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (one_word, "each of two words or more. Received: left"),
        (no_training, "clips for training. Received: none of no"),
        (short_noise, "click.wav must last ten clips.*Received: 10009 samples"),
        (
            lambda f: (f / "empty").mkdir(),
            "empty must hold .wav files.*nothing",
        ),
        (
            lambda f: (f / "testing_list.txt").unlink(),
            "or none of them. Received: validation_list.txt alone",
        ),
        (
            lambda f: (f / "testing_list.txt").write_text(""),
            "must have clips for test. Received: none",
        ),
        (
            lambda f: (f / "testing_list.txt").write_bytes(b"\xff\xfe\x00"),
            "testing_list.txt must be text",
        ),
        (
            lambda f: (f / "testing_list.txt").write_text(
                "yes/v0_nohash_0.wav\n"
            ),
            "in one list.*Received: yes/v0_nohash_0.wav",
        ),
    ],
)
def test_a_folder_of_another_layout_is_refused(folder, change, message):
    change(folder)
    with pytest.raises(ValueError, match=message):
        speech_commands.load(folder, FEATURES)


def test_a_word_that_is_not_there_is_refused(folder):
    with pytest.raises(ValueError, match="Did you mean 'left'"):
        speech_commands.load(folder, FEATURES, ("yes", "lift"))


def test_sound_in_memory_is_that_of_few_clips(folder):
    """Of files of two hours, 230 MB, and of hundreds of a second."""
    for path in folder.rglob("*.wav"):
        wav_files.write(path, np.zeros(16_000), 16_000)
    long = folder / "_background_noise_/hum.wav"
    long.parent.mkdir()
    size = 2 * 16_000 * 7200
    header = bytearray((folder / "no/t0_nohash_0.wav").read_bytes()[:44])
    header[4:8], header[40:] = (
        struct.pack("<I", size + 36),
        struct.pack("<I", size),
    )
    long.write_bytes(header)
    os.truncate(long, 44 + size)  # zeros that take no room
    (folder / "yes/long.wav").symlink_to(long)
    for i in range(400):
        (folder / f"no/copy{i}.wav").symlink_to(folder / "no/t0_nohash_0.wav")
    tracemalloc.start()
    try:
        splits, _ = speech_commands.load(folder, LogMel())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(splits["train"][0]) > 400
    assert peak < 120e6


def test_tones_are_heard_by_their_notes(tmp_path):
    tones.write(tmp_path, clips=10, seed=3)
    splits, classes = speech_commands.load(tmp_path, LogMel(bands=40))
    assert classes == ["_background_noise_", *sorted(tones.WORDS)]
    assert {k: len(y) for k, (_, y) in splits.items()} == {
        "train": 8 * 7,
        "val": 7,
        "test": 7,
    }
    speakers = {path.name for path in (tmp_path / "up").iterdir()}
    assert speakers == {path.name for path in (tmp_path / "down").iterdir()}
    assert all(re.fullmatch(r"[0-9a-f]{8}_nohash_0\.wav", s) for s in speakers)
    other = tmp_path / "other"
    tones.write(other, clips=10, seed=3)
    name = f"up/{min(speakers)}"
    assert (other / name).read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clips": 15}, "multiple of 10.*Received: 15"),
        ({"clips": 0}, "`clips` must be an integer of at least 10"),
        ({"clips": 10**7}, "`clips` must be an integer of at most"),
        ({"sample_rate": 4000}, "`sample_rate` must be an integer of at least"),
    ],
)
def test_impossible_tones_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        tones.write(tmp_path, **options)
    assert not list(tmp_path.iterdir())
