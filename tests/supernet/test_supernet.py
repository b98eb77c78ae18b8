"""A supernet trains the same whatever stops it, and says what it is of."""

import dataclasses
import errno
import fcntl
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf

import tf_cosearch as cs
from tf_cosearch import files, machine, seeds
from tf_cosearch.identity import AnotherRunError
from tf_cosearch.networks.spaces.template import Template
from tf_cosearch.supernet import optimizer, saved, supernet, training
from tf_cosearch.supernet import progress as progress_lib
from tf_cosearch.supernet.supernet import Supernet
from tf_cosearch.training import checkpoint, fingerprint, inputs

CONTENT = {
    "stem": {"filters": 8},
    "stages": [
        {
            "block": ["conv_bn", "inverted_residual"],
            "filters": [8, 12],
            "expansion": [1, 2],
            "stride": 2,
        }
    ],
    "head": {"dropout": 0.2},
}
OPTIONS = cs.SupernetOptions(epochs=4, paths="sandwich")
STEPS = 2


def make_space(classes=3, shape=(8, 8, 1), **changes):
    return Template({**CONTENT, **changes}, "tiny", shape, classes)


SPACE = make_space()


def make_data(count=64, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random((count, 8, 8, 1)).astype(np.float32)
    y = np.arange(count) % 3
    prepared = inputs.prepare(
        x,
        y,
        input_shape=(8, 8, 1),
        classes=3,
        validation_data=(x[:8], y[:8]),
        batch_size=-(-count // STEPS),
    )
    told = fingerprint.describe_splits((x, y), (x[:8], y[:8]), 3)
    return prepared, told


DATA, TOLD = make_data()


def train(folder, options=OPTIONS, seed=1, networks=SPACE, **others):
    net = Supernet(networks, options, seed)
    net.train(DATA, folder, **{"described": TOLD, **others})
    return net


def assert_same(one, other):
    assert one.losses == other.losses
    assert list(one.weights.arrays) == list(other.weights.arrays)
    for key, array in one.weights.arrays.items():
        np.testing.assert_array_equal(array, other.weights.arrays[key])


class Killed(BaseException):
    """What no code catches."""


def stop_after(epoch, error=Killed):
    def on_epoch(epochs, loss):
        if epochs == epoch:
            raise error

    return on_epoch


@pytest.fixture(autouse=True)
def _every_epoch(monkeypatch):
    """Writes a checkpoint after each epoch, however short it is."""
    monkeypatch.setattr(checkpoint, "SHARE", np.inf)


@pytest.fixture
def no_weights(monkeypatch):
    """Fails to go through the blocks of a space, which may take long."""
    monkeypatch.setattr("tf_cosearch.supernet.weights.survey", None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished supernet, not to be written to."""
    folder = tmp_path_factory.mktemp("supernets") / "finished"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "SHARE", np.inf)
        train(folder)
    return folder


@pytest.fixture(scope="module")
def whole(finished):
    """That supernet, trained once more, without a folder."""
    net = Supernet(SPACE, OPTIONS, 1)
    net.train(DATA)
    assert_same(net, Supernet.load(finished, SPACE, TOLD))
    return net


@pytest.fixture(scope="module")
def begun_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("supernets") / "begun"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "SHARE", np.inf)
        with pytest.raises(Killed):
            train(folder, on_epoch=stop_after(3))
    return folder


@pytest.fixture
def begun(begun_folder, tmp_path):
    """The folder of one that was killed in the end of its third epoch."""
    return shutil.copytree(begun_folder, tmp_path / "begun")


def test_the_seed_decides(whole):
    net = Supernet(SPACE, OPTIONS, 2)
    net.train(DATA)
    assert net.losses != whole.losses


def test_what_is_killed_goes_on_to_the_bit(whole, begun):
    done = []
    net = train(begun, on_epoch=lambda epochs, loss: done.append(epochs))
    assert done == [3, 4]
    assert_same(net, whole)
    # Nothing is left to train.
    again = train(begun, on_epoch=lambda epochs, loss: done.append(epochs))
    assert done == [3, 4]
    assert_same(again, whole)


@pytest.mark.parametrize("step", [1, 5])
def test_an_interruption_keeps_what_is_finished(
    whole, tmp_path, monkeypatch, step
):
    """Within an epoch, when its weights are neither those before nor after."""
    monkeypatch.setattr(checkpoint, "SHARE", 1e-9)  # only the first is due
    real = training.train_step

    def interrupted(*args):
        loss = real(*args)
        if args[-1] == seed_of(step):
            raise KeyboardInterrupt
        return loss

    net = Supernet(SPACE, OPTIONS, 1)
    with monkeypatch.context() as patch:
        patch.setattr(training, "train_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            net.train(DATA, tmp_path, TOLD)
    assert net.epochs == step // STEPS
    done = []
    other = train(tmp_path, on_epoch=lambda epochs, loss: done.append(epochs))
    assert done[0] == step // STEPS + 1
    assert_same(other, whole)
    net.train(DATA)  # the one that was interrupted itself
    assert_same(net, whole)


def seed_of(step):
    """What a step of these trainings is told."""
    return seeds.derive(1, step) % 2**31


@pytest.mark.parametrize("epoch", [2, 4])
def test_an_interruption_at_the_end_of_an_epoch(
    whole, tmp_path, monkeypatch, epoch
):
    monkeypatch.setattr(checkpoint, "SHARE", 1e-9)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, on_epoch=stop_after(epoch, KeyboardInterrupt))
    done = []
    net = train(tmp_path, on_epoch=lambda epochs, loss: done.append(epochs))
    assert done == list(range(epoch + 1, 5))
    assert_same(net, whole)
    # What is finished is saved, whether a checkpoint is due or not.
    assert_same(Supernet.load(tmp_path, SPACE), whole)


def test_a_finished_one_has_weights_alone(finished, whole):
    size = (finished / "supernet.checkpoint").stat().st_size
    assert size < 1.5 * 4 * whole.weights.count + 4000
    before = (finished / "supernet.checkpoint.before").stat().st_size
    assert before > 2 * 4 * whole.weights.count


SCRIPT = """
    import os, signal, sys
    sys.path.insert(0, {tests!r})
    import numpy as np, test_supernet
    from tf_cosearch.training import checkpoint

    checkpoint.SHARE = np.inf
    done = []
    def on_epoch(epochs, loss):
        done.append(epochs)
        if epochs == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
    test_supernet.train(sys.argv[1], on_epoch=on_epoch)
    print(done)
"""


@pytest.mark.slow
def test_another_process_goes_on_after_sigkill(whole, tmp_path):
    here = os.path.dirname(__file__)
    script = textwrap.dedent(SCRIPT).format(tests=here)

    def run(killed):
        return subprocess.run(
            [sys.executable, "-c", script, str(tmp_path), str(killed)],
            capture_output=True,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": os.path.dirname(os.path.dirname(here)),
            },
        )

    assert run(2).returncode == -signal.SIGKILL
    assert run(4).returncode == -signal.SIGKILL
    last = run(0)
    assert last.stdout == "[4]\n", last.stderr
    assert_same(Supernet.load(tmp_path, SPACE, TOLD), whole)


def test_it_is_of_one_process(tmp_path):
    with open(tmp_path / files.LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RuntimeError, match="at a time"):
            train(tmp_path)


@pytest.mark.parametrize(
    ("networks", "told", "words"),
    [
        (make_space(stem={"filters": 16}), TOLD, "space"),
        (make_space(classes=4), TOLD, "space.classes=3, not 4"),
        (make_space(shape=(9, 8, 1)), TOLD, r"space.input_shape=\[8, 8, 1\]"),
        (SPACE, make_data(seed=1)[1], "data.training_sample="),
        (SPACE, make_data(66)[1], "data.training_examples=64, not 66"),
    ],
)
def test_one_of_another_space_or_data_is_refused(
    finished, begun, networks, told, words, no_weights
):
    with pytest.raises(AnotherRunError, match=words):
        Supernet.load(finished, networks, told)
    with pytest.raises(AnotherRunError, match=words):
        Supernet(networks, OPTIONS, 1).train(DATA_OF(networks), begun, told)


def DATA_OF(networks):  # noqa: N802
    """Data for any input shape."""
    x = np.zeros((64, *networks.input_shape), np.float32)
    y = np.arange(64) % 3
    return inputs.prepare(
        x,
        y,
        input_shape=networks.input_shape,
        classes=networks.classes,
        validation_data=(x, y),
    )


@pytest.mark.parametrize(
    ("options", "seed", "words"),
    [
        (dataclasses.replace(OPTIONS, epochs=5), 1, "options.epochs=4, not 5"),
        (
            dataclasses.replace(OPTIONS, apart=()),
            1,
            r"options.apart=\[block\], not \[\]",
        ),
        (OPTIONS, 2, "training.seed=1, not 2"),
    ],
)
def test_other_options_cannot_go_on(begun, options, seed, words, no_weights):
    with pytest.raises(AnotherRunError, match=words):
        train(begun, options, seed)


@pytest.mark.parametrize(
    ("constant", "words"),
    [
        ("MOMENTUM", "optimizer.momentum=0.9, not 0.5"),
        ("DECAY", "optimizer.decay=0.0001, not 0.5"),
        ("LARGEST_NORM", "optimizer.largest_norm=0.3, not 0.5"),
    ],
)
def test_another_optimizer_cannot_go_on(
    begun, finished, monkeypatch, constant, words, caplog
):
    monkeypatch.setattr(optimizer, constant, 0.5)
    with pytest.raises(AnotherRunError, match=re.escape(words)):
        train(begun)
    # What is finished serves, as it is.
    assert Supernet.load(finished, SPACE, TOLD).is_finished
    assert f"by another optimizer: {words}" in caplog.text


def test_the_same_optimizer_is_not_remarked(finished, caplog):
    Supernet.load(finished, SPACE, TOLD)
    assert not caplog.text


def test_memory_to_plan_with(finished):
    size = 4 * Supernet(SPACE, OPTIONS).weights.count
    assert supernet.memory_bytes(SPACE, OPTIONS) == (size, 4 * size)
    assert supernet.memory_bytes(SPACE, finished) == (size, 2 * size)
    more = dataclasses.replace(OPTIONS, norms_apart=True)
    assert supernet.memory_bytes(SPACE, more)[0] > size


def test_moments_are_not_kept_of_what_is_finished(whole):
    assert "_optimizer" not in vars(whole)


def test_another_batch_size_cannot_go_on(begun, no_weights):
    other = dataclasses.replace(DATA, batch_size=16)
    with pytest.raises(AnotherRunError, match="batch_size=32, not 16"):
        Supernet(SPACE, OPTIONS, 1).train(other, begun, TOLD)


def test_before_the_first_checkpoint_all_may_change(tmp_path):
    with pytest.raises(FloatingPointError):
        train(tmp_path, dataclasses.replace(OPTIONS, learning_rate=1e38))
    assert not list(tmp_path.glob("*.checkpoint*"))
    assert train(tmp_path).is_finished
    assert Supernet.load(tmp_path, SPACE).options == OPTIONS


def test_an_unfinished_one_cannot_be_used(begun, no_weights):
    with pytest.raises(ValueError, match="after 2 of 4 epochs"):
        Supernet.load(begun, SPACE, TOLD)


def test_a_folder_without_one(tmp_path):
    (tmp_path / "trials.csv").touch()
    for folder in (tmp_path, tmp_path / "nowhere", tmp_path / "trials.csv"):
        with pytest.raises(FileNotFoundError, match=r"Received: .*Train one"):
            Supernet.load(folder, SPACE)
    with pytest.raises(NotADirectoryError, match="a file"):
        train(tmp_path / "trials.csv")
    with pytest.raises(ValueError, match="`described` must be given"):
        Supernet(SPACE, OPTIONS).train(DATA, tmp_path)


def edit(folder, **changes):
    for path in folder.glob(f"{saved.FILE}*"):
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_another_format_is_refused(begun):
    edit(begun, format=0)
    with pytest.raises(ValueError, match="it is of format 0"):
        Supernet.load(begun, SPACE)
    with pytest.raises(ValueError, match="it is of format 0"):
        train(begun)


def test_the_copy_of_a_damaged_description(begun, whole):
    (begun / saved.FILE).write_text("{")
    assert_same(train(begun), whole)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}'])
def test_a_damaged_description(begun, content):
    for path in begun.glob(f"{saved.FILE}*"):
        path.write_text(content)
    with pytest.raises(ValueError, match="must be of a supernet of this"):
        train(begun)


def test_blocks_that_have_changed(begun):
    weights = json.loads((begun / saved.FILE).read_text())["weights"]
    edit(begun, weights={**weights, "logits/bias": [4]})
    with pytest.raises(
        ValueError,
        match=r"logits/bias is \[4\], not \[3\]. Blocks have changed",
    ):
        train(begun)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip])
def test_damaged_weights(begun, whole, damage, caplog):
    newest = begun / "supernet.checkpoint"
    damage(newest)
    done = []
    net = train(begun, on_epoch=lambda epochs, loss: done.append(epochs))
    assert f"{newest} cannot be read" in caplog.text
    assert done == [2, 3, 4]
    assert_same(net, whole)
    for path in begun.glob("*.checkpoint*"):
        damage(path)
    for use in (train, lambda folder: Supernet.load(folder, SPACE)):
        with pytest.raises(ValueError, match=r"must be whole.*--overwrite"):
            use(begun)


@pytest.mark.parametrize("which", [3, -1])  # a weight, a moment
@pytest.mark.parametrize(
    "spoil", [lambda a: a.astype(np.float64), lambda a: a + np.inf]
)
def test_weights_that_are_none(begun, spoil, which):
    kept = saved.SavedSupernet(begun, saved.read(begun))
    state = kept.load()
    state.variables[which] = spoil(state.variables[which])
    kept.save(state)
    with pytest.raises(ValueError, match="must be finite, of float32"):
        Supernet.load(begun, SPACE)


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path, whole, monkeypatch):
    real, writes = checkpoint.files.replace, []

    def full(temporary, path):
        if "checkpoint" in str(path):
            writes.append(path)
            if len(writes) > 2:
                raise OSError(errno.ENOSPC, "No space left on device")
        real(temporary, path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.files, "replace", full)
        for _ in range(2):
            with pytest.raises(OSError, match=r"Make room .* same command"):
                train(tmp_path)
    done = []
    net = train(tmp_path, on_epoch=lambda epochs, loss: done.append(epochs))
    assert done == [3, 4]
    assert_same(net, whole)


def test_a_loss_that_is_none_stops_it(begun, monkeypatch):
    before = {path: path.read_bytes() for path in begun.glob("*.checkpoint*")}
    real = training.train_step

    def diverges(weights, *args):
        loss = real(weights, *args)
        weights.arrays["logits/bias"][:] = np.nan
        return math.nan if args[-1] == seed_of(5) else loss

    net = Supernet(SPACE, OPTIONS, 1)
    with monkeypatch.context() as patch:
        patch.setattr(training, "train_step", diverges)
        with pytest.raises(
            FloatingPointError,
            match=r"be finite\. Received: nan in epoch 3\. Lower",
        ):
            net.train(DATA, begun, TOLD)
    assert net.epochs == 2
    assert np.isfinite(net.weights.arrays["logits/bias"]).all()
    assert before == {p: p.read_bytes() for p in begun.glob("*.checkpoint*")}


def test_weights_that_are_lost_in_the_last_step(monkeypatch):
    def diverges(weights, *args):
        weights.arrays["logits/bias"][:] = np.inf
        return 1.0

    monkeypatch.setattr(training, "train_step", diverges)
    with pytest.raises(FloatingPointError, match=r"finite weights.*epoch 1"):
        Supernet(SPACE, OPTIONS, 1).train(DATA)


@pytest.mark.parametrize(
    ("loss", "epochs"), [(3.2 * math.log(3), 3), (2.8 * math.log(3), 4)]
)
def test_worse_than_guessing_is_divergence(monkeypatch, loss, epochs):
    assert (supernet.FIRST_EPOCHS, supernet.FAR) == (3, 3.0)
    monkeypatch.setattr(training, "train_step", lambda *args: loss)
    net = Supernet(SPACE, OPTIONS, 1)
    if epochs < 4:
        with pytest.raises(FloatingPointError, match=r"guessing, 1\.10, or"):
            net.train(DATA)
    else:
        net.train(DATA)
    assert net.epochs == epochs


def test_more_weights_than_memory_are_refused(monkeypatch, finished):
    weights = Supernet(SPACE, OPTIONS).weights.count
    monkeypatch.setattr(machine, "memory_bytes", lambda: 16 * weights - 1)
    # Before any is made.
    monkeypatch.setattr("tf_cosearch.supernet.weights._initial", None)
    with pytest.raises(ValueError, match="must fit 4 times into memory"):
        Supernet(SPACE, OPTIONS).train(DATA)
    monkeypatch.undo()
    # To use one takes less.
    monkeypatch.setattr(machine, "memory_bytes", lambda: 8 * weights)
    assert Supernet.load(finished, SPACE).is_finished
    monkeypatch.setattr(machine, "memory_bytes", lambda: 8 * weights - 1)
    with pytest.raises(ValueError, match="fit 2 times"):
        Supernet.load(finished, SPACE)


def test_data_that_do_not_do(no_weights):
    net = Supernet(SPACE, OPTIONS)
    with pytest.raises(ValueError, match=r"32 or more.*Received: 31 training"):
        net.train(make_data(31)[0])
    other = make_space(shape=(9, 8, 1))
    with pytest.raises(ValueError, match=r"Received: \(9, 8, 1\)"):
        net.train(DATA_OF(other))
    heavy = dataclasses.replace(DATA, class_weight={0: 1, 1: 2, 2: 1})
    with pytest.raises(ValueError, match="Received: class_weight"):
        net.train(heavy)
    x, y = np.zeros((64, 8, 8, 1), np.float32), np.arange(64) % 3
    weighted = tf.data.Dataset.from_tensor_slices((x, y, y)).batch(32)
    prepared = inputs.prepare(
        weighted,
        input_shape=(8, 8, 1),
        classes=3,
        validation_data=weighted,
    )
    with pytest.raises(ValueError, match="Received: sample weights"):
        net.train(prepared)
    assert net.epochs == 0


def test_a_pipeline_is_read_once_an_epoch():
    x, y = np.zeros((64, 8, 8, 1), np.float32), np.arange(64) % 3
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    prepared = inputs.prepare(
        batches, input_shape=(8, 8, 1), classes=3, validation_data=batches
    )
    net = Supernet(SPACE, OPTIONS)
    net.train(prepared)
    assert net.is_finished


def test_progress(begun, monkeypatch, capsys):
    monkeypatch.setattr(progress_lib, "_PAUSE", 0.0)
    copy = shutil.copytree(begun, begun.parent / "copy")
    train(copy)
    assert capsys.readouterr().out == ""
    net = train(begun, verbose=1)
    begin, on, third, fourth = capsys.readouterr().out.splitlines()
    count = net.weights.count
    assert begin == (
        f"Supernet of tiny: {count / 1e3:.4g} k weights, "
        f"{16 * count / 1e3:.3g} kB with their moments and a copy of both."
    )
    assert on == "Continuing after 2 epochs."
    assert third.startswith(f"epoch 3/4  loss {net.losses[2]:.4f}  ")
    assert third.endswith(" s left)")
    assert fourth.startswith(f"epoch 4/4  loss {net.losses[3]:.4f}  ")
    assert "left" not in fourth


def test_short_epochs_share_a_line(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress_lib.time, "monotonic", lambda: now[0])
    lines = progress_lib.Progress(1, 100)
    lines.begin("tiny", 1000, 24000, 10)
    for epoch in range(11, 31):
        now[0] += 2.0
        lines.epoch(epoch, 0.5)
    _, _, *told = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in told] == [
        f"epoch {epoch}/100" for epoch in range(13, 31, 3)
    ]
    assert told[0] == "epoch 13/100  loss 0.5000  6 s  (3 min left)"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "`epochs` must be an integer of at least 1"),
        ({"epochs": 2.0}, "`epochs`"),
        ({"learning_rate": 0}, "`learning_rate` must be positive"),
        ({"learning_rate": -1.0}, "must be positive. Received: -1.0"),
        ({"learning_rate": math.inf}, "`learning_rate` must be a number"),
        ({"learning_rate": math.nan}, "`learning_rate`"),
        ({"paths": "sandwhich"}, "Did you mean 'sandwich'"),
        ({"apart": ("kernelsize",)}, "Did you mean 'kernel_size'"),
        ({"apart": "block"}, "`apart` must be a tuple"),
        ({"norms_apart": 1}, "`norms_apart` must be True or False"),
    ],
)
def test_options_that_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        cs.SupernetOptions(**options)


def test_each_step_has_paths_of_its_own(monkeypatch):
    drawn = []

    def note(weights, optimizer, paths, networks, *others):
        drawn.append([network.macs for network in networks])
        return 1.0

    monkeypatch.setattr(training, "train_step", note)
    options = dataclasses.replace(OPTIONS, epochs=8)
    Supernet(SPACE, options, 1).train(DATA)
    first, *others = (drawn[i : i + STEPS] for i in range(0, 8 * STEPS, STEPS))
    assert len(drawn) == 8 * STEPS
    assert any(epoch != first for epoch in others)
