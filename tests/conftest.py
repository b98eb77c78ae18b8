import math
import textwrap

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
    from tf_cosearch.cost.calibrate import validation

    return validation.compare_devices(), validation.compare_zigzag()


@pytest.fixture(scope="session")
def num_chips():
    """How many accelerators the choices of all components make."""
    from tf_cosearch import accelerators

    parameters = accelerators.parameters().values()
    return math.prod(len(p.choices) for p in parameters if p.choices)


@pytest.fixture(scope="session")
def space_file(tmp_path_factory):
    """A space of networks that train in a moment."""
    path = tmp_path_factory.mktemp("space") / "tiny.yaml"
    path.write_text(
        textwrap.dedent("""
        input_shape: [8, 8, 1]
        classes: 10
        stem: {filters: 8}
        stages:
          - block: [conv_bn, inverted_residual]
            filters: [8, 16]
            stride: 2
            expansion: [1, 2]
        """)
    )
    return path


@pytest.fixture(scope="session")
def space(space_file):
    """The space of that file."""
    import tf_cosearch as cs

    return cs.SearchSpace.load(space_file)
