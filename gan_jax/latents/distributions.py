"""Distributions of latents: each example's latent is a function of its own key."""

import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import rng
from gan_jax.devices import memory
from gan_jax.devices.batched import in_batches
from gan_jax.errors import UserError
from gan_jax.types import Array, Latent, Part

Distribution = Literal["normal", "uniform", "symmetric"]
BATCH = 64  # latents drawn per call


def normal(size: int) -> Latent:
    """Standard normal distribution; with truncation t, values outside [-t, t] are drawn again.

    Args:
        size: Number of dimensions, at least 1.
    """
    _require_size(size)

    def draw(keys: Array, truncation: float | None = None) -> Array:
        if truncation is None:
            return jax.vmap(lambda key: jax.random.normal(key, (size,)))(keys)
        _require_threshold(truncation)
        # the same distribution as drawing again until |z| <= t, without the loop
        return jax.vmap(lambda key: jax.random.truncated_normal(key, -truncation, truncation, (size,)))(keys)

    return Latent(size, draw, name="standard normal")


def uniform(size: int, low: float = -1.0, high: float = 1.0) -> Latent:
    """Uniform distribution on an interval; with truncation t, values outside [-t, t] are drawn again.

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

    return Latent(size, draw, name=f"uniform on [{low:g}, {high:g}]")


def latent(distribution: Distribution, size: int) -> Latent:
    """Returns a distribution by its name on the command line.

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
    """Uniform distribution of one-hot vectors; truncation has no effect.

    Args:
        classes: Number of classes, at least 2.
    """
    if classes < 2:
        raise UserError(f"classes={classes}: give at least 2")

    def draw(keys: Array, truncation: float | None = None) -> Array:
        return jax.nn.one_hot(jax.vmap(lambda key: jax.random.randint(key, (), 0, classes))(keys), classes)

    return Latent(classes, draw, (Part("", 0, classes, categorical=True),), f"one-hot of {classes} classes, uniform")


def joined(noise: Latent, **codes: Latent) -> Latent:
    """Joint distribution of independent noise and named codes, concatenated.

    Args:
        noise: Distribution of the unnamed dimensions.
        codes: Name -> distribution of the code: `categorical`, or continuous codes such as `uniform(2)`.

    Returns:
        A distribution of latents `[n, noise + codes]`, in this order, with the codes as `parts`.
    """
    places, start = [], noise.size
    for name, code in codes.items():
        places.append(Part(name, start, code.size, categorical=bool(code.parts)))
        start += code.size

    def draw(keys: Array, truncation: float | None = None) -> Array:
        drawn = [code.draw(rng.each(keys, name), truncation) for name, code in codes.items()]
        return jnp.concatenate([noise.draw(rng.each(keys, "noise"), truncation), *drawn], axis=1)

    described = [f"{noise.name} in {noise.size} dimensions", *(f"{name} {code.name}" for name, code in codes.items())]
    return Latent(start, draw, tuple(places), "; ".join(described))


def labelled(noise: Latent, classes: int) -> Latent:
    """Joint distribution of noise and a uniform one-hot class, named "label".

    Args:
        noise: Distribution of the other dimensions.
        classes: Number of classes; 0 means that the data have no labels, and raises UserError.
    """
    if not classes:
        raise UserError(
            "classes=0: the data have no labels; give a labelled data set, such as --dataset digits or a folder whose "
            "sub-folders are classes, or train without labels"
        )
    return joined(noise, label=categorical(classes))


def numbered(latent: Latent, seed: int, count: int, truncation: float | None = None) -> Array:
    """Draws latents 0 to count - 1 of a seed; latent i depends on the seed and i alone, to the bit.

    Args:
        latent: The distribution.
        seed: Seed of the latents.
        count: Number of latents, at least 1.
        truncation: Threshold t > 0: values outside [-t, t] are drawn again. None: no truncation.

    Returns:
        `[count, size]`.

    Raises:
        OutOfMemory: If this machine's memory cannot hold the latents.
    """
    if count < 1:
        raise UserError(f"count={count}: give at least 1")
    memory.require(4 * latent.size * count, f"{count:,} latents", "ask for fewer")
    key, draw = rng.named(rng.key(seed), "sample"), _drawer(latent, truncation)
    return jnp.asarray(in_batches(functools.partial(draw, key), BATCH, np.arange(count)))


@functools.lru_cache(64)  # else each call would compile again
def _drawer(latent: Latent, truncation: float | None) -> Callable[[Array, Array], Array]:
    return jax.jit(lambda key, i: latent.draw(rng.numbered(key, i), truncation))


def _require_size(size: int) -> None:
    if size < 1:
        raise UserError(f"size={size}: a latent needs at least 1 dimension; give a --latent-size of 1 or more")


def _require_threshold(truncation: float) -> None:
    if not truncation > 0:  # nan too
        raise UserError(f"truncation={truncation}: the threshold must be positive; leave it out for no truncation")
