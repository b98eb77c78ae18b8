import pytest

from tf_cosearch.search import oracles
from tf_cosearch.search.oracles.base import CoSearchOracle


def test_every_module_with_an_algorithm_is_found():
    assert oracles.names() == [
        "constrained_bayesian",
        "random",
        "regularized_evolution",
    ]
    for name in oracles.names():
        cls = oracles.get(name)
        assert issubclass(cls, CoSearchOracle)
        assert cls.__name__.endswith("Oracle")
        assert cls.__module__.endswith(name)


def test_unknown_names_are_refused_with_the_closest():
    message = "'regularised_evolution'. Did you mean 'regularized_evolution'"
    with pytest.raises(ValueError, match=message):
        oracles.get("regularised_evolution")
