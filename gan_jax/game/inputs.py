"""Inputs of the generator in training, and further inputs of the discriminator.

`Game.inputs` is a function `(keys [b], batch) -> inputs [b, ...]`. What the generator is given depends on the game: a
latent, a latent with the label of a real example, an image to translate. A game with other inputs has its own function.
"""

import jax
import jax.numpy as jnp

from gan_jax.errors import UserError
from gan_jax.latents import codes
from gan_jax.types import Array, Batch, Condition, Inputs, Latent, TrainState


def drawn(latent: Latent) -> Inputs:
    """Inputs drawn from the distribution of latents: the default of a game."""
    return lambda keys, batch: latent.draw(keys)


def labelled(latent: Latent, name: str = "label") -> Inputs:
    """Latents with the labels of the batch, so that real and generated examples have the same labels.

    Args:
        latent: Distribution of latents, such as `latents.labelled`.
        name: Name of the latent's categorical part, and of the batch's labels.
    """
    classes = _classes(latent, name)

    def inputs(keys: Array, batch: Batch) -> Array:
        return codes.put(latent, latent.draw(keys), name, jax.nn.one_hot(_entry(batch, name), classes))

    return inputs


def from_batch(name: str) -> Inputs:
    """An entry of the batch, such as "source", the images that a translator translates."""
    return lambda keys, batch: _entry(batch, name)


def given(*names: str) -> Condition:
    """Condition: the discriminator also takes these entries of the batch, such as "label", with real and with fake."""

    def condition(state: TrainState, batch: Batch, inputs: Array) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        entries = tuple(_entry(batch, name) for name in names)
        return entries, entries

    return condition


def drawn_labels(latent: Latent, name: str = "label") -> Condition:
    """Condition for samples whose labels are drawn independently of the batch, as in BigGAN.

    The discriminator sees real examples with their labels, and samples with the labels in the generator's latents.
    Terms do the same, and use the batch's labels for mixtures of real and fake, as in a gradient penalty.

    Args:
        latent: Distribution of latents, such as `latents.labelled`.
        name: Name of the latent's categorical part, and of the batch's labels.
    """
    _classes(latent, name)

    def condition(state: TrainState, batch: Batch, inputs: Array) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        real, asked = _entry(batch, name), codes.read(latent, inputs, name)
        return (real,), (jnp.argmax(asked, axis=-1).astype(real.dtype),)

    return condition


def _classes(latent: Latent, name: str) -> int:
    """Returns the number of classes of a latent's categorical part."""
    classes = next((part.size for part in latent.parts if part.name == name), 0)
    if not classes:
        raise UserError(f"latent has no part {name!r}; give one that does, such as latents.labelled(noise, 10)")
    return classes


def _entry(batch: Batch, name: str) -> Array:
    if name not in batch:
        raise UserError(f"batch: the data have no {name!r}, only {sorted(batch)}; use a data set with it")
    return batch[name]
