import keras
import pytest
import tensorflow as tf
import tf_keras
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)
from tensorboard.plugins.hparams import metadata, plugin_data_pb2

from tf_cosearch.training import hparams


def _read(folder):
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return events


def _told(events, tag):
    content = events.SummaryMetadata(tag).plugin_data.content
    return plugin_data_pb2.HParamsPluginData.FromString(content)


@pytest.mark.parametrize("kinds", [keras.callbacks, tf_keras.callbacks])
def test_a_trial_is_on_the_page_of_hyperparameters(tmp_path, kinds):
    callbacks = [[kinds.TensorBoard(tmp_path)], kinds.EarlyStopping()]
    values = {"stem": 8, "block": "fused", "rate": 0.5, "pad": (1, 2)}
    hparams.write(
        callbacks,
        "trial_07",
        values,
        {"edp": 2.0, "seconds": 9.0, "latency_ms": 0.25},
        ["latency_ms", "edp", "area_mm2"],
        {
            "stem": [8, 16],
            "inactive": [0, 1],
            "block": ["fused", "plain"],
            "pad": [1, "x"],
        },
    )
    events = _read(tmp_path / "trial_07")
    begin = _told(events, metadata.SESSION_START_INFO_TAG).session_start_info
    told = begin.hparams
    assert told["stem"].number_value == 8
    assert told["block"].string_value == "fused"
    assert told["rate"].number_value == 0.5
    assert told["pad"].string_value == "(1, 2)"
    assert begin.group_name
    experiment = _told(events, metadata.EXPERIMENT_TAG).experiment
    metrics = [each.name.tag for each in experiment.metric_infos]
    # Also what another trial may have: any of them speaks for all.
    assert metrics == ["latency_ms", "edp", "area_mm2", "seconds"]
    infos = {each.name: each for each in experiment.hparam_infos}
    assert set(infos) == {*values, "inactive"}
    stem = [v.number_value for v in infos["stem"].domain_discrete.values]
    assert stem == [8, 16]
    assert not infos["pad"].domain_discrete.values  # of two types
    end = _told(events, metadata.SESSION_END_INFO_TAG).session_end_info
    assert end.status == 1  # success
    assert tf.make_ndarray(events.Tensors("latency_ms")[0].tensor_proto) == 0.25


def test_a_log_that_cannot_be_written_costs_nothing(tmp_path, caplog):
    (tmp_path / "file").touch()
    callback = keras.callbacks.TensorBoard(tmp_path / "file" / "logs")
    given = [callback], "trial_07", {"stem": 8}, {"edp": 2.0}
    with pytest.raises(tf.errors.OpError):
        hparams.write(*given)
    hparams.tell(*given)
    assert "TensorBoard was not told of trial_07" in caplog.text


def test_without_tensorboard_nothing_is_written(tmp_path):
    hparams.write([keras.callbacks.CSVLogger(tmp_path / "a.csv")], "t", {}, {})
    hparams.write(None, "t", {}, {})
    assert not list(tmp_path.iterdir())
