import pytest


@pytest.fixture(autouse=True)
def _without_sync(monkeypatch):
    """Power does not fail here, and waiting for the disk takes most time."""
    monkeypatch.setattr("tf_cosearch.files._sync", lambda path: None)
