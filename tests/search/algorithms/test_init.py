import pytest

from tf_cosearch.search import algorithms
from tf_cosearch.search.algorithms.algorithm import Algorithm


def test_every_module_with_an_algorithm_is_found():
    assert {"random", "grey_box"} < set(algorithms.names())
    for name in algorithms.names():
        cls = algorithms.get(name)
        assert issubclass(cls, Algorithm)
        assert cls.__module__.endswith(name)


def test_unknown_names_are_refused_with_the_closest():
    message = "'regularised_evolution'. Did you mean 'regularized_evolution'"
    with pytest.raises(ValueError, match=message):
        algorithms.get("regularised_evolution")
