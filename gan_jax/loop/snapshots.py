"""Sample grids during training, always of the same latents, and their animation."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import game, pictures, rng
from gan_jax.data import Dataset
from gan_jax.data.kinds import Kind
from gan_jax.devices import parallel
from gan_jax.latents import codes
from gan_jax.types import Array, Averaged, PyTree, System, TrainState


def grids(system: System, key: Array, dataset: Dataset, run: Path) -> Callable[[TrainState, int], None]:
    """Returns the function that draws a state's samples, always of the same latents.

    Args:
        system: The system whose averaged generator is sampled.
        key: Selects the latents.
        dataset: The data, whose kind draws the samples: images as a grid, points over real ones.
        run: The run directory.

    Returns:
        `(state, step)`, which writes `samples/STEP.png`, or `.gif` where examples move. If latents hold a class, a row
        has one noise and a column one class, below its name where that is known. If they hold any codes, `codes.png` in
        the run directory varies one code after another. A translator's grid has 32 sources, each above its
        translation, and that above the true partner if it is known.
    """
    kind = dataset.spec.kind
    if system.translate is not None:
        return _translations(_stored(system.translate, kind), dataset, run)
    latent, generate = game.sampler(system)
    generate = _stored(generate, kind)
    drawn = latent.draw(rng.numbered(key, kind.shown))
    table = None if kind.overlaid else codes.by_class(latent, drawn, rows=8)
    columns = None if table is None else len(table) // 8
    values = drawn if table is None else table
    captions = () if table is None else codes.captions(latent, dataset.spec.class_names)

    def picture(state: TrainState, step: int) -> None:
        ema = parallel.first(state.ema)
        sheet = kind.sheet(generate(ema, values), columns, dataset.arrays["image"][: kind.shown])
        pictures.save(run / "samples" / f"{step:08d}", pictures.captioned(sheet, captions))
        if latent.parts and not kind.overlaid:
            moved = codes.traversals(latent, drawn[0], steps=10, low=-2.0, high=2.0)
            pictures.save(run / "codes", kind.sheet(generate(ema, moved), 10))

    return picture


def _stored(function: Averaged, kind: Kind) -> Callable[[dict[str, PyTree], Array], np.ndarray]:
    """Compiles a generator or translator, and the conversion of its output to the form in which it is stored."""
    compiled, stored = jax.jit(function), jax.jit(kind.from_network)
    return lambda ema, inputs: np.asarray(stored(compiled(ema, inputs)))


def _translations(
    generate: Callable[[dict[str, PyTree], Array], np.ndarray], dataset: Dataset, run: Path
) -> Callable[[TrainState, int], None]:
    sources, partners = dataset.arrays["source"][:32], dataset.arrays["image"][:32]
    held = [sources] if dataset.apart else [sources, partners]

    def picture(state: TrainState, step: int) -> None:
        made = generate(parallel.first(state.ema), dataset.spec.kind.to_network(jnp.asarray(sources)))
        pictures.save_png(run / "samples" / f"{step:08d}.png", pictures.compared([held[0], made, *held[1:]]))

    return picture


def drop_after(run: Path, step: int) -> None:
    """Deletes the pictures of later steps, which the resumed run draws again."""
    for later, path in pictures.by_step(run / "samples").items():
        if later > step:
            path.unlink()


def animate(run: Path, most: int = 60) -> None:
    """Writes `animation.gif` of at most `most` of a run's pictures, evenly spaced, if any stand still."""
    paths = [path for path in pictures.by_step(run / "samples").values() if path.suffix == ".png"]
    chosen = sorted({round(i) for i in np.linspace(0, len(paths) - 1, min(most, len(paths)))})
    if chosen:
        pictures.save_gif(run / "animation.gif", [pictures.load_png(paths[i]) for i in chosen])
