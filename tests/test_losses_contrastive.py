"""The dual contrastive loss."""

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import losses

REAL, FAKE = jnp.array([0.3, -1.2, 2.0]), jnp.array([0.1, 0.9, -0.4])


def test_equal_logits_give_twice_log_of_one_plus_the_batch():
    for count in (1, 4, 64):
        value = losses.dual_contrastive().discriminator(jnp.full(count, 3.0), jnp.full(count, 3.0))
        np.testing.assert_allclose(value, np.full(count, 2 * np.log(1 + count)), rtol=1e-6)


def test_it_is_the_cross_entropy_of_picking_each_example_among_the_other_side():
    real, fake = np.asarray(REAL, np.float64), np.asarray(FAKE, np.float64)
    picked = [np.exp(x) / (np.exp(x) + np.exp(fake).sum()) for x in real]
    told = [np.exp(-x) / (np.exp(-x) + np.exp(-real).sum()) for x in fake]
    value = losses.dual_contrastive().discriminator(REAL, FAKE)
    np.testing.assert_allclose(value, -np.log(picked) - np.log(told), rtol=1e-5)


def test_with_one_example_it_is_twice_the_relativistic_loss():
    one, pair = losses.dual_contrastive(), losses.relativistic(losses.non_saturating())
    np.testing.assert_allclose(one.discriminator(REAL[:1], FAKE[:1]), 2 * pair.discriminator(REAL[:1], FAKE[:1]), 1e-6)


def test_it_is_zero_sum_and_blind_to_a_shift_and_large_logits_are_finite():
    loss = losses.dual_contrastive()
    np.testing.assert_array_equal(loss.generator(REAL, FAKE), -loss.discriminator(REAL, FAKE))
    np.testing.assert_allclose(loss.discriminator(REAL + 5, FAKE + 5), loss.discriminator(REAL, FAKE), rtol=1e-5)
    slopes = jax.grad(lambda a, b: loss.discriminator(a, b).mean(), (0, 1))(1e4 * REAL, 1e4 * FAKE)
    assert all(np.isfinite(slope).all() for slope in slopes)
    assert jax.grad(lambda b: loss.discriminator(REAL, b).mean())(FAKE).min() > 0  # D lowers the logits of samples


def test_patches_are_compared_apart():
    patches = losses.dual_contrastive().discriminator(jnp.stack([REAL, FAKE], 1), jnp.stack([FAKE, FAKE], 1))
    apart = [losses.dual_contrastive().discriminator(a, FAKE) for a in (REAL, FAKE)]
    np.testing.assert_allclose(patches, (apart[0] + apart[1]) / 2, rtol=1e-6)
