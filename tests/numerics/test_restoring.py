import re

import hurt_network
import numpy as np
import pytest

from tf_cosearch.networks.importers import tflite_file
from tf_cosearch.numerics import debugger, restoring
from tf_cosearch.training import evaluate, mixed_precision, qat, session

APART = ["a_expand", "a_depthwise", "b_expand", "b_depthwise"]
"""Layers between which channels are scaled apart."""


@pytest.fixture(scope="module")
def hurt():
    """A float network, its int8 file, images, and what it says of them."""
    rng = np.random.default_rng(0)
    images = rng.normal(0, 1, (120, 8, 8, 1)).astype(np.float32)
    with session.private():
        session.seed(0, "build")
        model = hurt_network.build()
        last = model.layers[-1]
        kernel, bias = last.get_weights()
        logits = np.asarray(model(images))
        kernel = 10 * kernel / logits.std(0)
        last.set_weights([kernel, bias - 10 * logits.mean(0) / logits.std(0)])
        hurt_network.scale_apart(model)
        floats, int8 = qat.to_float_tflite(model), qat.to_tflite(model, images)
    labels = evaluate.predict(floats, images)
    assert np.bincount(labels).max() < 40
    return floats, int8, images, labels


def types(content):
    """The types of all tensors that layers put out, by layer."""
    graph = tflite_file.read_model(content).graphs[0]
    return {
        operator.name: {
            graph.tensors[i].type
            for i in (*operator.outputs, operator.inputs[0])
        }
        for operator in graph.operators
        if operator.op != "QUANTIZE"
    }


def test_what_is_sensitive_gets_its_bits_back(hurt):
    said = []
    result = restoring.Restoration(*hurt).run(5, said.append)
    assert result.accuracy_float == 1
    assert result.accuracy_lowest < 0.8
    assert result.is_met
    assert result.accuracy >= 0.95
    assert {each.part.layer for each in result.restored} == {*APART}
    assert {each.part.bits for each in result.restored} == {16}
    alone = [each.alone_db for each in result.restored]
    assert alone == sorted(alone)
    images, labels = hurt[2:]
    accuracy = evaluate.accuracy(result.content, [(images, labels)])
    assert accuracy == result.accuracy
    wide = {
        name
        for name, kinds in types(result.content).items()
        if "INT16" in kinds
    }
    assert len(wide) == 4
    assert all(any(layer in name for name in wide) for layer in APART)
    assert all("outliers" in each.cause for each in result.restored)
    causes = {each.part.layer: each.cause for each in result.restored}
    assert causes["a_depthwise"] == f"reads a_expand: {causes['a_expand']}"
    assert said[0].startswith("float 100.00%, lowest bits")
    before, after = (
        {
            report.name: report.errors.own_sqnr_db
            for report in debugger.compare(hurt[0], content, images[:32])
        }
        for content in (result.lowest, result.content)
    )
    assert all(after[layer] > 35 > 25 > before[layer] for layer in APART[::2])


def test_weights_of_four_bits_are_restored_where_needed(hurt):
    result = restoring.Restoration(*hurt, lowest_bits=4).run(20)
    whats = {each.part.what for each in result.restored}
    assert result.is_met
    assert whats == {"weights", "activations"}
    graph = tflite_file.read_model(result.content).graphs[0]
    narrow = [t for t in graph.tensors if t.type == "INT4"]
    eight = {e.part.layer for e in result.restored if e.part.bits == 8}
    assert 0 < len(narrow) < 8
    assert eight
    assert len(result.lowest) < len(result.content) < len(hurt[1]) + 4000


@pytest.fixture(scope="module")
def steps(hurt):
    """Files whose noise is measured, by part, and all steps there are."""
    restoration = restoring.Restoration(*hurt, lowest_bits=4)
    noise, measured = restoration._noise, []

    def noted(content):
        measured.append(content)
        return noise(content)

    restoration._noise = noted
    tried = restoration._restored(hurt[1], 2.0, lambda line: None)
    parts = restoration._parts
    return dict(zip(parts, measured, strict=True)), tried


