"""Differentiable augmentations of the discriminator's images, both real and fake.

An `Augment` is `(images [b, H, W, C] in [-1, 1], keys [b], state) -> images`, or `-> (images, *inputs)` with further
inputs of the discriminator; result i depends on image i and key i alone. All are affine in the images, so gradients
reach the generator and gradient penalties work.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from gan_jax import rng
from gan_jax.augment import ada_transforms as changes
from gan_jax.augment.affine_warp import warp
from gan_jax.checks import carried, require, require_noise
from gan_jax.errors import UserError
from gan_jax.types import Array, Augment, TrainState


def chain(*augments: Augment) -> Augment:
    """Composes augmentations in order, each with its own keys; collects their further inputs for the discriminator."""

    def augment(images: Array, keys: Array, state: TrainState) -> Any:
        further = ()
        for place, one in enumerate(augments):
            changed = one(images, rng.each(keys, f"augment {place}"), state)
            images, *more = changed if isinstance(changed, tuple) else (changed,)
            further = (*further, *more)
        return (images, *further) if further else images

    return augment


def diff_augment() -> Augment:
    """DiffAugment: colour, translation and cutout (Zhao et al. 2020, arXiv:2006.10738)."""
    return chain(color(), translation(), cutout())


def color() -> Augment:
    """DiffAugment's changes of brightness, saturation and contrast (Zhao et al. 2020, arXiv:2006.10738).

    x + b, then m + s (x - m) with m the mean of a pixel's channels, then m + c (x - m) with m the mean of the image;
    b is uniform on [-0.5, 0.5], s on [0, 2], c on [0.5, 1.5].
    """

    def one(image: Array, key: Array) -> Array:
        brightness, saturation, contrast = jax.random.uniform(key, (3,))
        image = image + brightness - 0.5
        image = _from_mean(image, 2 * saturation, -1)
        return _from_mean(image, contrast + 0.5, None)

    return _each(one)


def translation(ratio: float = 1 / 8) -> Augment:
    """DiffAugment's translation by whole pixels, padded with zeros (Zhao et al. 2020, arXiv:2006.10738).

    x'[i, j] = x[i - s, j - t]; s and t are uniform on the integers from -n to n, n = ratio * side, rounded.

    Args:
        ratio: Largest translation as a fraction of the side, in (0, 1).
    """
    _require_share("ratio", ratio)
    return _each(lambda image, key: _shift(image, key, ratio, "constant"))


def cutout(ratio: float = 1 / 2) -> Augment:
    """DiffAugment's cutout: sets a random rectangle to zero (Zhao et al. 2020, arXiv:2006.10738).

    The rectangle's centre is uniform on the image, so part of it may lie outside.

    Args:
        ratio: Side of the rectangle as a fraction of the image's, in (0, 1).
    """
    _require_share("ratio", ratio)

    def one(image: Array, key: Array) -> Array:
        sides = np.array(image.shape[:2])
        cut = (ratio * sides + 0.5).astype(int)
        middle = jax.random.randint(key, (2,), 0, sides + 1 - cut % 2)
        return _cut(image, middle - cut // 2, cut)

    return _each(one)


def flip_and_translate(ratio: float = 1 / 8) -> Augment:
    """Random flip and translation, as in consistency regularisation (Zhang et al. 2020, arXiv:1910.12027).

    Flips horizontally with probability 1/2, then translates by whole pixels as `translation` does, but with reflection
    padding.

    Args:
        ratio: Largest translation as a fraction of the side, in (0, 1); 4 pixels of 32 in the paper.
    """
    _require_share("ratio", ratio)

    def one(image: Array, key: Array) -> Array:
        flip = jax.random.bernoulli(rng.named(key, "flip"))
        image = jnp.where(flip, image[:, ::-1], image)
        return _shift(image, rng.named(key, "shift"), ratio, "reflect")

    return _each(one)


def instance_noise(std: float, schedule: optax.Schedule | None = None) -> Augment:
    """Instance noise (Sønderby et al. 2017, arXiv:1610.04490; Arjovsky and Bottou 2017, arXiv:1701.04862).

    x + std * schedule(step) * e, e standard normal; for examples of any shape.

    Args:
        std: Standard deviation, positive.
        schedule: `(iteration) -> factor`, such as `optax.linear_schedule(1, 0, 10_000)`; None for a constant 1.
    """
    require_noise("std", std)

    def augment(images: Array, keys: Array, state: TrainState) -> Array:
        noise = rng.normal(keys, images)
        scale = std if schedule is None else std * schedule(state.step)
        return images + jnp.asarray(scale, images.dtype) * noise

    return augment


def ada(
    slot: str = "ada",
    *,
    blit: bool = True,
    geometry: bool = True,
    color: bool = True,
    filtering: bool = False,
    noise: bool = False,
    cutout: bool = False,
) -> Augment:
    """Augmentations of ADA (Karras et al. 2020, arXiv:2006.06676), the paper's "bgc" by default.

    Each transform is applied independently with probability p = `state.extra[slot]`, in the order and strength of the
    official code (stylegan2-ada-pytorch, training/augment.py), and geometric ones with its anti-aliasing filter. At
    p = 0 images are unchanged, to the bit. One thing differs: images are always extended by the official code's largest
    margin, not by the margin that the batch needs; see `affine_warp.warp`.

    Args:
        slot: Name of the slot with p, in [0, 1]; see `controllers.adaptive_augmentation`.
        blit: Flips horizontally, rotates by multiples of 90 degrees, translates by whole pixels up to 1/8 of the side.
        geometry: Scales, rotates, stretches, rotates again (at least one rotation with probability p) and translates.
        color: Changes brightness, contrast, luma, hue and saturation of 3 channels; the first three for 1 channel.
        filtering: Amplifies or damps four frequency bands.
        noise: Adds normal noise of a random standard deviation.
        cutout: Sets a rectangle of half the side to zero.

    Raises:
        UserError: If every transform is off. When called: if the state has no such slot, or with `color` if images
            have neither 1 nor 3 channels.
    """
    if not (blit or geometry or color or filtering or noise or cutout):
        raise UserError("ada: all transforms are off; switch one on, or leave the augmentation out")

    def one(image: Array, key: Array, p: Array) -> Array:
        if blit or geometry:
            sides = image.shape[0], image.shape[1]
            image = warp(image, changes.inverse_map(rng.named(key, "warp"), p, sides, blit, geometry))
        if color:
            image = changes.recolor(image, rng.named(key, "color"), p)
        if filtering:
            image = changes.amplify(image, rng.named(key, "filter"), p)
        if noise:
            (happens,), _, (deviation,) = changes.draws(rng.named(key, "noise"), p, normals=1)
            strength = jnp.where(happens, 0.1 * jnp.abs(deviation), 0.0)
            image = image + strength * rng.normal(rng.named(key, "noise values")[None], image[None])[0]
        if cutout:
            happens, middle, _ = changes.draws(rng.named(key, "cutout"), p, uniforms=2)
            sides = np.array(image.shape[:2])
            cut = jnp.where(happens, sides / 2, 0.0)
            image = _cut(image, middle * sides - cut / 2 - 0.5, cut)
        return image

    def augment(images: Array, keys: Array, state: TrainState) -> Array:
        p = carried(state, slot, f"controllers.adaptive_augmentation(batch_size, name={slot!r})")
        if color and images.shape[-1] not in (1, 3):
            raise UserError(f"ada: color=True needs 1 or 3 channels, images have {images.shape[-1]}; give color=False")
        return _each(lambda image, key: one(image, key, p))(images, keys, state)

    return augment


def _each(one: Callable[[Array, Array], Array]) -> Augment:
    """Applies `(image, key) -> image` to every example."""

    def augment(images: Array, keys: Array, state: TrainState) -> Array:
        if images.ndim != 4:
            raise UserError(
                f"images of shape {images.shape}: give [b, H, W, C]; other shapes allow only instance_noise"
            )
        return jax.vmap(one)(images, keys).astype(images.dtype)

    return augment


def _from_mean(image: Array, factor: Array, axis: int | None) -> Array:
    mean = jnp.mean(image, axis, keepdims=True)
    return mean + factor * (image - mean)


def _shift(image: Array, key: Array, ratio: float, mode: str) -> Array:
    far = [int(ratio * side + 0.5) for side in image.shape[:2]]  # as the official code rounds
    padded = jnp.pad(image, [(n, n) for n in far] + [(0, 0)], mode)
    start = jax.random.randint(key, (2,), 0, 2 * np.array(far) + 1)
    return lax.dynamic_slice(padded, (*start, 0), image.shape)


def _cut(image: Array, start: Array, sides: Array | np.ndarray) -> Array:
    """Sets pixels at start <= place < start + sides to zero."""
    (y, x), (height, width) = start, sides
    rows, columns = jnp.arange(image.shape[0]), jnp.arange(image.shape[1])
    inside = ((rows >= y) & (rows < y + height))[:, None] & (columns >= x) & (columns < x + width)
    return jnp.where(inside[..., None], 0.0, image)


def _require_share(name: str, value: float) -> None:
    share = f"{name}={value}: give a fraction of the side in (0, 1), or leave the augmentation out"
    require(lambda: 0 < value < 1, share)
