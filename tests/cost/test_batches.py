import os

import pytest

from tf_cosearch.cost import batches


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (None, "--xla_cpu_prefer_vector_width=512"),
        (
            "--xla_dump_to=x",
            "--xla_dump_to=x --xla_cpu_prefer_vector_width=512",
        ),
        (
            "--xla_cpu_prefer_vector_width=128",
            "--xla_cpu_prefer_vector_width=128",
        ),
    ],
)
def test_wide_vectors_leave_the_users_flags_alone(
    monkeypatch, chosen, expected
):
    if chosen is None:
        monkeypatch.delenv("XLA_FLAGS", raising=False)
    else:
        monkeypatch.setenv("XLA_FLAGS", chosen)
    for _ in range(2):
        batches.prefer_wide_vectors()
        assert os.environ["XLA_FLAGS"] == expected
