import numpy as np
import pytest
import scipy.optimize

from tf_cosearch.cost import least_squares


@pytest.mark.parametrize("columns", [1, 2, 4])
def test_it_is_the_best_non_negative_fit(columns):
    rng = np.random.default_rng(columns)
    terms = rng.normal(size=(9, columns))
    targets = rng.normal(size=(9, 50))
    coefficients, errors = least_squares.non_negative(terms, targets)
    for fit in range(50):
        best, norm = scipy.optimize.nnls(terms, targets[:, fit])
        np.testing.assert_allclose(coefficients[:, fit], best, atol=1e-9)
        assert errors[fit] == pytest.approx(norm**2)


def test_without_terms_nothing_is_fitted():
    coefficients, errors = least_squares.non_negative(
        np.empty((3, 0)), np.ones((3, 2))
    )
    assert coefficients.shape == (0, 2)
    np.testing.assert_array_equal(errors, [3, 3])


def test_fewer_terms_win_where_many_fit():
    terms = np.array([[1.0, 1.0, 0.0], [2.0, 1.0, 1.0]])
    coefficients, errors = least_squares.non_negative(
        terms, np.array([[2.0], [4.0]])
    )
    np.testing.assert_allclose(coefficients[:, 0], [2, 0, 0])
    assert errors[0] == pytest.approx(0)
