"""Summaries: the moments of all points however they come, what groups hold, and the errors that groups tell."""

import itertools

import numpy as np
import pytest

from gan_jax.metrics.estimate import average, jackknife
from gan_jax.metrics.statistics import merge, moments, remove, summarise


def batches(x, p, sizes):
    """Yields rows in batches of these sizes, over and over."""
    edges = np.cumsum(np.tile(sizes, len(x)))
    edges = [0, *edges[edges < len(x)], len(x)]
    for low, high in itertools.pairwise(edges):
        yield x[low:high], p[low:high]


def points(count, size=6, classes=4, seed=0):
    draws = np.random.default_rng(seed)
    x = draws.standard_normal((count, size)) @ draws.standard_normal((size, size)) + 3
    return x.astype(np.float32), draws.dirichlet(np.ones(classes), count).astype(np.float32)


def assert_same(a, b):
    for left, right in zip(a, b, strict=True):
        np.testing.assert_array_equal(left, right)


def test_moments_are_the_mean_and_the_unbiased_covariance():
    x, _ = points(50)
    count, mean, scatter = moments(x)
    assert count == 50 and mean.dtype == scatter.dtype == np.float64
    np.testing.assert_allclose(mean, x.astype(float).mean(0), rtol=1e-14)
    np.testing.assert_allclose(scatter / 49, np.cov(x.astype(float), rowvar=False), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(moments(x).covariance, scatter / 49)


def test_merging_gives_the_moments_of_all_and_removing_undoes_it():
    x, _ = points(50)
    for cut in (1, 20, 49):
        a, b = moments(x[:cut]), moments(x[cut:])
        for found, expected in ((merge(a, b), moments(x)), (merge(b, a), moments(x)), (remove(merge(a, b), b), a)):
            assert found.count == expected.count
            np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
            np.testing.assert_allclose(found.scatter, expected.scatter, rtol=1e-11, atol=1e-11)


def test_float64_from_the_first_sum_on_keeps_a_small_spread_about_a_large_mean():
    x = (4096 + np.random.default_rng(0).integers(0, 2, (5000, 3))).astype(np.float32)
    share = (x - 4096).astype(float).mean(0)
    summary = summarise([(x, np.zeros((5000, 0)))], 5000)
    np.testing.assert_allclose(np.diag(summary.total.scatter), 5000 * share * (1 - share), rtol=1e-10)


@pytest.mark.parametrize("sizes", [(1,), (7, 300, 2), (256,), (2500,)], ids=str)
def test_the_cuts_of_batches_do_not_change_a_bit(sizes):
    x, p = points(2500)
    found, expected = (
        summarise(batches(x, p, cuts), 2500, groups=2, keep=True) for cuts in (sizes, (999,))
    )  # groups of more rows than are summed at once
    for a, b in zip(found.groups, expected.groups, strict=True):
        assert_same(a, b)
    assert_same(found[2:], expected[2:])
    np.testing.assert_array_equal(found.features, x)


def test_groups_are_contiguous_and_hold_what_a_plain_count_finds():
    x, p = points(103)
    summary = summarise(batches(x, p, (10,)), 103)
    edges = [int(np.floor(i * 103 / 10)) for i in range(11)]
    assert summary.count == 103 and summary.features is None and summary.size == 6
    for i in range(10):
        rows = slice(edges[i], edges[i + 1])
        assert_same(summary.groups[i], moments(x[rows]))
        np.testing.assert_allclose(summary.mass[i], p[rows].astype(float).sum(0), rtol=1e-12)
        np.testing.assert_allclose(summary.certainty[i], np.sum(p[rows] * np.log(p[rows].astype(float))), rtol=1e-6)
        np.testing.assert_array_equal(summary.votes[i], [np.sum(p[rows].argmax(1) == k) for k in range(4)])
    whole = moments(x)
    np.testing.assert_allclose(summary.total.scatter, whole.scatter, rtol=1e-11)


def test_impossible_classes_count_nothing_and_none_need_be():
    x, _ = points(30)
    sure = np.eye(3, dtype=np.float32)[np.arange(30) % 3]
    assert summarise([(x, sure)], 30).certainty.tolist() == [0.0] * 10  # 0 log 0 = 0
    without = summarise([(x, np.zeros((30, 0), np.float32))], 30)
    assert without.mass.shape == without.votes.shape == (10, 0)


def test_features_that_are_not_finite_are_refused_and_counted():
    x, p = points(3000)
    x[[5, 2900], 1], x[7, :], p[8, 0] = np.nan, np.inf, np.nan
    with pytest.raises(ValueError, match="of 4 of 3,000 images are not finite"):
        summarise(batches(x, p, (256,)), 3000)


@pytest.mark.parametrize(
    "count, groups, message",
    [(101, 10, "ends after 100"), (99, 10, "more images"), (100, 101, "groups=101"), (100, 0, "groups=0")],
)
def test_counts_that_do_not_fit_are_refused(count, groups, message):
    x, p = points(100)
    with pytest.raises(ValueError, match=message):
        summarise(batches(x, p, (9,)), count, groups)


def test_the_average_has_the_textbook_error():
    assert average([1.0, 3.0]) == (2.0, 1.0)
    assert np.isnan(average([1.0]).error)
    with pytest.raises(ValueError, match="values"):
        average([])


def test_the_jackknife_of_a_mean_is_the_error_of_the_mean_of_groups():
    x = np.random.default_rng(0).standard_normal((10, 50))
    found = jackknife(x.mean(), [np.delete(x, i, 0).mean() for i in range(10)])
    assert found == pytest.approx(average(x.mean(1)), rel=1e-12)
    assert np.isnan(jackknife(1.0, [1.0]).error)
