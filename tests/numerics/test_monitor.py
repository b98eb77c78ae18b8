import itertools
import json
import logging
import re

import numpy as np
import pytest
import tf_keras

import tf_cosearch as cs
from tf_cosearch import accelerators
from tf_cosearch.designs.export import FLOAT_WEIGHTS, MODEL, Design
from tf_cosearch.numerics import drift
from tf_cosearch.numerics.monitor import Limits
from tf_cosearch.training import qat, session


@pytest.fixture(scope="module")
def crowd():
    """Images of twenty kinds, from 0 to 1."""
    rng = np.random.default_rng(5)
    kinds = rng.random((20, 8, 8, 1))[rng.integers(20, size=4000)]
    noise = rng.random((4000, 8, 8, 1))
    return (0.8 * kinds + 0.2 * noise).astype(np.float32)


@pytest.fixture(scope="module")
def network(space):
    return space.decode(np.zeros(len(space.parameters), int)).network


@pytest.fixture(scope="module")
def design(network, crowd, tmp_path_factory):
    """A design of random weights, quantized after training."""
    folder = tmp_path_factory.mktemp("design")
    with session.private():
        session.seed(0, "build")
        model = network.build(tf_keras)
        rng = np.random.default_rng(0)
        model.set_weights(
            [rng.normal(0, 0.5, w.shape) for w in model.get_weights()]
        )
        for layer in model.layers:
            if "bn" in layer.name:
                layer.set_weights(
                    [np.abs(w) + 0.5 for w in layer.get_weights()]
                )
        # So that each class is the answer to some images.
        last = model.layers[-1]
        kernel, bias = last.get_weights()
        logits = np.asarray(model(crowd[:500]))
        scale = logits.std(0)
        last.set_weights([kernel / scale, (bias - logits.mean(0)) / scale])
        qat.save_weights(model, folder / FLOAT_WEIGHTS)
        (folder / MODEL).write_bytes(qat.to_tflite(model, crowd[:100]))
    return Design(
        network=network,
        accelerator=accelerators.default(),
        hyperparameters={},
        metrics={"accuracy_int8": 0.9, "accuracy_float": 0.9},
        folder=folder,
        trial_id="0",
        seed=0,
    )


@pytest.fixture(scope="module")
def answers(design, crowd):
    """What the float network says of each image."""
    from tf_cosearch.numerics import reference
    from tf_cosearch.training import evaluate

    runner = evaluate.Runner(reference.of_design(design))
    return runner.outputs(crowd).argmax(-1)


@pytest.fixture
def monitor(design, crowd, answers):
    made = cs.AccuracyMonitor(design, window=200, agreement=False)
    made.calibrate(crowd[:1000], answers[:1000])
    return made


def without_time(reports):
    return [{k: v for k, v in r.items() if k != "at"} for r in reports]


def test_what_is_normal_raises_no_alarm(design, crowd, answers):
    monitor = cs.AccuracyMonitor(design, window=500)
    monitor.calibrate(crowd[:1000], answers[:1000])
    reports = monitor.update(crowd[1000:2200], answers[1000:2200])
    assert [report["images"] for report in reports] == [500, 1000]
    assert [report["alarms"] for report in reports] == [[], []]
    for report in reports:
        # Labels are what the float network says.
        assert report["agreement"] == report["accuracy"] > 0.9
        low, high = report["accuracy_interval"]
        assert low < report["accuracy"] <= high
    rest = monitor.report()
    assert (rest["images"], rest["window"]) == (1200, 200)
    json.dumps(rest)


def test_other_images_are_told(monitor, crowd):
    [report] = monitor.update(3 * crowd[1000:1200])
    text = "; ".join(report["alarms"])
    for name in ("input_psi", "beyond", "saturation"):
        assert f"{name} is" in text
    assert report["input_highest"] == 3 * crowd[1000:1200].max()
    assert report["accuracy"] is None
    low, high = monitor._low, monitor._high
    beyond = (3 * crowd[1000:1200] > high) | (crowd[1000:1200] < low / 3)
    assert abs(report["beyond"] - beyond.mean()) < 1e-6


