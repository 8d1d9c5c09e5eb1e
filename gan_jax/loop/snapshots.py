"""Sample grids during training, always of the same latents, with their captions and animation."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import game, pictures, rng
from gan_jax.data import Dataset
from gan_jax.data.kinds import Kind
from gan_jax.data.summary import by_class
from gan_jax.devices import compilation, parallel
from gan_jax.latents import codes
from gan_jax.types import Array, Averaged, PyTree, System, TrainState

ROWS = 8  # of a table by class
LOW, HIGH = -2.0, 2.0  # between which continuous codes are varied


def grids(system: System, key: Array, dataset: Dataset, run: Path) -> Callable[[TrainState, int], Path]:
    """Returns the function that draws a state's samples, always of the same latents; saves real examples immediately.

    Args:
        system: The system whose averaged generator is sampled.
        key: Selects the latents.
        dataset: The data, whose kind draws the samples: images as a grid, points over real ones.
        run: The run directory.

    Returns:
        `(state, step)`, which writes `samples/STEP.png`, or `.gif` where examples move, and returns its path. If
        latents include a class, each row has one noise and each column one class, below its name where that is known.
        If they include any codes, `codes.png` in the run directory varies one code after another. Real examples are in
        `real.png`, except where samples are drawn over them. A translator's grid has 32 sources, each above its
        translation, and above the true target if it is known.
    """
    kind = dataset.spec.kind
    if system.translate is not None:
        return _translations(_stored(system.translate, kind), dataset, run)
    latent, generate = game.sampler(system)
    generate = _stored(generate, kind)
    drawn = latent.draw(rng.numbered(key, kind.shown))
    table = None if kind.overlaid else codes.by_class(latent, drawn, ROWS)
    columns = None if table is None else len(table) // ROWS
    values = drawn if table is None else table
    above = () if table is None else codes.captions(latent, dataset.spec.class_names)
    if not kind.overlaid:
        pictures.save(run / "real", kind.sheet(_real(dataset, columns), columns))

    def picture(state: TrainState, step: int) -> Path:
        ema = parallel.first(state.ema)
        sheet = kind.sheet(generate(ema, values), columns, dataset.arrays["image"][: kind.shown])
        sheet = pictures.captioned(sheet, above)
        if latent.parts and not kind.overlaid:
            moved = codes.traversals(latent, drawn[0], steps=10, low=LOW, high=HIGH)
            pictures.save(run / "codes", kind.sheet(generate(ema, moved), 10))
        return pictures.save(run / "samples" / f"{step:08d}", sheet)

    return picture


def captions(system: System, dataset: Dataset) -> dict[str, str]:
    """Returns what the rows and columns of a run's pictures are, where they mean anything, for its record.

    Args:
        system: The system.
        dataset: Its data; classes are called by `class_names` of its spec, if it has them, else by number.

    Returns:
        "samples", "real" or "codes" -> caption.
    """
    spec, latent = dataset.spec, system.latent
    if system.translate is not None:
        return {"samples": f"rows in turn: source, result{'' if dataset.apart else ', truth'}"}
    if latent is None or spec.kind.overlaid or not latent.parts:
        return {}
    rows = []
    for part in latent.parts:
        if part.categorical:
            rows.append(f"{part.name} (each class in turn)")
        else:
            rows += [
                f"{part.name}{f' {i}' if part.size > 1 else ''} from {LOW:g} to {HIGH:g}" for i in range(part.size)
            ]
    texts = {"codes": f"one code varied a row, from the top: {', '.join(rows)}"}
    if table := codes.classes(latent):
        names = codes.captions(latent, spec.class_names) or range(table.size)
        texts["samples"] = f"one noise a row; columns by {table.name}: {', '.join(map(str, names))}"
        if _by_class(dataset, table.size) is not None:
            texts["real"] = f"columns by label: {', '.join(map(str, names))}"
    return texts


def _real(dataset: Dataset, columns: int | None) -> np.ndarray:
    """Returns real examples for a sheet: a column per class if there are as many classes, else evenly spaced ones."""
    rows = _by_class(dataset, columns)
    count = min(dataset.spec.kind.shown, len(dataset.arrays["image"]))
    spaced = np.linspace(0, len(dataset.arrays["image"]) - 1, count).astype(int)
    return dataset.arrays["image"][spaced if rows is None else rows]


def _by_class(dataset: Dataset, columns: int | None) -> np.ndarray | None:
    """Returns indices of examples of all classes, row by row; None if there are not `columns`, or one is empty."""
    return by_class(dataset.arrays.get("label"), columns) if columns and columns == dataset.spec.classes else None


def _stored(function: Averaged, kind: Kind) -> Callable[[dict[str, PyTree], Array], np.ndarray]:
    """Compiles a generator or translator, and the conversion of its output to the form in which it is stored."""
    compiled, stored = compilation.interruptible(jax.jit(function)), jax.jit(kind.from_network)
    return lambda ema, inputs: np.asarray(stored(compiled(ema, inputs)))


def _translations(
    generate: Callable[[dict[str, PyTree], Array], np.ndarray], dataset: Dataset, run: Path
) -> Callable[[TrainState, int], Path]:
    sources, partners = dataset.arrays["source"][:32], dataset.arrays["image"][:32]
    held = [sources] if dataset.apart else [sources, partners]

    def picture(state: TrainState, step: int) -> Path:
        translations = generate(parallel.first(state.ema), dataset.spec.kind.to_network(jnp.asarray(sources)))
        return pictures.save(run / "samples" / f"{step:08d}", pictures.compared([held[0], translations, *held[1:]]))

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
