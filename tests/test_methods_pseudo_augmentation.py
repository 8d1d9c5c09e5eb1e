"""APA's replacement of real examples, alone and in a game."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_methods_latent_optimisation import KEYS, NETWORKS, SGD, Z
from toy import KEY, state_of

from gan_jax import latents, losses, rng
from gan_jax.errors import UserError
from gan_jax.game import Game, discriminator, generator
from gan_jax.methods.pseudo_augmentation import pseudo_augmentation
from gan_jax.types import TrainState


def at(p):
    return TrainState(jnp.array(0), {}, {}, {}, {}, {"apa": jnp.array(p)})


def test_at_0_nothing_is_replaced_and_at_1_everything_by_samples_of_their_own():
    real, sample = jnp.arange(12.0).reshape(3, 2, 2, 1), lambda keys: -1 - rng.uniform(keys, real)
    shown = pseudo_augmentation()
    np.testing.assert_array_equal(shown(real, KEYS, at(0.0), sample), real)
    all_fake = np.asarray(shown(real, KEYS, at(1.0), sample))
    assert all_fake.max() <= -1 and len(np.unique(all_fake)) == 12


def test_a_share_p_of_the_examples_is_replaced_whole():
    real, keys = jnp.ones((1000, 3)), jax.random.split(KEY, 1000)
    shown = np.asarray(pseudo_augmentation()(real, keys, at(0.3), lambda keys: jnp.zeros((len(keys), 3))))
    np.testing.assert_array_equal(shown.min(1), shown.max(1))
    assert abs(np.mean(shown[:, 0] == 0) - 0.3) < 4 * 0.21**0.5 / 1000**0.5


def test_only_the_discriminators_move_sees_samples_as_real_and_they_are_not_its_fakes():
    game = Game(
        NETWORKS, losses.relativistic(losses.non_saturating()), latents.uniform(1), pseudo=pseudo_augmentation()
    )
    state = state_of(discriminator=0.7, generator=0.5)
    batch = {"image": jnp.full((4, 1), 9.0)}

    def move(player, p):
        extra = state.extra | {"apa": jnp.array(p)}
        return player(game, SGD).objective(dataclasses.replace(state, extra=extra), batch, KEY)

    np.testing.assert_array_equal(move(generator, 1.0)[0], move(generator, 0.0)[0])
    honest, deceived = (move(discriminator, p)[1].metrics for p in (0.0, 1.0))
    assert honest["logit_real"] == pytest.approx(6.3) and abs(deceived["logit_real"]) < 0.35
    np.testing.assert_array_equal(honest["logit_fake"], deceived["logit_fake"])
    assert deceived["logit_real"] != deceived["logit_fake"]


def test_the_missing_controller_is_named():
    with pytest.raises(UserError, match=r"no slot 'apa'; add controllers.adaptive_augmentation\(.*name='apa'\)"):
        pseudo_augmentation()(Z, KEYS, TrainState(jnp.array(0), {}, {}, {}, {}, {}), lambda keys: Z)
