import gc
import math
import pathlib
import textwrap

import pytest

HERE = pathlib.Path(__file__).parent


def pytest_addoption(parser):
    parser.addoption(
        "--workers",
        type=int,
        default=1,
        help="Worker processes of the searches in tests/tools.",
    )


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items):
    """With `--dist loadgroup`, one worker has all tests of a folder.

    They share fixtures, traced graphs and compiled code, which each worker
    would have to make for itself.
    """
    for item in items:
        if item.get_closest_marker("xdist_group"):
            continue
        group = "doctests"
        if item.path.is_relative_to(HERE):
            group = item.path.relative_to(HERE).parts[0]
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(wrapper=True, tryfirst=True)  # after all other teardowns
def pytest_runtest_teardown(item, nextitem):
    """Lets later collections of garbage pass over what a file has left.

    Each training begins with one. TensorFlow keeps what it traced, so that one
    of the whole process takes 0.3 s at first and 2 s after a thousand tests.
    """
    result = yield
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()
    return result


@pytest.fixture(scope="session")
def compared():
    """The comparisons with devices and with ZigZag, which take a while."""
    from tf_cosearch.cost.calibrate import validation

    return validation.compare_devices(), validation.compare_zigzag()


@pytest.fixture(scope="session")
def families():
    """The comparisons of the other families, which take a while, too."""
    from tf_cosearch.cost.calibrate import family_evidence

    return family_evidence.compare()


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
