import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import baseline, losses
from gan_jax.data import Spec

CONFIG = baseline.Baseline(g_width=4, d_width=4, latent_size=3, g_learning_rate=0.1, d_learning_rate=0.2)
IMAGES, POINTS = Spec((28, 28, 1), 10), Spec((2,), 8)


def lengths(optimizer, moves):
    """Returns how far a parameter under a constant gradient goes in each move; Adam goes its rate."""
    params = {"x": jnp.zeros(())}
    state, found = optimizer.init(params), []
    for _ in range(moves):
        updates, state = optimizer.update({"x": jnp.ones(())}, state, params)
        found.append(-float(updates["x"]))
    return found


def test_rates_fall_to_0_along_a_line_of_iterations_however_many_moves_those_have():
    config = dataclasses.replace(CONFIG, decay_steps=4)
    adam = baseline.adam(config, repeats={"discriminator": 2})
    np.testing.assert_allclose(lengths(adam["generator"], 6), 0.1 * np.array([4, 3, 2, 1, 0, 0]) / 4, atol=1e-6)
    np.testing.assert_allclose(
        lengths(adam["discriminator"], 10), 0.2 * np.maximum(8 - np.arange(10), 0) / 8, atol=1e-6
    )
    np.testing.assert_allclose(lengths(baseline.adam(CONFIG)["generator"], 3), 0.1, rtol=1e-5)


@pytest.mark.parametrize(("spec", "kind"), [(IMAGES, "dcgan"), (IMAGES, "resnet"), (POINTS, "dcgan")])
def test_networks_have_the_size_of_the_data(spec, kind):
    networks = baseline.networks(CONFIG, spec, "layer", kind, with_features=True)
    game = baseline.game(CONFIG, networks, losses.hinge())
    state = jax.eval_shape(game.init, jax.random.key(0))
    samples = jax.eval_shape(game.generate, state.ema, jax.ShapeDtypeStruct((5, 3), "float32"))
    assert samples.shape == (5, *spec.shape)
    batch = {"image": samples}
    after, metrics = jax.eval_shape(game.update, state, batch, jax.random.key(0))
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    assert metrics["generator/loss"].shape == ()


def test_points_are_not_bounded_and_images_are():
    images, points = (baseline.networks(CONFIG, spec)["generator"] for spec in (IMAGES, POINTS))
    for network, bounded in ((images, True), (points, False)):
        params, stats = jax.jit(network.init)(jax.random.key(0))
        made = jax.jit(lambda p, s, z, n=network: n.apply(p, s, z, train=False)[0])
        largest = jnp.max(jnp.abs(made(jax.tree.map(lambda x: 10 * x, params), stats, 100 * jnp.ones((2, 3)))))
        assert (largest <= 1) == bounded


def test_each_may_move_more_than_its_own_network_and_nobody_a_strangers():
    networks = baseline.networks(CONFIG, POINTS)
    encoder = networks["discriminator"]
    moves = {"generator": ["encoder"]}
    game = baseline.game(CONFIG, networks | {"encoder": encoder}, losses.hinge(), moves=moves)
    assert [player.networks for player in game.players] == [("discriminator",), ("generator", "encoder")]
    with pytest.raises(ValueError, match="'generator' moves 'encoder'"):
        baseline.game(CONFIG, networks, losses.hinge(), moves=moves)
    with pytest.raises(ValueError, match=r"moves: keys \['encoder'\]"):
        baseline.game(CONFIG, networks | {"encoder": encoder}, losses.hinge(), moves={"encoder": ["encoder"]})
