import subprocess
import sys

import numpy as np
import pytest
import tf_keras

from tf_cosearch.training import evaluate, qat


@pytest.fixture(scope="module")
def tflite(build, waves):
    tf_keras.utils.set_random_seed(0)
    model = build(tf_keras, activation="swish", squeeze=True)
    for _ in range(30):
        model(waves[0][0], training=True)
    quantized = qat.quantize(model)
    qat.calibrate(quantized, waves[0][0])
    return qat.to_tflite(quantized)


def _one_by_one(tflite, x):
    """The plain way, for comparison."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=tflite)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]
    sink = interpreter.get_output_details()[0]
    scale, zero_point = source["quantization"]
    rows = []
    for image in x:
        steps = np.clip(np.round(image / scale) + zero_point, -128, 127)
        interpreter.set_tensor(source["index"], steps[None].astype(np.int8))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(sink["index"])[0])
    return np.array(rows)


def test_batches_equal_singles(tflite, waves):
    _, (x, _) = waves
    runner = evaluate.Runner(tflite)
    expected = _one_by_one(tflite, x)
    assert len(np.unique(expected.argmax(1))) > 1
    for size in (1, 7, 96, 32):
        np.testing.assert_array_equal(runner.outputs(x[:size]), expected[:size])
    stubborn = evaluate.Runner(tflite)
    stubborn._can_resize = False
    np.testing.assert_array_equal(stubborn.outputs(x[:9]), expected[:9])


def test_accuracy_counts_every_image_once(tflite, waves):
    _, (x, _) = waves
    labels = evaluate.predict(tflite, x)
    assert labels.shape == (96,)
    wrong = labels.copy()
    wrong[:24] = (wrong[:24] + 1) % 3
    batches = [(x[:50], wrong[:50]), (x[50:], wrong[50:, None], np.ones(46))]
    assert evaluate.accuracy(tflite, batches) == 0.75


def test_path_and_bytes_are_the_same_file(tflite, waves, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(tflite)
    _, (x, _) = waves
    for given in (path, str(path)):
        np.testing.assert_array_equal(
            evaluate.predict(given, x), evaluate.predict(tflite, x)
        )


@pytest.mark.parametrize("keep", [0, 4, 100, 5000, -4])
def test_truncated_file(tflite, keep, tmp_path):
    with pytest.raises(ValueError, match=r"complete \.tflite model"):
        evaluate.accuracy(tflite[:keep], [])
    path = tmp_path / "cut.tflite"
    path.write_bytes(tflite[:keep])
    with pytest.raises(ValueError, match=r"cut\.tflite"):
        evaluate.predict(path, np.zeros((1, 8, 8, 1)))


def test_missing_file():
    with pytest.raises(FileNotFoundError, match=r"nowhere\.tflite"):
        evaluate.accuracy("nowhere.tflite", [])


def test_no_more_images_run_at_a_time_than_fit(tflite, waves, monkeypatch):
    _, (x, _) = waves
    expected = evaluate.predict(tflite, x)
    sizes = []
    resize = evaluate.Runner._resize

    def noted(self, size):
        sizes.append(size)
        return resize(self, size)

    monkeypatch.setattr(evaluate.Runner, "_resize", noted)
    monkeypatch.setattr(evaluate, "_BATCH_BYTES", 40 * 2**8)
    np.testing.assert_array_equal(evaluate.predict(tflite, x), expected)
    # The largest tensor, of 4 x 4 x 16 bytes, is one of these 40.
    assert sizes == [40, 40, 16]


def test_wrong_shape_and_nothing(tflite):
    with pytest.raises(ValueError, match=r"input, \[N, 8, 8, 1\]"):
        evaluate.predict(tflite, np.zeros((3, 9, 8, 1)))
    with pytest.raises(ValueError, match="must be images"):
        evaluate.accuracy(tflite, [])
    assert evaluate.predict(tflite, np.zeros((0, 8, 8, 1))).shape == (0,)


def test_runs_without_tensorflow(tflite, waves, tmp_path):
    _, (x, _) = waves
    (tmp_path / "model.tflite").write_bytes(tflite)
    np.save(tmp_path / "x.npy", x)
    script = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "import runpy\n"
        "import numpy as np\n"
        f"evaluate = runpy.run_path({evaluate.__file__!r})\n"
        f"x = np.load({str(tmp_path / 'x.npy')!r})\n"
        f"print(*evaluate['predict']({str(tmp_path / 'model.tflite')!r}, x))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(
        np.array(done.stdout.split(), int), evaluate.predict(tflite, x)
    )
