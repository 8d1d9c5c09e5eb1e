"""Samples of a run's averaged generator, as functions of an opened run.

Sample i depends on the checkpoint, the seed and i alone, bit for bit, whatever the count: samples are generated in
padded batches of one size, and sample i always has the same place in the same batch.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gan_jax import game, latents
from gan_jax.devices import compilation, memory
from gan_jax.devices.batched import in_batches
from gan_jax.errors import UserError
from gan_jax.latents import codes as parts
from gan_jax.runs import Restored
from gan_jax.types import Array

BATCH = 64  # samples per call of the generator


def latents_of(run: Restored, seed: int, count: int, truncation: float | None = None) -> Array:
    """Draws the latents of images 0 to count - 1.

    Args:
        run: An opened run, by `runs.open_run`.
        seed: Selects the images.
        count: Number of latents.
        truncation: Threshold beyond which the values of a latent are redrawn; None for no truncation. It has no effect
            for a generator that truncates styles itself, see `generate`.

    Returns:
        `[count, size]`.
    """
    within = None if run.system.truncate else truncation
    return latents.numbered(game.sampler(run.system)[0], seed, count, within)


def require_memory(run: Restored, count: int) -> None:
    """Checks, before sampling, that host memory can hold a number of images and their latents.

    Raises:
        OutOfMemory: If it cannot, with the number of bytes.
    """
    each = game.sampler(run.system)[0].size + math.prod(run.spec.shape)
    memory.require(4 * each * count, f"{count:,} {run.spec.kind.noun}", "ask for fewer")


def generate(run: Restored, values: Array, truncation: float | None = None) -> np.ndarray:
    """Runs the averaged generator on latents, in batches of one size.

    Args:
        run: An opened run.
        values: Latents `[n, size]`.
        truncation: Psi, for a generator that truncates inside, as StyleGAN2's truncates styles (`System.truncate`); no
            effect on others, whose latents are truncated when they are drawn.

    Returns:
        Examples `[n, ...]` in the form in which their kind stores them: images as uint8 `[n, H, W, C]`.

    Raises:
        UserError: If the latents do not have the generator's size.
    """
    latent, function = game.sampler(run.system)
    if values.ndim != 2 or values.shape[1] != latent.size or not len(values):
        raise UserError(f"values have shape {values.shape}: give latents [n, {latent.size}], n at least 1")
    if run.system.truncate and truncation is not None:
        if not math.isfinite(truncation):
            raise UserError(f"truncation={truncation}: give a finite number; 1 is no truncation")
        function = run.system.truncate(truncation)
    return evaluated(function, run.ema, values, run.spec.kind.from_network)


def evaluated(
    function: Callable[[Any, Array], Array],
    ema: Any,
    rows: ArrayLike,
    stored: Callable[[Array], Array] = lambda output: output,
) -> np.ndarray:
    """Compiles `(ema, rows) -> output`, and `stored` of the output, and applies them in padded batches of one size.

    Args:
        function: Such as `System.sample`.
        ema: Its first argument.
        rows: Its second argument, `[n, ...]`.
        stored: The form in which the output is kept, such as a kind's `from_network`.
    """
    compiled, to_stored = compilation.interruptible(jax.jit(function)), jax.jit(stored)
    return in_batches(lambda batch: to_stored(compiled(ema, batch)), BATCH, rows)


def labelled(run: Restored, seed: int, labels: Sequence[int], name: str = "label") -> np.ndarray:
    """Generates images of given classes: image i of a seed, with class `labels[i]`; returns as `generate`.

    Args:
        run: An opened run of a conditional generator.
        seed: Selects the images.
        labels: The class of each image.
        name: Name of the latent's part that holds the class, see `latents.joined`.

    Raises:
        UserError: If the latent has no such part, or the part no such class.
    """
    require_memory(run, len(labels))
    drawn = latents_of(run, seed, len(labels))
    return generate(run, parts.with_labels(game.sampler(run.system)[0], drawn, np.asarray(labels), name))


def reconstructions(run: Restored, images: np.ndarray) -> np.ndarray:
    """Reconstructs images from their codes; returns as `generate`.

    Args:
        run: An opened run of a system with an encoder.
        images: Examples as stored, `[n, ...]`, of the shape that the run was trained on.

    Raises:
        UserError: If there is no encoder.
    """
    if run.system.encode is None:
        raise UserError(
            "this run has no encoder; use a run of bigan or vae, or python -m gan_jax.explore RUN inversion"
        )
    return generate(run, jnp.asarray(evaluated(run.system.encode, run.ema, run.spec.kind.to_network(images))))


def samples(run: Restored, seed: int, count: int, truncation: float | None = None) -> np.ndarray:
    """Generates images 0 to count - 1 of a seed; arguments are those of `latents_of`, returns as `generate`."""
    require_memory(run, count)
    return generate(run, latents_of(run, seed, count, truncation), truncation)


def interpolation(run: Restored, seed: int, rows: int, steps: int, path: Callable = latents.spherical) -> np.ndarray:
    """Interpolates between latents: row r goes from image r of a seed to image r + 1.

    Args:
        run: An opened run.
        seed: Selects the images.
        rows: Number of interpolations.
        steps: Images per row, both ends included; at least 2.
        path: `latents.spherical` or `latents.linear`.

    Returns:
        Images `[rows * steps, ...]`, row by row.
    """
    if steps < 2 or rows < 1:
        raise UserError(f"steps={steps}, rows={rows}: give at least 2 steps and 1 row")
    require_memory(run, rows * steps)
    ends = latents_of(run, seed, rows + 1)
    walks = path(ends[:-1], ends[1:], jnp.linspace(0.0, 1.0, steps))
    return generate(run, walks.swapaxes(0, 1).reshape(rows * steps, -1))


def traversal(
    run: Restored, seed: int, dimensions: Sequence[int], steps: int, low: float = -1.0, high: float = 1.0
) -> np.ndarray:
    """Varies single dimensions of image 0's latent over an interval, with all others held fixed.

    Args:
        run: An opened run.
        seed: Selects the image.
        dimensions: Latent dimensions, one row each.
        steps: Images per row, at least 2.
        low: First value of the dimension.
        high: Last value of the dimension.

    Returns:
        Images `[len(dimensions) * steps, ...]`, row by row.

    Raises:
        UserError: If there is no such dimension.
    """
    require_memory(run, len(dimensions) * steps)
    return generate(run, along(latents_of(run, seed, 1)[0], dimensions, steps, low, high))


def along(value: Array, dimensions: Sequence[int], steps: int, low: float, high: float) -> Array:
    """Varies single dimensions of a latent `[size]`; see `traversal`.

    Returns:
        Latents `[len(dimensions) * steps, size]`, row by row.

    Raises:
        UserError: If there is no such dimension.
    """
    if steps < 2 or not len(dimensions):
        raise UserError(f"steps={steps}, dimensions={tuple(dimensions)}: give at least 2 steps and 1 dimension")
    for dimension in dimensions:
        if not 0 <= dimension < len(value):
            raise UserError(f"dimension {dimension} does not exist; the latent has dimensions 0 to {len(value) - 1}")
    base, values = jnp.tile(value, (steps, 1)), jnp.linspace(low, high, steps)
    return jnp.concatenate([base.at[:, dimension].set(values) for dimension in dimensions])
