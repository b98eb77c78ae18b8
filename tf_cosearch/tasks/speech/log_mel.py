"""What a keyword spotter sees of speech: loudness over time and pitch.

Features are computed outside the network, in NumPy, and are the numbers of
TensorFlow's own functions:

    spectra = tf.abs(tf.signal.stft(waveforms, window, hop))
    weights = tf.signal.linear_to_mel_weight_matrix(
        bands, spectra.shape[-1], sample_rate, low_hz, high_hz
    )
    features = tf.math.log(spectra @ weights + 1e-6)
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tf_cosearch import configuration

_OFFSET = 1e-6  # so that silence has a logarithm
_MOST = 1_000_000  # of samples a second, milliseconds and bands
_CHUNK = 64  # clips; their spectra take 30 MB
_FULL_SCALE = 32768  # of 16-bit samples, as in tf.audio.decode_wav


@dataclasses.dataclass(frozen=True)
class LogMel:
    """Makes clips into images of features, time down and pitch across.

    The defaults are the windows and pitches of DS-CNN, whose ten features a
    step are the cosine transform of these (Zhang et al., arXiv 1711.07128).

    Attributes:
        sample_rate: Samples a second.
        clip_ms: How long a clip is.
        window_ms: How long the stretch is that a spectrum is of.
        hop_ms: From one of these to the next.
        bands: Triangular filters, evenly apart on the mel scale.
        low_hz: Where the first one begins.
        high_hz: Where the last one ends.

    Raises:
        ValueError: If a number is not possible, or they do not fit each other.

    Example:
    Windows of 640 samples start at 0, 320, 640, ..., 15360.

    >>> features = LogMel()
    >>> features.samples, features.shape
    (16000, (49, 10, 1))
    >>> silence = features(np.zeros((2, 16000), np.int16))
    >>> silence.shape, round(float(silence.max()), 3)
    ((2, 49, 10, 1), -13.816)
    """

    sample_rate: int = 16_000
    clip_ms: int = 1000
    window_ms: int = 40
    hop_ms: int = 20
    bands: int = 10
    low_hz: float = 20.0
    high_hz: float = 4000.0

    def __post_init__(self) -> None:
        whole = "sample_rate", "clip_ms", "window_ms", "hop_ms", "bands"
        for name in whole:
            configuration.at_least(name, getattr(self, name), 1, _MOST)
        if self._hop < 1 or not 2 <= self._window <= self.samples:
            raise ValueError(
                "A window must have 2 samples or more and fit in a clip, a hop "
                f"1 or more. Received: {self}."
            )
        low = configuration.number(self.low_hz, "low_hz")
        high = configuration.number(self.high_hz, "high_hz")
        if not 0 <= low < high <= self.sample_rate / 2:
            raise ValueError(
                "low_hz and high_hz must be between 0 and half of the sample "
                f"rate, in this order. Received: {self}."
            )

    @property
    def samples(self) -> int:
        """Samples of a clip."""
        return self.sample_rate * self.clip_ms // 1000

    @property
    def shape(self) -> tuple[int, int, int]:
        """Steps of time, bands and one channel."""
        return 1 + (self.samples - self._window) // self._hop, self.bands, 1

    @property
    def _window(self) -> int:
        return self.sample_rate * self.window_ms // 1000

    @property
    def _hop(self) -> int:
        return self.sample_rate * self.hop_ms // 1000

    def __call__(self, waveforms: np.ndarray) -> np.ndarray:
        """Features of clips.

        Args:
            waveforms: Samples `[N, samples]`, int16 or floats of -1 to 1.

        Returns:
            float32 `[N, steps, bands, 1]`.

        Raises:
            ValueError: If they are of another length or type.
        """
        kind = waveforms.dtype.kind
        is_known = kind == "f" or waveforms.dtype == np.int16
        if waveforms.ndim != 2 or len(waveforms.T) != self.samples:
            raise ValueError(
                f"Waveforms must be [N, {self.samples}]. Received: shape "
                f"{waveforms.shape}."
            )
        if not is_known or not np.isfinite(waveforms).all():
            raise ValueError(
                "Waveforms must be int16 or finite floats. Received: "
                f"{waveforms.dtype}."
            )
        scale = 1 if kind == "f" else _FULL_SCALE
        features = np.empty((len(waveforms), *self.shape), np.float32)
        for start in range(0, len(waveforms), _CHUNK):
            part = slice(start, start + _CHUNK)
            features[part, ..., 0] = self._features(waveforms[part] / scale)
        return features

    def _features(self, waveforms: np.ndarray) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(
            waveforms, self._window, axis=-1
        )[:, :: self._hop]
        # As tf.signal does: the next power of two, and a window that is
        # periodic where it is of even length.
        length = 1 << (self._window - 1).bit_length()
        period = self._window - self._window % 2
        phases = 2 * np.pi * np.arange(self._window) / period
        hann = 0.5 - 0.5 * np.cos(phases)
        spectra = np.abs(np.fft.rfft(windows * hann, length))
        return np.asarray(np.log(spectra @ self._mel_weights(length) + _OFFSET))

    def _mel_weights(self, length: int) -> np.ndarray:
        """What each of a spectrum's numbers adds to each band."""
        hertz = np.fft.rfftfreq(length, 1 / self.sample_rate)
        pitch = _mel(hertz)[:, np.newaxis]
        low, high = _mel(np.array([self.low_hz, self.high_hz]))
        edges = np.linspace(low, high, self.bands + 2)
        rise = (pitch - edges[:-2]) / np.diff(edges)[:-1]
        fall = (edges[2:] - pitch) / np.diff(edges)[1:]
        return np.maximum(0, np.minimum(rise, fall))


def _mel(hertz: np.ndarray) -> np.ndarray:
    """Pitch on the mel scale, as in HTK and tf.signal."""
    return np.asarray(1127.0 * np.log1p(hertz / 700.0))
