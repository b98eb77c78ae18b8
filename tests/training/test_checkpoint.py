import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import keras
import numpy as np
import pytest
import tf_keras

import tf_cosearch as cs
from tf_cosearch.search import executions
from tf_cosearch.training import checkpoint, datasets, fit, inputs

SETTINGS = {"epochs": 5, "qat_epochs": 2, "seed": 3}

# Keras 3 reads the learning rate in a way that tf_keras' variables dislike.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")


@pytest.fixture(autouse=True)
def _every_epoch(monkeypatch):
    """Writes a checkpoint after each epoch, however short it is."""
    monkeypatch.setattr(checkpoint, "SHARE", np.inf)


@pytest.fixture(scope="module")
def build(small):
    return small


@pytest.fixture(scope="module")
def whole(data, build):
    return fit.train(build, data, **SETTINGS)


@pytest.fixture(scope="module")
def begun(data, build, tmp_path_factory):
    """Checkpoints of a training that was killed in its third epoch."""
    folder = tmp_path_factory.mktemp("begun")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "SHARE", np.inf)
        interrupt(build, data, folder, 3)
    return folder


class Killed(BaseException):
    """What no code catches."""


class Counter:
    """Counts epochs, and is killed after one of them."""

    def __init__(self, kill_after=None):
        self.lengths = []
        self._kill_after = kill_after

    def __call__(self, history, float_epochs):
        self.lengths.append(len(history["loss"]))
        if self.lengths[-1] == self._kill_after:
            raise Killed
        return False


def interrupt(build, data, folder, after, **settings):
    with pytest.raises(Killed):
        fit.train(
            build,
            data,
            **{**SETTINGS, **settings},
            checkpoint_folder=folder,
            on_epoch=Counter(after),
        )


def resume(build, data, folder, **settings):
    """The result, and the epochs that were trained for it."""
    counter = Counter()
    trained = fit.train(
        build,
        data,
        **{**SETTINGS, **settings},
        checkpoint_folder=folder,
        on_epoch=counter,
    )
    return trained, counter.lengths


