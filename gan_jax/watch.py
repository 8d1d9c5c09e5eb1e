"""Watching a run: the same latents drawn again and again while the generator learns, and the animation of them."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from gan_jax import parallel, pictures
from gan_jax.data import Dataset
from gan_jax.types import Array, System, TrainState


def grids(system: System, key: Array, dataset: Dataset, run: Path) -> Callable[[TrainState, int], None]:
    """Returns the function that pictures a state's samples, always of the same latents.

    Args:
        system: Its averaged generator is drawn from.
        key: Chooses the latents.
        dataset: Tells images, 64 in a grid, from points in the plane, 1,024 over as many real ones.
        run: The run directory.

    Returns:
        `(state, step)` writes `samples/STEP.png`.
    """
    points = len(dataset.spec.shape) == 1
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(np.arange(1024 if points else 64))
    latents = system.latent.draw(keys)
    generate = jax.jit(system.generate)

    def picture(state: TrainState, step: int) -> None:
        samples = generate(parallel.first(state.ema), latents)
        drawn = pictures.scatter(samples, dataset.arrays["image"][:1024]) if points else pictures.grid(samples)
        pictures.save_png(run / "samples" / f"{step:08d}.png", drawn)

    return picture


def drop_after(run: Path, step: int) -> None:
    """Deletes the pictures of later steps, which a run continued from here draws again."""
    for path in (run / "samples").glob("*.png"):
        if int(path.stem) > step:
            path.unlink()


def animate(run: Path, most: int = 60) -> None:
    """Writes `animation.gif` of a run's pictures, if there are any, thinned to a number that is short to watch."""
    paths = sorted((run / "samples").glob("*.png"))
    chosen = sorted({round(i) for i in np.linspace(0, len(paths) - 1, min(most, len(paths)))})
    if chosen:
        pictures.save_gif(run / "animation.gif", [pictures.load_png(paths[i]) for i in chosen])
