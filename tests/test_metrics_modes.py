"""Scores of mixtures: closed forms at both ends, a plain count in between, and what a perfect sampler gets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.data.sources import toys
from gan_jax.metrics.modes import modes, perfect

score = jax.jit(modes, static_argnames="least")
MIXTURES = pytest.mark.parametrize("mixture", [toys.ring(), toys.grid()], ids=["ring", "grid"])


@MIXTURES
def test_all_centers_alike_score_full_marks_exactly(mixture):
    size = len(mixture.centers)
    assert score(jnp.tile(mixture.centers, (4, 1)), mixture) == (size, 1.0, 0.0)


@MIXTURES
@pytest.mark.parametrize("found", [1, 2, 4])
def test_m_of_k_modes_alike_have_a_reverse_kl_of_log_k_over_m(mixture, found):
    points = jnp.tile(mixture.centers[:found], (100 // found, 1))
    covered, high_quality, reverse_kl = score(points, mixture)
    assert covered == found and high_quality == 1
    np.testing.assert_allclose(reverse_kl, np.log(len(mixture.centers) / found), rtol=1e-6)


@MIXTURES
def test_samples_of_nothing_have_the_worst_score_and_no_nan(mixture):
    for points in (jnp.full((100, 2), 50.0), jnp.full((100, 2), jnp.nan), jnp.full((100, 2), jnp.inf)):
        covered, high_quality, reverse_kl = score(points, mixture)
        assert covered == 0 and high_quality == 0
        np.testing.assert_allclose(reverse_kl, np.log(len(mixture.centers)), rtol=1e-6)


def test_three_deviations_in_any_direction_are_high_quality_and_no_more():
    mixture = toys.ring()
    angle = np.linspace(0, 2 * np.pi, 100)
    directions = np.stack([np.cos(angle), np.sin(angle)], 1)
    # float32 coordinates of about 2 are rounded by 1e-7, 1e-5 of the std
    for deviations, share in ((2.999, 1), (3.001, 0)):
        points = mixture.centers[3] + deviations * mixture.std * directions
        assert score(jnp.asarray(points, jnp.float32), mixture)[:2] == (share, share)


def test_samples_astray_count_for_the_balance_of_their_nearest_mode():
    mixture = toys.ring()
    astray = mixture.centers[:1] * 1.1  # nearest to mode 0, at 10 std
    points = np.concatenate([np.tile(mixture.centers, (4, 1)), np.tile(astray, (32, 1))])
    covered, high_quality, reverse_kl = score(jnp.asarray(points), mixture)
    q = np.array([36, 4, 4, 4, 4, 4, 4, 4]) / 64
    assert (covered, high_quality) == (8, 0.5)
    np.testing.assert_allclose(reverse_kl, np.sum(q * np.log(8 * q)), rtol=1e-6)


def test_least_is_the_number_of_samples_that_cover():
    mixture = toys.ring()
    points = jnp.asarray(np.repeat(mixture.centers, np.arange(8), axis=0))  # mode k has k samples
    assert [int(score(points, mixture, least=least).covered) for least in (1, 2, 5, 8)] == [7, 6, 3, 0]
    with pytest.raises(ValueError, match="least=0"):
        modes(points, mixture, least=0)


@MIXTURES
def test_scores_are_those_of_a_plain_count(mixture):
    random = np.random.RandomState(0)
    size = len(mixture.centers)
    sources = random.choice(size, 2500, p=random.dirichlet(np.full(size, 0.3)))
    points = mixture.centers[sources] + 1.7 * mixture.std * random.randn(2500, 2)
    counts, good = np.zeros(size), np.zeros(size)
    for point in points:
        distances = [np.hypot(*(point - center)) for center in mixture.centers]
        counts[np.argmin(distances)] += 1
        good[np.argmin(distances)] += min(distances) < 3 * mixture.std
    q = counts[counts > 0] / counts.sum()
    covered, high_quality, reverse_kl = score(jnp.asarray(points, jnp.float32), mixture)
    assert covered == (good > 0).sum()
    np.testing.assert_allclose(high_quality, good.sum() / 2500, atol=1e-6)
    np.testing.assert_allclose(reverse_kl, np.sum(q * np.log(q * size)), rtol=1e-5)


@MIXTURES
def test_a_perfect_sampler_scores_what_perfect_says(mixture):
    count, times, size = 2500, 100, len(mixture.centers)
    points = np.stack([toys.draw(mixture, count, seed)[0] for seed in range(times)])
    scores = jax.vmap(score, in_axes=(0, None))(jnp.asarray(points), mixture)
    expected = perfect(mixture, count)
    np.testing.assert_array_equal(scores.covered, size)
    np.testing.assert_allclose(expected.covered, size, rtol=1e-12 if size == 8 else 1e-6)
    p = 1 - np.exp(-4.5)
    assert expected.high_quality == pytest.approx(p, rel=1e-12) and p == pytest.approx(0.98889, abs=1e-5)
    assert abs(np.mean(scores.high_quality) - p) < 4 * np.sqrt(p * (1 - p) / (count * times))
    # 2 N KL is chi-squared with K - 1 degrees of freedom, of variance 2 (K - 1), up to terms of relative size K / N.
    spread = np.sqrt(2 / (size - 1) / times)
    assert np.mean(scores.reverse_kl) == pytest.approx(expected.reverse_kl, rel=4 * spread + size / count)


def test_a_few_perfect_samples_cover_few_modes_as_perfect_says():
    mixture, count, times = toys.grid(), 20, 2000
    points = toys.draw(mixture, count * times, seed=0)[0].reshape(times, count, 2)
    covered = np.asarray(jax.vmap(score, in_axes=(0, None))(jnp.asarray(points), mixture).covered)
    expected = perfect(mixture, count).covered
    assert perfect(mixture, 1).covered == pytest.approx(1 - np.exp(-4.5), rel=1e-12)  # one sample, if a good one
    assert 13 < expected < 15 and abs(covered.mean() - expected) < 4 * covered.std() / np.sqrt(times)


def test_scores_do_not_depend_on_the_order_of_samples_or_modes():
    mixture = toys.grid()
    points = toys.draw(mixture, 500, seed=0)[0] ** 3 / 16  # uneven
    random = np.random.RandomState(0)
    shuffled = mixture._replace(centers=random.permutation(mixture.centers))
    ours, theirs = score(points, mixture), score(random.permutation(points), shuffled)
    assert ours[:2] == theirs[:2]
    np.testing.assert_allclose(ours.reverse_kl, theirs.reverse_kl, rtol=1e-6)  # sums in another order


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="count=0"):
        perfect(toys.ring(), 0)
