import numpy as np
import pytest
import tensorflow as tf

from tf_cosearch.tasks.speech.log_mel import LogMel

SETTINGS = [
    LogMel(),
    LogMel(bands=40, low_hz=0, high_hz=8000, window_ms=30, hop_ms=10),
    # Windows of odd length, which tf.signal does not make periodic.
    LogMel(sample_rate=11025, window_ms=25, hop_ms=10, high_hz=5512),
    LogMel(sample_rate=8000, clip_ms=512, window_ms=64, hop_ms=64),
]


def clips(features, count=3, seed=0):
    """Noise as loud as it comes, soft, and silence."""
    rng = np.random.default_rng(seed)
    loudness = np.resize([0.3, 1e-3, 0], count)[:, None]
    return rng.normal(size=(count, features.samples)) * loudness


def by_tensorflow(features, waveforms, dtype):
    rate = features.sample_rate
    window = rate * features.window_ms // 1000
    hop = rate * features.hop_ms // 1000
    spectra = tf.abs(tf.signal.stft(tf.cast(waveforms, dtype), window, hop))
    weights = tf.signal.linear_to_mel_weight_matrix(
        features.bands,
        spectra.shape[-1],
        rate,
        features.low_hz,
        features.high_hz,
        dtype,
    )
    return tf.math.log(spectra @ weights + 1e-6).numpy()


@pytest.mark.parametrize("features", SETTINGS)
def test_features_are_those_of_tensorflow(features):
    waveforms = clips(features)
    ours = features(waveforms)
    assert ours.dtype == np.float32
    assert ours.shape == (3, *features.shape)
    exact = by_tensorflow(features, waveforms, tf.float64)
    np.testing.assert_allclose(ours[..., 0], exact, atol=2e-6)
    single = by_tensorflow(features, waveforms, tf.float32)
    np.testing.assert_allclose(ours[..., 0], single, atol=2e-4)


def test_samples_of_files_are_fractions_of_full_scale():
    features = LogMel()
    samples = np.round(clips(features) * 32768).clip(-32768, 32767)
    np.testing.assert_array_equal(
        features(samples.astype(np.int16)), features(samples / 32768)
    )


def test_each_clip_is_on_its_own():
    """Also where there are more than are worked on together."""
    features = LogMel(sample_rate=1000, high_hz=500, bands=4)
    waveforms = clips(features, 70)
    single = [features(waveform[None])[0] for waveform in waveforms]
    np.testing.assert_allclose(features(waveforms), single, atol=1e-6)
    assert features(waveforms[:0]).shape == (0, 49, 4, 1)


def test_a_tone_is_in_the_band_of_its_pitch_while_it_lasts():
    features = LogMel()
    # Bands are 192 mel apart, the fifth is highest at 1127 ln(1 + f / 700).
    low, high = 1127 * np.log1p(np.array([20, 4000]) / 700)
    hertz = 700 * np.expm1((low + (high - low) * 5 / 11) / 1127)
    tone = np.sin(2 * np.pi * hertz * np.arange(16000) / 16000)
    tone[8000:] = 0
    heard = features(tone[None])[0, ..., 0]
    assert (heard[:24].argmax(axis=1) == 4).all()
    assert (heard[25:] == np.float32(np.log(1e-6))).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bands": 0}, "`bands` must be an integer of at least 1"),
        ({"hop_ms": 0.5}, "`hop_ms` must be an integer"),
        ({"window_ms": 1001}, "fit in a clip.*window_ms=1001"),
        ({"sample_rate": 40}, "A window must have 2 samples"),
        ({"sample_rate": 900, "hop_ms": 1, "high_hz": 400}, "a hop 1 or more"),
        ({"high_hz": 8001}, "half of the sample rate"),
        ({"low_hz": 4000}, "in this order"),
        ({"low_hz": "low"}, "low_hz must be a number"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LogMel(**options)


@pytest.mark.parametrize(
    ("waveforms", "message"),
    [
        (np.zeros((2, 15999)), r"\[N, 16000\]. Received: shape \(2, 15999\)"),
        (np.zeros(16000), "Received: shape"),
        (np.zeros((1, 16000), np.int32), "int16 or finite floats.*int32"),
        (np.full((1, 16000), np.nan), "finite floats"),
    ],
)
def test_other_waveforms_are_refused(waveforms, message):
    with pytest.raises(ValueError, match=message):
        LogMel()(waveforms)
