"""Scores by classes: closed forms for dropped classes, what perfect samples get, and errors over fresh samples."""

import math

import numpy as np
import pytest

from gan_jax.metrics.classes import class_kl, covered, uniform_kl
from gan_jax.metrics.statistics import summarise


def summary(labels, classes, groups=10):
    p = np.eye(classes)[np.asarray(labels)]
    return summarise([(np.zeros((len(p), 1)), p)], len(p), groups)


def test_classes_with_a_sample_are_covered():
    fake = summary(np.repeat(np.arange(6), np.arange(6) * 4), 6)  # class k has 4 k samples
    assert covered(fake) == (5, 0)


def test_classes_met_once_make_the_number_covered_unsure():
    sure = np.tile([0, 1], 50)
    assert covered(summary(sure, 6)) == (2, 0)
    sure[33] = 2
    assert covered(summary(sure, 6)) == pytest.approx((3, np.sqrt(1 - 1 / 100)))
    sure[40:42] = 3  # met twice, so less sure to be met again than not: 1^2 / (1 + 1)
    assert covered(summary(sure, 6)) == pytest.approx((4, np.sqrt(1 / 2 - 1 / 100)))


@pytest.mark.parametrize("found", [1, 2, 4, 8])
def test_m_of_k_classes_alike_have_a_kl_of_log_k_over_m(found):
    real, fake = summary(np.arange(80) % 8, 8, 1), summary(np.arange(400) % found, 8)
    value, error = class_kl(real, fake)
    assert value == pytest.approx(math.log(8 / found), abs=1e-12)
    # without linear terms, of the squares alone: chi^2 of M - 1 degrees over 2 n, less a little for finite n
    assert error == pytest.approx(math.sqrt((found - 1) / 2) / 400, rel=0.02)


def test_it_is_the_kl_to_the_shares_of_the_data():
    real, fake = summary([0, 0, 0, 1], 2, 1), summary([0, 1, 1, 1] * 10, 2)
    assert class_kl(real, fake).value == pytest.approx(0.25 * math.log(1 / 3) + 0.75 * math.log(3), rel=1e-12)
    assert class_kl(real, summary([0, 0, 1, 0] * 10, 2)).value == pytest.approx(0, abs=1e-12)


def test_a_class_of_which_there_is_no_real_image_is_infinitely_unlike():
    value, error = class_kl(summary([0, 0, 1], 3, 1), summary([0] * 19 + [2], 3))
    assert value == math.inf and math.isnan(error)
    assert class_kl(summary([0, 0, 1], 3, 1), summary([0] * 20, 3)).value == pytest.approx(math.log(1.5))


def test_perfect_samples_score_what_theory_says():
    draws, shares = np.random.default_rng(0), np.array([0.1, 0.2, 0.3, 0.4])
    values = []
    for _ in range(400):
        real, fake = (summary(draws.choice(4, n, p=shares), 4) for n in (2000, 1000))
        values.append(class_kl(real, fake).value)
    expected = 3 / 2 * (1 / 1000 + 1 / 2000)
    assert abs(np.mean(values) - expected) < 3 * np.std(values) / np.sqrt(400) + 0.02 * expected


@pytest.mark.slow
def test_errors_are_the_spread_over_seeds():
    """Within 1.4: off the data's shares, for perfect samples, for rare classes, and for as many classes as samples."""
    draws, shares, alike = np.random.default_rng(0), np.array([0.1, 0.2, 0.3, 0.4]), np.full(500, 1 / 500)
    real = summary(np.repeat(np.arange(4), [1000, 2000, 3000, 4000]), 4, 1)
    rare = np.array([0.9, 0.097, 0.002, 0.001])

    def ratio(score, p, count=1000):
        found = [score(summary(draws.choice(len(p), count, p=p), len(p))) for _ in range(300)]
        values, errors = np.transpose(found)
        return np.sqrt(np.mean(errors**2)) / np.std(values)

    for p in (shares[::-1], shares, rare):
        assert 0.7 < ratio(lambda fake: class_kl(real, fake), p) < 1.4
    assert 0.7 < ratio(covered, rare) < 1.4
    for score in (covered, uniform_kl):
        for count in (500, 1500):
            assert 0.7 < ratio(score, alike, count) < 1.4


def test_scores_without_a_classifier_are_refused():
    none = summarise([(np.zeros((20, 1)), np.zeros((20, 0)))], 20)
    with pytest.raises(ValueError, match="fake has no probabilities"):
        covered(none)
    with pytest.raises(ValueError, match="real has no probabilities"):
        class_kl(none, summary([0] * 20, 2))
    with pytest.raises(ValueError, match="fake has 3 classes and real has 2"):
        class_kl(summary([0] * 20, 2), summary([0] * 20, 3))
