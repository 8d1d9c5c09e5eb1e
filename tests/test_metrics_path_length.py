"""Perceptual path length of maps whose speed along paths is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gan_jax import latents, rng
from gan_jax.data import Spec, kinds
from gan_jax.errors import UserError
from gan_jax.metrics import features
from gan_jax.metrics.features.distance import of_features
from gan_jax.metrics.path_length import EPSILON, along, path_length, trimmed
from gan_jax.networks import linen
from gan_jax.types import System

SIZE, COUNT = 6, 64
MAP = jnp.asarray(np.random.default_rng(0).normal(size=(SIZE, SIZE)), jnp.float32)
RAW = of_features(features.raw(Spec((SIZE,), 0, kind=kinds.points)))  # of the identity


def system(generate, latent=None, network=None):
    networks = {"generator": network or linen(nn.Dense(SIZE), (SIZE,))}
    return System(None, None, None, 1, networks, (), latent or latents.normal(SIZE), generate)  # pyright: ignore


def ends(seed=0):
    """Both ends of the paths, and the places on them."""
    first, second = np.split(np.asarray(latents.numbered(latents.normal(SIZE), seed, 2 * COUNT), np.float64), 2)
    keys = rng.numbered(rng.named(rng.key(seed), "path"), COUNT)
    at = jax.vmap(lambda key: jax.random.uniform(key, maxval=1 - EPSILON))(keys)
    return first, second, np.asarray(at, np.float64)[:, None]


def speed(x, slope):
    """|d/dt x / |x||^2, by its closed form."""
    square = np.sum(x * x, 1)
    return np.sum(slope**2, 1) / square - (np.sum(x * slope, 1) / square) ** 2


def arcs(first, second, at):
    angle = np.arccos(np.sum(first * second, 1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1))
    angle = angle[:, None]
    place = (np.sin((1 - at) * angle) * first + np.sin(at * angle) * second) / np.sin(angle)
    slope = angle * (-np.cos((1 - at) * angle) * first + np.cos(at * angle) * second) / np.sin(angle)
    return place, slope


def test_the_path_length_of_a_linear_map_is_known():
    place, slope = arcs(*ends())
    found = path_length(RAW, system(lambda ema, z: z @ ema), MAP, COUNT)
    expected = trimmed(speed(place @ np.asarray(MAP), slope @ np.asarray(MAP)))
    np.testing.assert_allclose(found, expected, rtol=0.01)


def test_it_does_not_depend_on_the_scale_of_the_features():
    one, three = (path_length(RAW, system(lambda ema, z: ema * z), scale, COUNT) for scale in (1.0, 3.0))
    np.testing.assert_allclose(one, three, rtol=0.01)
    place, slope = arcs(*ends())
    np.testing.assert_allclose(one, trimmed(speed(place, slope)), rtol=0.01)


class Mapped(nn.Module):
    @nn.compact
    def __call__(self, z, train):
        return 2 * nn.Dense(SIZE, name="styles")(z) ** 3


def test_between_styles_paths_are_straight():
    network = linen(Mapped(), (SIZE,))
    average = {"params": {"styles": {"kernel": MAP, "bias": jnp.ones(SIZE)}}, "stats": {}}
    made = system(lambda ema, z: None, network=network)
    found = path_length(RAW, made, {"generator": average}, COUNT, seed=1, space="styles")
    first, second, at = ends(seed=1)
    a, b = (z @ np.asarray(MAP, np.float64) + 1 for z in (first, second))
    place = a + at * (b - a)
    np.testing.assert_allclose(found, trimmed(speed(place**3, 3 * place**2 * (b - a))), rtol=0.01)


def test_labels_do_not_change_along_a_path():
    latent = latents.joined(latents.normal(2), label=latents.categorical(3))
    first, second = jnp.float32([[1, 0, 1, 0, 0]]), jnp.float32([[0, 1, 0, 0, 1]])
    for t in (0.0, 1.0):
        place = along(latent, lambda z: z)(first, second, jnp.float32([t]))
        np.testing.assert_allclose(place[:, 2:], first[:, 2:], atol=1e-6)


def test_the_longest_and_the_shortest_hundredth_are_left_out():
    steps = np.arange(201.0)
    assert trimmed(np.random.default_rng(0).permutation(np.append(steps, 1e9)))[0] == np.mean(steps[2:200])


def test_a_generator_without_styles_is_refused():
    class Plain(nn.Module):
        @nn.compact
        def __call__(self, z, train):
            return nn.Dense(SIZE)(z)

    network = linen(Plain(), (SIZE,))
    params, stats = network.init(rng.key(0))
    made = system(lambda ema, z: z, network=network)
    with pytest.raises(UserError, match="no layer 'styles'"):
        path_length(RAW, made, {"generator": {"params": params, "stats": stats}}, COUNT, space="styles")
    with pytest.raises(UserError, match="count=1"):
        path_length(RAW, made, {}, 1)
