import pytest


def pytest_addoption(parser):
    parser.addoption(
        "--workers",
        type=int,
        default=1,
        help="Worker processes of the searches in tests/tools.",
    )


@pytest.fixture(scope="session")
def compared():
    """The comparisons with devices and with ZigZag, which take a while."""
    from tf_cosearch.cost import validation

    return validation.compare_devices(), validation.compare_zigzag()
