"""Sample grids during training, always of the same latents, and their animation."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import pictures, plots, rng
from gan_jax.data import Dataset
from gan_jax.data.batches import scale
from gan_jax.devices import parallel
from gan_jax.latents import codes
from gan_jax.types import Array, PyTree, System, TrainState


def grids(system: System, key: Array, dataset: Dataset, run: Path) -> Callable[[TrainState, int], None]:
    """Returns the function that draws a state's samples, always of the same latents.

    Args:
        system: The system whose averaged generator is sampled.
        key: Selects the latents.
        dataset: The data: images give grids of 64, points a scatter plot of 1,024 over as many real ones.
        run: The run directory.

    Returns:
        `(state, step)`, which writes `samples/STEP.png`. If latents hold a class, a row has one noise and a column one
        class. If they hold any codes, `codes.png` in the run directory varies one code after another. A translator's
        grid has 32 sources, each above its translation, and that above the true partner if it is known.
    """
    generate = jax.jit(system.generate)
    if system.latent.translates:
        return _translations(generate, dataset, run)
    points = len(dataset.spec.shape) == 1
    keys = rng.numbered(key, 1024 if points else 64)
    drawn = system.latent.draw(keys)
    table = None if points else codes.by_class(system.latent, drawn, rows=8)
    columns = None if table is None else len(table) // 8
    values = drawn if table is None else table

    def picture(state: TrainState, step: int) -> None:
        ema = parallel.first(state.ema)
        samples = generate(ema, values)
        shown = plots.scatter(samples, dataset.arrays["image"][:1024]) if points else pictures.grid(samples, columns)
        pictures.save_png(run / "samples" / f"{step:08d}.png", shown)
        if system.latent.parts and not points:
            moved = codes.traversals(system.latent, drawn[0], steps=10, low=-2.0, high=2.0)
            pictures.save_png(run / "codes.png", pictures.grid(generate(ema, moved), 10))

    return picture


def _translations(
    generate: Callable[[dict[str, PyTree], Array], Array], dataset: Dataset, run: Path
) -> Callable[[TrainState, int], None]:
    sources, partners = dataset.arrays["source"][:32], dataset.arrays["image"][:32]
    held = [sources] if dataset.apart else [sources, partners]

    def picture(state: TrainState, step: int) -> None:
        made = pictures.to_uint8(generate(parallel.first(state.ema), scale(jnp.asarray(sources))))
        pictures.save_png(run / "samples" / f"{step:08d}.png", pictures.compared([held[0], made, *held[1:]]))

    return picture


def drop_after(run: Path, step: int) -> None:
    """Deletes the pictures of later steps, which the resumed run draws again."""
    for later, path in pictures.by_step(run / "samples").items():
        if later > step:
            path.unlink()


def animate(run: Path, most: int = 60) -> None:
    """Writes `animation.gif` of at most `most` of a run's pictures, evenly spaced, if there are any."""
    paths = list(pictures.by_step(run / "samples").values())
    chosen = sorted({round(i) for i in np.linspace(0, len(paths) - 1, min(most, len(paths)))})
    if chosen:
        pictures.save_gif(run / "animation.gif", [pictures.load_png(paths[i]) for i in chosen])
