"""The Inception score: exact at both ends and for sure classifiers, and a plain computation in between."""

import itertools

import numpy as np
import pytest

from gan_jax.metrics.inception_score import inception_score
from gan_jax.metrics.statistics import summarise


def score(p, groups=10):
    return inception_score(summarise([(np.zeros((len(p), 2)), np.asarray(p))], len(p), groups))


def test_a_sure_classifier_that_sees_all_classes_alike_gives_their_number():
    found = score(np.eye(7)[np.arange(700) % 7])
    assert found == pytest.approx((7.0, 0.0), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("row", [np.eye(7)[3], np.full(7, 1 / 7), np.arange(7) / 21])
def test_samples_that_look_alike_score_one(row):
    assert score(np.tile(row, (50, 1))) == pytest.approx((1.0, 0.0), rel=1e-12, abs=1e-12)


def test_a_sure_classifier_gives_the_exponential_of_the_entropy_of_shares():
    shares = np.array([0.5, 0.25, 0.25])
    p = np.tile(np.eye(3)[[0, 0, 1, 2]], (50, 1))
    assert score(p, 5).value == pytest.approx(np.exp(-shares @ np.log(shares)), rel=1e-12)


def test_it_is_the_published_formula_in_each_group():
    draws = np.random.default_rng(0)
    p = draws.dirichlet(np.full(5, 0.3), 203)
    edges = [i * 203 // 10 for i in range(11)]
    parts = [p[low:high] for low, high in itertools.pairwise(edges)]
    scores = [np.exp(np.mean(np.sum(q * (np.log(q) - np.log(q.mean(0))), 1))) for q in parts]
    expected = np.mean(scores), np.std(scores, ddof=1) / np.sqrt(10)
    assert score(p) == pytest.approx(expected, rel=1e-9)
    assert score(p[:, ::-1]) == pytest.approx(expected, rel=1e-9)  # classes have no order
    assert min(scores) >= 1 and max(scores) <= 5
    assert np.isnan(score(p, 1).error)


def test_the_error_is_the_spread_over_seeds():
    """Within 1.15."""
    draws = np.random.default_rng(0)
    values, errors = np.transpose([score(draws.dirichlet(np.full(5, 0.3), 1000)) for _ in range(200)])
    assert 1 / 1.15 < np.sqrt(np.mean(errors**2)) / np.std(values) < 1.15


def test_blurring_and_dropping_classes_lower_it():
    sure = 0.98 * np.eye(5)[np.arange(500) % 5] + 0.004
    blurred, dropped = 0.5 * sure + 0.1, sure[np.arange(500) % 5 < 3]
    assert score(blurred).value < score(sure).value and score(dropped).value < score(sure).value


def test_features_without_probabilities_are_refused():
    with pytest.raises(ValueError, match="fake has no probabilities"):
        score(np.zeros((20, 0)))


def test_torch_fidelity_agrees():
    metric = pytest.importorskip("torch_fidelity.metric_isc", reason="pip install torch-fidelity to compare with it")
    torch = pytest.importorskip("torch")
    logits = 2 * np.random.default_rng(0).standard_normal((1003, 10))
    theirs = metric.isc_features_to_metric(torch.from_numpy(logits), splits=10, shuffle=False)
    value, error = score(torch.softmax(torch.from_numpy(logits), 1).numpy())
    assert value == pytest.approx(theirs["inception_score_mean"], abs=1e-3)
    assert error == pytest.approx(theirs["inception_score_std"] / 3, abs=1e-3)  # std / sqrt(10 - 1)
