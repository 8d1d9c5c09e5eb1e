import functools
import importlib
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import traverse_util
from toy import few, points_game

from gan_jax import data
from gan_jax.networks import dcgan, linen, mlp
from gan_jax.networks.layers.batch import minibatch_deviation
from gan_jax.networks.layers.conv import Conv
from gan_jax.networks.layers.norm import layer, normalise
from gan_jax.networks.wrappers.reference_batch import with_reference

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (64, 6)) * 3 + 1


def shapes(params):
    return {path: leaf.shape for path, leaf in traverse_util.flatten_dict(params, sep="/").items()}  # pyright: ignore


def parameters(name, shape):
    experiment = importlib.import_module(f"experiments.{name}")
    return jax.eval_shape(experiment.build(experiment.Config(), data.Spec(shape, 0)).init, KEY).params


def test_mlp_gan_has_the_tutorials_layers():
    params = parameters("mlp_gan", (28, 28, 1))
    kernels = {player: [s for s in shapes(params[player]).values() if len(s) == 2] for player in params}
    assert kernels["generator"] == [(100, 256), (256, 512), (512, 1024), (1024, 784)]
    assert kernels["discriminator"] == [(784, 512), (512, 256), (256, 1)]


@pytest.mark.parametrize(("side", "doublings"), [(28, 3), (32, 3), (64, 4)])
def test_dcgan_doubles_and_halves_between_its_images_and_maps_of_side_4(side, doublings):
    params = parameters("dcgan", (side, side, 3))
    config = importlib.import_module("experiments.dcgan").Config()
    made_widths, judged_widths = ([w * 2**i for i in range(doublings)] for w in (config.g_width, config.d_width))
    made, judged = shapes(params["generator"]), shapes(params["discriminator"])
    assert made["Dense_0/kernel"][1] == 4 * 4 * made_widths[-1]
    assert [made[f"ConvTranspose_{i}/kernel"][3] for i in range(doublings)] == [*made_widths[-2::-1], 3]
    assert [judged[f"Conv_{i}/kernel"][3] for i in range(doublings)] == judged_widths
    assert judged["Dense_0/kernel"] == (4 * 4 * judged_widths[-1], 1)


class Normalised(nn.Module):
    kind: str
    momentum: float = 0.8

    @nn.compact
    def __call__(self, x, train):
        return normalise(x, self.kind, train, self.momentum)  # pyright: ignore[reportArgumentType]


def test_batch_norm_normalises_by_the_batch_and_keeps_the_old_moments_weight():
    network = linen(Normalised("batch"), (6,))
    params, stats = network.init(KEY)
    y, new = network.apply(params, stats, X, train=True)
    mean, variance = X.mean(0), X.var(0)
    np.testing.assert_allclose(y, (X - mean) / np.sqrt(variance + 1e-5), atol=1e-4)
    np.testing.assert_allclose(new["BatchNorm_0"]["mean"], 0.2 * mean, rtol=1e-4)
    np.testing.assert_allclose(new["BatchNorm_0"]["var"], 0.8 + 0.2 * variance, rtol=1e-4)
    z, same = network.apply(params, new, X, train=False)
    np.testing.assert_allclose(z, (X - 0.2 * mean) / np.sqrt(0.8 + 0.2 * variance + 1e-5), atol=1e-4)
    assert same is new


def test_layer_norm_normalises_each_example_whole():
    network = linen(Normalised("layer"), (4, 4, 3))
    images = jax.random.normal(KEY, (2, 4, 4, 3)) * 5 + 2
    y, _ = network.apply(*network.init(KEY), images, train=True)
    np.testing.assert_allclose(y.reshape(2, -1).mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(y.reshape(2, -1).std(1), 1, rtol=1e-4)


class Spectral(nn.Module):
    convolves: bool

    @nn.compact
    def __call__(self, x, train):
        inner = Conv(5, 3, padding="VALID", use_bias=False) if self.convolves else nn.Dense(5, use_bias=False)
        return layer(inner, "spectral", x, train)


@pytest.mark.parametrize(("convolves", "shape"), [(False, (6,)), (True, (3, 3, 2))])
def test_spectral_norm_divides_by_the_largest_singular_value(convolves, shape):
    # a kernel as large as the image is a matrix, whose rows are the outputs for the unit images
    network = linen(Spectral(convolves), shape)
    units = jnp.eye(math.prod(shape)).reshape(-1, *shape)
    params, stats = jax.jit(network.init)(KEY)
    update = jax.jit(lambda stats: network.apply(params, stats, units, train=True))
    for _ in range(100):
        y, stats = update(stats)
    (kernel,) = (np.reshape(leaf, (-1, 5)) for leaf in jax.tree.leaves(params))
    (sigma,) = (leaf for leaf in jax.tree.leaves(stats) if leaf.ndim == 0)
    largest = np.linalg.svd(kernel)[1][0]
    np.testing.assert_allclose(sigma, largest, rtol=1e-5)
    np.testing.assert_allclose(y.reshape(-1, 5), kernel / largest, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.linalg.svd(y.reshape(-1, 5))[1][0], 1, rtol=1e-5)


def test_real_and_fake_are_judged_with_one_sigma_and_it_moves_once():
    game = points_game("spectral")
    state = jax.jit(game.init)(KEY)
    batch = {"image": jnp.zeros((8, 2))}
    moved, _ = jax.jit(game.update)(state, batch, KEY)
    network = linen(mlp.Discriminator((16, 16), "spectral"), (2,))
    apply = jax.jit(lambda params, stats: network.apply(params, stats, batch["image"], train=True)[1])
    once = apply(state.params["discriminator"], state.stats["discriminator"])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), moved.stats["discriminator"], once)


