import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import latents

KEYS = jax.random.split(jax.random.key(0), 2000)


def test_each_latent_follows_its_own_key():
    for latent in (latents.normal(3), latents.uniform(3)):
        whole = latent.draw(KEYS)
        np.testing.assert_array_equal(latent.draw(KEYS[5:9]), whole[5:9])


def test_moments_are_those_of_the_law():
    for name, mean, deviation in (("normal", 0, 1), ("uniform", 0.5, 12**-0.5), ("symmetric", 0, 3**-0.5)):
        z = latents.latent(name, 8).draw(KEYS)  # pyright: ignore[reportArgumentType]  16,000 values: standard error of the mean below 0.008
        assert z.shape == (2000, 8)
        assert np.mean(z) == pytest.approx(mean, abs=0.03) and np.std(z) == pytest.approx(deviation, rel=0.03)


def test_truncated_normal_is_the_law_of_drawing_again():
    z = np.asarray(latents.normal(8).draw(KEYS, 1.0)).ravel()
    again = np.asarray(latents.normal(32).draw(KEYS)).ravel()
    again = again[np.abs(again) <= 1]
    for quantile in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert np.quantile(z, quantile) == pytest.approx(np.quantile(again, quantile), abs=0.03)


def test_truncated_uniform_keeps_what_is_in_range():
    z = latents.uniform(8, 0.0, 1.0).draw(KEYS, 0.5)
    assert z.min() >= 0 and 0.49 < z.max() <= 0.5
    with pytest.raises(ValueError, match="leaves nothing"):
        latents.uniform(8, 2.0, 3.0).draw(KEYS, 0.5)


def test_paths_have_their_ends_and_middle():
    a, b = jnp.array([[3.0, 0.0]]), jnp.array([[0.0, 3.0]])
    f = jnp.array([0.0, 0.5, 1.0])
    np.testing.assert_allclose(latents.linear(a, b, f)[:, 0], [[3, 0], [1.5, 1.5], [0, 3]])
    np.testing.assert_allclose(latents.spherical(a, b, f)[:, 0], [[3, 0], [3 / 2**0.5, 3 / 2**0.5], [0, 3]], atol=1e-5)


def test_the_great_circle_turns_at_a_constant_rate():
    a, b = jax.random.normal(jax.random.key(1), (2, 5, 64))
    a, b = (x / jnp.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    walk = latents.spherical(a, b, jnp.linspace(0, 1, 9))
    np.testing.assert_allclose(jnp.linalg.norm(walk, axis=-1), 1, rtol=1e-5)
    steps = jnp.sum(walk[1:] * walk[:-1], axis=-1)
    np.testing.assert_allclose(steps, jnp.broadcast_to(steps[:1], steps.shape), rtol=1e-4)


def test_parallel_ends_are_joined_by_the_line():
    a = jnp.array([[1.0, 2.0]])
    np.testing.assert_allclose(latents.spherical(a, 2 * a, jnp.array([0.5])), 1.5 * a[None], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: latents.normal(0), "size=0"),
        (lambda: latents.uniform(2, 1.0, 1.0), "interval is empty"),
        (lambda: latents.latent("cauchy", 2), "distribution='cauchy'"),  # pyright: ignore[reportArgumentType]
        (lambda: latents.normal(2).draw(KEYS, 0.0), "truncation=0.0"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
