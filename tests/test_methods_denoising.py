from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_methods_binary_pixels import plain
from toy import KEY, gan, points

from experiments import denoising_feature_matching as experiment
from gan_jax import latents, losses, rng, rules
from gan_jax.data import Spec, kinds
from gan_jax.game import Game, sampler, system
from gan_jax.methods import denoising
from gan_jax.rules import gradients
from gan_jax.types import Player

CONFIG = experiment.Config(g_width=2, d_width=2, latent_size=3, r_width=4)
STD, MEAN = 0.8, np.array([1.0, -2.0, 0.5])
ROOT = np.array([[1.0, 0.0, 0.0], [0.6, 0.5, 0.0], [-0.4, 0.3, 1.5]])
COVARIANCE = ROOT @ ROOT.T
GAIN = COVARIANCE @ np.linalg.inv(COVARIANCE + STD**2 * np.eye(3))


def best(features):
    """The best denoiser of N(MEAN, COVARIANCE)."""
    return MEAN + (features - MEAN) @ GAIN.T


def linear(start):
    return plain(lambda p, f: f @ p["kernel"] + p["bias"], start)


def test_the_denoiser_learns_the_mean_of_what_noise_may_have_hidden():
    judge = plain(lambda p, x: {"features": x, "logits": x[:, 0]}, 0.0)
    networks = {"generator": judge, "discriminator": judge}
    networks["denoiser"] = linear({"kernel": np.zeros((3, 3)), "bias": np.zeros(3)})
    batch, steps = 512, 1000
    objective = denoising.objective(networks["denoiser"], judge, STD)
    player = Player("denoiser", ("denoiser",), objective, optax.sgd(optax.linear_schedule(0.2, 0.0, steps)))
    game = system(Game(networks), rules.alternating([player]))

    def draw(arrays, key, step):
        normal = jax.random.normal(jax.random.fold_in(key, step), (batch, 3))
        return {"image": normal @ jnp.asarray(ROOT.T, jnp.float32) + jnp.asarray(MEAN, jnp.float32)}

    state, metrics = jax.jit(rules.many(game.update, draw, steps))(game.init(KEY), {}, KEY, steps)
    noisy = np.random.RandomState(0).randn(10_000, 3) @ np.linalg.cholesky(COVARIANCE + STD**2 * np.eye(3)).T + MEAN
    denoised, _ = networks["denoiser"].apply(state.params["denoiser"], {}, jnp.asarray(noisy), train=True)
    found = np.asarray(denoised)
    # least squares of N noisy pairs is off by (F + 1) tr(R) / N, R = COVARIANCE - GAIN COVARIANCE what no denoiser can
    # tell; a descent whose rate falls to 0 forgets its start, and counts the last third or so of its pairs
    hidden = COVARIANCE - GAIN @ COVARIANCE
    tolerance = 10 * (3 + 1) * np.trace(hidden) / (batch * steps)
    error = ((found - best(noisy)) ** 2).sum(axis=1).mean()
    assert error < tolerance < 1e-3 * ((noisy - best(noisy)) ** 2).sum(axis=1).mean()
    np.testing.assert_allclose(metrics["denoiser/loss"][-100:].mean(), np.trace(hidden) / 3, rtol=0.02)


def test_the_noise_is_annealed():
    # a denoiser that does nothing is wrong by the noise: its mean square is s^2
    judge = plain(lambda p, x: {"features": x, "logits": x[:, 0]}, 0.0)
    idle = linear({"kernel": np.eye(100), "bias": np.zeros(100)})
    objective = denoising.objective(idle, judge, STD, optax.linear_schedule(1.0, 0.0, 40))
    networks = {"discriminator": judge, "denoiser": idle, "generator": judge}
    player = Player("denoiser", ("denoiser",), objective, optax.sgd(0.1))
    state = system(Game(networks), rules.alternating([player])).init(KEY)
    for step, share in ((0, 1.0), (10, 0.75), (40, 0.0), (50, 0.0)):
        loss, _ = objective(replace(state, step=jnp.asarray(step)), {"image": jnp.ones((200, 100))}, KEY)
        np.testing.assert_allclose(loss, (share * STD) ** 2, rtol=0.05)  # of 20,000 squares: sqrt(2 / 20,000) = 0.01


