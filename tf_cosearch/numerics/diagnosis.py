"""Why a layer is far from what it is in float, in words, and what to do."""

from __future__ import annotations

from typing import NamedTuple

from tf_cosearch.numerics.layer_errors import LayerErrors
from tf_cosearch.numerics.stated_scales import Doubt
from tf_cosearch.numerics.weight_errors import WeightErrors

HEALTHY_DB = 25.0
"""A layer that adds less noise itself needs no advice: a sine over all of 8
bits has 49.9 dB, and layers of trained networks 30 to 45."""

COARSE_DB = 30.0
"""Below it a layer is looked at for what may be wrong with its range."""

_OFF = 0.25  # of a gain: more is no rounding
_APART = 8.0  # ranges of channels; 3 of 8 bits are lost
_FEW = 0.3  # of a range: 2 bits are lost
_MOST = 0.5  # of an error
_SATURATED = 0.01  # of the numbers: more matters, whatever the error is
_TOLD = 0.0001  # of the numbers: 0.01 %
_STEPS = 2.0  # of the range: a shift that no rounding makes

# TFLite has one scale for what these put out.
_FIXED_RANGE = (
    "LOGISTIC",
    "TANH",
    "SOFTMAX",
    "LOG_SOFTMAX",
    "L2_NORMALIZATION",
)


class Diagnosis(NamedTuple):
    """What is wrong with a layer.

    Attributes:
        cause: In a few words.
        advice: What to do; empty if nothing.
        is_fault: Whether the file is wrong, not only coarse.
    """

    cause: str
    advice: str = ""
    is_fault: bool = False


ROUNDING = Diagnosis("rounding")
ACCUMULATION = Diagnosis(
    "accumulation of error: little of it is the layer's own",
    "See to the layers that add most themselves.",
)


def diagnose(
    kind: str,
    errors: LayerErrors,
    weights: WeightErrors | None,
    doubt: Doubt | None,
) -> Diagnosis:
    """Finds the likely cause of a layer's error.

    Args:
        kind: Its operator.
        errors: Of what it puts out.
        weights: Of its weights, if it has any.
        doubt: What biases say against a scale of it, if they do.
    """
    if doubt is not None and doubt.is_own:
        return Diagnosis(
            f"a wrong scale: it is {doubt.ratio:.3g} times the one that the "
            "biases of the layers after it are stored for",
            "Convert the layer again, or correct its scale in the file.",
            is_fault=True,
        )
    if doubt is not None and errors.own_sqnr_db < HEALTHY_DB:
        return Diagnosis(
            "a wrong scale of what it reads: its bias counts "
            f"{doubt.ratio:.3g} times",
            "See to the layer before it.",
        )
    own = errors.total("own_noise")
    is_noisy = errors.own_sqnr_db < HEALTHY_DB
    is_saturated = errors.total("clipped") > _MOST * own > 0
    is_saturated &= errors.saturated_share > 0
    if is_saturated and (is_noisy or errors.saturated_share > _SATURATED):
        return _saturated(errors, kind == "INPUT")
    if errors.total("rest") > _MOST * own:
        found = _of_weights(weights, is_noisy) if weights else None
        found = found or _of_outputs(errors, weights, is_noisy)
        if found is not None:
            return found
    if own > 0 and kind not in _FIXED_RANGE:
        found = _of_range(errors)
        if found is not None:
            return found
    if is_noisy:
        return Diagnosis(
            "too few steps",
            "Give the layer more bits, or train with quantization.",
        )
    return ACCUMULATION if errors.sqnr_db < HEALTHY_DB else ROUNDING


def _saturated(errors: LayerErrors, is_input: bool) -> Diagnosis:
    share = errors.saturated_share
    # Few of them may be most of the error.
    told = (
        f"{share:.2%}" if share >= _TOLD else f"{1e6 * share:.3g} in a million"
    )
    cause = f"saturation: {told} of the numbers are beyond the range"
    if is_input:
        advice = (
            "Scale images as for training: these are not those that the file "
            "was calibrated on."
        )
    else:
        advice = "Calibrate again, on more images or on images like these."
    return Diagnosis(cause, advice)


