import pytest


@pytest.fixture(scope="session")
def int8_file(tmp_path_factory):
    """An int8 file of a small network."""
    import numpy as np
    import tf_keras

    from tf_cosearch.training import qat

    model = tf_keras.Sequential(
        [
            tf_keras.Input((16, 16, 3)),
            tf_keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
            tf_keras.layers.DepthwiseConv2D(3),
            tf_keras.layers.GlobalAveragePooling2D(),
            tf_keras.layers.Dense(4),
        ]
    )
    images = np.random.default_rng(0).random((8, 16, 16, 3), np.float32)
    path = tmp_path_factory.mktemp("file") / "model.tflite"
    path.write_bytes(qat.to_tflite(model, images))
    return path
