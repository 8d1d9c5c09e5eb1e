"""Standing statistics: moments of batch norm that belong to the weights that sample."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from toy import gan, points_game

from gan_jax import latents, losses
from gan_jax.game import current, standing
from gan_jax.networks import linen, mlp
from gan_jax.networks.layers.norm import layer, normalise
from gan_jax.types import Latent

KEY = jax.random.key(0)
FIXED = jnp.asarray(np.random.default_rng(0).normal(size=(16, 3)), jnp.float32)


class Generator(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = layer(nn.Dense(3), "spectral", x, train)
        return nn.Dense(2)(normalise(x, "batch", train, momentum=0.99))


def game(latent):
    networks = {"generator": linen(Generator(), (3,)), "discriminator": linen(mlp.Discriminator((4,)), (2,))}
    return gan(networks, losses.hinge(), latent, optax.sgd(0.1))


def test_moments_are_those_of_the_batches_whatever_the_momentum_and_the_old_ones():
    # the same 16 latents in every batch: the mean of the batches' moments is the moments of these 16
    system = game(Latent(3, lambda keys, truncation=None: FIXED[: len(keys)]))
    state = system.init(KEY)
    ema = current(state) | {"other": {"params": {}, "stats": {}}}
    old = {"BatchNorm_0": jax.tree.map(lambda x: x + 7, ema["generator"]["stats"]["BatchNorm_0"])}
    ema["generator"]["stats"] |= old
    found = standing(system, ema, batches=30, batch_size=16)
    assert found["other"] is ema["other"] and found["generator"]["params"] is ema["generator"]["params"]

    kernel, bias = (np.asarray(state.params["generator"]["Dense_0"][name]) for name in ("kernel", "bias"))
    largest = np.linalg.svd(kernel)[1][0]
    stats = found["generator"]["stats"]
    np.testing.assert_allclose(stats["SpectralNorm_0"]["Dense_0/kernel/sigma"], largest, rtol=1e-4)  # after 30 passes
    # sigma grows towards the largest singular value during the passes: their mean divides the kernel
    exact = standing(system, found, batches=2, batch_size=16)["generator"]["stats"]["BatchNorm_0"]
    y = np.asarray(FIXED) @ kernel / largest + bias
    np.testing.assert_allclose(exact["mean"], y.mean(0), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(exact["var"], y.var(0), rtol=1e-3)


def test_more_batches_come_closer_to_the_moments_of_the_distribution():
    system = points_game(g_norm="batch")
    ema = current(system.init(KEY))
    few, many, other = (
        standing(system, ema, batches, 64, seed)["generator"]["stats"]["BatchNorm_0"]
        for batches, seed in ((2, 0), (60, 0), (60, 1))
    )
    kernel = np.asarray(ema["generator"]["params"]["Dense_0"]["kernel"])
    # y is a leaky ReLU of slope 0.2 of N(0, s^2): E y^2 = (1 + 0.2^2) s^2 / 2, E y = (1 - 0.2) s / sqrt(2 pi)
    variance = (kernel**2).sum(0) * (0.52 - 0.64 / (2 * math.pi))
    far = [np.abs(each["var"] / variance - 1).mean() for each in (few, many)]
    assert far[1] < far[0] / 2 and far[1] < 0.05, far
    np.testing.assert_allclose(many["var"], other["var"], rtol=0.15)
    assert not np.array_equal(many["var"], other["var"])


@pytest.mark.parametrize(
    ("g_norm", "batches", "size", "message"),
    [
        ("none", 10, 8, "standing: the generator has no batch norm"),
        ("batch", -1, 8, "standing=-1 batches of 8: give at least 1"),
        ("batch", 10, 1, "standing=10 batches of 1: .* at least 2"),
    ],
)
def test_generators_without_statistics_and_small_numbers_are_refused(g_norm, batches, size, message):
    system = points_game(g_norm=g_norm)
    ema = jax.eval_shape(lambda: current(system.init(KEY)))
    with pytest.raises(ValueError, match=message):
        standing(system, ema, batches, size)


def test_latents_differ_from_batch_to_batch():
    seen = []
    drawn = latents.normal(3).draw

    def draw(keys, truncation=None):
        values = drawn(keys)
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), values)
        return values

    system = game(Latent(3, draw))
    ema = current(system.init(KEY))
    standing(system, ema, 3, 4)
    jax.effects_barrier()
    assert len(np.unique(np.concatenate(seen), axis=0)) == 12


def test_a_running_mean_that_is_none_of_batch_norm_is_refused():
    class Tracking(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            mean = self.variable("batch_stats", "mean", lambda: jnp.zeros(()))  # as of StyleGAN2's styles
            return nn.Dense(2)(x - mean.value)

    networks = {"generator": linen(Tracking(), (3,)), "discriminator": linen(mlp.Discriminator((4,)), (2,))}
    system = gan(networks, losses.hinge(), latents.normal(3), optax.sgd(0.1))
    with pytest.raises(ValueError, match="standing: the generator has no batch norm"):
        standing(system, current(system.init(KEY)), batches=2, batch_size=8)