def test_a_generators_move_leaves_the_discriminators_statistics_alone():
    game = points_game("batch", repeats={"generator": 2})
    state = game.init(KEY)
    batch = {"image": jnp.ones((2, 8, 2))}
    after, _ = game.update(state, batch, KEY)
    alone = points_game("batch")
    before_generator, _ = alone.update(state, {"image": jnp.ones((8, 2))}, KEY)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
        after.stats["discriminator"],
        before_generator.stats["discriminator"],
    )
    assert not np.allclose(
        after.stats["generator"]["BatchNorm_0"]["mean"], before_generator.stats["generator"]["BatchNorm_0"]["mean"]
    )


IMAGE = (28, 28, 1)
POINTS = jax.random.normal(jax.random.key(2), (8, 2))
DISCRIMINATORS = {
    "batch": (mlp.Discriminator((8, 8), "batch"), True),
    "layer": (mlp.Discriminator((8, 8), "layer"), False),
    "spectral": (mlp.Discriminator((8, 8), "spectral"), False),
    "none": (mlp.Discriminator((8, 8)), False),
    "virtual": (mlp.Discriminator((8, 8), "virtual"), False),
    "deviation": (mlp.Discriminator((8, 8), minibatch="deviation"), True),
    "discrimination": (mlp.Discriminator((8, 8), minibatch="discrimination"), True),
    "features": (mlp.Discriminator((8, 8), with_features=True), False),
    "features and deviation": (mlp.Discriminator((8, 8), minibatch="deviation", with_features=True), True),
    "features and batch": (mlp.Discriminator((8, 8), "batch", with_features=True), True),
    "dcgan": (dcgan.Discriminator(IMAGE, 4, "none"), False),
    "dcgan and deviation": (dcgan.Discriminator(IMAGE, 4, "none", "deviation"), True),
    "dcgan and discrimination": (dcgan.Discriminator(IMAGE, 4, "none", "discrimination"), True),
}


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_networks_that_mix_their_batch_are_found(name):
    module, mixes = DISCRIMINATORS[name]
    network = linen(module, IMAGE if "dcgan" in name else (2,))
    assert (with_reference(network, POINTS) if name == "virtual" else network).batch_dependent() is mixes


@pytest.mark.parametrize("minibatch", few(["none", "deviation"], "deviation"))
@pytest.mark.parametrize(
    ("make", "shape", "last", "width"),
    [
        (functools.partial(mlp.Discriminator, (8, 7)), (2,), "Dense_2", 7),
        (functools.partial(dcgan.Discriminator, IMAGE, 4, "none"), IMAGE, "Dense_0", 4 * 4 * 16),
    ],
)
def test_features_are_what_the_last_layer_sees_beside_the_minibatchs_column(make, shape, last, width, minibatch):
    plain, named = (linen(make(minibatch=minibatch, with_features=f), shape) for f in (False, True))
    x = jax.random.normal(KEY, (8, *shape))
    draw = np.random.default_rng(0)
    params, stats = jax.eval_shape(plain.init, KEY)
    params = jax.tree.map(lambda p: draw.normal(size=p.shape).astype(p.dtype) / 10, params)
    run = jax.jit(lambda x: [network.apply(params, stats, x, train=True)[0] for network in (plain, named)])
    logits, output = run(x)
    assert set(output) == {"logits", "features"} and output["features"].shape == (8, width)
    np.testing.assert_allclose(output["logits"], logits, rtol=1e-5, atol=1e-6)
    seen = output["features"]
    if minibatch == "deviation":
        side = 1 if len(shape) == 1 else 4
        seen = minibatch_deviation(seen.reshape(8, side, side, -1)).reshape(8, -1)
    np.testing.assert_allclose(
        (seen @ params[last]["kernel"] + params[last]["bias"])[:, 0], logits, rtol=1e-4, atol=1e-6
    )


def test_dcgans_generator_has_biases_only_where_they_survive():
    def biases(norm):
        network = linen(dcgan.Generator(IMAGE, 4, norm), (8,))
        paths = shapes(jax.eval_shape(network.init, KEY)[0])
        return {path for path in paths if path.endswith("bias") and "Norm" not in path}

    assert biases("batch") == {"ConvTranspose_2/bias"}
    assert biases("layer") == biases("spectral") == {f"ConvTranspose_{i}/bias" for i in range(3)} | {"Dense_0/bias"}


class OwnMixing(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(1, kernel_init=nn.initializers.zeros_init())(x - x.mean(0))[:, 0]


def test_mixing_is_found_in_any_module_even_behind_zero_weights():
    assert linen(OwnMixing(), (2,)).batch_dependent()


def test_an_unknown_norm_or_minibatch_layer_is_refused():
    with pytest.raises(ValueError, match="norm='group'"):
        linen(Normalised("group"), (6,)).init(KEY)
    with pytest.raises(ValueError, match="minibatch='std'"):
        linen(mlp.Discriminator((8,), minibatch="std"), (6,)).init(KEY)  # pyright: ignore[reportArgumentType]