def test_saturation_late_in_a_window_is_told(monitor, crowd):
    late = np.concatenate([crowd[1000:1100], 3 * crowd[1100:1200]])
    [report] = monitor.update(late)
    assert report["saturation_images"] == 32
    assert any("saturation is" in alarm for alarm in report["alarms"])
    probed = []
    monitor._probe = lambda tally, image: probed.append(image)
    for part in np.split(crowd[:200], [1, 7, 150]):
        monitor.update(part)
    places = [
        np.abs(crowd[:200] - each).sum((1, 2, 3)).argmin() for each in probed
    ]
    assert {*np.diff(places)} == {6, 7}
    assert places[-1] == 199


def test_saturation_of_few_images_raises_no_alarm(design, crowd):
    monitor = cs.AccuracyMonitor(design, window=1000, agreement=False)
    monitor.calibrate(crowd[:300])
    monitor.update(3 * crowd[:300])
    report = monitor.report()
    assert (report["saturation_images"], report["window"]) == (9, 300)
    assert report["saturation"] > 0.05
    assert not any("saturation" in alarm for alarm in report["alarms"])
    monitor.update(3 * crowd[:300])
    assert any("saturation" in each for each in monitor.report()["alarms"])


def test_one_sided_predictions_are_told(monitor, crowd, answers):
    assert np.bincount(answers).max() < 2000
    kind = np.bincount(answers).argmax()
    alike = crowd[1000:][answers[1000:] == kind][:200]
    assert len(alike) == 200
    [report] = monitor.update(alike)
    text = "; ".join(report["alarms"])
    assert "prediction_psi is" in text
    assert "input_psi" not in text


def test_a_lower_accuracy_is_told_once_it_is_sure(monitor, crowd, answers):
    def some_wrong(start, end, wrong):
        labels = answers[start:end].copy()
        labels[:wrong] = (labels[:wrong] + 1) % 10
        return crowd[start:end], labels

    monitor.calibrate(*some_wrong(0, 1000, 200))
    [usual] = monitor.update(*some_wrong(1000, 1200, 45))
    [report] = monitor.update(*some_wrong(1200, 1400, 80))
    assert usual["alarms"] == []
    assert [alarm.split()[0] for alarm in report["alarms"]] == ["accuracy"]
    # As many wrong ones in proportion, of which few have a label.
    images, labels = some_wrong(1400, 1600, 4)
    labels[10:] = -1
    [report] = monitor.update(images, labels)
    assert (report["accuracy_images"], report["alarms"]) == (10, [])
    assert report["accuracy"] <= 0.6


def test_a_restart_changes_nothing(design, crowd, answers, tmp_path):
    def reports_of(state, cuts):
        found = []
        for start, end in itertools.pairwise(cuts):
            monitor = cs.AccuracyMonitor(
                design, window=100, agreement=False, state=state
            )
            if not monitor.is_calibrated:
                monitor.calibrate(crowd[:500], answers[:500])
            found += monitor.update(crowd[start:end], answers[start:end])
            monitor.read = str(end)
            monitor.save()
        return without_time(found), monitor

    once, monitor = reports_of(tmp_path / "one.json", [500, 950])
    often, other = reports_of(tmp_path / "two.json", [500, 550, 730, 731, 950])
    assert once == often
    assert len(once) == 4
    assert without_time([monitor.report()]) == without_time([other.report()])
    assert (other.images, other.read) == (450, "950")


def test_memory_does_not_grow(design, crowd, tmp_path):
    path = tmp_path / "state.json"
    monitor = cs.AccuracyMonitor(design, agreement=False, state=path)
    monitor.calibrate(crowd[:500])
    sizes = []
    for count in (1, 40):
        for _ in range(count):
            monitor.update(crowd[:900])
        monitor.save()
        sizes.append(path.stat().st_size)
    assert monitor.images == 41 * 900
    assert sizes[1] < 1.05 * sizes[0]
    arrays = [v for v in vars(monitor._current).values() if np.ndim(v)]
    assert sum(array.size for array in arrays) < 1000


