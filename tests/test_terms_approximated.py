"""Approximated R1 and R2, by perturbed inputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_penalties import FAKE, REAL, W, context
from toy import points_game

from gan_jax import penalties, terms
from gan_jax.errors import UserError

MANY = jnp.broadcast_to(REAL[:1], (20_000, 2))


@pytest.mark.parametrize("std", [0.01, 0.5])
def test_of_a_linear_critic_the_mean_is_weight_times_variance_times_squared_slope(std):
    values = terms.approximated_r1(3.0, std).value(context(real=MANY, fake=MANY))
    expected = 3.0 * std**2 * float(W @ W)  # (std w e)^2 / (std |w|)^2 is chi-squared, of variance 2
    assert abs(values.mean() - expected) < 4 * expected * (2 / len(MANY)) ** 0.5
    assert values.std() == pytest.approx(2**0.5 * expected, rel=0.05)


def test_small_noise_gives_r1_and_r2_of_twice_the_weight_times_the_variance():
    for approximated, exact, place in (
        (terms.approximated_r1, penalties.r1, REAL[:1]),
        (terms.approximated_r2, penalties.r2, FAKE[:1]),
    ):
        many = jnp.broadcast_to(place, (20_000, 2))
        moves = [context(lambda x: jnp.sin(x[:, 0]) * x[:, 1], real=x, fake=x) for x in (many, place)]
        found = approximated(100.0, 0.01).value(moves[0]).mean()
        expected = exact(2 * 100.0 * 0.01**2).value(moves[1])[0]
        np.testing.assert_allclose(found, expected, rtol=4 * (2 / len(many)) ** 0.5)


def test_each_looks_at_its_own_examples_and_a_flat_critic_costs_nothing():
    def steep_at_fake(x):  # flat on the real side of x_0 = 0
        return jnp.maximum(x[:, 0], 0.0)

    move = context(steep_at_fake, real=-1 - jnp.abs(REAL), fake=1 + jnp.abs(FAKE))
    np.testing.assert_array_equal(terms.approximated_r1().value(move), np.zeros(4))
    assert terms.approximated_r2().value(move).min() > 0


def test_batch_norm_in_the_critic_is_allowed_which_r1_refuses():
    with pytest.raises(UserError, match="batch norm"):
        points_game("batch", terms={"discriminator": [penalties.r1(1.0)]})
    both = [terms.approximated_r1(), terms.approximated_r2()]
    game = points_game("batch", terms={"discriminator": both})
    state = jax.eval_shape(game.init, jax.random.key(0))
    batch = {"image": jax.ShapeDtypeStruct((8, 2), "float32")}
    _, metrics = jax.eval_shape(game.update, state, batch, jax.random.key(0))
    assert {"discriminator/approximated_r1", "discriminator/approximated_r2"} <= set(metrics)
    with pytest.raises(UserError, match="weight=0"):
        terms.approximated_r1(0)
    with pytest.raises(UserError, match="std=0"):
        terms.approximated_r2(std=0)