def assert_same(trained, whole):
    assert trained.tflite == whole.tflite
    assert trained.history == whole.history
    for name in ("accuracy_int8", "accuracy_qat", "accuracy_float"):
        assert getattr(trained, name) == getattr(whole, name)
    for ours, theirs in zip(
        trained.model.get_weights(), whole.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("killed", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_either_phase_resumes_at_its_last_epoch(
    build, data, whole, tmp_path, killed
):
    # The epoch is lost that ended when the process died.
    interrupt(build, data, tmp_path, killed)
    trained, epochs = resume(build, data, tmp_path)
    assert epochs == list(range(killed, 6))
    assert_same(trained, whole)
    # Nothing is left to train.
    again, epochs = resume(build, data, tmp_path)
    assert epochs == []
    assert_same(again, whole)
    checkpoint.remove(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_finished_float_phase_is_kept(
    build, data, whole, tmp_path, monkeypatch
):
    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(fit.qat, "calibrate", killed)
        with pytest.raises(Killed):
            fit.train(build, data, **SETTINGS, checkpoint_folder=tmp_path)
    trained, epochs = resume(build, data, tmp_path)
    assert epochs == [4, 5]
    assert_same(trained, whole)


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(
    build, data, whole, tmp_path, monkeypatch
):
    writes = []
    real = checkpoint.files.replace

    def killed(temporary, path):
        writes.append(path)
        if len(writes) == 2:
            raise Killed
        real(temporary, path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.files, "replace", killed)
        with pytest.raises(Killed):
            fit.train(build, data, **SETTINGS, checkpoint_folder=tmp_path)
    trained, epochs = resume(build, data, tmp_path)
    assert epochs == [2, 3, 4, 5]
    assert_same(trained, whole)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "damaged", "epochs"),
    [
        (cut, 1, [2, 3, 4, 5]),
        pytest.param(flip, 2, [1, 2, 3, 4, 5], marks=pytest.mark.slow),
    ],
)
def test_damaged_checkpoints_fall_back_and_say_so(
    build, data, whole, begun, tmp_path, damage, damaged, epochs, caplog
):
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    newest, before = sorted(tmp_path.iterdir())
    for path in (newest, before)[:damaged]:
        damage(path)
    trained, found = resume(build, data, tmp_path)
    assert found == epochs
    assert f"{newest} cannot be read" in caplog.text
    assert_same(trained, whole)


def test_a_stale_checkpoint_is_not_used(build, data, begun, tmp_path, caplog):
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    counter = Counter(1)
    with pytest.raises(Killed):
        fit.train(
            build,
            data,
            **{**SETTINGS, "seed": 4},
            checkpoint_folder=tmp_path,
            on_epoch=counter,
        )
    assert counter.lengths == [1]
    assert "is of another training" in caplog.text


def test_fingerprints_tell_trainings_apart(build, data):
    def settings(**change):
        return checkpoint.fingerprint(
            **{
                "network": build(tf_keras).get_config(),
                "data": data.describe(),
                "seed": np.int64(3),
                "optimizer": keras.optimizers.Adam(0.1),
                "callbacks": [
                    keras.callbacks.EarlyStopping(patience=3),
                    keras.callbacks.LearningRateScheduler(lambda epoch: 0.1),
                ],
                "loss": None,
                "epochs": (5, 2),
                **change,
            }
        )

    tf_keras.backend.clear_session()
    first = settings()
    tf_keras.backend.clear_session()
    assert settings(seed=3) == first
    changes = [
        {"network": {}},
        {"data": []},
        {"seed": 4},
        {"optimizer": keras.optimizers.Adam(0.2)},
        {"optimizer": "adam"},
        {"callbacks": []},
        {"callbacks": [keras.callbacks.EarlyStopping(patience=4)]},
        {"loss": "sparse_categorical_crossentropy"},
        {"epochs": (5, 1)},
    ]
    assert len({first, *(settings(**c) for c in changes)}) == 1 + len(changes)


@pytest.mark.parametrize(
    "K", [keras, pytest.param(tf_keras, marks=pytest.mark.slow)]
)
def test_callbacks_and_optimizers_of_the_user_go_on(build, data, tmp_path, K):  # noqa: N803
    callbacks = [
        # Both count to two, across the interruption.
        K.callbacks.ReduceLROnPlateau("loss", patience=2, min_delta=100),
        K.callbacks.EarlyStopping(
            "loss", min_delta=100, patience=3, restore_best_weights=True
        ),
    ]
    settings = {
        "epochs": 9,
        "qat_epochs": 1,
        "callbacks": callbacks,
        "optimizer": K.optimizers.SGD(0.05, momentum=0.9),
    }
    whole = fit.train(build, data, **{**SETTINGS, **settings})
    assert len(whole.history["loss"]) == 5  # of nine
    interrupt(build, data, tmp_path, 3, **settings)
    trained, epochs = resume(build, data, tmp_path, **settings)
    assert epochs == [3, 4, 5]
    assert_same(trained, whole)


class Lists(keras.callbacks.Callback):
    """Has all kinds of attributes."""

    def on_train_begin(self, logs=None):
        self.losses, self.best, self.array = [], np.float32(7), None
        self._hidden, self.by_name, self.model_of = 0, {}, self.model

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append(logs["loss"])
        self.array = np.asarray(self.losses)
        self._hidden += 1


def test_what_of_a_callback_is_kept():
    one, other = Lists(), Lists()
    for each in (one, other):
        each.on_train_begin()
    one.on_epoch_end(0, {"loss": 0.1})
    known = checkpoint.attributes(one)
    assert known == {
        "losses": [0.1],
        "best": 7,
        "array": [0.1],
    } | dict.fromkeys(known.keys() - {"losses", "best", "array"})
    state = checkpoint.State(True, {"loss": [np.inf]}, 1.5, 2, [known], [])
    content = b"".join(checkpoint._pack(state, "owner"))
    back, owner = checkpoint._unpack(content)
    assert owner == "owner"
    assert back.history == {"loss": [np.inf]}
    assert (back.finished, back.seconds, back.stopped_epoch) == (True, 1.5, 2)
    checkpoint.restore(other, back.callbacks[0])
    assert (other.losses, other._hidden) == ([0.1], 0)
    assert isinstance(other.best, np.float32)
    np.testing.assert_array_equal(other.array, [0.1])


@pytest.mark.slow
def test_giving_up_ends_in_order(build, data, tmp_path):
    stop = {"on_epoch": lambda history, _: len(history["loss"]) == 2}
    trained = fit.train(
        build, data, **SETTINGS, **stop, checkpoint_folder=tmp_path
    )
    assert trained.stopped_epoch == 2
    assert len(trained.history["loss"]) == 2
    assert trained.accuracy_qat > 0.4
    again, epochs = resume(build, data, tmp_path)
    assert epochs == []
    assert again.stopped_epoch == 2
    assert_same(again, trained)


@pytest.mark.parametrize(
    "wrong",
    [
        {"finished": 1},
        {"history": {"loss": ["0.5"]}},
        {"seconds": None},
        {"stopped_epoch": "2"},
        {"callbacks": [[]]},
    ],
)
def test_a_state_of_other_types_is_not_used(tmp_path, wrong):
    state = checkpoint.State(False, {"loss": [0.5]}, 1.5, 2, [{}], [])
    kept = checkpoint.Checkpoints(tmp_path, "owner")
    kept.save("float", state)
    assert kept.load("float", []) == state
    kept.save("qat", dataclasses.replace(state, **wrong))
    assert kept.load("qat", []) is None


def test_writes_take_no_more_than_their_share(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(checkpoint, "SHARE", 0.05)
    monkeypatch.setattr(
        checkpoint.files,
        "write_bytes",
        lambda *_: now.__setitem__(0, now[0] + 2.0),
    )
    kept = checkpoint.Checkpoints(tmp_path, "owner")
    state = checkpoint.State(False, {}, 0.0, None, [], [])
    written = 0
    for _ in range(100):
        now[0] += 7.0  # an epoch
        if kept.is_due():
            kept.save("float", state)
            written += 1
    assert 2.0 * written / now[0] <= 0.05
    assert written > 100 * 7 / 50


SCRIPT = """
    import json, os, signal, sys
    import numpy as np
    from tf_cosearch.training import checkpoint, fit, inputs
    sys.path.insert(0, {tests!r})
    from training import conftest
    checkpoint.SHARE = np.inf
    folder, killed = sys.argv[1], int(sys.argv[2])
    (x, y), validation = (
        conftest.make_images(192, 0), conftest.make_images(96, 1)
    )
    data = inputs.prepare(
        x, y, input_shape=conftest.SHAPE, classes=3,
        validation_data=validation, batch_size=16,
    )
    epochs = []
    def on_epoch(history, float_epochs):
        epochs.append(len(history["loss"]))
        if epochs[-1] == killed:
            os.kill(os.getpid(), signal.SIGKILL)
    trained = fit.train(
        conftest.build_small, data, epochs=5, qat_epochs=2, seed=3,
        checkpoint_folder=folder, on_epoch=on_epoch,
    )
    open(os.path.join(folder, "model.tflite"), "wb").write(trained.tflite)
    print(json.dumps(epochs))
"""


@pytest.mark.slow
def test_another_process_resumes_after_sigkill(whole, tmp_path):
    tests = os.path.dirname(os.path.dirname(__file__))
    script = textwrap.dedent(SCRIPT).format(tests=tests)

    def run(killed):
        return subprocess.run(
            [sys.executable, "-c", script, str(tmp_path), str(killed)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.path.dirname(tests)},
        )

    assert run(2).returncode == -signal.SIGKILL
    assert run(5).returncode == -signal.SIGKILL
    done = run(0)
    assert json.loads(done.stdout) == [5]
    assert (tmp_path / "model.tflite").read_bytes() == whole.tflite


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "mobilenet_v2"])
def test_share_of_checkpoints(name, tmp_path, monkeypatch):
    """Run with -s, it prints what an epoch and a write took."""
    monkeypatch.setattr(checkpoint, "SHARE", 0.05)
    if name == "digits":
        digits = datasets.load("digits")
        (x, y), validation = digits.train, digits.validation
    else:
        rng = np.random.default_rng(0)
        x, y = rng.random((640, 32, 32, 3), np.float32), np.arange(640) % 10
        validation = (x[:64], y[:64])
    space = cs.SearchSpace.load(name, x.shape[1:], 10)
    genome = space.sample(np.random.default_rng(0), 1)[0]
    network = space.decode(genome).network
    prepared = inputs.prepare(
        x,
        y,
        input_shape=x.shape[1:],
        classes=10,
        validation_data=validation,
    )
    execution = executions.Execution(tmp_path, 0, "", {})
    written, seconds, ends = [], [], []
    for owner, method in (
        (checkpoint.Checkpoints, "save"),
        (executions.Execution, "epoch"),
    ):
        real = getattr(owner, method)

        def timed(*args, real=real, method=method):
            start = time.perf_counter()
            real(*args)
            written.append(method)
            seconds.append(time.perf_counter() - start)

        monkeypatch.setattr(owner, method, timed)

    def on_epoch(history, float_epochs):
        execution.epoch(history, float_epochs)
        ends.append(time.perf_counter())
        return False

    trained = fit.train(
        network.build,
        prepared,
        epochs=6,
        qat_epochs=0,
        checkpoint_folder=tmp_path,
        on_epoch=on_epoch,
    )
    epoch = np.median(np.diff(ends))
    share = sum(seconds) / trained.seconds["float"]
    size = next(tmp_path.glob("*.checkpoint")).stat().st_size
    print(  # noqa: T201
        f"\n{name}, {network.params:,} parameters: an epoch {epoch:.2f} s, a "
        f"checkpoint of {size / 2**20:.2f} MiB, {written.count('save')} of 6 "
        f"epochs written, {share:.1%} of the time."
    )
    assert share < 0.1
