"""Inversion: the latents whose images are nearest to given ones, by a compiled search from many starts.

A generator that covers its data reconstructs new images of the same kind; what no latent comes near, it cannot
generate.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from numpy.typing import ArrayLike

from gan_jax import game
from gan_jax.devices import compilation
from gan_jax.devices.batched import in_batches
from gan_jax.errors import UserError
from gan_jax.metrics.features import Features
from gan_jax.runs import Restored
from gan_jax.sample import generate, latents_of
from gan_jax.types import Array, PyTree

ROWS = 256  # searches per batch
TYPICAL = 4096  # latents that estimate moments and ranges


class Inversion(NamedTuple):
    """The result of the search for n images.

    Attributes:
        latents: The best latent for each image, float32 `[n, size]`.
        images: The generator's examples of these latents, as stored: images as uint8 `[n, H, W, C]`.
        errors: Root mean squared error of each image, for pixels in [-1, 1], `[n]`.
        all_errors: The same for every start, `[n, starts]`.
    """

    latents: np.ndarray
    images: np.ndarray
    errors: np.ndarray
    all_errors: np.ndarray


def invert(
    run: Restored,
    images: ArrayLike,
    *,
    starts: int = 16,
    iterations: int = 300,
    learning_rate: float = 0.5,
    prior: float = 1e-3,
    features: Features | None = None,
    feature_weight: float = 0.1,
    seed: int = 0,
) -> Inversion:
    """Searches for the latents of images by gradient descent from many starts, as the loss has many minima.

    Methods: Zhu et al. 2016 (arXiv:1609.03552) and Creswell and Bharath 2018 (arXiv:1802.05701):

    min_z mean (G(z) - x)^2 + feature_weight |f(G(z)) - f(x)|^2 / |f(x)|^2 + prior ((r - E r) / std r)^2

    Adam, its rate falling to 0 along a cosine, minimises over u = (z - m) / s, with m and s the mean and deviation of
    each dimension of the latent, and r = mean(u^2). Random latents have r close to its mean, the closer the more
    dimensions there are. After each step z is clipped to the range of each dimension, as uniform latents require
    (Lipton and Tripathi 2017, arXiv:1702.04782). Moments and ranges are estimated from 4,096 random latents, for any
    distribution. One-hot codes of classes are searched as if they were continuous.

    Images are searched independently, from the same starts: up to rounding, an image's result does not depend on the
    others.

    Args:
        run: An opened run, by `runs.open_run`.
        images: Examples of the generator's shape, as stored; images also as float in [-1, 1].
        starts: Searches per image, from random latents; the one with the lowest sum of the first two terms is kept.
        iterations: Iterations of Adam per search.
        learning_rate: Initial rate; about the size of an iteration's step, in deviations of the latent.
        prior: Weight of the last term; 0 leaves it out.
        features: Features of the second term, such as `features.of_classifier`; None compares pixels only.
        feature_weight: Weight of the second term.
        seed: Seed of the random latents: the starts, and those for moments and ranges.

    Raises:
        UserError: If the images are not of the generator's shape or range, or an argument is out of range.
    """
    target = _target(run, images)
    if starts < 1 or iterations < 1:
        raise UserError(f"starts={starts}, iterations={iterations}: give at least 1 of each")
    for name, value in {"learning_rate": learning_rate, "prior": prior, "feature_weight": feature_weight}.items():
        if not 0 <= value < math.inf or (name == "learning_rate" and not value):
            raise UserError(
                f"{name}={value}: give a finite number {'above' if name == 'learning_rate' else 'of at least'} 0"
            )
    drawn = np.asarray(latents_of(run, seed, max(starts, TYPICAL)))
    away = _distance(run, features, feature_weight)
    search = compilation.interruptible(jax.jit(_search(away, drawn[:TYPICAL], iterations, learning_rate, prior)))
    weights = None if features is None else features.params
    index = np.arange(len(target) * starts)  # image by image
    results = in_batches(
        lambda part: search(run.ema, weights, drawn[part % starts], target[part // starts]),
        min(ROWS, len(index)),
        index,
    )
    latents, losses, errors = (each.reshape(len(target), starts, -1) for each in results)
    best = np.arange(len(target)), np.nan_to_num(losses[:, :, 0], nan=np.inf).argmin(axis=1)
    return Inversion(latents[best], generate(run, jnp.asarray(latents[best])), errors[best][:, 0], errors[:, :, 0])


Distance = Callable[[PyTree, PyTree, Array, Array], tuple[Array, Array]]


def _distance(run: Restored, features: Features | None, weight: float) -> Distance:
    """Returns `(ema, weights, latents, target) -> (distance to minimise [b], mean squared error of pixels [b])`."""

    def distance(ema: PyTree, weights: PyTree, latents: Array, target: Array) -> tuple[Array, Array]:
        images = game.sampler(run.system)[1](ema, latents)
        squared = jnp.mean((images - target).reshape(len(images), -1) ** 2, axis=1)
        if features is None:
            return squared, squared
        wanted, has = (features.apply(weights, x)[0] for x in (target, images))
        relative = jnp.sum((has - wanted) ** 2, axis=1) / jnp.maximum(jnp.sum(wanted**2, axis=1), 1e-12)
        return squared + weight * relative, squared

    return distance


def _search(away: Distance, drawn: np.ndarray, iterations: int, learning_rate: float, prior: float) -> Callable:
    """Returns `(ema, weights, starts [b, size], target [b, ...]) -> (latents, distances [b], errors [b])`."""
    mean, deviation = drawn.mean(axis=0), np.maximum(drawn.std(axis=0), 1e-6)
    scaled = (drawn - mean) / deviation
    low, high = scaled.min(axis=0), scaled.max(axis=0)
    spread = np.mean(scaled**2, axis=1)
    middle, width = spread.mean(), max(spread.std(), 1e-3)
    adam = optax.adam(optax.cosine_decay_schedule(learning_rate, iterations), 0.9, 0.99)

    def search(ema: PyTree, weights: PyTree, starts: Array, target: Array) -> tuple[Array, Array, Array]:
        def loss(u: Array) -> Array:
            unlikely = ((jnp.mean(u**2, axis=1) - middle) / width) ** 2
            # a sum, so that no row's gradient depends on how many there are
            return jnp.sum(away(ema, weights, jnp.asarray(mean + deviation * u), target)[0] + prior * unlikely)

        def descend(_: Array, carried: tuple[Array, optax.OptState]) -> tuple[Array, optax.OptState]:
            u, state = carried
            updates, state = adam.update(jax.grad(loss)(u), state)
            return jnp.clip(jnp.asarray(optax.apply_updates(u, updates)), low, high), state

        u = (starts - mean) / deviation
        u, _ = lax.fori_loop(0, iterations, descend, (u, adam.init(u)))
        latents = mean + deviation * u
        distances, squared = away(ema, weights, latents, target)
        return latents, distances, jnp.sqrt(squared)

    return search


def _target(run: Restored, images: ArrayLike) -> np.ndarray:
    """Checks images, and returns them in the generator's range."""
    array = np.asarray(images)
    latent, generate = game.sampler(run.system)
    one = jax.ShapeDtypeStruct((1, latent.size), jnp.float32)
    shape = jax.eval_shape(generate, run.ema, one).shape[1:]
    if array.shape[1:] != shape or not len(array):
        raise UserError(
            f"images have shape {array.shape}, and this generator makes {shape}: give [n, "
            f"{', '.join(map(str, shape))}], n at least 1; data.load(..., resolution=) resizes images"
        )
    kind = run.spec.kind
    if np.issubdtype(array.dtype, np.floating):
        limit = 1.0 + 1e-3 if kind.is_image else np.finfo(np.float32).max
        if not (np.abs(array) <= limit).all():
            raise UserError(
                f"images of {array.dtype} in [{array.min()}, {array.max()}]: give uint8, or floating point in [-1, 1]"
            )
        array = array.astype(np.float32)
        if kind.is_image:
            return array
    kind.require("images", array)
    return np.asarray(kind.to_network(array))
