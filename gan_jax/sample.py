"""Sampling from a run: `python -m gan_jax.sample RUN`, or the functions behind it.

Image i depends on the checkpoint, the seed and i alone, bit for bit, whatever the count: images are generated in padded
batches of one size, and image i always has the same place in the same batch.
"""

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax.typing import ArrayLike

from gan_jax import files, latents, pictures, plots, runs
from gan_jax.cli import cli, require_used
from gan_jax.data.batches import scale
from gan_jax.devices import memory
from gan_jax.devices.batched import in_batches
from gan_jax.errors import UserError
from gan_jax.latents import codes as parts
from gan_jax.runs import Restored
from gan_jax.types import Array, Latent

BATCH = 64  # images per call of the generator
DRAWN = ("grid", "images", "npz")
USES = {  # flag -> the outputs that it affects; other flags affect all
    "count": (*DRAWN, "reconstruction"),
    "truncation": DRAWN,
    "rows": ("interpolation",),
    "steps": ("interpolation", "traversal"),
    "path": ("interpolation",),
    "dimensions": ("traversal",),
    "labels": (*DRAWN, "traversal"),
    "codes": (*DRAWN, "traversal"),
    "low": ("traversal",),
    "high": ("traversal",),
    "gif": ("interpolation", "traversal"),
    "dataset": ("reconstruction",),
}


def latents_of(run: Restored, seed: int, count: int, truncation: float | None = None) -> Array:
    """Draws the latents of images 0 to count - 1.

    Args:
        run: An opened run, by `runs.open_run`.
        seed: Selects the images.
        count: Number of latents.
        truncation: Threshold beyond which the values of a latent are redrawn; None for no truncation.

    Returns:
        `[count, size]`.
    """
    return latents.numbered(run.system.latent, seed, count, truncation)


def require_memory(run: Restored, count: int) -> None:
    """Checks, before sampling, that host memory can hold a number of images and their latents.

    Raises:
        OutOfMemory: If it cannot, with the number of bytes.
    """
    each = run.system.latent.size + math.prod(run.record["data"]["shape"])
    memory.require(4 * each * count, f"{count:,} images", "ask for fewer")


def generate(run: Restored, values: Array) -> np.ndarray:
    """Runs the averaged generator on latents, in batches of one size.

    Args:
        run: An opened run.
        values: Latents `[n, size]`.

    Returns:
        Images `[n, H, W, C]` uint8, or points `[n, 2]` float32.

    Raises:
        UserError: If the latents do not have the generator's size.
    """
    size = run.system.latent.size
    if values.ndim != 2 or values.shape[1] != size or not len(values):
        raise UserError(f"values {values.shape}: this generator takes latents [n, {size}], n at least 1")
    images = evaluated(run.system.generate, run.ema, values)
    return pictures.to_uint8(images) if images.ndim == 4 else images


def evaluated(function: Callable[[Any, Array], Array], ema: Any, rows: ArrayLike) -> np.ndarray:
    """Compiles `(ema, rows) -> output` and applies it to rows `[n, ...]`, in padded batches of one size."""
    return in_batches(functools.partial(jax.jit(function), ema), BATCH, rows)


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
    return generate(run, parts.with_labels(run.system.latent, drawn, np.asarray(labels), name))


def reconstructions(run: Restored, images: np.ndarray) -> np.ndarray:
    """Reconstructs images from their codes; returns as `generate`.

    Args:
        run: An opened run of a system with an encoder.
        images: uint8 `[n, H, W, C]`, of the size that the run was trained on.

    Raises:
        UserError: If there is no encoder.
    """
    if run.system.encode is None:
        raise UserError("this run has no encoder: bigan and vae have; for others see gan_jax.explore, inversion")
    return generate(run, jnp.asarray(evaluated(run.system.encode, run.ema, scale(jnp.asarray(images)))))


