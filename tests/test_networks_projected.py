"""Discriminators of frozen features."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_penalties import compiled
from toy import KEY, gan

from gan_jax import latents, losses, penalties
from gan_jax.errors import UserError
from gan_jax.metrics.features import inception_network, maps, pretrained
from gan_jax.networks import Backbone, dcgan, linen, projected
from gan_jax.networks.wrappers.projected import Critics, Mixer

DIGITS = maps.of_classifier(pretrained.load("digits"))


def halves(weights, x):
    """Features of two scales: colours through a matrix, and their means over 2 x 2 pixels."""
    large = jnp.tanh(x @ weights)
    return large, large.reshape(len(x), 4, 2, 4, 2, -1).mean((2, 4))


TINY = Backbone(np.array([[1.0, -2.0, 0.5]], np.float32), halves)
SMALL = projected(TINY, (8, 8, 1), width=2, critic=Critics(2, norm="none"))


def images(count=4, side=8):
    return jax.random.uniform(KEY, (count, side, side, 1), minval=-1, maxval=1)


def test_the_maps_of_the_classifier_are_those_from_which_it_computes_its_features():
    judge = pretrained.load("digits")
    found = jax.jit(DIGITS.maps)(DIGITS.weights, images(side=28))
    assert [x.shape for x in found] == [(4, 14, 14, 32), (4, 7, 7, 48), (4, 4, 4, 48)]
    dense = judge.params["Dense_0"]
    features = jax.nn.relu(found[-1].reshape(4, -1) @ dense["kernel"] + dense["bias"])
    np.testing.assert_allclose(features, judge.apply(judge.params, images(side=28))[0], rtol=1e-4, atol=1e-4)
    with pytest.raises(UserError, match="trained on images of"):
        jax.eval_shape(DIGITS.maps, DIGITS.weights, jnp.zeros((1, 32, 32, 1)))


@pytest.mark.slow
def test_the_maps_of_inception_halve_three_times():
    weights = jax.eval_shape(inception_network.Net().init, KEY, jnp.zeros((1, 299, 299, 3)))["params"]
    like = jax.ShapeDtypeStruct((2, 32, 32, 1), "float32")
    found = jax.eval_shape(lambda weights, x: maps._of_inception(maps.SCALES, weights, x), weights, like)
    assert [x.shape for x in found] == [(2, 71, 71, 192), (2, 35, 35, 288), (2, 17, 17, 768), (2, 8, 8, 2048)]


@pytest.mark.slow
def test_maps_are_mixed_downwards_as_in_the_authors_code():
    # 1x1 convolutions by hand, of maps that are constant, which any interpolation leaves constant
    mixer = Mixer(2)
    a, b, c = (jnp.full((1, side, side, n), value) for side, n, value in ((8, 3, 0.5), (4, 5, -1.0), (2, 4, 2.0)))
    params = jax.tree.map(
        lambda p: jax.random.normal(KEY, p.shape), jax.eval_shape(lambda: mixer.init(KEY, a, b, c, train=False))
    )
    found = compiled(lambda p, *x: mixer.apply(p, *x, train=False))(params, a, b, c)

    def conv(number, x):
        layer = params["params"][f"Conv_{number}"]
        return x @ layer["kernel"][0, 0] + layer["bias"]

    channels = [conv(depth, x[0, 0, 0]) for depth, x in enumerate((a, b, c))]
    two = conv(3, channels[2])
    one = conv(4, channels[1] + two)
    zero = conv(5, channels[0] + one)
    assert [x.shape for x in found] == [(1, 16, 16, 2), (1, 8, 8, 2), (1, 4, 4, 4)]
    for x, expected in zip(found, (zero, one, two), strict=True):
        np.testing.assert_allclose(x, jnp.broadcast_to(expected, x.shape), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_only_the_critics_are_parameters_and_gradients_pass_to_images():
    params, stats = jax.jit(SMALL.init)(KEY)
    assert set(stats) == {"critic", "mixer", "backbone"}
    np.testing.assert_array_equal(stats["backbone"], TINY.weights)
    critics = jax.eval_shape(lambda: linen(Critics(2, norm="none"), (16, 16, 2), (8, 8, 2)).init(KEY))[0]
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, critics)

    @compiled
    def slopes(params, x):
        return jax.grad(lambda p, x: SMALL.apply(p, stats, x, train=True, key=KEY)[0].sum(), (0, 1))(params, x)

    own, image = slopes(params, images())
    assert all(np.abs(x).max() > 0 for x in jax.tree.leaves((own, image)))
    assert (
        not SMALL.batch_dependent() and projected(TINY, (8, 8, 1), 2, Critics(2)).batch_dependent()
    )  # the authors' batch norm


@pytest.mark.slow
def test_the_features_stay_as_they_are_in_a_game_and_each_scale_gives_its_logits():
    networks = {"generator": linen(dcgan.Generator((8, 8, 1), 2), (4,)), "discriminator": SMALL}
    critic = [penalties.r1(0.1)]
    game = gan(networks, losses.hinge(), latents.normal(4), optax.sgd(0.1), terms={"discriminator": critic})
    state = game.init(KEY)
    kept = jax.tree.map(np.asarray, state.stats["discriminator"])
    after, _ = game.update(state, {"image": images()}, KEY)
    for name in ("backbone", "mixer"):
        jax.tree.map(np.testing.assert_array_equal, after.stats["discriminator"][name], kept[name])
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), after.params, state.params)
    assert min(jax.tree.leaves(moved["discriminator"])) > 0 and max(jax.tree.leaves(moved["generator"])) > 0
    logits = jax.eval_shape(lambda s, x: SMALL.apply(*s, x, train=False)[0], SMALL.init(KEY), images())
    assert logits.shape == (4, 8 * 8 + 8 * 8)  # of maps of side 16, which is halved, and 8


def test_r1_with_the_authors_batch_norm_is_refused_and_the_place_of_the_norm_named():
    critic = projected(TINY, (8, 8, 1), 2, Critics(2))
    networks = {"generator": linen(dcgan.Generator((8, 8, 1), 2), (4,)), "discriminator": critic}
    with pytest.raises(UserError, match=r"'r1' .*batch norm.*in networks.projected by critic=.*Critics\(norm='none'\)"):
        gan(networks, losses.hinge(), latents.normal(4), optax.sgd(0.1), terms={"discriminator": [penalties.r1(0.1)]})


def test_features_without_maps_are_refused():
    flat = Backbone({}, lambda weights, x: (x.reshape(len(x), -1),))
    with pytest.raises(UserError, match=r"features have shapes \[\(1, 784\)\]; give a tuple of maps"):
        projected(flat, (28, 28, 1))
    with pytest.raises(UserError, match="width=0"):
        projected(TINY, (8, 8, 1), 0)