def test_the_best_denoiser_points_up_the_density_of_noisy_features():
    noisy = jax.random.normal(KEY, (5, 3)) * 2
    inverse = np.linalg.inv(COVARIANCE + STD**2 * np.eye(3))
    score = jax.vmap(jax.grad(lambda f: -(f - MEAN) @ inverse @ (f - MEAN) / 2))(noisy)
    np.testing.assert_allclose(best(noisy) - noisy, STD**2 * score, rtol=1e-4, atol=1e-5)


def test_the_term_s_gradient_holds_the_target_constant():
    weight, kernel = 0.3, jnp.array([[1.0, -0.5, 0.2], [0.3, 0.8, -1.0]])

    def features(x):
        return jnp.tanh(x @ kernel)

    denoiser = linear({"kernel": GAIN.T, "bias": MEAN - MEAN @ GAIN.T})
    networks = {
        "generator": plain(lambda w, z: z @ w, np.array([[0.5, -1.0], [2.0, 0.3]])),
        "discriminator": plain(lambda p, x: {"features": features(x), "logits": x[:, 0]}, 0.0),
        "denoiser": denoiser,
    }
    silent = losses.non_saturating()._replace(generator=lambda real, fake: 0 * fake)
    terms = {"generator": [denoising.matching(weight)]}
    game = gan(networks, silent, latents.normal(2), optax.sgd(0.1), terms=terms)
    state, batch = game.init(KEY), {"image": jnp.ones((8, 2))}
    slope, aux, _ = gradients.gradient(game.players[1], state, batch, KEY)
    z = sampler(game)[0].draw(rng.per_example(rng.named(KEY, "latent"), 8))
    found, pullback = jax.vjp(lambda w: features(z @ w), state.params["generator"])
    target, _ = denoiser.apply(state.params["denoiser"], {}, found, train=True)
    # d/dG of lambda |f - r|^2 is 2 lambda (f - r) df/dG, here of a mean over 3 features and 8 samples
    np.testing.assert_allclose(slope["generator"], pullback(2 * weight * (found - target) / (3 * 8))[0], rtol=1e-5)
    np.testing.assert_allclose(aux.metrics["denoising"], weight * jnp.mean((found - target) ** 2), rtol=1e-6)
    assert set(slope) == {"generator"}


@pytest.mark.slow
def test_each_moves_its_own():
    batch = points(8)
    games = [experiment.build(replace(CONFIG, adversarial=a), Spec((2,), 8, kind=kinds.points)) for a in (1.0, 3.0)]
    state = jax.jit(games[0].init)(KEY)
    assert [p.networks for p in games[0].players] == [("discriminator",), ("generator",), ("denoiser",)]

    @jax.jit
    def slopes(state):
        return [[gradients.gradient(p, state, batch, KEY)[::2] for p in game.players] for game in games]

    first, second = slopes(state)
    assert all(optax.tree.norm(slope) > 0 for slope, _ in first)
    np.testing.assert_allclose(second[1][1]["generator/loss"], 3 * first[1][1]["generator/loss"], rtol=1e-6)
    other = replace(state, params=state.params | {"denoiser": jax.tree.map(lambda x: 2 * x, state.params["denoiser"])})
    (discriminator, generator, _), _ = slopes(other)
    jax.tree.map(np.testing.assert_array_equal, discriminator[0], first[0][0])  # r is nothing to D
    assert optax.tree.norm(optax.tree.sub(generator[0], first[1][0])) > 0


def test_what_cannot_be_is_refused():
    denoiser = linear({"kernel": np.eye(3), "bias": np.zeros(3)})
    with pytest.raises(ValueError, match="std=0"):
        denoising.objective(denoiser, denoiser, 0.0)
    with pytest.raises(ValueError, match="weight=0"):
        denoising.matching(0.0)
