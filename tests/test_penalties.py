import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import images_game, points_game

from gan_jax import penalties

W = jnp.array([3.0, -4.0])  # norm 5
REAL = jnp.array([[1.0, 2.0], [0.5, -1.0], [0.0, 0.0]])
FAKE = jnp.array([[0.0, 1.0], [2.0, -1.0], [1.0, 1.0]])
KEYS = jax.random.split(jax.random.key(0), 3)


def linear(x):
    return x @ W


def quadratic(x):
    return jnp.sum(x**2, axis=1) / 2  # its gradient is x


def value(penalty, critic, real=REAL, fake=FAKE, step=0):
    return penalty.value(critic, real, fake, step=jnp.asarray(step), keys=KEYS)


def test_r1_is_half_its_weight_times_the_squared_gradient_on_real():
    np.testing.assert_allclose(value(penalties.r1(10.0), linear), [125.0] * 3, rtol=1e-6)
    np.testing.assert_allclose(value(penalties.r1(10.0), quadratic), 5 * jnp.sum(REAL**2, axis=1), rtol=1e-6)


def test_gradient_penalty_of_a_linear_critic_is_known_wherever_it_is_taken():
    np.testing.assert_allclose(value(penalties.gradient_penalty(10.0), linear), [160.0] * 3, rtol=1e-6)
    np.testing.assert_allclose(value(penalties.gradient_penalty(2.0, target=5.0), linear), 0, atol=1e-6)


def test_gradient_penalty_is_taken_between_the_pairs():
    # the gradient of |x|^2 / 2 is x, so on pairs on one ray the norm tells the mixing weight
    real, fake = jnp.full((3, 1), 1.0), jnp.full((3, 1), 3.0)
    points = jnp.sqrt(value(penalties.gradient_penalty(1.0, target=0.0), quadratic, real, fake))
    assert ((points > 1) & (points < 3)).all() and len(np.unique(points)) == 3


def test_gradient_penalty_has_a_derivative_at_a_flat_critic():
    slope = jax.grad(lambda w: value(penalties.gradient_penalty(10.0), lambda x: x @ w).sum())(jnp.zeros(2))
    assert np.isfinite(slope).all()


def test_patch_critics_are_averaged():
    def patches(x):
        return jnp.stack([linear(x), 3 * linear(x)], 1)  # mean gradient 2 w

    np.testing.assert_allclose(value(penalties.r1(2.0), patches), [100.0] * 3, rtol=1e-6)


def test_lazy_averages_to_the_penalty():
    lazy = penalties.lazy(penalties.r1(10.0), every=4)
    each = [value(lazy, quadratic, step=step) for step in range(8)]
    np.testing.assert_allclose(np.mean(each, axis=0), value(penalties.r1(10.0), quadratic), rtol=1e-6)
    assert all((x == 0).all() for i, x in enumerate(each) if i % 4)


@pytest.mark.parametrize("make", [lambda: penalties.r1(0.0), lambda: penalties.lazy(penalties.r1(1.0), 0)])
def test_bad_settings_are_refused(make):
    with pytest.raises(ValueError, match=r"(weight|every)=0"):
        make()


@pytest.mark.parametrize("norm", ["layer", "spectral", "none"])
def test_per_example_penalties_go_with_critics_that_judge_each_example(norm):
    images_game(norm, penalties=(penalties.lazy(penalties.r1(1.0), 2),))
    points_game(norm, penalties=(penalties.gradient_penalty(),))


@pytest.mark.parametrize("game", [images_game, points_game])
def test_per_example_penalties_are_refused_for_critics_with_batch_norm(game):
    with pytest.raises(ValueError, match=r"batch norm\?.*spectral or layer"):
        game("batch", penalties=(penalties.r1(1.0),))