def samples(run: Restored, seed: int, count: int, truncation: float | None = None) -> np.ndarray:
    """Generates images 0 to count - 1 of a seed; arguments are those of `latents_of`, returns as `generate`."""
    require_memory(run, count)
    return generate(run, latents_of(run, seed, count, truncation))


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
        raise UserError(f"steps={steps}, rows={rows}: a walk has at least its 2 ends, and there is at least 1 walk")
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
    size = run.system.latent.size
    if steps < 2 or not len(dimensions):
        raise UserError(f"steps={steps}, dimensions={tuple(dimensions)}: give at least 2 steps and 1 dimension")
    for dimension in dimensions:
        if not 0 <= dimension < size:
            raise UserError(f"dimension {dimension}: the latent has {size}, numbered from 0")
    require_memory(run, len(dimensions) * steps)
    base = jnp.tile(latents_of(run, seed, 1), (steps, 1))
    values = jnp.linspace(low, high, steps)
    return generate(run, jnp.concatenate([base.at[:, dimension].set(values) for dimension in dimensions]))


def main(
    run: tyro.conf.Positional[Path],
    what: tyro.conf.Positional[
        Literal["grid", "images", "npz", "interpolation", "traversal", "reconstruction"]
    ] = "grid",
    count: int = 64,
    seed: int = 0,
    truncation: float | None = None,
    step: int | None = None,
    best: bool = False,
    rows: int = 8,
    steps: int = 10,
    path: Literal["spherical", "linear"] = "spherical",
    dimensions: tuple[int, ...] = (),
    labels: tuple[int, ...] = (),
    codes: tuple[str, ...] = (),
    low: float = -1.0,
    high: float = 1.0,
    gif: bool = False,
    out: Path | None = None,
    dataset: str | None = None,
    safe: bool = False,
) -> None:
    """Samples from a checkpoint of a run.

    Args:
        run: A run directory, such as runs/dcgan-digits.
        what: Output: a grid of samples, PNG files (images), one uint8 .npz file, interpolations between latents, a
            traversal of latent dimensions, or held-out images above their reconstructions by an encoder.
        count: Number of samples (grid, images, npz, reconstruction).
        seed: Selects the samples; image i depends on checkpoint, seed and i alone.
        truncation: Redraw values of the latent beyond this threshold: less variety, more typical images (grid, images,
            npz).
        step: Step of the checkpoint; by default the newest undamaged one.
        best: Use the best checkpoint, which training with --best keeps.
        rows: Number of interpolations, one row each (interpolation).
        steps: Images per row, both ends included (interpolation, traversal).
        path: Interpolate on the great circle or on the straight line (interpolation).
        dimensions: Latent dimensions to traverse, one row each; by default the codes, or else the first 8 dimensions
            (traversal).
        labels: Classes of the samples, repeated in turn; by default a grid has one column per class (grid, images, npz,
            traversal).
        codes: Values of codes for all samples, such as style=0.5,-1 or digit=3; a traversal keeps them fixed (grid,
            images, npz, traversal). They may lie outside the range of training.
        low: First value of a traversed dimension (traversal).
        high: Last value of a traversed dimension (traversal).
        gif: Write an animation, forward and back, instead of a grid (interpolation, traversal).
        out: Output file, or directory for images; by default in the run directory, named after its content.
        dataset: New name of the run's data, if they have moved (reconstruction).
        safe: Run this repository's experiment of the same name instead of the code in the run directory.
    """
    require_used(main, what, USES, locals())
    if count < 1:
        raise UserError(f"--count {count}: give at least 1")
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UserError(f"--low {low}, --high {high}: give finite numbers")
    restored = runs.open_run(run, step, best, dataset, safe)
    latent, columns = restored.system.latent, None
    suffix = {"images": "", "npz": ".npz"}.get(what, ".gif" if gif else ".png")
    cut = "" if truncation is None else f"-truncation{truncation}"
    cut += "".join([f"-labels{','.join(map(str, labels))}"] if labels else []) + "".join(f"-{code}" for code in codes)
    target = out or run / f"{what}-step{restored.step}-seed{seed}{cut}{suffix}"
    files.require_writable(target / "000000.png" if what == "images" else target, suffix)
    if what == "images" and len(restored.record["data"]["shape"]) != 3:
        raise UserError("images: this run makes points in the plane; ask for npz or grid")
    if what == "images" and target.exists() and any(target.iterdir()):
        raise UserError(f"--out {target}: the directory has files already; empty it, or give another")
    if labels and not any(part.name == "label" for part in latent.parts):
        known = " or ".join(f"--codes {part.name}=..." for part in latent.parts)
        raise UserError(f"--labels: this generator takes none; {known or 'leave them out'}")
    held = np.empty(0)
    if what == "interpolation":
        made = interpolation(restored, seed, rows, steps, getattr(latents, path))
    elif what == "traversal":
        require_memory(restored, steps)
        if latent.parts and not dimensions:
            base = _coded(latent, _labelled(latent, latents_of(restored, seed, 1), labels), codes)
            made = generate(restored, parts.traversals(latent, base[0], steps, low, high))
        elif labels or codes:
            raise UserError("--labels, --codes: with --dimensions they have no effect; leave out one or the other")
        else:
            made = traversal(restored, seed, dimensions or range(min(8, latent.size)), steps, low, high)
    elif what == "reconstruction":
        held = runs.held_out(restored.record).arrays["image"][:count]
        made = reconstructions(restored, held)
    else:
        require_memory(restored, count)
        values = latents_of(restored, seed, count, truncation)
        values = _labelled(latent, values, labels)
        if what == "grid" and not labels and not codes and count == 64:
            table = parts.by_class(latent, values, rows=8)
            columns = None if table is None else len(table) // 8
            values = values if table is None else table
        made = generate(restored, _coded(latent, values, codes))
    if what == "npz":
        pictures.save_npz(target, image=made)
    elif what == "images":
        for i, image in enumerate(made):
            pictures.save_png(target / f"{i:06d}.png", image)
    elif gif:
        moments = made.reshape(-1, steps, *made.shape[1:]).swapaxes(0, 1)
        frames = [_picture(moment) for moment in moments]
        pictures.save_gif(target, [*frames, *frames[-2:0:-1]], hold=120)
    elif what == "reconstruction":
        pictures.save_png(target, pictures.compared([held, made]))
    else:
        pictures.save_png(target, _picture(made, columns if what == "grid" else steps))
    print(f"{target}: {len(made)} images of step {restored.step}")


