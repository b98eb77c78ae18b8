"""How a suite says which rule was broken."""

import pytest


def require(condition: bool, message: str) -> None:
    """Fails the test with a message, unless the condition holds."""
    if not condition:
        pytest.fail(message, pytrace=False)
