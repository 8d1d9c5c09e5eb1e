import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import traverse_util
from toy import points_game

from gan_jax import data
from gan_jax.networks import mlp
from gan_jax.networks.linen import linen
from gan_jax.networks.norm import layer, normalise
from gan_jax.system import system
from gan_jax.types import Player

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
    @nn.compact
    def __call__(self, x, train):
        return layer(nn.Dense(5, use_bias=False), "spectral", x, train)


def test_spectral_norm_divides_by_the_largest_singular_value():
    network = linen(Spectral(), (6,))
    params, stats = network.init(KEY)
    for _ in range(100):
        y, stats = network.apply(params, stats, X, train=True)
    (kernel,) = jax.tree.leaves(params)
    np.testing.assert_allclose(y, X @ kernel / np.linalg.svd(kernel)[1][0], rtol=1e-4, atol=1e-5)


def test_real_and_fake_are_judged_with_one_sigma_and_it_moves_once():
    game = points_game("spectral")
    state = jax.jit(game.init)(KEY)
    batch = {"image": jnp.zeros((8, 2))}
    moved, _ = jax.jit(game.update)(state, batch, KEY)
    network = linen(mlp.Discriminator((16, 16), "spectral"), (2,))
    _, once = network.apply(state.params["discriminator"], state.stats["discriminator"], batch["image"], train=True)
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


@pytest.mark.parametrize(("norm", "mixes"), [("batch", True), ("layer", False), ("spectral", False), ("none", False)])
def test_networks_that_mix_their_batch_are_found(norm, mixes):
    assert linen(mlp.Discriminator((8, 8), norm), (2,)).batch_dependent() is mixes


class OwnMixing(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(1, kernel_init=nn.initializers.zeros_init())(x - x.mean(0))[:, 0]


def test_mixing_is_found_in_any_module_even_behind_zero_weights():
    assert linen(OwnMixing(), (2,)).batch_dependent()


def test_an_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="norm='group'"):
        linen(Normalised("group"), (6,)).init(KEY)


def test_players_of_networks_that_are_not_there_are_refused():
    game = points_game()
    ghost = Player("generator", ("encoder",), lambda s, b, k: None, None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="moves 'encoder'"):
        system({}, [ghost], game.update, game.latent)
