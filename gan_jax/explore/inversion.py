"""Inversion: which latents a generator makes given images of, by a compiled search from many starts.

A generator that covers its data finds new images of the same kind again; what it cannot find, it cannot make.
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

from gan_jax.errors import UserError
from gan_jax.metrics.features import Features, of_data
from gan_jax.runs import Restored
from gan_jax.sample import generate, latents_of
from gan_jax.types import Array, PyTree

ROWS = 256  # searches at once
TYPICAL = 4096  # latents that tell what is likely


class Inversion(NamedTuple):
    """What the search found for n images.

    Attributes:
        latents: Of the best start for each, float32 `[n, size]`.
        images: What the generator makes of them, uint8 `[n, H, W, C]`, or points float32 `[n, 2]`.
        errors: Of each, root of the mean squared difference of pixels in [-1, 1] from the image given, `[n]`.
        all_errors: The same of every start, `[n, starts]`.
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
    """Searches the latents of images by gradient descent from many starts, as the loss has many minima.

    By Zhu et al. 2016 (arXiv:1609.03552) and Creswell and Bharath 2018 (arXiv:1802.05701):

    min_z mean (G(z) - x)^2 + feature_weight |f(G(z)) - f(x)|^2 / |f(x)|^2 + prior ((r - E r) / std r)^2

    Adam, its rate falling to 0 along a cosine, on u = (z - m) / s, with m and s the mean and the deviation of each
    dimension of the latent, and r = mean(u^2): what the distribution of latents draws keeps close to the mean of r, and
    the closer the more dimensions there are. After each move z is clipped to the range of each dimension, as uniform
    latents demand (Lipton and Tripathi 2017, arXiv:1702.04782). Moments and ranges are those of 4,096 latents drawn, so
    that it holds for any distribution. Codes of classes are searched as if they were continuous.

    Images do not see one another, and all have the same starts: the result for an image does not depend, but for
    rounding, on what others are given.

    Args:
        run: An opened run, by `runs.open_run`.
        images: uint8, or float in [-1, 1], `[n, H, W, C]` as the generator makes them; or points `[n, 2]`.
        starts: Searches for each image, from latents drawn; the one that ends closest is kept, by the first two terms.
        iterations: Of Adam, each.
        learning_rate: The first; about how far an iteration moves, in deviations of the latent.
        prior: Weight of the last term; 0 leaves it out.
        features: Whose distance counts too, such as `features.of_classifier`; None counts pixels only.
        feature_weight: Weight of that distance.
        seed: Of the latents drawn: the starts, and those that tell what is likely.

    Raises:
        UserError: If the images are not of the generator's shape or range, or a number makes no search.
    """
    target = _target(run, images)
    if starts < 1 or iterations < 1:
        raise UserError(f"starts={starts}, iterations={iterations}: give at least 1 of each")
    for name, value in {"learning_rate": learning_rate, "prior": prior, "feature_weight": feature_weight}.items():
        if not 0 <= value < math.inf or (name == "learning_rate" and not value):
            raise UserError(f"{name}={value}: give a finite number {'above' if name == 'learning_rate' else 'from'} 0")
    drawn = np.asarray(latents_of(run, seed, max(starts, TYPICAL)))
    away = _distance(run, features, feature_weight)
    search = jax.jit(_search(away, drawn[:TYPICAL], iterations, learning_rate, prior))
    weights = None if features is None else features.params
    rows = min(ROWS, len(target) * starts)
    index = np.arange(-(-len(target) * starts // rows) * rows) % (len(target) * starts)  # image by image; padded
    found = [search(run.ema, weights, drawn[part % starts], target[part // starts]) for part in index.reshape(-1, rows)]
    latents, losses, errors = (
        np.concatenate(each)[: len(target) * starts].reshape(len(target), starts, -1)
        for each in zip(*found, strict=True)
    )
    best = np.arange(len(target)), np.nan_to_num(losses[:, :, 0], nan=np.inf).argmin(axis=1)
    return Inversion(latents[best], generate(run, jnp.asarray(latents[best])), errors[best][:, 0], errors[:, :, 0])


Distance = Callable[[PyTree, PyTree, Array, Array], tuple[Array, Array]]


def _distance(run: Restored, features: Features | None, weight: float) -> Distance:
    """Returns `(ema, weights, latents, target) -> (what is to be lowered [b], mean squared error of pixels [b])`."""

    def distance(ema: PyTree, weights: PyTree, latents: Array, target: Array) -> tuple[Array, Array]:
        made = run.system.generate(ema, latents)
        squared = jnp.mean((made - target).reshape(len(made), -1) ** 2, axis=1)
        if features is None:
            return squared, squared
        wanted, has = (features.apply(weights, x)[0] for x in (target, made))
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
            return jnp.sum(away(ema, weights, mean + deviation * u, target)[0] + prior * unlikely)

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
    """Checks images, and returns them as the generator makes them."""
    given = np.asarray(images)
    one = jax.ShapeDtypeStruct((1, run.system.latent.size), jnp.float32)
    shape = jax.eval_shape(run.system.generate, run.ema, one).shape[1:]
    if given.shape[1:] != shape or not len(given):
        raise UserError(
            f"images {given.shape}: this generator makes {shape}; give [n, {', '.join(map(str, shape))}], n at least "
            "1, resized by data.load(..., resolution=) where they are larger"
        )
    if given.dtype == np.uint8 and len(shape) == 3:
        return np.asarray(of_data(None, jnp.asarray(given)))
    limit = 1.0 + 1e-3 if len(shape) == 3 else np.finfo(np.float32).max
    if not np.issubdtype(given.dtype, np.floating) or not (np.abs(given) <= limit).all():
        raise UserError(
            f"images of {given.dtype} in [{given.min()}, {given.max()}]: give uint8, or floating point in [-1, 1]"
        )
    return given.astype(np.float32)
