"""Made-up spoken commands: what a keyword spotter can be tried on at once.

A word is a row of notes, so that it is told by their order as much as by their
pitch. Each speaker has a pitch of their own, up to a fourth above or below the
others'. A clip is a second in which the notes begin at random, loud or soft,
in white noise; both levels are drawn, evenly on a logarithmic scale. Of ten
speakers eight are for training, by the names of their files
(`speech_commands.which_set`), one for validation and one for test.
"""

from __future__ import annotations

import pathlib

import numpy as np

from tf_cosearch import configuration
from tf_cosearch.tasks.speech import speech_commands, wav_files

WORDS = {
    "down": (1600, 400),
    "high": (1600, 1600),
    "hill": (400, 1600, 400),
    "low": (400, 400),
    "up": (400, 1600),
    "valley": (1600, 400, 1600),
}
"""Notes of each word, in Hz."""

MOST_CLIPS = 10_000
"""Of each word: 32 kB each at 16 kHz."""

_NOTE = 0.15  # seconds
_LOUDNESS = (0.03, 0.5)  # of full scale
_NOISE = (0.01, 0.3)  # standard deviation
_NOISE_SECONDS = 12


def write(
    folder: str | pathlib.Path,
    clips: int = 100,
    sample_rate: int = 16_000,
    seed: int = 0,
) -> None:
    """Writes WAV files in the layout of Speech Commands, with noise.

    Args:
        folder: Where to; made if it is not there.
        clips: Of each word, a multiple of 10: a speaker says each word once.
        sample_rate: Samples a second, 8000 or more, which can hold the notes.
        seed: Other clips for another one.

    Raises:
        ValueError: If a number is not possible.

    Example:
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(folder, clips=10)
    ...     len(list(pathlib.Path(folder).glob("up/*.wav")))
    10
    """
    configuration.at_least("clips", clips, 10, MOST_CLIPS)
    configuration.at_least("sample_rate", sample_rate, 8000)
    if clips % 10:
        raise ValueError(
            "clips must be a multiple of 10, so that splits have their tenths. "
            f"Received: {clips}."
        )
    folder = pathlib.Path(folder)
    for name in (*WORDS, speech_commands.NOISE):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number in range(clips):
        split = {8: "val", 9: "test"}.get(number % 10, "train")
        name = _speaker(split, rng)
        pitch = 2 ** rng.uniform(-5 / 12, 5 / 12)
        for word, notes in WORDS.items():
            sound = _say([note * pitch for note in notes], sample_rate, rng)
            path = folder / word / f"{name}_nohash_0.wav"
            wav_files.write(path, sound, sample_rate)
    white = rng.normal(size=sample_rate * _NOISE_SECONDS)
    # Each sample is the sum of those before: the more, the lower the pitch.
    brown = np.cumsum(white) - np.linspace(0, white.sum(), len(white))
    for name, sound in (("white", white), ("brown", brown)):
        level = _draw(_NOISE, rng) / sound.std()
        path = folder / speech_commands.NOISE / f"{name}.wav"
        wav_files.write(path, sound * level, sample_rate)


def _speaker(split: str, rng: np.random.Generator) -> str:
    """A name whose hash falls into a split."""
    while True:
        name = f"{rng.integers(2**32):08x}"
        if speech_commands.which_set(name) == split:
            return name


def _say(
    notes: list[float], sample_rate: int, rng: np.random.Generator
) -> np.ndarray:
    """A second with notes in it."""
    sound = rng.normal(size=sample_rate) * _draw(_NOISE, rng)
    length = int(_NOTE * sample_rate)
    start = int(rng.integers(sample_rate - length * len(notes) + 1))
    loudness = _draw(_LOUDNESS, rng)
    for place, note in enumerate(notes):
        phases = 2 * np.pi * note / sample_rate * np.arange(length)
        first = start + place * length
        # A note swells and fades, so that none begins with a click.
        tone = np.sin(phases) * np.hanning(length)
        sound[first : first + length] += loudness * tone
    return sound


def _draw(limits: tuple[float, float], rng: np.random.Generator) -> float:
    low, high = np.log(limits)
    return float(np.exp(rng.uniform(low, high)))
