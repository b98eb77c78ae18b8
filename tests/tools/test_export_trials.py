import pytest


def test_an_exported_search_is_a_study(call, finished, tmp_path):
    optuna = pytest.importorskip("optuna")
    where = f"sqlite:///{tmp_path}/trials.db"
    for _ in range(2):  # the second time finds them there
        done = call(
            "export_trials", f"--run={finished}", f"--to=optuna:{where}"
        )
        assert (done.code, done.out.split()[:2]) == (0, ["Handed", "2"])
    (name,) = optuna.get_all_study_names(where)
    assert name.startswith(f"{finished.name}-")
    study = optuna.load_study(study_name=name, storage=where)
    assert len(study.trials) == 2
    assert {"accuracy_int8", "latency_ms"} <= set(study.trials[0].user_attrs)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--run=.", "--to=optuna:sqlite:///a.db"], "must be that of a search"),
        (["--run=.", "--to=optuna"], "must have a storage"),
        (["--run=.", "--to=mlfow"], "Did you mean 'mlflow'"),
    ],
)
def test_wrong_flags_are_refused(call, tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    done = call("export_trials", *flags)
    assert done.code == 1
    assert message in done.err
