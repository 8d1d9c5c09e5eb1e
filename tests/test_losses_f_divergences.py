import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import losses
from gan_jax.losses import f_divergences

# f of D_f = sum q f(p / q), its derivative, and the logit at which the activation is f'(u): all independent of the code
EXACT = {
    "kl": (lambda u: u * np.log(u), lambda u: np.log(u) + 1, lambda u: 1 + np.log(u)),
    "reverse_kl": (lambda u: -np.log(u), lambda u: -1 / u, np.log),
    "pearson": (lambda u: (u - 1) ** 2, lambda u: 2 * (u - 1), lambda u: 2 * (u - 1)),
    "neyman": (lambda u: (1 - u) ** 2 / u, lambda u: 1 - 1 / u**2, lambda u: 2 * np.log(u)),
    "squared_hellinger": (lambda u: (np.sqrt(u) - 1) ** 2, lambda u: 1 - 1 / np.sqrt(u), lambda u: np.log(u) / 2),
    "jensen_shannon": (
        lambda u: u * np.log(u) - (u + 1) * np.log((u + 1) / 2),
        lambda u: np.log(2 * u / (u + 1)),
        np.log,
    ),
    "total_variation": (lambda u: np.abs(u - 1) / 2, lambda u: np.sign(u - 1) / 2, lambda u: 50 * np.sign(u - 1)),
}
DIVERGENCES = {  # as sums over p and q
    "kl": lambda p, q: p * np.log(p / q),
    "reverse_kl": lambda p, q: q * np.log(q / p),
    "pearson": lambda p, q: (p - q) ** 2 / q,
    "neyman": lambda p, q: (p - q) ** 2 / p,
    "squared_hellinger": lambda p, q: (np.sqrt(p) - np.sqrt(q)) ** 2,
    "jensen_shannon": lambda p, q: p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q)),
    "total_variation": lambda p, q: np.abs(p - q) / 2,
}
P, Q = np.array([0.1, 0.2, 0.25, 0.45]), np.array([0.5, 0.2, 0.05, 0.25])
REAL, FAKE = jnp.array([-1.5, 0.0, 0.3, 2.0]), jnp.array([0.7, -0.2, 0.0, -1.0])


def divergence(name):
    return getattr(f_divergences, name)()


def expected_loss(loss, logits):
    """E_p a + E_q b of a loss a(real) + b(fake)."""
    zero = jnp.zeros_like(logits)
    return jnp.sum(P * loss(logits, zero) + Q * loss(zero, logits)) - loss(zero, zero)[0]


@pytest.mark.parametrize("name", EXACT)
def test_the_best_discriminator_tells_the_divergence(name):
    # Nowozin et al. 2016, (4) to (6): max_T E_p[T] - E_q[f*(T)] = D_f, at T = f'(p / q)
    f, slope, inverse = EXACT[name]
    best = jnp.asarray(inverse(P / Q), jnp.float32)
    np.testing.assert_allclose(divergence(name).real(best), slope(P / Q), rtol=1e-5, atol=1e-6)
    loss = f_divergences.f_gan(divergence(name)).discriminator
    value, gradient = jax.value_and_grad(lambda v: expected_loss(loss, v))(best)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)
    exact = np.sum(Q * f(P / Q))
    assert exact == pytest.approx(np.sum(DIVERGENCES[name](P, Q)), rel=1e-12)
    assert -float(value) == pytest.approx(exact, rel=1e-5)  # sums of float32 of magnitude 1
    for step in (-0.3, 0.3):  # a maximum, not a saddle
        assert float(expected_loss(loss, best + step)) >= float(value) - 1e-6


@pytest.mark.parametrize("name", EXACT)
def test_fake_is_the_convex_conjugate_of_the_activation(name):
    # f*(t) = max_u (u t - f(u)), by search; a grid of relative steps of 1e-4 is off by a part of 1e-8
    grid = np.exp(np.linspace(np.log(1e-4), np.log(1e4), 200_001))
    grid[np.argmin(np.abs(grid - 1))] = 1.0
    logits = np.linspace(-1.5, 1.5, 7)
    activation = np.asarray(divergence(name).real(jnp.asarray(logits, jnp.float32)), np.float64)
    f = EXACT[name][0](grid)
    searched = [np.max(grid * t - f) for t in activation]
    np.testing.assert_allclose(divergence(name).fake(jnp.asarray(logits, jnp.float32)), searched, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", EXACT)
def test_activations_rise_and_players_are_opposed(name):
    each = divergence(name)
    grid = jnp.linspace(-3, 3, 50)
    assert (jax.vmap(jax.grad(each.real))(grid) > 0).all()
    zero_sum, other = f_divergences.f_gan(each), f_divergences.f_gan(each, saturating=False)
    np.testing.assert_allclose(zero_sum.generator(REAL, FAKE), -each.fake(FAKE), rtol=1e-6)
    np.testing.assert_allclose(other.generator(REAL, FAKE), -each.real(FAKE), rtol=1e-6)
    for loss in (zero_sum, other):
        np.testing.assert_allclose(
            loss.discriminator(REAL, FAKE), each.fake(FAKE) - each.real(REAL), rtol=1e-5, atol=1e-6
        )


def test_jensen_shannon_is_the_original_game_up_to_constants():
    loss = f_divergences.f_gan(f_divergences.jensen_shannon())
    other = f_divergences.f_gan(f_divergences.jensen_shannon(), saturating=False)
    minimax, non_saturating = losses.minimax(), losses.non_saturating()
    discriminator = minimax.discriminator(REAL, FAKE) - np.log(4)
    np.testing.assert_allclose(loss.discriminator(REAL, FAKE), discriminator, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(loss.generator(REAL, FAKE), minimax.generator(REAL, FAKE) + np.log(2), atol=1e-6)
    np.testing.assert_allclose(other.generator(REAL, FAKE), non_saturating.generator(REAL, FAKE) - np.log(2), atol=1e-6)


@pytest.mark.parametrize("name", ["jensen_shannon", "total_variation", "pearson"])
def test_those_without_exponentials_stay_finite(name):
    far = jnp.array([1e4, -1e4])
    for saturating in (True, False):
        for part in f_divergences.f_gan(divergence(name), saturating):
            value, slope = jax.value_and_grad(lambda x, part=part: part(x, -x).sum())(far)
            assert np.isfinite(value) and np.isfinite(slope).all()


@pytest.mark.parametrize("name", EXACT)
def test_small_logits_lose_no_digits(name):
    # against float64: near v = 0 the activations are differences of numbers near 1
    small = np.array([1e-6, -3e-5, 2e-4])
    each = divergence(name)
    for part in each:
        with jax.enable_x64(True):
            exact = np.asarray(part(jnp.asarray(small, jnp.float64)))
        np.testing.assert_allclose(part(jnp.asarray(small, jnp.float32)), exact, rtol=1e-6, atol=1.2e-7)


def test_patch_logits_are_averaged():
    real, fake = jnp.stack([REAL, REAL + 1], 1)[..., None], jnp.stack([FAKE, FAKE - 1], 1)[..., None]
    for name in EXACT:
        for part in f_divergences.f_gan(divergence(name)):
            value = part(real, fake)
            assert value.shape == (4,)
            np.testing.assert_allclose(value, (part(REAL, FAKE) + part(REAL + 1, FAKE - 1)) / 2, rtol=1e-5, atol=1e-6)
