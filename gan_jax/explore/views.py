"""Pictures of a run, one function per kind.

Each draws the averaged generator, and returns name -> picture, uint8 `[H, W, 3]`, or a list of them, the frames of an
animation. They are for images.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import jax.numpy as jnp
import numpy as np

from gan_jax import evaluate, latents, pictures, runs, sample
from gan_jax.data.reading.images import stack
from gan_jax.data.reading.listing import SUFFIXES
from gan_jax.devices.batched import joined
from gan_jax.errors import UserError
from gan_jax.explore import directions as axes
from gan_jax.explore import filter_sheets, filters, sheets
from gan_jax.explore.inversion import invert
from gan_jax.explore.tables import Cell, table
from gan_jax.metrics import scoring
from gan_jax.metrics.features import extractor, of_data
from gan_jax.runs import Restored

Made = dict[str, np.ndarray | list[np.ndarray]]


def neighbours(run: Restored, seed: int, count: int = 8, features: evaluate.FeatureName = "pixels") -> Made:
    """Draws `count` samples, and the `count` training images nearest to each, by features as in `evaluate`."""
    images = sample.samples(run, seed, count), runs.dataset(run).arrays["image"]
    return {f"neighbours-{features}": sheets.neighbours(*images, *_features(run, features, *images), count)}


def memorisation(
    run: Restored, seed: int, count: int = 8, features: evaluate.FeatureName = "pixels", samples: int = 2000
) -> Made:
    """Draws those of `samples` samples that are most like copies of training images, next to such test images."""
    images = (
        sample.samples(run, seed, samples),
        runs.dataset(run).arrays["image"],
        some(runs.held_out(run).arrays["image"], samples, seed),
    )
    return {f"memorisation-{features}": sheets.memorisation(*images, *_features(run, features, *images), count)}


def collapse(
    run: Restored, seed: int, count: int = 8, features: evaluate.FeatureName = "pixels", samples: int = 2000
) -> Made:
    """Draws the most similar of `samples` samples, and of as many training images."""
    images = sample.samples(run, seed, samples), some(runs.dataset(run).arrays["image"], 2 * samples, seed)
    return {f"collapse-{features}": sheets.collapse(*images, *_features(run, features, *images), count)}


def directions(
    run: Restored,
    seed: int,
    count: int = 8,
    steps: int = 11,
    method: Literal["sefa", "pca"] = "sefa",
    layer: str | None = None,
    extent: float = 3.0,
) -> Made:
    """Draws walks along the directions of most change: of image 0 as a table, of images 0 to 3 as an animation."""
    result = {"sefa": axes.sefa, "pca": axes.pca}[method](run, count, layer)
    title = f"directions of {result.layer} by {method}, with strengths; -{extent:g} to {extent:g} standard deviations"
    labels = [f"{strength:.3g}" for strength in result.strengths]

    def cells(steps: int, samples: int) -> np.ndarray:
        walks = axes.traverse(run, seed, result.vectors, steps, extent, samples)
        return walks.reshape(len(result.vectors), samples, steps, *walks.shape[1:])

    still = table([[Cell(image) for image in row[0]] for row in cells(steps, 1)], title, labels)
    moments = np.moveaxis(cells(2 * steps - 1, 4), 2, 0)
    moving = [table([[Cell(image) for image in row] for row in rows], title, labels, side=56) for rows in moments]
    name = f"directions-{method}{_named(layer)}"
    return {name: still, f"{name}-moving": [*moving, *moving[-2:0:-1]]}


def interpolation(
    run: Restored, seed: int, count: int = 8, steps: int = 11, keys: int = 6, path: Callable = latents.spherical
) -> Made:
    """Animates `count` walks at once, each from sample to sample and back to the first.

    Args:
        run: An opened run.
        seed: Selects the samples: walk w passes images w keys to w keys + keys - 1 of the seed.
        count: Number of walks.
        steps: Images from a sample to the next, at fractions (1 - cos pi t) / 2 of the way: slow at both ends.
        keys: Samples per walk, at least 2.
        path: `latents.spherical` or `latents.linear`.
    """
    if keys < 2 or steps < 1 or count < 1:
        raise UserError(f"count={count}, keys={keys}, steps={steps}: give at least 1 walk, 2 samples, 1 step")
    sample.require_memory(run, count * keys * steps)
    ends = sample.latents_of(run, seed, count * keys).reshape(count, keys, -1)
    walks = path(ends, jnp.roll(ends, -1, axis=1), (1 - jnp.cos(jnp.pi * jnp.arange(steps) / steps)) / 2)
    moments = walks.transpose(2, 0, 1, 3).reshape(keys * steps * count, -1)  # from [steps, count, keys, size]
    images = sample.generate(run, moments)
    columns = next(n for n in range(1, count + 1) if n * n >= count and count % n == 0)
    scale = max(1, round(84 / max(images.shape[1:3])))
    frames = images.reshape(-1, count, *images.shape[1:])
    return {"interpolation": [pictures.grid(frame, columns, padding=4, scale=scale) for frame in frames]}


def assembly(run: Restored, seed: int, count: int = 8, layer: str | None = None) -> Made:
    """Draws the `count` filters per layer that contribute most to image 0 of a seed, and the layers' maps."""
    layers = filters.of_image(run, seed, None if layer is None else [layer])
    name = f"filters{_named(layer)}"
    return {name: filter_sheets.assembly(layers, count), f"{name}-maps": filter_sheets.outputs(layers)}


def inversion(
    run: Restored, seed: int, count: int = 8, paths: Sequence[Path] = (), starts: int = 32, iterations: int = 300
) -> Made:
    """Draws the first `count` images of files and folders, or random test images, above their inversions."""
    images = load_images(run, paths)[:count] if paths else some(runs.held_out(run).arrays["image"], count, seed)
    inverted = invert(run, images, starts=starts, iterations=iterations, seed=seed)
    title = f"given images, and the best of {starts} searches, with its root mean squared error"
    return {"inversion": sheets.inversion(images, inverted.images, inverted.errors, title)}


def load_images(run: Restored, paths: Sequence[Path]) -> np.ndarray:
    """Reads image files and folders, converted to a run's image size and channels.

    Args:
        run: An opened run.
        paths: Files and folders.

    Returns:
        uint8 `[n, H, W, C]`.

    Raises:
        UserError: If there are none, or one cannot be read.
    """
    height, width, channels = run.spec.shape
    files = [
        file
        for path in paths
        for file in (sorted(path.iterdir()) if path.is_dir() else [path])
        if not path.is_dir() or file.suffix.lower() in SUFFIXES
    ]
    if not files:
        raise UserError(
            f"images: no {', '.join(SUFFIXES)} file in {', '.join(map(str, paths))}; give files, or folders with some"
        )
    return stack([(str(file), file) for file in files], len(files), height if height == width else None, channels)


def some(images: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Selects `count` random images without replacement, or all if they are fewer; their order may be by class."""
    return images[np.random.default_rng(seed).permutation(len(images))[:count]]


def _named(layer: str | None) -> str:
    return "" if layer is None else f"-{layer.replace('/', '.')}"


def _features(run: Restored, kind: evaluate.FeatureName, *images: np.ndarray) -> tuple[list[np.ndarray], str]:
    """Returns features of arrays of images, and the name of the features."""
    name, resolution = run.record["data"]["name"], run.record["config"].get("resolution")
    features = scoring.planned(kind, name, run.spec, resolution, train=run.data).load()
    compute = extractor(features, of_data(run.spec.kind))
    return [joined(compute(None, each))[0] for each in images], features.name
