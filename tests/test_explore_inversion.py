import functools

import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from test_explore_directions import run_of

from gan_jax import latents, pictures, sample
from gan_jax.data import Spec, kinds
from gan_jax.explore import inversion
from gan_jax.metrics import features
from gan_jax.networks import linen

SIZE = 3
invert = functools.partial(inversion.invert, starts=6, iterations=120)


class Injective(nn.Module):
    """Images of 16 pixels, of which no two latents make the same."""

    @nn.compact
    def __call__(self, z, train):
        return jnp.tanh(nn.Dense(16)(z) / 4).reshape(-1, 4, 4, 1)


class Diagonal(nn.Module):
    """Points (z, z)."""

    @nn.compact
    def __call__(self, z, train):
        return jnp.concatenate([z, z], axis=1)


class Wavy(nn.Module):
    """Points (z + 2 sin 4z, 0): many minima for every target."""

    @nn.compact
    def __call__(self, z, train):
        return jnp.concatenate([z + 2 * jnp.sin(4 * z), 0 * z], axis=1)


@pytest.fixture(scope="module")
def run():
    return run_of(linen(Injective(), (SIZE,)), latents.normal(SIZE), seed=1)


@pytest.fixture(scope="module")
def own(run):
    """Latents, and what the generator makes of them."""
    z = sample.latents_of(run, 9, 5)
    return np.asarray(z), np.asarray(run.system.sample(run.ema, z))


@pytest.fixture(scope="module")
def found(run, own):
    return invert(run, own[1], prior=0.0)


def rmse(a, b):
    return np.sqrt(np.mean((np.asarray(a) - np.asarray(b)).reshape(len(a), -1) ** 2, axis=1))


def test_what_the_generator_made_is_found_again(run, own, found):
    assert found.errors.max() < 1e-3
    np.testing.assert_allclose(found.latents, own[0], atol=5e-3)
    np.testing.assert_array_equal(found.images, sample.generate(run, jnp.asarray(found.latents)))
    np.testing.assert_allclose(found.images.astype(int), pictures.to_uint8(own[1]).astype(int), atol=1)


def test_errors_are_those_of_the_images_and_the_best_start_is_kept(run):
    noise = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), dtype=np.uint8)
    result = invert(run, noise, prior=0.0)
    np.testing.assert_array_equal(result.errors, result.all_errors.min(axis=1))
    assert result.all_errors.shape == (5, 6) and result.latents.shape == (5, SIZE)
    made = run.system.sample(run.ema, jnp.asarray(result.latents))
    np.testing.assert_allclose(result.errors, rmse(made, noise / 127.5 - 1), rtol=1e-4)
    assert result.errors.min() > 0.1  # of another kind: no latent makes them
    as_float = invert(run, noise / 127.5 - 1, prior=0.0)
    np.testing.assert_allclose(as_float.errors, result.errors, rtol=1e-3)


def test_an_image_is_found_alike_whatever_others_are_given_and_however_many_at_once(run, own, found, monkeypatch):
    alone = invert(run, own[1][3:4], prior=0.0)
    np.testing.assert_allclose(alone.latents[0], found.latents[3], atol=1e-3)  # equal but for rounding
    np.testing.assert_allclose(alone.all_errors[0], found.all_errors[3], atol=1e-3)
    monkeypatch.setattr(inversion, "ROWS", 8)  # 30 searches in 4 parts, the last one padded
    parts = invert(run, own[1], prior=0.0)
    np.testing.assert_allclose(parts.latents, found.latents, atol=1e-3)
    np.testing.assert_allclose(parts.all_errors, found.all_errors, atol=1e-3)


def test_a_seed_is_one_search_bit_for_bit(run, own):
    first, again, other = (invert(run, own[1], seed=seed, iterations=5) for seed in (4, 4, 5))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.allclose(first.all_errors, other.all_errors, atol=1e-3)


