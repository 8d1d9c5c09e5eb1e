"""Samples, interpolations, traversals and reconstructions of a run: `python -m gan_jax.sample RUN`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from gan_jax import game, latents, pictures, runs, sample
from gan_jax.cli import Checkpoint, cli
from gan_jax.errors import UserError
from gan_jax.files import require_writable
from gan_jax.latents import codes as parts
from gan_jax.runs import Restored
from gan_jax.sample.generation import along
from gan_jax.types import Array


@dataclass(frozen=True)
class Shared(Checkpoint):
    """Shared by all sub-commands."""

    seed: int = 0
    """Selects the samples; sample i depends on checkpoint, seed and i alone."""
    out: Path | None = None
    """Output file, or directory for files; by default in the run directory, named after its content."""
    standing: int = 0
    """Batches of latents over which to re-estimate batch norm's moments for these weights, 100 in BigGAN's paper; 0
    uses the running moments."""


@dataclass(frozen=True)
class Draw:
    """Shared by grid, files and npz."""

    count: int | None = None
    """Number of samples; by default 64 images or 1,024 points, or in a grid of a conditional generator 8 per class."""
    truncation: float | None = None
    """Redraw values of the latent beyond this threshold: less variety, more typical samples. For stylegan2, psi, the
    factor on the distance of styles from their mean: 1 for no truncation, 0 for the image of the mean style."""
    labels: tuple[str, ...] = ()
    """Classes of the samples, by name or number, repeated in turn; by default random."""
    codes: tuple[str, ...] = ()
    """Values of codes for all samples, such as style=0.5,-1 or digit=3; also outside the range of training."""


def grid(run: Path, shared: Shared, draw: Draw) -> None:
    """Samples in one picture; of a conditional generator, one column per class."""
    opened, target = _opened(run, shared, "grid", draw)
    kind, values, table = opened.spec.kind, _drawn(opened, shared, draw), None
    rows = min(8, len(values))
    if draw.count is None and not (draw.labels or draw.codes or kind.overlaid):
        table = parts.by_class(game.sampler(opened.system)[0], values, rows)
    made = sample.generate(opened, values if table is None else table, draw.truncation)
    sheet = kind.sheet(made, None if table is None else len(table) // rows)
    captions = () if table is None else parts.captions(game.sampler(opened.system)[0], opened.spec.class_names)
    _save(target, opened, made, pictures.captioned(sheet, captions))


def files(run: Path, shared: Shared, draw: Draw) -> None:
    """Samples as files, one for each, in a directory: images as PNG."""
    opened, target = _opened(run, shared, "files", draw, "")
    if target.exists() and any(target.iterdir()):
        raise UserError(f"--out {target}: the directory is not empty; empty it, or give another")
    made = sample.generate(opened, _drawn(opened, shared, draw), draw.truncation)
    for i, example in enumerate(made):
        opened.spec.kind.write(target / f"{i:06d}", example)
    _tell(target, opened, made)


def images(run: Path, shared: Shared, draw: Draw) -> None:
    """Another name of files."""
    files(run, shared, draw)


def npz(run: Path, shared: Shared, draw: Draw, key: str = "image") -> None:
    """Samples as one array in a NumPy .npz file, under the key given by --key.

    Args:
        key: Name of the array in the file; arr_0 for tools that expect an unnamed array.
    """
    opened, target = _opened(run, shared, "npz", draw, ".npz")
    if not key or key in ("file", "allow_pickle"):  # NumPy's own arguments
        raise UserError(f"--key {key!r}: NumPy cannot give an array this name; give another, such as image or arr_0")
    made = sample.generate(opened, _drawn(opened, shared, draw), draw.truncation)
    pictures.save_npz(target, **{key: made})
    _tell(target, opened, made, f", under the key {key}")


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
    opened, target = _opened(run, shared, "interpolation", suffix=".gif" if gif else None)
    made = sample.interpolation(opened, shared.seed, rows, steps, getattr(latents, path))
    _save(target, opened, made, _rows(opened, made, steps, gif))


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
    given = Draw(1, labels=labels, codes=codes)
    opened, target = _opened(run, shared, "traversal", given, ".gif" if gif else None)
    sample.require_memory(opened, steps * max(1, len(dimensions)))
    latent, value = game.sampler(opened.system)[0], _drawn(opened, shared, given)[0]
    if latent.parts and not dimensions:
        values = parts.traversals(latent, value, steps, low, high)
    else:
        values = along(value, dimensions or range(min(8, latent.size)), steps, low, high)
    made = sample.generate(opened, values)
    _save(target, opened, made, _rows(opened, made, steps, gif))


def reconstruction(run: Path, shared: Shared, count: int = 64, dataset: str | None = None) -> None:
    """Held-out images, and below each its reconstruction by the run's encoder.

    Args:
        count: Number of images.
        dataset: New name of the run's data, if they have moved.
    """
    if count < 1:
        raise UserError(f"--count {count}: give at least 1")
    opened, target = _opened(run, shared, "reconstruction", dataset=dataset)
    held, kind = runs.held_out(opened).arrays["image"], opened.spec.kind
    held = held[np.random.default_rng(shared.seed).permutation(len(held))[:count]]  # as they may be sorted
    made = sample.reconstructions(opened, held)
    rows = [part[i : i + 8] for i in range(0, len(held), 8) for part in (held, made)]
    sheet = kind.sheet(made, real=held) if kind.overlaid else kind.sheet(np.concatenate(rows), 8)
    _save(target, opened, made, sheet)


def _opened(
    run: Path,
    shared: Shared,
    name: str,
    draw: Draw | None = None,
    suffix: str | None = None,
    dataset: str | None = None,
) -> tuple[Restored, Path]:
    """Opens a run; returns it and the output's path, which can be written to. `suffix` is by default a sheet's."""
    opened = runs.open_run(run, shared.step, shared.best, dataset, shared.safe)
    if shared.standing:
        size = opened.record["config"]["batch_size"]
        opened = opened._replace(ema=game.standing(opened.system, opened.ema, shared.standing, size))
    if suffix is None:
        suffix = ".gif" if opened.spec.kind.moving else ".png"
    name = f"{name}-step{opened.step}-seed{shared.seed}" + (f"-standing{shared.standing}" if shared.standing else "")
    if draw:
        name += "" if draw.truncation is None else f"-truncation{draw.truncation}"
        name += f"-labels{','.join(draw.labels)}".replace("/", "-") if draw.labels else ""
        name += "".join(f"-{code}" for code in draw.codes)
    target = shared.out or run / f"{name}{suffix}"
    require_writable(target if suffix else target / "000000", suffix)
    return opened, target


def _drawn(opened: Restored, shared: Shared, draw: Draw) -> Array:
    """Draws latents, with the given classes and codes."""
    latent, count = game.sampler(opened.system)[0], opened.spec.kind.shown if draw.count is None else draw.count
    if draw.labels and not any(part.name == "label" for part in latent.parts):
        known = " or ".join(f"--codes {part.name}=..." for part in latent.parts)
        raise UserError(f"--labels: this generator takes no labels; {f'give {known}' if known else 'leave them out'}")
    sample.require_memory(opened, count)
    values = sample.latents_of(opened, shared.seed, count, draw.truncation)
    if draw.labels:
        labels = [opened.spec.label(title) for title in draw.labels]
        values = parts.with_labels(latent, values, np.resize(labels, len(values)))
    return parts.with_codes(latent, values, draw.codes)


def _rows(opened: Restored, made: np.ndarray, steps: int, gif: bool) -> np.ndarray:
    """Draws rows of `steps` samples as a sheet, or as an animation: one frame for each column, forward and back."""
    kind = opened.spec.kind
    if not gif:
        return kind.sheet(made, steps)
    sheets = [kind.sheet(moment) for moment in made.reshape(-1, steps, *made.shape[1:]).swapaxes(0, 1)]
    return (np.concatenate if kind.moving else np.stack)([*sheets, *sheets[-2:0:-1]])


def _save(target: Path, opened: Restored, made: np.ndarray, picture: np.ndarray) -> None:
    """Writes a picture or an animation of samples."""
    if picture.ndim == 4:
        pictures.save_gif(target, [*picture], hold=120)
    else:
        pictures.save_png(target, picture)
    _tell(target, opened, made)


def _tell(target: Path, opened: Restored, made: np.ndarray, where: str = "") -> None:
    print(f"{target}: {len(made)} {opened.spec.kind.noun} from step {opened.step}{where}")


if __name__ == "__main__":
    cli(
        [grid, files, images, npz, interpolation, traversal, reconstruction],
        "Samples from a checkpoint of the run directory RUN, such as runs/dcgan-digits.",
    )
