import os

import pytest

from tf_cosearch.cost import kernels


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (None, "--xla_cpu_prefer_vector_width=512"),
        (
            "--xla_dump_to=x",
            "--xla_dump_to=x --xla_cpu_prefer_vector_width=512",
        ),
        ("--xla_cpu_prefer_vector_width=128", None),
    ],
)
def test_wide_vectors_leave_the_users_flags_alone(
    monkeypatch, chosen, expected
):
    if chosen is None:
        monkeypatch.delenv("XLA_FLAGS", raising=False)
    else:
        monkeypatch.setenv("XLA_FLAGS", chosen)
    seen = []

    def compiles(function, jit_compile):
        assert jit_compile
        return lambda value: seen.append(os.environ["XLA_FLAGS"])

    monkeypatch.setattr(kernels.tf, "function", compiles)
    kernels.prefer_wide_vectors.__wrapped__()
    assert seen == ([] if expected is None else [expected])
    assert os.environ.get("XLA_FLAGS") == chosen
