"""Clips as WAV files of 16-bit PCM and one channel."""

from __future__ import annotations

import contextlib
import pathlib
import wave
from collections.abc import Iterator

import numpy as np


def read(
    path: pathlib.Path, sample_rate: int, count: int, start: int = 0
) -> np.ndarray:
    """Samples of a WAV file, of no more of it than is asked for.

    Args:
        path: The file, of 16-bit PCM and one channel.
        sample_rate: What it must have, in Hz.
        count: How many samples to read at most.
        start: The first of them.

    Returns:
        int16 `[n]`.

    Raises:
        ValueError: If it is another kind of file, empty or damaged.
    """
    with _open(path, sample_rate) as file:
        wanted = min(count, file.getnframes() - start)
        file.setpos(start)
        content = file.readframes(wanted)
    if len(content) < 2 * wanted:
        raise ValueError(
            f"{path} must have the samples that its header says. Received: "
            f"{len(content) // 2} of {wanted} from {start} on. Replace or "
            "remove it."
        )
    return np.frombuffer(content, np.int16)


def length(path: pathlib.Path, sample_rate: int) -> int:
    """How many samples a WAV file has by its header.

    Args:
        path: The file, of 16-bit PCM and one channel.
        sample_rate: What it must have, in Hz.

    Raises:
        ValueError: If it is another kind of file, empty or damaged.
    """
    with _open(path, sample_rate) as file:
        return file.getnframes()


def write(path: pathlib.Path, sound: np.ndarray, sample_rate: int) -> None:
    """Writes a WAV file.

    Args:
        path: Where to.
        sound: Samples `[n]` of -1 to 1; what is louder is cut off.
        sample_rate: Samples a second.
    """
    samples = np.clip(np.rint(sound * 32768), -32768, 32767).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(samples.tobytes())


@contextlib.contextmanager
def _open(path: pathlib.Path, sample_rate: int) -> Iterator[wave.Wave_read]:
    """Opens a file, whose header is right."""
    try:
        with wave.open(str(path), "rb") as file:
            _check_header(path, file, sample_rate)
            yield file
    except (wave.Error, EOFError) as error:
        raise ValueError(
            f"{path} must be a WAV file of 16-bit PCM. Received: "
            f"{str(error) or 'one that ends too early'}. Convert or remove it."
        ) from None


def _check_header(
    path: pathlib.Path, file: wave.Wave_read, sample_rate: int
) -> None:
    bits = 8 * file.getsampwidth()
    found = file.getnchannels(), bits, file.getframerate()
    if found != (1, 16, sample_rate):
        raise ValueError(
            f"{path} must be of one channel, 16 bits and {sample_rate} Hz. "
            f"Received: {found[0]} channels, {bits} bits, {found[2]} Hz. "
            f"Convert it: sox IN.wav -c 1 -b 16 -r {sample_rate} OUT.wav"
        )
    if not file.getnframes():
        raise ValueError(
            f"{path} must have a sample or more. Received: none. Remove it."
        )
