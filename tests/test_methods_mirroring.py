"""Mirroring flips each real image with probability 1/2; scheduled augmentations follow their schedule."""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import optimizers, rng
from gan_jax.methods.mirroring import mirrored
from gan_jax.methods.scheduled_ada import scheduled_ada
from gan_jax.types import TrainState


@pytest.mark.parametrize("lead", [(64,), (3, 32)])
def test_half_of_the_images_are_flipped_left_to_right_and_nothing_else_changes(lead):
    batches = lead[0] if len(lead) > 1 else 1
    system: Any = SimpleNamespace(update=lambda state, batch, key: (batch, key), batches=batches)
    system._replace = lambda update: SimpleNamespace(update=update, batches=batches)
    images = jax.random.uniform(rng.key(0), (*lead, 2, 3, 1))
    batch = {"image": images, "label": jnp.arange(lead[-1])}
    update: Any = mirrored(system).update
    changed, key = update(None, batch, rng.key(1))
    same, flipped = (
        np.all(np.asarray(changed["image"] == other), axis=(-3, -2, -1)) for other in (images, images[..., ::-1, :])
    )
    assert np.all(same ^ flipped) and 0.3 < flipped.mean() < 0.7
    if len(lead) > 1:
        assert len({tuple(row) for row in flipped}) == len(flipped), "each batch has flips of its own"
    np.testing.assert_array_equal(changed["label"], batch["label"])
    assert key == rng.key(1)


@pytest.mark.slow
def test_scheduled_augmentations_have_the_probabilities_of_r3gans_code_and_need_no_slot():
    augment = jax.jit(scheduled_ada(optimizers.cosine(0.0, 100, final=0.8)))
    images, keys = jnp.ones((500, 8, 8, 3)), jax.random.split(rng.key(1), 500)  # on which geometry has no effect
    for step, p in ((0, 0.0), (50, 0.4), (150, 0.8)):
        made = np.asarray(augment(images, keys, TrainState(jnp.asarray(step), {}, {}, {}, {}, {})))
        cut = np.any(made == 0, axis=(1, 2, 3))
        grey = np.nanmedian(np.where(made == 0, np.nan, np.abs(made)), axis=(1, 2, 3))
        changed = np.abs(grey - 1) > 1e-4  # by brightness or contrast, each with probability p / 2
        for found, expected in ((cut, p), (changed, 1 - (1 - p / 2) ** 2)):
            assert abs(found.mean() - expected) <= 4 * (expected * (1 - expected) / 500) ** 0.5


def test_a_cosine_goes_from_one_value_to_another():
    schedule = optimizers.cosine(2.0, 10.5, start=5, final=1.0)
    steps = np.array([0, 5, 8, 15, 16, 100])
    share = np.clip((steps - 5) / 10.5, 0, 1)
    np.testing.assert_allclose(jax.vmap(schedule)(jnp.asarray(steps)), 1 + (1 + np.cos(np.pi * share)) / 2, rtol=1e-6)
