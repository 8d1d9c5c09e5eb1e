import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from toy import state_of

from experiments import wgan
from gan_jax import optimizers
from gan_jax.data import Spec, kinds

CONFIG = wgan.Config(g_width=2, d_width=2, latent_size=2, g_learning_rate=1e-3, d_learning_rate=1e-4)


def players(**settings):
    game = wgan.build(dataclasses.replace(CONFIG, **settings), Spec((2,), 8, kind=kinds.points))
    return {player.name: player for player in game.players}


@pytest.mark.parametrize("d_steps", [5, 20, 100])
def test_the_critic_makes_100_moves_before_each_of_the_first_25_of_the_generators_and_every_500th(d_steps):
    # of the authors' code: if gen_iterations < 25 or gen_iterations % 500 == 0: Diters = 100
    active = players(d_steps=d_steps)["generator"].active
    assert active is not None
    state = dataclasses.replace(state_of(), step=jnp.arange(2500))
    moves = np.flatnonzero(active(state))  # the iterations in which the generator moves
    found = d_steps * np.diff(moves, prepend=-1)
    number = np.arange(len(moves))
    np.testing.assert_array_equal(found, np.where((number < 25) | (number % 500 == 0), 100, d_steps))
    assert len(moves) > 1000


def lengths(optimizer, slope):
    """Returns how far a parameter under a constant gradient goes in each of 4 moves."""
    params = {"x": jnp.zeros(())}
    state, found = optimizer.init(params), []
    for i in range(4):
        after, state = optimizers.moved(optimizer, {"x": jnp.asarray(slope)}, state, params, i)
        found.append(-float(after["x"]))
    return found


@pytest.mark.parametrize(("name", "rate"), [("generator", 1e-3), ("discriminator", 1e-4)])
@pytest.mark.parametrize("slope", [1.0, 1e-5])
def test_rmsprop_is_pytorchs(name, rate, slope):
    # v_t = (1 - 0.99^t) g^2 under a constant gradient g, and a move is rate * g / (sqrt(v_t) + 1e-8)
    root = slope * np.sqrt(1 - 0.99 ** np.arange(1, 5))
    np.testing.assert_allclose(lengths(players()[name].optimizer, slope), rate * slope / (root + 1e-8), rtol=1e-3)
