"""The forward diffusion of Diffusion-GAN."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_augment import KEYS, state

from gan_jax import augment, rng
from gan_jax.errors import UserError
from gan_jax.networks import linen, mlp
from gan_jax.networks.heads import WithLevel

ONE = jnp.ones((1000, 2, 3, 1))
diffusion = functools.partial(augment.diffusion, "ada", with_level=True)


def kept(length, t, first=1e-4, last=2e-2):
    """prod (1 - beta_s), s = 1, ..., t, as the authors' code computes it."""
    return np.prod(1 - np.linspace(first, last, length)[:t])


def drawn(p=0.0, **options):
    """Images that were 1 everywhere, and their levels t."""
    images, level = jax.jit(diffusion(**options))(ONE, KEYS, state(p))
    longest = options.get("longest", 1_000)
    levels = np.asarray(level) * longest
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-3)
    return np.asarray(images), np.round(levels).astype(int)


def test_half_of_the_examples_are_clean_and_the_rest_have_levels_in_proportion_to_t():
    images, t = drawn()
    assert abs(np.mean(t == 0) - 1 / 2) < 4 * 0.5 / 1000**0.5
    np.testing.assert_array_equal(images[t == 0], 1)
    shares = np.bincount(t[t > 0], minlength=11)[1:] / np.sum(t > 0)
    expected = np.arange(1, 11) / 55
    assert np.all(np.abs(shares - expected) < 4 * np.sqrt(expected / 450))
    _, even = drawn(priority=False, clean=0.0)
    assert even.min() == 1 and even.max() == 10
    assert np.all(np.abs(np.bincount(even)[1:] / 1000 - 0.1) < 4 * np.sqrt(0.09 / 1000))


@pytest.mark.parametrize(("p", "length"), [(0.0, 10), (0.25, 258), (1.0, 1000)])
def test_at_level_t_images_have_the_mean_and_variance_of_the_diffusion(p, length):
    images, t = drawn(p, std=0.5, clean=0.0)
    assert t.min() >= 1 and t.max() <= length and (length < 100 or t.max() > 0.9 * length)
    share = np.array([kept(length, each) for each in t]).reshape(-1, 1, 1, 1)
    noise = (images - np.sqrt(share)) / (0.5 * np.sqrt(1 - share))
    assert abs(noise.mean()) < 4 / 6000**0.5 and abs(noise.std() - 1) < 4 / 12000**0.5


def test_no_noise_is_the_identity_and_levels_may_be_kept_from_the_discriminator():
    images, t = drawn(1.0, clean=1.0)
    np.testing.assert_array_equal(images, ONE)
    assert not t.any()
    silent, leveled = (augment.diffusion("ada", with_level=each)(ONE, KEYS, state(0.5)) for each in (False, True))
    np.testing.assert_array_equal(silent, leveled[0])


def test_a_chain_passes_levels_on():
    images, level = augment.chain(diffusion(), augment.instance_noise(0.1))(ONE, KEYS, state(0.5))
    alone = diffusion()(ONE, rng.each(KEYS, "augment 0"), state(0.5))
    np.testing.assert_array_equal(level, alone[1])
    assert np.asarray(images - alone[0]).std() == pytest.approx(0.1, rel=0.05)


def test_a_conditional_discriminator_sees_the_level_beside_the_point():
    network = linen(WithLevel(mlp.Discriminator((8,), "none")), (2,), ())
    inner = linen(mlp.Discriminator((8,), "none"), (3,))
    params, stats = network.init(jax.random.key(0))
    points, level = jnp.arange(6.0).reshape(3, 2), jnp.array([0.0, 0.5, 1.0])
    found = network.apply(params, stats, points, level, train=False)[0]
    expected = inner.apply(next(iter(params.values())), {}, jnp.c_[points, level], train=False)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"std": 0.0}, "std=0.0"),
        ({"shortest": 1}, "shortest=1, longest=1000"),
        ({"betas": (0.1, 0.01)}, "betas="),
        ({"clean": 1.5}, "clean=1.5"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        augment.diffusion(**options)
    with pytest.raises(UserError, match=r"no slot 'diffusion'; add controllers.adaptive_augmentation"):
        augment.diffusion()(ONE, KEYS, state())