@pytest.mark.slow
def test_a_million_images_take_no_more_memory(design, crowd):
    import tracemalloc

    monitor = cs.AccuracyMonitor(design, window=100_000, agreement=False)
    monitor.calibrate(crowd[:500])
    monitor.update(crowd)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(250):
        monitor.update(crowd)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert monitor.images == 251 * 4000
    assert after - before < 2**17


@pytest.fixture
def stored(design, crowd, tmp_path):
    """The file of a state."""
    path = tmp_path / "state.json"
    monitor = cs.AccuracyMonitor(
        design, window=100, agreement=False, state=path
    )
    monitor.calibrate(crowd[:500])
    monitor.update(crowd[500:550])
    monitor.save()
    return path


def again(design, path, **given):
    given = {"window": 100, "agreement": False, **given}
    return cs.AccuracyMonitor(design, state=path, **given)


def damaged(text, damage):
    content = json.loads(text)
    damage(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:100],
        lambda text: "",
        lambda text: "[]",
        lambda text: damaged(text, lambda c: c.pop("baseline")),
        lambda text: damaged(text, lambda c: c.update(version=99)),
        lambda text: damaged(text, lambda c: c["current"].update(images=-5)),
        lambda text: damaged(text, lambda c: c["current"].update(images=51)),
        lambda text: damaged(text, lambda c: c["current"].update(correct=5)),
        lambda text: damaged(text, lambda c: c["current"]["pixels"].pop()),
        lambda text: damaged(
            text, lambda c: c["baseline"]["predictions"].append(2**70)
        ),
        lambda text: damaged(text, lambda c: c["current"].update(lowest="low")),
    ],
)
def test_a_damaged_state_is_refused_and_stays(design, stored, damage):
    wrong = damage(stored.read_text())
    for path in (stored, stored.with_name(f"{stored.name}.bak")):
        path.write_text(wrong)
    with pytest.raises(ValueError, match="must be the state of a monitor"):
        again(design, stored)
    assert stored.read_text() == wrong


def test_a_state_is_read_from_its_copy(design, stored, caplog):
    stored.write_text("{")
    with caplog.at_level(logging.WARNING):
        assert again(design, stored).images == 50
    assert "its copy is used" in caplog.text


def test_a_state_of_other_images_is_refused(design, stored, tmp_path):
    with pytest.raises(ValueError, match="go on with its window"):
        again(design, stored, window=200)
    with pytest.raises(ValueError, match=r"its agreement\. Received: True"):
        again(design, stored, agreement=True)
    content = json.loads(stored.read_text())
    content["model"] = "0" * 64
    stored.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"another model\.tflite"):
        again(design, stored)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((0, 8, 8, 1)), None, "an empty batch"),
        (np.zeros((2, 8, 8, 3)), None, "shape (2, 8, 8, 3)"),
        (np.full((2, 8, 8, 1), np.nan), None, "NaN or infinity in 2 of 2"),
        (np.full((2, 8, 8, 1), "0"), None, "must be numbers. Received: dtype"),
        (np.zeros((2, 8, 8, 1), complex), None, "must be numbers. Received"),
        (np.zeros((2, 8, 8, 1)), [1], "of shape (1,) for 2 images"),
        (np.zeros((2, 8, 8, 1)), [0.5, 1], "float64 of shape (2,)"),
        (np.zeros((2, 8, 8, 1)), [0, 10], "from 0 to 9"),
    ],
)
def test_what_cannot_be_counted_is_refused(monitor, images, labels, message):
    before = monitor._current.state()
    with pytest.raises(ValueError, match=re.escape(message)):
        monitor.update(images, labels)
    assert monitor._current.state() == before
    assert monitor.images == 0


