"""Distributions of latents: each example's latent is a function of its own key."""

import functools
import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from gan_jax import rng
from gan_jax.devices import memory
from gan_jax.errors import UserError
from gan_jax.latents import codes as parts
from gan_jax.types import Array, Batch, Latent, Part

Distribution = Literal["normal", "uniform", "symmetric"]
BATCH = 64  # latents drawn at once


def normal(size: int) -> Latent:
    """Returns the standard normal distribution; truncated at t, out-of-range values are drawn again.

    Args:
        size: Number of dimensions, at least 1.
    """
    _require_size(size)

    def draw(keys: Array, truncation: float | None = None) -> Array:
        if truncation is None:
            return jax.vmap(lambda key: jax.random.normal(key, (size,)))(keys)
        _require_threshold(truncation)
        # the law of drawing again until |z| <= t, without the loop
        return jax.vmap(lambda key: jax.random.truncated_normal(key, -truncation, truncation, (size,)))(keys)

    return Latent(size, draw)


def uniform(size: int, low: float = -1.0, high: float = 1.0) -> Latent:
    """Returns the uniform distribution on an interval; truncated at t, values beyond t from 0 are drawn again.

    Args:
        size: Number of dimensions, at least 1.
        low: Lower end.
        high: Upper end, above `low`.
    """
    _require_size(size)
    if low >= high:
        raise UserError(f"low={low}, high={high}: the interval is empty; give low < high")

    def draw(keys: Array, truncation: float | None = None) -> Array:
        a, b = low, high
        if truncation is not None:
            _require_threshold(truncation)
            a, b = max(low, -truncation), min(high, truncation)
            if a >= b:
                raise UserError(f"truncation={truncation} leaves nothing of the interval [{low}, {high}]; raise it")
        return jax.vmap(lambda key: jax.random.uniform(key, (size,), minval=a, maxval=b))(keys)

    return Latent(size, draw)


def latent(distribution: Distribution, size: int) -> Latent:
    """Returns a distribution by the name that command lines use.

    Args:
        distribution: "normal", "uniform" on [0, 1], or "symmetric", uniform on [-1, 1].
        size: Number of dimensions.
    """
    if distribution == "normal":
        return normal(size)
    if distribution == "uniform":
        return uniform(size, 0.0, 1.0)
    if distribution == "symmetric":
        return uniform(size)
    raise UserError(f"distribution={distribution!r}: give 'normal', 'uniform' ([0, 1]) or 'symmetric' ([-1, 1])")


def categorical(classes: int) -> Latent:
    """Returns the uniform distribution over one-hot vectors; truncation leaves it alone.

    Args:
        classes: Their number, at least 2.
    """
    if classes < 2:
        raise UserError(f"classes={classes}: give at least 2")

    def draw(keys: Array, truncation: float | None = None) -> Array:
        return jax.nn.one_hot(jax.vmap(lambda key: jax.random.randint(key, (), 0, classes))(keys), classes)

    return Latent(classes, draw, (Part("", 0, classes, categorical=True),))


def joined(noise: Latent, **codes: Latent) -> Latent:
    """Returns independent parts side by side: noise, and codes that mean something, by name.

    Args:
        noise: What is left to chance.
        codes: Each `categorical`, or of values that are codes, such as `uniform(2)`.

    Returns:
        A distribution of latents `[n, noise + codes]`, in this order, that knows its codes as `parts`.
    """
    places, start = [], noise.size
    for name, code in codes.items():
        places.append(Part(name, start, code.size, categorical=bool(code.parts)))
        start += code.size

    def draw(keys: Array, truncation: float | None = None) -> Array:
        drawn = [code.draw(rng.each(keys, name), truncation) for name, code in codes.items()]
        return jnp.concatenate([noise.draw(rng.each(keys, "noise"), truncation), *drawn], axis=1)

    return Latent(start, draw, tuple(places))


def labelled(noise: Latent, classes: int) -> Latent:
    """Returns noise beside the one-hot vector of a class: in training that of the batch's "label", else any.

    Args:
        noise: What varies within a class.
        classes: Their number; 0, where the data have no labels, is refused.
    """
    if not classes:
        raise UserError("classes=0: the data have no labels; give a set that has, such as --dataset digits")
    latent = joined(noise, label=categorical(classes))

    def given(keys: Array, batch: Batch) -> Array:
        return parts.put(latent, latent.draw(keys), "label", jax.nn.one_hot(batch["label"], classes))

    return latent._replace(given=given)


def source(shape: tuple[int, ...] | None) -> Latent:
    """Returns no distribution: the generator translates the batch's "source", images of this shape.

    Args:
        shape: `(H, W, C)`; None is refused.
    """
    if shape is None:
        raise UserError("the data have no source to translate; give pairs, such as --dataset edges:digits")

    def draw(keys: Array, truncation: float | None = None) -> Array:
        raise UserError(
            "this generator translates images and draws none: "
            "python -m gan_jax.translate RUN --input DIRECTORY --output DIRECTORY"
        )

    return Latent(math.prod(shape), draw, given=lambda keys, batch: batch["source"])


def numbered(latent: Latent, seed: int, count: int, truncation: float | None = None) -> Array:
    """Draws latents 0 to count - 1 of a seed: latent i depends on the seed and i alone, bit for bit.

    Args:
        latent: The distribution.
        seed: Which latents.
        count: How many.
        truncation: Threshold beyond which the values of a latent are drawn again; None truncates nothing.

    Returns:
        `[count, size]`.
    """
    if count < 1:
        raise UserError(f"count={count}: give at least 1")
    memory.require(4 * latent.size * count, f"{count:,} latents", "ask for fewer")
    key, draw = rng.named(rng.key(seed), "sample"), _drawer(latent, truncation)
    # always drawn by as many: another size would compile anew, and may change last bits
    return jnp.concatenate([draw(key, start + jnp.arange(BATCH)) for start in range(0, count, BATCH)])[:count]


@functools.lru_cache(64)  # else each call would compile anew
def _drawer(latent: Latent, truncation: float | None) -> Callable[[Array, Array], Array]:
    return jax.jit(lambda key, i: latent.draw(jax.vmap(lambda j: jax.random.fold_in(key, j))(i), truncation))


def _require_size(size: int) -> None:
    if size < 1:
        raise UserError(f"size={size}: a latent needs at least 1 dimension; give a --latent-size of 1 or more")


def _require_threshold(truncation: float) -> None:
    if not truncation > 0:  # nan too
        raise UserError(f"truncation={truncation}: the threshold must be positive; None truncates nothing")
