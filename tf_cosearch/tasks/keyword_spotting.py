"""Which word is said in a clip."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Mapping
from typing import ClassVar

from tf_cosearch.tasks.classification import Classification
from tf_cosearch.tasks.speech import speech_commands, tones
from tf_cosearch.tasks.speech.log_mel import LogMel
from tf_cosearch.tasks.task import Source, Splits, task


@task
class KeywordSpotting(LogMel, Classification):
    """A word a clip, told by its log-mel features, an image of one channel.

    Called with waveforms `[N, samples]` it makes features of them, which is
    what networks read; its other options are those of `LogMel`.

    Attributes:
        words: Which words to tell from each other, and from all others; all
            that there are, if there are none.

    Raises:
        ValueError: If an option is not possible.

    Example:
    >>> KeywordSpotting(words=("yes", "no")).shape
    (49, 10, 1)
    """

    has_pixels: ClassVar[bool] = False

    words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        is_list = isinstance(self.words, tuple)
        is_of_words = is_list and all(isinstance(w, str) for w in self.words)
        if not is_of_words or not (
            len(set(self.words)) == len(self.words) != 1
        ):
            raise ValueError(
                "words must be two or more different ones, or none for all. "
                f"Received: {self.words!r}. YAML takes yes, no, on and off for "
                "words only in quotes."
            )

    def sources(self) -> Mapping[str, Source]:
        """`wav:FOLDER`, of Speech Commands' layout, and `tones:CLIPS`."""
        return {"wav": self._wav, "tones": self._tones}

    def _wav(self, argument: str, image_size: tuple[int, int] | None) -> Splits:
        self._refuse(image_size)
        folder = pathlib.Path(argument)
        if not argument or not folder.exists():
            raise FileNotFoundError(
                f"wav:FOLDER must exist. Received: {argument!r}."
            )
        if not folder.is_dir():
            raise NotADirectoryError(
                "wav:FOLDER must be a folder with one folder of .wav files a "
                f"word. Received: the file {argument}."
            )
        splits, _ = speech_commands.load(folder, self, self.words)
        return dict(splits)

    def _tones(
        self, argument: str, image_size: tuple[int, int] | None
    ) -> Splits:
        """Made-up clips, by way of files, as those of real ones."""
        self._refuse(image_size)
        if argument and not argument.isdecimal():
            raise ValueError(
                "tones:CLIPS must be a number, how many clips a word has; "
                f"tones alone is 100. Received: {argument!r}."
            )
        with tempfile.TemporaryDirectory() as folder:
            tones.write(folder, int(argument or 100), self.sample_rate)
            return self._wav(folder, None)

    def _refuse(self, image_size: tuple[int, int] | None) -> None:
        if image_size not in (None, self.shape[:2]):
            raise ValueError(
                f"image_size must be left out for clips, whose features are "
                f"{self.shape[:2]}. Received: {image_size}. Set options of the "
                "task in the file of the space: bands, hop_ms."
            )