def test_each_part_is_measured_in_a_file_where_it_is_low(steps):
    """Also weights that have 4 bits only beside activations of 8."""
    measured, _ = steps
    for part, content in measured.items():
        bits = mixed_precision.layer_bits(content)
        low = {layer for layer, (weights, _) in bits.items() if weights == 4}
        assert low == ({part.layer} if part.what == "weights" else set())
        if part.layer in bits and part.what == "activations":
            assert bits[part.layer][1] == 8
    assert {part.layer for part in measured if part.what == "weights"} == {
        *bits
    }


def test_each_row_tells_all_that_has_more_bits(hurt, steps):
    """Activations of 16 bits bring weights of 8 to a depthwise layer."""
    _, tried = steps
    restoration = restoring.Restoration(*hurt, lowest_bits=4)
    parts = [each.part for each in tried]
    assert len(parts) == len(set(parts)) == len(restoration._parts)
    for count in range(len(parts) + 1):
        bits = mixed_precision.layer_bits(restoration._content(parts[:count]))
        raised = {layer for layer, (weights, _) in bits.items() if weights == 8}
        told = {each.layer for each in parts[:count] if each.what == "weights"}
        assert raised == told
    pair = [each for each in tried if each.part.layer == "a_depthwise"]
    assert [each.part.what for each in pair] == ["weights", "activations"]
    assert restoration._pruned(pair, 0, lambda line: None) == pair


def test_nothing_is_restored_that_need_not_be(hurt):
    result = restoring.Restoration(*hurt).run(100)
    assert result.is_met
    assert result.restored == []
    assert result.content == result.lowest == hurt[1]


def test_needless_bits_are_taken_back(hurt, monkeypatch):
    """The least sensitive layer is taken for the most sensitive one."""
    restoration = restoring.Restoration(*hurt)
    noise, parts = restoration._noise, iter(restoration._parts)

    def lied(content):
        return 1e9 if next(parts).layer == "pool" else noise(content)

    monkeypatch.setattr(restoration, "_noise", lied)
    said = []
    result = restoration.run(5, said.append)
    assert said[2].startswith("pool: activations of 16 bits")
    assert said[-1] == "pool: activations not needed"
    assert {each.part.layer for each in result.restored} == {*APART}
    # Rows are of files without what was taken back.
    restored = [each.part.layer for each in result.restored]
    for count, each in enumerate(result.restored, 1):
        wide = dict.fromkeys(restored[:count], 16)
        content = mixed_precision.requantize(hurt[1], {}, wide)
        assert each.accuracy == evaluate.accuracy(content, [hurt[2:]])
    assert each.accuracy == result.accuracy


def test_a_limit_that_cannot_be_met_gives_the_best(hurt):
    """Labels that no network gives."""
    floats, int8, images, labels = hurt
    wrong = labels.copy()
    with_8 = evaluate.predict(int8, images)
    # In a tenth of the images the int8 file is right where they differ.
    wrong[::10] = with_8[::10]
    assert (wrong != labels).any()
    restoration = restoring.Restoration(floats, int8, images, wrong)
    restoration._parts = [
        part for part in restoration._parts if part.layer not in APART[2:]
    ]
    result = restoration.run(0)
    assert not result.is_met
    assert result.accuracy_lowest < result.accuracy < result.accuracy_float
    tried = restoration._restored(result.lowest, 2.0, lambda line: None)
    assert 0 < len(result.restored) < len(tried)
    best = max(result.accuracy_lowest, *(each.accuracy for each in tried))
    assert result.accuracy == best
    assert evaluate.accuracy(result.content, [(images, wrong)]) == best


@pytest.mark.parametrize(
    ("max_drop", "bits", "message"),
    [
        (-0.1, 8, "must be 0 points or more. Received: -0.1"),
        (float("nan"), 8, "must be 0 points or more"),
        (1, 5, "must be 8 or 4. Received: 5"),
    ],
)
def test_limits_that_make_no_sense_are_refused(hurt, max_drop, bits, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        restoring.Restoration(*hurt, lowest_bits=bits).run(max_drop)
