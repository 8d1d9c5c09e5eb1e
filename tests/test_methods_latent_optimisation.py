"""LOGAN's step on latents, alone and in a game."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_methods_binary_pixels import plain
from toy import KEY, state_of

from gan_jax import latents, losses, rng
from gan_jax.errors import UserError
from gan_jax.game import Game, discriminator, from_batch, generator
from gan_jax.methods.latent_optimisation import natural_step

Z = jnp.array([[0.2, -0.5], [0.9, 0.1], [0.0, 0.0]])
KEYS = jax.random.split(KEY, 3)
LATENT, SGD = latents.uniform(2), optax.sgd(0.1)
# D(x) = d x, G(z) = g z, so that D(G(z)) = d g z
NETWORKS = {
    "discriminator": plain(lambda p, x: p * x[:, 0], 0.7),
    "generator": plain(lambda p, z: p * z, 0.5),
}


def score(z):
    return -jnp.sum((z - 3.0) ** 2, axis=1) / 2


def test_the_step_on_a_quadratic_is_the_natural_gradient_of_the_rank_one_fisher_matrix():
    found = natural_step(LATENT, 0.9, 5.0, bound=None)(Z, KEYS, score)
    for z, moved in zip(np.asarray(Z, np.float64), found, strict=True):
        g = 3.0 - z
        expected = z + 0.9 * np.linalg.solve(np.outer(g, g) + 5.0 * np.eye(2), g)  # = alpha g / (beta + |g|^2)
        np.testing.assert_allclose(moved, expected, rtol=1e-6)


def test_latents_stay_within_the_bound_and_the_step_vanishes_with_the_gradient():
    far = natural_step(LATENT, 1e3, 1.0)(Z, KEYS, score)
    np.testing.assert_array_equal(far, np.ones((3, 2)))
    still = natural_step(LATENT, 0.9, 5.0)(Z, KEYS, lambda z: jnp.zeros(len(z)))
    np.testing.assert_array_equal(still, Z)


def test_a_large_damping_makes_it_a_gradient_step():
    found = natural_step(LATENT, 1e4, 1e5, bound=None)(Z, KEYS, score)
    np.testing.assert_allclose(found, Z + 0.1 * (3.0 - Z), rtol=1e-3)


def test_labels_and_codes_are_not_moved():
    latent = latents.joined(latents.uniform(2), label=latents.categorical(3))
    drawn = latent.draw(KEYS)
    found = natural_step(latent, 0.9, 1.0, bound=None)(drawn, KEYS, lambda z: jnp.sum(z**2, axis=1) + 4 * z[:, 2])
    np.testing.assert_array_equal(found[:, 2:], drawn[:, 2:])
    noise = np.asarray(drawn[:, :2])
    np.testing.assert_allclose(found[:, :2], noise + 0.9 * 2 * noise / (1 + 4 * (noise**2).sum(1, keepdims=True)), 1e-5)


def test_a_share_of_the_elements_moves_by_the_step_in_their_subspace():
    many, keys = jnp.zeros((1000, 2)), jax.random.split(KEY, 1000)
    found = np.asarray(natural_step(LATENT, 0.9, 1.0, bound=None, share=0.5)(many, keys, score))
    moved = found != 0
    assert abs(moved.mean() - 0.5) < 4 * 0.5 / 2000**0.5
    assert abs((moved[:, 0] & moved[:, 1]).mean() - 0.25) < 4 * 0.43 / 1000**0.5  # chosen independently
    g = 3.0 * moved
    np.testing.assert_allclose(found, 0.9 * g / (1 + (g**2).sum(1, keepdims=True)), rtol=1e-6)


def test_both_players_use_the_moved_latents_and_differentiate_through_the_step():
    latent = latents.uniform(1)
    game = Game(NETWORKS, losses.wasserstein(), latent, refine=natural_step(latent, 0.9, 2.0, bound=None))
    real = jnp.array([[2.0], [1.0], [0.0], [1.0]])
    z = latent.draw(rng.per_example(rng.named(KEY, "latent"), 4))

    def logit(d, g):  # g = grad_z = d g
        return jnp.mean(d * g * (z + 0.9 * d * g / (2.0 + (d * g) ** 2)))

    def value(player, d, g):
        return player(game, SGD).objective(state_of(discriminator=d, generator=g), {"image": real}, KEY)[0]

    d, g = 0.7, 0.5
    np.testing.assert_allclose(value(generator, d, g), -logit(d, g), rtol=1e-6)
    np.testing.assert_allclose(value(discriminator, d, g), logit(d, g) - d * 1.0, rtol=1e-6)
    for place in (0, 1):
        found = jax.grad(lambda *p: value(generator, *p), place)(d, g)
        np.testing.assert_allclose(found, -jax.grad(logit, place)(d, g), rtol=1e-5)


def test_inputs_that_are_no_latents_are_refused():
    for arguments, message in (((0.0, 1.0), "step=0.0"), ((1.0, 0.0), "damping=0.0")):
        with pytest.raises(UserError, match=message):
            natural_step(LATENT, *arguments)
    with pytest.raises(UserError, match="share=0"):
        natural_step(LATENT, 1.0, 1.0, share=0)
    game = Game(NETWORKS, losses.hinge(), inputs=from_batch("source"), refine=natural_step(LATENT, 0.9, 5.0))
    batch = {"image": jnp.ones((4, 1)), "source": jnp.ones((4, 1))}
    with pytest.raises(UserError, match=r"inputs have shape \(1,\), but latents of natural_step have \(2,\)"):
        generator(game, SGD).objective(state_of(discriminator=0.7, generator=0.5), batch, KEY)
