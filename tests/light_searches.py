"""Searches of a tuner that take a moment."""

import tf_cosearch as cs
from tf_cosearch.designs import report
from tf_cosearch.training import fit

BUDGETS = cs.Budgets(latency_ms=0.001, area_mm2=12.0)


def small_tuner(space, folder, **kwargs):
    kwargs = {
        "oracle": "random",
        "budgets": BUDGETS,
        "max_trials": 2,
        "seed": 0,
        "oracle_options": {"proposals": 64},
        "project_name": "project",
        **kwargs,
    }
    return cs.CoSearchTuner(space, directory=folder, **kwargs)


def few(data, count=160):
    return {
        "x": data.train[0][:count],
        "y": data.train[1][:count],
        "validation_data": (data.validation[0][:60], data.validation[1][:60]),
        "verbose": 0,
    }


def pretend(build, data, **kwargs):
    """A training that takes no time."""
    return Pretended(
        accuracy_float=0.5,
        accuracy_qat=0.5,
        accuracy_int8=0.5,
        tflite=b"",
        model=None,
        qat_model=None,
        history={},
        seconds=dict.fromkeys(report.PHASES[1:], 0.0),
    )


class Pretended(fit.Trained):
    def save_weights(self, folder):
        pass


def interrupt_second_training(monkeypatch):
    """Presses Ctrl-C in it; a list grows with every training."""
    real, calls = fit.train, []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(fit, "train", interrupted)
    return calls