def test_more_starts_escape_minima_that_one_is_caught_in():
    wavy = run_of(linen(Wavy(), (1,)), latents.normal(1))
    z = np.linspace(-1.5, 1.5, 8)[:, None].astype(np.float32)
    target = sample.generate(wavy, jnp.asarray(z))
    one, many = (invert(wavy, target, starts=starts, learning_rate=0.05, prior=0.0) for starts in (1, 24))
    np.testing.assert_allclose(many.all_errors[:, :1], one.all_errors, atol=1e-3)  # the first start is the same
    assert one.errors.max() > 0.1 and many.errors.max() < 1e-2


def test_bounded_latents_stay_in_their_interval(run):
    bounded = run._replace(system=run.system._replace(latent=latents.uniform(SIZE)))
    outside = np.asarray(run.system.sample(run.ema, jnp.full((1, SIZE), 2.0)))
    result = invert(bounded, outside, prior=0.0)
    assert np.abs(result.latents).max() <= 1 and np.abs(result.latents).max() > 0.99
    assert np.abs(invert(run, outside, prior=0.0).latents).max() > 1.9  # which normal latents may reach


def test_a_strong_prior_takes_latents_of_the_usual_length(run):
    far = np.asarray(run.system.sample(run.ema, jnp.asarray([[3.0, 2.5, -3.0], [0.0, 0.1, 0.0]])))
    free, held = (invert(run, far, prior=prior) for prior in (0.0, 100.0))
    np.testing.assert_allclose(np.mean(free.latents**2, axis=1), [8.1, 0.0], atol=0.2)
    np.testing.assert_allclose(np.mean(held.latents**2, axis=1), 1, atol=0.1)
    assert (held.errors > free.errors).all()


def test_features_are_weighed_against_pixels():
    # (z, z) against (1, -1), and their first value f alone besides: ((z - 1)^2 + (z + 1)^2) / 2 + w (z - 1)^2 is least
    # at z = w / (1 + w)
    points = run_of(linen(Diagonal(), (1,)), latents.normal(1))
    first = features.function("first", lambda _, x: x[:, :1], Spec((2,), 0, kind=kinds.points))
    target = np.array([[1.0, -1.0]])
    for features_, weight, expected in ((None, 1.0, 0.0), (first, 0.0, 0.0), (first, 3.0, 0.75)):
        result = invert(points, target, features=features_, feature_weight=weight, prior=0.0)
        np.testing.assert_allclose(result.latents, [[expected]], atol=1e-2)
        np.testing.assert_allclose(result.errors, rmse([[expected, expected]], target), atol=1e-2)  # of pixels alone


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (
            np.zeros((2, 4, 4, 3), np.uint8),
            {},
            r"images have shape \(2, 4, 4, 3\), .* makes \(4, 4, 1\): give \[n, 4",
        ),
        (np.zeros((4, 4, 1), np.uint8), {}, r"images have shape \(4, 4, 1\)"),
        (np.zeros((0, 4, 4, 1), np.uint8), {}, "n at least 1"),
        (np.full((1, 4, 4, 1), 255.0), {}, r"images of float64 in \[255.0, 255.0\]: give uint8, or floating point in"),
        (np.full((1, 4, 4, 1), np.nan), {}, "images of float64"),
        (np.zeros((1, 4, 4, 1), np.int32), {}, "images: the examples are int32"),
        (np.zeros((1, 4, 4, 1)), {"starts": 0}, "starts=0"),
        (np.zeros((1, 4, 4, 1)), {"iterations": 0}, "iterations=0"),
        (np.zeros((1, 4, 4, 1)), {"learning_rate": 0.0}, "learning_rate=0.0: give a finite number above 0"),
        (np.zeros((1, 4, 4, 1)), {"prior": -1.0}, "prior=-1.0: give a finite number of at least 0"),
    ],
)
def test_what_cannot_be_inverted_is_refused(run, images, options, message):
    with pytest.raises(ValueError, match=message):
        invert(run, images, **options)
