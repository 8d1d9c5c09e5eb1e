"""Samples, interpolations, traversals and reconstructions of a run: `python -m gan_jax.sample RUN`."""

import dataclasses
import math
from pathlib import Path
from typing import Literal

import numpy as np

from gan_jax import game, latents, pictures, runs, sample
from gan_jax.cli import cli
from gan_jax.errors import UserError
from gan_jax.latents import codes as parts
from gan_jax.runs import Restored
from gan_jax.sample.generation import along
from gan_jax.sample.requests import Draw, Shared, draw_latents, open_requested


def grid(run: Path, shared: Shared, draw: Draw) -> None:
    """Samples in one picture; of a conditional generator, one column per class, or per class of --labels."""
    opened, target = open_requested(run, shared, "grid", draw)
    kind, latent = opened.spec.kind, game.sampler(opened.system)[0]
    columns, captions = None, ()
    if draw.count is None and draw.labels and not kind.overlaid:
        columns, captions = len(draw.labels), draw.labels
        draw = dataclasses.replace(draw, count=8 * columns)
    values = draw_latents(opened, shared, draw)
    if draw.count is None and not (draw.codes or kind.overlaid):
        rows = min(8, len(values))
        table = parts.by_class(latent, values, rows)
        if table is not None:
            values, columns = table, len(table) // rows
            captions = parts.captions(latent, opened.spec.class_names)
    examples = sample.generate(opened, values, draw.truncation)
    sheet = kind.sheet(examples, columns)
    _save(target, opened, examples, pictures.captioned(sheet, captions))


def files(run: Path, shared: Shared, draw: Draw) -> None:
    """Samples as files, one for each, in a directory: images as PNG."""
    opened, target = open_requested(run, shared, "files", draw, "")
    if target.exists() and any(target.iterdir()):
        raise UserError(f"--out {target}: the directory is not empty; empty it, or give another")
    examples = sample.generate(opened, draw_latents(opened, shared, draw), draw.truncation)
    for i, example in enumerate(examples):
        opened.spec.kind.write(target / f"{i:06d}", example)
    _tell(target, opened, examples)


def images(run: Path, shared: Shared, draw: Draw) -> None:
    """Another name for files."""
    files(run, shared, draw)


def npz(run: Path, shared: Shared, draw: Draw, key: str = "image") -> None:
    """Samples as one array in a NumPy .npz file, under the key given by --key.

    Args:
        key: Name of the array in the file; arr_0 for tools that expect an unnamed array.
    """
    opened, target = open_requested(run, shared, "npz", draw, ".npz")
    if not key or key in ("file", "allow_pickle"):  # NumPy's own arguments
        raise UserError(f"--key {key!r}: NumPy cannot give an array this name; give another, such as image or arr_0")
    examples = sample.generate(opened, draw_latents(opened, shared, draw), draw.truncation)
    pictures.save_npz(target, **{key: examples})
    _tell(target, opened, examples, f", under the key {key}")


def interpolation(
    run: Path,
    shared: Shared,
    rows: int = 8,
    steps: int = 10,
    path: Literal["spherical", "linear"] = "spherical",
    gif: bool = False,
) -> None:
    """Interpolations between the latents of samples, each from one sample to the next.

    Args:
        rows: Number of interpolations, one row each.
        steps: Samples per row, both ends included.
        path: Interpolate along a great circle (spherical) or a straight line (linear).
        gif: Write an animation, forward and back, instead of a grid.
    """
    opened, target = open_requested(run, shared, "interpolation", suffix=".gif" if gif else None)
    examples = sample.interpolation(opened, shared.seed, rows, steps, getattr(latents, path))
    _save(target, opened, examples, _rows(opened, examples, steps, gif))


def traversal(
    run: Path,
    shared: Shared,
    steps: int = 10,
    dimensions: tuple[int, ...] = (),
    low: float = -1.0,
    high: float = 1.0,
    labels: tuple[str, ...] = (),
    codes: tuple[str, ...] = (),
    gif: bool = False,
) -> None:
    """Traversals of the first sample's latent: each row varies one dimension and holds the others.

    Args:
        steps: Samples per row, both ends included.
        dimensions: Latent dimensions to vary, one row each; by default the codes, or else the first 8 dimensions.
        low: First value of a dimension.
        high: Last value of a dimension.
        labels: Class of the sample, by name or number; by default random.
        codes: Values of the sample's codes, such as style=0.5,-1 or digit=3, where they are not varied.
        gif: Write an animation, forward and back, instead of a grid.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UserError(f"--low {low}, --high {high}: give finite numbers")
    draw = Draw(1, labels=labels, codes=codes)
    opened, target = open_requested(run, shared, "traversal", draw, ".gif" if gif else None)
    sample.require_memory(opened, steps * max(1, len(dimensions)))
    latent, value = game.sampler(opened.system)[0], draw_latents(opened, shared, draw)[0]
    if latent.parts and not dimensions:
        values = parts.traversals(latent, value, steps, low, high)
    else:
        values = along(value, dimensions or range(min(8, latent.size)), steps, low, high)
    examples = sample.generate(opened, values)
    _save(target, opened, examples, _rows(opened, examples, steps, gif))


def reconstruction(run: Path, shared: Shared, count: int = 64, dataset: str | None = None) -> None:
    """Held-out images, and below each its reconstruction by the run's encoder.

    Args:
        count: Number of images.
        dataset: New name of the run's data, if they have moved.
    """
    if count < 1:
        raise UserError(f"--count {count}: give at least 1")
    opened, target = open_requested(run, shared, "reconstruction", dataset=dataset)
    test, kind = runs.held_out(opened), opened.spec.kind
    chosen = np.random.default_rng(shared.seed).permutation(test.count)[:count]  # as they may be sorted
    originals = test.arrays["image"][chosen]
    examples = sample.reconstructions(opened, originals)
    rows = [part[i : i + 8] for i in range(0, len(originals), 8) for part in (originals, examples)]
    sheet = kind.sheet(examples, real=originals) if kind.overlaid else kind.sheet(np.concatenate(rows), 8)
    _save(target, opened, examples, sheet)


def _rows(opened: Restored, examples: np.ndarray, steps: int, gif: bool) -> np.ndarray:
    """Draws rows of `steps` samples as a sheet, or as an animation: one frame for each column, forward and back."""
    kind = opened.spec.kind
    if not gif:
        return kind.sheet(examples, steps)
    sheets = [kind.sheet(column) for column in examples.reshape(-1, steps, *examples.shape[1:]).swapaxes(0, 1)]
    return (np.concatenate if kind.moving else np.stack)([*sheets, *sheets[-2:0:-1]])


def _save(target: Path, opened: Restored, examples: np.ndarray, picture: np.ndarray) -> None:
    """Writes a picture or an animation of samples."""
    if picture.ndim == 4:
        pictures.save_gif(target, [*picture], hold=120)
    else:
        pictures.save_png(target, picture)
    _tell(target, opened, examples)


def _tell(target: Path, opened: Restored, examples: np.ndarray, where: str = "") -> None:
    print(f"{target}: {len(examples)} {opened.spec.kind.noun} from step {opened.step}{where}")


if __name__ == "__main__":
    cli(
        [grid, files, images, npz, interpolation, traversal, reconstruction],
        "Samples from a checkpoint of the run directory RUN, such as runs/dcgan-digits.",
    )
