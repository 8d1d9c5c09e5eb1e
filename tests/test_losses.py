import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import losses

REAL = jnp.array([-1.5, 0.0, 0.3, 2.0])
FAKE = jnp.array([0.7, -0.2, 0.0, -3.0])
ALL = [losses.minimax(), losses.non_saturating(), losses.least_squares(), losses.wasserstein(), losses.hinge()]


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def test_cross_entropy_games_are_the_papers_logarithms():
    discriminator = -np.log(sigmoid(REAL)) - np.log(1 - sigmoid(FAKE))
    for loss in (losses.minimax(), losses.non_saturating()):
        np.testing.assert_allclose(loss.discriminator(REAL, FAKE), discriminator, rtol=1e-6)
    np.testing.assert_allclose(losses.minimax().generator(REAL, FAKE), np.log(1 - sigmoid(FAKE)), rtol=1e-5)
    np.testing.assert_allclose(losses.non_saturating().generator(REAL, FAKE), -np.log(sigmoid(FAKE)), rtol=1e-6)


def test_logits_far_out_stay_finite():
    far = jnp.array([1e4, -1e4])
    for loss in ALL:
        for part in loss:
            value, slope = jax.value_and_grad(lambda x, part=part: part(x, -x).sum())(far)
            assert np.isfinite(value) and np.isfinite(slope).all()


def test_minimax_value_at_the_best_discriminator_is_the_jensen_shannon_divergence():
    # Goodfellow et al. 2014, theorem 1: min_D E[...] = log 4 - 2 JSD(p, q), D* = p / (p + q)
    p, q = np.array([0.1, 0.2, 0.7]), np.array([0.5, 0.25, 0.25])
    best = jnp.log(p / q)  # the logit of D*
    loss = losses.minimax().discriminator
    value = float(jnp.sum(p * loss(best, jnp.full(3, -1e9))) + jnp.sum(q * loss(jnp.full(3, 1e9), best)))
    m = (p + q) / 2
    divergence = 0.5 * np.sum(p * np.log(p / m)) + 0.5 * np.sum(q * np.log(q / m))
    assert value == pytest.approx(np.log(4) - 2 * divergence, rel=1e-5)
    gradient = jax.grad(lambda d: jnp.sum(p * loss(d, jnp.full(3, -1e9)) + q * loss(jnp.full(3, 1e9), d)))(best)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_saturating_and_non_saturating_generators_pull_alike_with_different_strength():
    # both push the logit up; the ratio of their slopes is D / (1 - D): vanishing where D rejects
    slope = {
        name: jax.grad(lambda x, n=name: getattr(losses, n)().generator(x, x).sum())(FAKE)
        for name in ("minimax", "non_saturating")
    }
    assert (slope["minimax"] < 0).all() and (slope["non_saturating"] < 0).all()
    np.testing.assert_allclose(slope["minimax"] / slope["non_saturating"], np.exp(FAKE), rtol=1e-5)


def test_least_squares_is_half_the_squared_distance_to_its_targets():
    loss = losses.least_squares(a=-1.0, b=1.0, c=0.5)
    np.testing.assert_allclose(loss.discriminator(REAL, FAKE), (REAL - 1) ** 2 / 2 + (FAKE + 1) ** 2 / 2, rtol=1e-6)
    np.testing.assert_allclose(loss.generator(REAL, FAKE), (FAKE - 0.5) ** 2 / 2, rtol=1e-6)


def test_least_squares_measures_pearson_chi_squared():
    # Mao et al. 2017, theorem 1: with b - c = 1 and b - a = 2 the generator, its real term included, minimises
    # chi2(p + q || 2 q) / 2 at the best discriminator
    p, q = np.array([0.1, 0.2, 0.7]), np.array([0.5, 0.25, 0.25])
    a, b, c = -1.0, 1.0, 0.0
    best = jnp.asarray((b * p + a * q) / (p + q))
    value = np.sum(p * (best - c) ** 2 + q * losses.least_squares(a, b, c).generator(best, best) * 2)
    assert value == pytest.approx(np.sum((2 * q - (p + q)) ** 2 / (p + q)), rel=1e-5)


def test_wasserstein_is_the_difference_of_means_and_a_zero_sum_game():
    loss = losses.wasserstein()
    np.testing.assert_allclose(loss.discriminator(REAL, FAKE), FAKE - REAL)
    np.testing.assert_allclose(loss.generator(REAL, FAKE), -FAKE)


def test_hinge_is_flat_beyond_its_margins():
    loss = losses.hinge()
    np.testing.assert_allclose(loss.discriminator(REAL, FAKE), np.maximum(0, 1 - REAL) + np.maximum(0, 1 + FAKE))
    slope = jax.grad(lambda real, fake: loss.discriminator(real, fake).sum(), (0, 1))(REAL, FAKE)
    np.testing.assert_array_equal(slope[0], [-1, -1, -1, 0])
    np.testing.assert_array_equal(slope[1], [1, 1, 1, 0])


@pytest.mark.parametrize("loss", ALL)
def test_patch_logits_are_judged_one_by_one_and_averaged(loss):
    real, fake = jnp.stack([REAL, REAL + 1], 1)[..., None], jnp.stack([FAKE, FAKE - 1], 1)[..., None]
    for part in loss:
        value = part(real, fake)
        assert value.shape == (4,)
        np.testing.assert_allclose(value, (part(REAL, FAKE) + part(REAL + 1, FAKE - 1)) / 2, rtol=1e-5)
