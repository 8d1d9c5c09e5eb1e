"""Neighbours: exact searches against brute force, expectations in closed form, and what lowers which score."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gan_jax.metrics.nearest_neighbours import inside, nearest
from gan_jax.metrics.precision_recall import SPLITS, _with_halves, copying, overlap, perfect_coverage, radii
from gan_jax.metrics.statistics import summarise


def points(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def summary(x, keep=True):
    return summarise([(np.asarray(x, np.float32), np.zeros((len(x), 0)))], len(x), groups=1, keep=keep)


def values(x, y, **options):
    return np.array([each.value for each in overlap(summary(x), summary(y), **options)])


def brute(x, y, k, k_density):
    """The four scores by all distances at once."""
    x, y = x.astype(float), y.astype(float)
    between, within, own = cdist(x, y), np.sort(cdist(x, x), 1), np.sort(cdist(y, y), 1)
    ball, ball_density, ball_fake = within[:, k, None], within[:, k_density, None], own[:, k]
    return [
        (between < ball).any(0).mean(),
        (between < ball_fake).any(1).mean(),
        (between < ball_density).sum() / (k_density * len(y)),
        (between < ball_density).any(1).mean(),
    ]


@pytest.mark.parametrize("size", [2, 40])
def test_nearest_is_brute_force_across_blocks(size):
    x, y = points(1100, size), points(2100, size, seed=1)
    distances, indices = nearest(x, y, 4)
    expected = cdist(x.astype(float), y.astype(float))
    np.testing.assert_array_equal(indices, np.argsort(expected, 1)[:, :4])
    np.testing.assert_allclose(distances, np.sort(expected, 1)[:, :4], rtol=1e-12)


def test_near_duplicates_are_found_however_far_from_the_origin():
    x = points(3000, 64) + 100
    twins = x[:500] + np.float32(1e-4) * points(500, 64, seed=1)
    distances, indices = nearest(np.concatenate([x[:500], twins]), x, 2)
    np.testing.assert_array_equal(indices[:, 0], np.tile(np.arange(500), 2))
    assert (distances[:500, 0] == 0).all() and (distances[:, 1] > 1).all()
    apart = np.linalg.norm(twins.astype(float) - x[:500], axis=1)
    np.testing.assert_allclose(distances[500:, 0], apart, rtol=1e-12)
    assert 0 < apart.max() < 2e-3


def test_a_point_is_not_its_own_neighbour_but_its_duplicate_is():
    x = points(1500, 3)
    x[1200] = x[7]
    distances, indices = nearest(x, x, 1, exclude_self=True)
    assert (indices[:, 0] != np.arange(1500)).all()
    assert (indices[7], indices[1200]) == (1200, 7) and distances[7] == distances[1200] == 0
    np.testing.assert_array_equal(nearest(x, x, 1)[0], 0)


def test_balls_hold_what_brute_force_counts_and_not_their_edge():
    x, y = points(1100, 3), points(1300, 3, seed=1)
    sizes = radii(y, 3, 5)
    lies, held = inside(x, y, sizes)
    expected = cdist(x.astype(float), y.astype(float))[..., None] < sizes
    np.testing.assert_array_equal(lies, expected.sum(1))
    np.testing.assert_array_equal(held, expected.sum(0))
    lies, held = inside(y, y, sizes)  # each holds its center and all but the k-th of its neighbours
    np.testing.assert_array_equal(held, np.tile([3, 5], (1300, 1)))
    assert lies.sum(0).tolist() == held.sum(0).tolist()


@pytest.mark.parametrize("k, k_density", [(3, 5), (1, 2), (10, 4)])
def test_all_four_are_brute_force(k, k_density):
    x, y = points(300, 5), points(400, 5, seed=1) * 0.8 + 0.2
    expected = brute(x, y, k, k_density)
    np.testing.assert_allclose(values(x, y, k=k, k_density=k_density), expected, rtol=1e-12)


def test_a_set_scores_exactly_one_against_itself_and_nothing_against_what_lies_elsewhere():
    x = points(200, 4)
    np.testing.assert_array_equal(values(x, x), 1)
    np.testing.assert_array_equal(values(x, np.random.default_rng(0).permutation(x)), 1)
    np.testing.assert_array_equal(values(x, x + 100), 0)


@pytest.mark.parametrize(
    "reals, samples, size, k",
    [(100, 100, 2, 5), *(pytest.param(*each, marks=pytest.mark.slow) for each in [(150, 60, 8, 5), (60, 150, 1, 2)])],
)
def test_perfect_samples_have_the_density_and_coverage_of_theory(reals, samples, size, k):
    # A sample is as likely as any of N - 1 real images to be among the k nearest to another: density is 1 on average.
    draws = np.random.default_rng(0)

    def apart(count):  # five problems in one, so far from each other that they are independent
        return np.concatenate([draws.gamma(1, size=(count, size)) + 1000 * place for place in range(5)])

    pairs = [(summary(apart(reals)), summary(apart(samples))) for _ in range(20)]
    scores = [overlap(*pair, k=k, k_density=k) for pair in pairs]
    for name, expected in (("density", 1), ("coverage", perfect_coverage(reals, samples, k))):
        found = [getattr(score, name).value for score in scores]
        assert abs(np.mean(found) - expected) < 3 * np.std(found) / np.sqrt(20)


def test_perfect_coverage_is_one_less_a_half_to_the_k_for_many():
    # each of the k nearest is then real or not by the toss of a coin
    assert perfect_coverage(10**6, 10**6) == pytest.approx(1 - 0.5**5, abs=1e-5)
    assert perfect_coverage(2, 1, 1) == pytest.approx(1 / 2)  # the sample is nearer than the other, or it is not
    assert perfect_coverage(10, 0) == 0


def test_scores_do_not_turn_move_scale_or_shuffle():
    draws = np.random.default_rng(0)
    x, y = points(300, 4), points(300, 4, seed=1) * 1.2
    q = np.linalg.qr(draws.standard_normal((4, 4)))[0]
    others = [(x @ q, y @ q), (8 * x, 8 * y), (x + 2, y + 2), (draws.permutation(x), draws.permutation(y))]
    for other in others:
        np.testing.assert_allclose(values(*other), values(x, y), atol=0.01)  # edges may move by float32's rounding


def test_dropping_modes_costs_recall_and_coverage_and_blurring_costs_precision_and_density():
    draws = np.random.default_rng(0)
    centers = 10 * np.eye(8)

    def mixture(modes, spread=1.0):
        return centers[np.arange(800) % modes] + spread * draws.standard_normal((800, 8))

    real = mixture(8)
    perfect, dropped, blurred = (values(real, y) for y in (mixture(8), mixture(4), mixture(8, 2.0)))
    assert dropped[0] > perfect[0] - 0.05 and dropped[2] > perfect[2] - 0.1
    np.testing.assert_allclose(dropped[[1, 3]], perfect[[1, 3]] / 2, atol=0.1)  # of half the modes they have nothing
    assert blurred[0] < 0.5 * perfect[0] and blurred[2] < 0.5 * perfect[2] and blurred[1] > perfect[1]


def test_truncating_gains_density_and_costs_recall():
    real = points(800, 6)
    perfect, shrunk = (values(real, scale * points(800, 6, seed=1)) for scale in (1, 0.5))
    assert shrunk[0] > perfect[0] and shrunk[2] > 1.3 and shrunk[1] < 0.7 * perfect[1] and shrunk[3] < perfect[3]


def test_balls_of_halves_reach_to_neighbours_of_the_same_half():
    y, k = points(90, 3), 3
    columns = _with_halves(y, k)
    assert columns.shape == (90, 1 + 2 * SPLITS)
    np.testing.assert_array_equal(columns[:, :1], radii(y, k))
    for one, other in zip(columns.T[1::2], columns.T[2::2], strict=True):
        assert (one > 0).sum() == (other > 0).sum() == 45 and ((one > 0) != (other > 0)).all()
        for half in (one, other):
            np.testing.assert_array_equal(half[half > 0], radii(y[half > 0], k)[:, 0])
    assert _with_halves(y[:7], k).shape == (7, 1) and np.isnan(overlap(summary(y), summary(y[:7])).recall.error)


def test_coverage_is_unsure_of_balls_that_hold_one_sample_or_two():
    x = np.array([[0.0], [1], [2], [10], [11], [12], [20], [21], [22], [30], [31], [32]])
    # of three real images each, for k=1 and its open balls of radius 1: all three hold 10.5's, two each of the others
    held = overlap(summary(x), summary([[0.1], [10.4], [10.6], [50]]), k=1, k_density=1).coverage
    assert held.value == 4 / 12
    # 0.1 is alone in two balls, those about 0 and 1; 10.4 and 10.6 are alone together in those about 10 and 11
    assert held.error == pytest.approx(np.sqrt(4 * 4 / (4 + 4) - 2**2 / 4) / 12)


def test_copying_counts_pairs_and_ties_by_half():
    train, test, fake = np.zeros((1, 1)), np.array([[1], [2], [3]]), np.array([[-1], [2.5]])
    # 1 ties with 1 and is below 2 and 3; 2.5 is below 3 alone
    assert copying(train, test, fake).value == pytest.approx((0.5 + 1 + 1 + 0 + 0 + 1) / 6)


def test_copies_score_one_perfect_samples_a_half_and_samples_off_the_data_nothing():
    train, test, fake = points(600, 5), points(300, 5, seed=1), points(400, 5, seed=2)
    assert copying(train, test, train) == (1, 0)
    assert copying(train, test, train[:50] + np.float32(1e-3) * points(50, 5)) == (1, 0)
    assert copying(train, test, fake + 50) == (0, 0)
    value, error = copying(train, test, fake)
    assert abs(value - 0.5) < 3 * error
    mixed = copying(train, test, np.concatenate([train[:200], fake[:200]]))
    assert mixed.value == pytest.approx(0.75, abs=0.05)


def test_the_error_of_copying_is_its_spread_over_fresh_samples():
    """Within 1.2, all real images being fixed."""
    train, test, draws = points(300, 2), points(60, 2, seed=1), np.random.default_rng(2)
    values, errors = np.transpose([copying(train, test, draws.standard_normal((90, 2))) for _ in range(120)])
    assert 1 / 1.2 < np.sqrt(np.mean(errors**2)) / values.std() < 1.2


def test_copying_is_a_half_on_average_for_samples_of_the_data():
    train, draws = points(300, 2), np.random.default_rng(2)
    found = [copying(train, *draws.standard_normal((2, 60, 2))).value for _ in range(60)]
    assert abs(np.mean(found) - 0.5) < 3 * np.std(found) / np.sqrt(60)


def test_what_cannot_be_searched_is_refused_with_the_remedy():
    x = points(5, 3)
    with pytest.raises(ValueError, match=r"real has no features.*keep=True"):
        overlap(summary(x, False), summary(x))
    with pytest.raises(ValueError, match="fake has 2 features"):
        overlap(summary(x), summary(x[:, :2]))
    for ks in ({"k": 5, "k_density": 1}, {"k": 1, "k_density": 5}):
        with pytest.raises(ValueError, match="k=5: each of 5 images has 4 neighbours"):
            overlap(summary(x), summary(x), **ks)
    for count, own in ((0, False), (6, False), (5, True)):
        with pytest.raises(ValueError, match=f"count={count}"):
            nearest(x, x, count, own)
    with pytest.raises(ValueError, match="queries has shape"):
        nearest(x, x[:, :2], 1)
    with pytest.raises(ValueError, match="radii has shape"):
        inside(x, x, np.ones(5))


def test_prdc_agrees():
    prdc = pytest.importorskip("prdc", reason="pip install prdc to compare with it")
    x, y = points(400, 16), points(300, 16, seed=1) * 0.9 + 0.1
    theirs = prdc.compute_prdc(x, y, nearest_k=5)
    expected = [theirs[name] for name in ("precision", "recall", "density", "coverage")]
    np.testing.assert_allclose(values(x, y, k=5), expected, atol=1e-3)


def test_torch_fidelity_agrees():
    metric = pytest.importorskip("torch_fidelity.metric_prc", reason="pip install torch-fidelity to compare with it")
    torch = pytest.importorskip("torch")
    x, y = points(400, 16), points(300, 16, seed=1) * 0.9 + 0.1
    theirs = metric.prc_features_to_metric(torch.from_numpy(y), torch.from_numpy(x), verbose=False)
    np.testing.assert_allclose(values(x, y)[:2], [theirs["precision"], theirs["recall"]], atol=1e-3)