def _labelled(latent: Latent, values: Array, labels: Sequence[int]) -> Array:
    """Sets the class of each latent, cycling through the labels."""
    return parts.with_labels(latent, values, np.resize(labels, len(values))) if labels else values


def _coded(latent: Latent, values: Array, codes: Sequence[str]) -> Array:
    """Sets codes given as "name=value" or "name=value,value"."""
    for code in codes:
        name, _, given = code.partition("=")
        try:
            numbers = [float(number) for number in given.split(",")]
        except ValueError:
            raise UserError(f"--codes {code}: it is not of the form name=number or name=number,number") from None
        if not all(map(math.isfinite, numbers)):
            raise UserError(f"--codes {code}: give finite numbers")
        size = parts.read(latent, values, name).shape[-1]
        if len(numbers) == size:
            values = parts.put(latent, values, name, jnp.asarray(numbers))
        elif len(numbers) == 1 and numbers[0].is_integer():
            values = parts.with_labels(latent, values, np.full(len(values), int(numbers[0])), name)
        else:
            takes = f"{size} values" if size > 1 else "1 value"
            raise UserError(f"--codes {code} gives {len(numbers)}; {name} takes {takes}, or the number of a class")
    return values


def _picture(made: np.ndarray, columns: int | None = None) -> np.ndarray:
    return plots.scatter(made) if made.ndim == 2 else pictures.grid(made, columns, padding=2 if len(made) > 1 else 0)


if __name__ == "__main__":
    cli(main)