def _of_weights(weights: WeightErrors, is_noisy: bool) -> Diagnosis | None:
    """What is wrong with weights; None if they are as they should be."""
    is_coarse = weights.sqnr_db < HEALTHY_DB
    is_apart = weights.is_per_tensor and weights.spread > _APART
    if is_apart and is_coarse and is_noisy:
        return Diagnosis(
            "weight ranges of channels too far apart: channel "
            f"{weights.widest} has {weights.spread:.3g} times the median's, "
            "and all share one scale",
            "Quantize the weights channel by channel, or equalize the "
            "channels with the layer before.",
        )
    is_off = abs(weights.gain - 1) > _OFF
    if is_off and (is_noisy or not weights.is_per_tensor):
        return Diagnosis(
            f"a wrong scale of weights: those of channel {weights.channel} "
            f"are {weights.gain:.2g} times what they should be",
            "Convert the layer again, from the weights of the float model.",
            is_fault=True,
        )
    if is_coarse and is_noisy and not weights.lost_inputs:
        return Diagnosis(
            f"{weights.bits}-bit weights of {weights.sqnr_db:.0f} dB: too few "
            "bits, or those of another training",
            "Give the weights more bits; make sure that the float model is "
            "the one that the file was made from.",
        )
    return None


def _of_outputs(
    errors: LayerErrors, weights: WeightErrors | None, is_noisy: bool
) -> Diagnosis | None:
    """What is wrong with outputs of right weights in a range that suits."""
    channel, shift, explained = errors.shift
    loses_inputs = weights is not None and weights.lost_inputs > 0
    is_float = errors.quantization.is_float
    step = 0.0 if is_float else float(errors.quantization.scale[0])
    if explained > _MOST and abs(shift) > _STEPS * step:
        biases = None if weights is None else weights.biases
        if biases is not None and biases[channel] / shift > _MOST:
            return Diagnosis(
                f"a wrong bias: that of channel {channel} is "
                f"{biases[channel]:+.3g} off",
                "Convert the layer again, from the bias of the float model.",
                is_fault=True,
            )
        if is_noisy and not loses_inputs:
            return Diagnosis(
                "a shift: rounded weights and bias move channel "
                f"{channel} by {shift:+.3g}",
                "Take the shift off the bias, give the weights more bits, or "
                "train with quantization.",
            )
    if is_noisy and weights is not None and weights.lost_inputs:
        return Diagnosis(
            f"weights of {weights.lost_inputs} input channels round to little "
            f"or nothing: they reach {weights.smallest_input:.2g} times as far "
            "as those of another, and share its scale",
            "Equalize the channels with the layer before, whose outputs are "
            "scaled apart (16-bit activations, if these need them, come on "
            "top), or train with quantization.",
        )
    if abs(errors.gain - 1) > _OFF and is_noisy:
        return Diagnosis(
            f"a wrong scale: outputs are {errors.gain:.2g} times what they "
            "should be",
            "Convert the layer again: its file states a scale that its "
            "integers do not have.",
            is_fault=True,
        )
    return None


def _of_range(errors: LayerErrors) -> Diagnosis | None:
    """What is wrong with the range of the outputs; None if it suits."""
    used, bulk = errors.used_share, errors.bulk_share
    if used is None or bulk is None:
        return None
    if used < _FEW:
        return Diagnosis(
            f"a range that is too wide: {used:.0%} of it is used",
            "Calibrate again, on images like these: one of the calibration "
            "may have been an outlier.",
        )
    channel, reach = errors.widest_channel
    is_coarse = errors.own_sqnr_db < COARSE_DB
    if is_coarse and (bulk < _FEW or reach > _APART):
        if reach > _APART:
            who = f"channel {channel} reaches {reach:.3g} times the median's"
        else:
            who = f"99.9 % of the numbers lie in {bulk:.0%} of it"
        return Diagnosis(
            f"a range set by outliers: {who}",
            "Equalize the channels with the layer after, clip the range, or "
            "give the layer 16-bit activations.",
        )
    return None
