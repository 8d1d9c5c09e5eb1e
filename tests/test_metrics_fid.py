"""Frechet distances: closed forms, invariances, SciPy's square root, and the bias and error that theory gives."""

import numpy as np
import pytest
import scipy.linalg

from gan_jax.metrics.fid import fid, frechet_distance
from gan_jax.metrics.statistics import moments, summarise


def orthogonal(size, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]


def covariance(size, seed):
    root = np.random.default_rng(seed).standard_normal((size, size))
    return root @ root.T / size


def summary(x, groups=10):
    return summarise([(x, np.zeros((len(x), 0)))], len(x), groups)


def root(matrix):
    return np.real(np.asarray(scipy.linalg.sqrtm(matrix)))


def plain(x, y):
    """The published formula, by SciPy's square root of a matrix."""
    a, b = (np.cov(z.astype(float), rowvar=False) for z in (x, y))
    apart = x.astype(float).mean(0) - y.astype(float).mean(0)
    return apart @ apart + np.trace(a + b - 2 * root(a @ b))


def test_gaussians_with_common_axes_have_the_closed_form():
    size, draws = 32, np.random.default_rng(0)
    a, b, m, n = draws.gamma(1, size=(4, size))
    q = orthogonal(size)
    expected = np.sum((m - n) ** 2) + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2)
    found = frechet_distance(m, q * a @ q.T, n, q * b @ q.T)
    assert found == pytest.approx(expected, rel=1e-12)


def test_covariances_in_the_plane_have_the_closed_form():
    # the eigenvalues of sqrt(A B) are s and t: (s + t)^2 = tr A B + 2 sqrt(det A det B)
    for seed in range(20):
        a, b = covariance(2, seed), covariance(2, seed + 100)
        shared = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a) * np.linalg.det(b)))
        expected = np.trace(a) + np.trace(b) - 2 * shared
        assert frechet_distance(np.zeros(2), a, np.zeros(2), b) == pytest.approx(expected, abs=1e-9)


def test_covariances_of_rank_one_have_the_closed_form():
    # A = u u^T and B = v v^T move u to v or to -v
    u, v = np.random.default_rng(0).standard_normal((2, 40))
    expected = min(np.sum((u - v) ** 2), np.sum((u + v) ** 2))
    found = frechet_distance(np.zeros(40), np.outer(u, u), np.zeros(40), np.outer(v, v))
    assert found == pytest.approx(expected, abs=1e-6)


def test_general_covariances_agree_with_scipy():
    a, b = covariance(50, 0), covariance(50, 1)
    m, n = np.random.default_rng(2).standard_normal((2, 50))
    expected = np.sum((m - n) ** 2) + np.trace(a + b - 2 * root(a @ b))
    assert frechet_distance(m, a, n, b) == pytest.approx(expected, abs=1e-6)


def test_it_is_a_squared_distance():
    a, b, c = (covariance(12, seed) for seed in range(3))
    k, m, n = np.random.default_rng(3).standard_normal((3, 12))
    q = orthogonal(12)
    found = frechet_distance(m, a, n, b)
    assert found == pytest.approx(frechet_distance(n, b, m, a), rel=1e-9)
    assert frechet_distance(m, a, m, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(m + 5, 9 * a, n + 5, 9 * b) != pytest.approx(found, rel=0.1)
    assert frechet_distance(3 * m + 5, 9 * a, 3 * n + 5, 9 * b) == pytest.approx(9 * found, rel=1e-9)
    assert frechet_distance(q @ m, q @ a @ q.T, q @ n, q @ b @ q.T) == pytest.approx(found, rel=1e-9)
    sides = np.sqrt([frechet_distance(m, a, k, c), frechet_distance(k, c, n, b)])
    assert np.sqrt(found) <= sides.sum()


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="covariance_b"):
        frechet_distance(np.zeros(3), np.eye(3), np.zeros(3), np.eye(2))


def test_fid_is_the_published_formula_with_or_without_groups():
    draws = np.random.default_rng(0)
    x, y = (draws.standard_normal((count, 20)).astype(np.float32) ** 3 for count in (503, 400))
    for groups in (1, 7, 10):
        found = fid(summary(x, 1), summary(y, groups))
        assert found.value == pytest.approx(plain(x, y), abs=1e-6)
        assert np.isnan(found.error) == (groups == 1)


