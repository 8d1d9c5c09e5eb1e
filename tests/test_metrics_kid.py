"""The kernel inception distance: its definition, its expectation in closed form, and the error of its mean."""

import numpy as np
import pytest

from gan_jax.metrics.kid import kid
from gan_jax.metrics.statistics import summarise


def summary(x, keep=True):
    return summarise([(np.asarray(x, np.float32), np.zeros((len(x), 0)))], len(x), groups=1, keep=keep)


def score(x, y, **options):
    return kid(summary(x), summary(y), **options)


def test_one_block_is_the_definition():
    x, y = np.random.default_rng(0).standard_normal((2, 6, 4)).astype(np.float32).astype(float)

    def k(a, b):
        return (a @ b / 4 + 1) ** 3

    pairs = [(i, j) for i in range(6) for j in range(6)]
    within = sum(k(x[i], x[j]) + k(y[i], y[j]) for i, j in pairs if i != j) / 30
    between = sum(k(x[i], y[j]) for i, j in pairs) / 36
    value, error = score(x, y, block=6)
    assert value == pytest.approx(within - 2 * between, rel=1e-12)
    assert np.isnan(error)


def test_it_is_zero_on_average_for_samples_of_the_data():
    draws = np.random.default_rng(0)
    values = [score(*draws.gamma(1, size=(2, 400, 5))).value for _ in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)
    assert 0.3 < np.mean(np.less(values, 0)) < 0.8  # so it is negative about half the time


@pytest.mark.parametrize("block", [2, 10, 300])
def test_it_has_the_expectation_of_the_kernel_whatever_the_block(block):
    # in one dimension MMD^2 = sum_j C(3, j) (E x^j - E y^j)^2; N(m, 1) has moments m, m^2 + 1, m^3 + 3 m
    draws, m = np.random.default_rng(0), 0.3
    expected = 3 * m**2 + 3 * m**4 + (m**3 + 3 * m) ** 2
    values = [
        score(draws.standard_normal((300, 1)), draws.standard_normal((300, 1)) + m, block=block).value
        for _ in range(200)
    ]
    assert abs(np.mean(values) - expected) < 3 * np.std(values) / np.sqrt(200)


def test_the_error_is_the_spread_over_fresh_samples():
    """Within 1.2, both where samples are perfect and where they are not; the spread over real images is no part."""
    draws = np.random.default_rng(0)
    for shift in (0, 0.3):
        real = draws.standard_normal((1000, 4))
        found = [score(real, draws.standard_normal((1000, 4)) + shift) for _ in range(200)]
        values, errors = np.transpose(found)
        assert 1 / 1.2 < np.sqrt(np.mean(errors**2)) / np.std(values) < 1.2


def test_data_sorted_by_class_are_not_mistaken_for_others():
    draws = np.random.default_rng(0)
    x = np.repeat([0.0, 2.0], 500)[:, None] + 0.1 * draws.standard_normal((1000, 3))
    value, error = score(x, draws.permutation(x))
    assert abs(value) < 4 * error
    contiguous = score(x[:100], draws.permutation(x)[:100], block=100).value
    assert contiguous > 10 * abs(value)


def test_it_does_not_turn_with_the_features():
    draws = np.random.default_rng(0)
    x, y = draws.standard_normal((2, 50, 4))
    q = np.linalg.qr(draws.standard_normal((4, 4)))[0]
    assert score(x @ q, y @ q, block=50).value == pytest.approx(score(x, y, block=50).value, abs=1e-6)


def test_what_it_cannot_score_is_refused_with_the_remedy():
    x = np.random.default_rng(0).standard_normal((20, 4))
    for pair, name in (((summary(x, False), summary(x)), "real"), ((summary(x), summary(x, False)), "fake")):
        with pytest.raises(ValueError, match=f"{name} has no features.*keep=True"):
            kid(*pair)
    with pytest.raises(ValueError, match="fake has 3 features"):
        score(x, x[:, :3])
    for block in (1, 21):
        with pytest.raises(ValueError, match=f"block={block}"):
            score(x, x, block=block)


def test_torch_fidelity_agrees():
    metric = pytest.importorskip("torch_fidelity.metric_kid", reason="pip install torch-fidelity to compare with it")
    torch = pytest.importorskip("torch")
    draws = np.random.default_rng(0)
    x, y = (draws.standard_normal((500, 30)).astype(np.float32) ** 2 + shift for shift in (0, 0.1))
    theirs = metric.kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=1, kid_subset_size=500, verbose=False
    )
    assert score(x, y, block=500).value == pytest.approx(theirs["kernel_inception_distance_mean"], abs=1e-3, rel=1e-3)