def test_arguments_that_make_no_sense_are_refused(design, crowd):
    with pytest.raises(ValueError, match="accuracy must be 0 or more"):
        Limits(accuracy=-0.1)
    with pytest.raises(ValueError, match="at least 50"):
        cs.AccuracyMonitor(design, window=3)
    with pytest.raises(TypeError, match="load_design"):
        cs.AccuracyMonitor(design.folder)
    monitor = cs.AccuracyMonitor(design, agreement=False)
    with pytest.raises(RuntimeError, match="before `calibrate`"):
        monitor.update(crowd[:10])
    with pytest.raises(ValueError, match="50 images or more"):
        monitor.calibrate(crowd[:10])


def test_chance_raises_no_alarms():
    """Of few images a window, with classes of which some are rare."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(20))
    before = rng.multinomial(500, shares)
    found = [
        drift.stability_index(before, rng.multinomial(100, shares))
        for _ in range(500)
    ]
    assert max(found) < 0.25
    moved = rng.multinomial(100, np.roll(shares, 3))
    assert drift.stability_index(before, moved) > 0.5


def digits():
    from sklearn import datasets

    images = datasets.load_digits().images[..., None] / 16
    return images, 1 - images


def lit():
    """Of which all pixels share a light, which is far off in a few."""
    rng = np.random.default_rng(0)
    light = rng.choice([0, 0.3, 0.6], (1000, 1, 1, 1), p=[0.8, 0.15, 0.05])
    noise = rng.random((1000, 8, 8, 1))
    return light + 0.4 * noise**3, light + 0.4 * (1 - noise**3)


def flat():
    """Of which all pixels are one number."""
    light = np.random.default_rng(0).random((1000, 1, 1, 1))
    images = np.tile(light, (1, 8, 8, 1))
    return images, np.where(images > 0.5, 0.1, 0.2)


@pytest.mark.parametrize("kind", [digits, lit, flat])
def test_drift_of_pixels_is_told_and_chance_is_not(monitor, kind):
    """In few images, of which bins hold pixels."""
    usual, moved = kind()
    low, high = monitor._low, monitor._high = 0.0, 1.0

    def tallied(images):
        tally = monitor._new_tally()
        tally.add_pixels(images, low, high)
        tally.predictions[0] = len(images)
        return tally

    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(usual))
        monitor._baseline = tallied(usual[order[:400]])
        for count in (50, 100):
            some = order[400 : 400 + count]
            monitor._current = tallied(usual[some])
            assert monitor.report()["input_psi"] < 0.1
            monitor._current = tallied(moved[some])
            assert monitor.report()["input_psi"] > 0.5


def test_equal_shares_are_no_drift_however_many_bins_are_empty():
    shares = np.array([0.5, 0.3, 0.2, *np.zeros(31)])
    for before, now in ((10_000, 50), (50, 10_000), (1000, 1000)):
        assert drift.stability_index(before * shares, now * shares) == 0


def test_chance_raises_no_alarms_of_a_thousand_classes():
    rng = np.random.default_rng(0)
    for shares in (np.full(1000, 0.001), rng.dirichlet(np.full(1000, 0.3))):
        for before, now in ((5000, 1000), (500, 50), (50, 50), (200, 5000)):
            index = drift.stability_index(
                rng.multinomial(before, shares), rng.multinomial(now, shares)
            )
            assert index < 0.1


@pytest.mark.parametrize("before", [1000, 10_000])
def test_drift_of_a_thousand_classes_is_told(before):
    """Of which a window has fewer than one each."""
    rng = np.random.default_rng(0)
    usual = rng.multinomial(before, np.full(1000, 0.001))
    for gone in (np.arange(1000) < 500, np.arange(1000) % 2 == 0):
        half = rng.multinomial(1000, ~gone / 500)
        assert drift.stability_index(usual, half) > 0.5
    for window in (50, 200):
        alike = np.zeros(1000)
        alike[7] = window
        assert drift.stability_index(usual, alike) > 0.5


def test_intervals_hold_what_they_promise():
    rng = np.random.default_rng(0)
    hits = [
        low <= 0.9 <= high
        for low, high in (
            drift.wilson(int(rng.binomial(80, 0.9)), 80) for _ in range(2000)
        )
    ]
    assert 0.93 < np.mean(hits) < 0.97