@pytest.mark.parametrize("count, within", [(1000, 0.1), (20_000, 0.01)])
@pytest.mark.parametrize("scale", [0.8, 1.0])
def test_the_error_is_that_of_leaving_out_groups_the_more_so_the_more_samples(count, within, scale):
    draws = np.random.default_rng(0)
    x, y = draws.standard_normal((5000, 10)), scale * draws.standard_normal((count, 10))
    without = [plain(x, part) for part in (np.delete(y, rows, 0) for rows in np.split(np.arange(count), 10))]
    expected = np.std(without) * 3
    assert fid(summary(x, 1), summary(y)).error == pytest.approx(expected, rel=within)


def test_the_error_is_there_where_covariances_are_singular():
    draws = np.random.default_rng(0)
    x, y = draws.standard_normal((2, 1000, 4)) @ draws.standard_normal((4, 12))
    flat = np.linalg.qr(draws.standard_normal((12, 12)))[0][:4]  # they lie in a subspace, which may be turned
    q = np.linalg.svd(x, full_matrices=False)[2][:4].T
    inside, turned = (fid(summary(x @ basis, 1), summary(y @ basis)) for basis in (q, q @ flat))
    assert fid(summary(x, 1), summary(y)) == pytest.approx(inside, abs=1e-6)
    assert turned == pytest.approx(inside, abs=1e-6)


def test_fid_of_finite_samples_is_biased_as_theory_says():
    # E|mean - mean'|^2 = 2 d / N; to first order, the rest is tr (A - B)^2 / 4, on average d (d + 1) / (2 N)
    size, count, found = 8, 2000, []
    for seed in range(200):
        x, y = (moments(z) for z in np.random.default_rng(seed).standard_normal((2, count, size)))
        found.append(frechet_distance(x.mean, x.covariance, y.mean, y.covariance))
    assert np.mean(found) == pytest.approx(size * (size + 5) / (2 * count), rel=0.05)


@pytest.mark.parametrize("shift, factor", [(0.5, 1.3), (0.0, 1.45)], ids=["apart", "equal"])
def test_the_error_is_the_spread_over_seeds(shift, factor):
    """Within 1.3 where samples are off the data; up to sqrt(2), and not too small, where they are perfect."""
    draws = np.random.default_rng(0)
    real = summary(draws.standard_normal((20_000, 8)), 1)
    found = [fid(real, summary(draws.standard_normal((1000, 8)) + shift)) for _ in range(150)]
    values, errors = np.transpose(found)
    ratio = np.sqrt(np.mean(errors**2)) / np.std(values)
    assert 1 / 1.3 < ratio < factor


def test_too_few_images_are_refused_unless_told():
    draws = np.random.default_rng(0)
    x, y = draws.standard_normal((2, 64, 32))
    enough, few = summary(x, 1), summary(y[:32])
    for pair, name in (((enough, few), "fake"), ((few, enough), "real")):
        with pytest.raises(ValueError, match=f"{name} has 32 images for 32 features.*few=True"):
            fid(*pair)
        assert fid(*pair, few=True).value > 0
    fid(enough, summary(y[:33]))
    with pytest.raises(ValueError, match="fake has 31 features"):
        fid(enough, summary(y[:, :31]))


def test_torch_fidelity_agrees():
    metric = pytest.importorskip("torch_fidelity.metric_fid", reason="pip install torch-fidelity to compare with it")
    torch = pytest.importorskip("torch")
    draws = np.random.default_rng(0)
    x, y = (draws.standard_normal((1000, 30)).astype(np.float32) ** 2 + shift for shift in (0, 0.1))
    theirs = metric.fid_statistics_to_metric(
        *(metric.fid_features_to_statistics(torch.from_numpy(z)) for z in (x, y)), verbose=False
    )
    ours = fid(summary(x, 1), summary(y)).value
    assert ours == pytest.approx(theirs["frechet_inception_distance"], abs=1e-3)
