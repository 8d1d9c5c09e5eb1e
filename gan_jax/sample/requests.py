"""Options of the sampling commands; opens the run and draws the latents that they ask for."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gan_jax import game, runs
from gan_jax.cli import Checkpoint
from gan_jax.errors import UserError
from gan_jax.files import require_writable
from gan_jax.latents import codes as parts
from gan_jax.runs import Restored
from gan_jax.sample.generation import latents_of, require_memory
from gan_jax.types import Array


@dataclass(frozen=True)
class Shared(Checkpoint):
    """Options of all sub-commands."""

    seed: int = 0
    """Selects the samples; sample i depends on checkpoint, seed and i alone."""
    out: Path | None = None
    """Output file, or directory for files; by default in the run directory, named after its content."""
    standing: int = 0
    """Batches of latents over which to re-estimate batch norm's moments for the averaged weights, 100 in BigGAN's
    paper; 0 uses the running moments."""


@dataclass(frozen=True)
class Draw:
    """Options of grid, files and npz."""

    count: int | None = None
    """Number of samples; by default 64 images or 1,024 points, or in a grid of a conditional generator 8 per class."""
    truncation: float | None = None
    """Redraw values of the latent beyond this threshold: less variety, more typical samples. For stylegan2, psi, the
    factor on the distance of styles from their mean: 1 for no truncation, 0 for the image of the mean style."""
    labels: tuple[str, ...] = ()
    """Classes of the samples, by name or number, repeated in turn; by default random."""
    codes: tuple[str, ...] = ()
    """Values of codes for all samples, such as style=0.5,-1 or digit=3; values outside the range of training work."""


def open_requested(
    run: Path,
    shared: Shared,
    name: str,
    draw: Draw | None = None,
    suffix: str | None = None,
    dataset: str | None = None,
) -> tuple[Restored, Path]:
    """Opens a run; returns it and the output's path, after checking that it can be written to.

    `suffix` is by default that of a sheet.
    """
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


def draw_latents(opened: Restored, shared: Shared, draw: Draw) -> Array:
    """Draws latents, with the given classes and codes."""
    latent, count = game.sampler(opened.system)[0], opened.spec.kind.shown if draw.count is None else draw.count
    if draw.labels and not any(part.name == "label" for part in latent.parts):
        options = " or ".join(f"--codes {part.name}=..." for part in latent.parts)
        remedy = f"give {options}" if options else "leave them out"
        raise UserError(f"--labels: this generator takes no labels; {remedy}")
    require_memory(opened, count)
    values = latents_of(opened, shared.seed, count, draw.truncation)
    if draw.labels:
        labels = [opened.spec.label(title) for title in draw.labels]
        values = parts.with_labels(latent, values, np.resize(labels, len(values)))
    return parts.with_codes(latent, values, draw.codes)
