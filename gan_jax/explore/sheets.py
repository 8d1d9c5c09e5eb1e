"""Sheets: pictures that show what a generator copies, repeats and misses.

Inputs are uint8 images `[n, H, W, C]`, C of 1 or 3; results are pictures, uint8 `[H, W, 3]`. Images are compared by
Euclidean distances of features `[n, D]`, by default their pixels in [-1, 1].
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from gan_jax.data import kinds
from gan_jax.errors import UserError
from gan_jax.explore.tables import Cell, below, beside, table, tinted
from gan_jax.metrics.nearest_neighbours import nearest


def neighbours(
    samples: ArrayLike,
    training: ArrayLike,
    features: Sequence[ArrayLike] = (),
    name: str = "pixels",
    count: int = 8,
) -> np.ndarray:
    """Draws a row per sample: the sample, and the training images nearest to it.

    Args:
        samples: `[n, H, W, C]`.
        training: `[m, H, W, C]`.
        features: Features of the samples and of the training images.
        name: Name of the features, for the title.
        count: Number of neighbours.
    """
    images = _images(samples=samples, training=training)
    sampled, trained = _features(features, images)
    distances, indices = nearest(sampled, trained, min(count, len(trained)))
    rows = [
        [Cell(sample), *_cells(images[1][nearby], apart)]
        for sample, nearby, apart in zip(images[0], indices, distances, strict=True)
    ]
    title = f"samples, and the nearest of {len(images[1]):,} training images, by {name}"
    return table(rows, title, apart=1)


def memorisation(
    samples: ArrayLike,
    training: ArrayLike,
    held_out: ArrayLike,
    features: Sequence[ArrayLike] = (),
    name: str = "pixels",
    count: int = 8,
) -> np.ndarray:
    """Draws the samples most like copies of training images, next to the most similar held-out images, as a reference.

    A copy is nearer to its nearest training image than that is to the next one. The ratio of these distances is small
    for copies, as in the authenticity of Alaa et al. 2022 (arXiv:2102.08921); the distance alone would only pick simple
    images. As many samples as held-out images are searched, because the least ratio falls with their number.

    Args:
        samples: `[n, H, W, C]`.
        training: `[m, H, W, C]`, m at least 2.
        held_out: Real images that were not trained on, `[k, H, W, C]`.
        features: Features of the three.
        name: Name of the features, for the title.
        count: Number of samples, and of held-out images, to draw.
    """
    images = _images(samples=samples, training=training, held_out=held_out)
    sampled, trained, reserved = _features(features, images)
    number, parts = min(len(sampled), len(reserved)), []
    for what, shown, values in (("samples", images[0], sampled), ("held-out images", images[2], reserved)):
        distances, indices = nearest(values[:number], trained, min(3, len(trained)))
        copied, place = np.unique(indices[:, 0], return_inverse=True)
        ratios = _ratio(distances[:, 0], nearest(trained[copied], trained, 2)[0][place, 1])  # the first is itself
        rows = [
            [Cell(shown[i], f"{ratios[i]:.2f}"), *_cells(images[1][indices[i]], distances[i])]
            for i in np.argsort(ratios, kind="stable")[:count]
        ]
        title = f"{number:,} {what}, by {name}: {np.mean(ratios < 1):.1%} are nearer to a training\n"
        title += f"image than it is to the next training image; median distance {np.median(distances[:, 0]):.3g}"
        parts.append(table(rows, title, apart=1))
    return beside(parts)


def collapse(
    samples: ArrayLike,
    real: ArrayLike,
    features: Sequence[ArrayLike] = (),
    name: str = "pixels",
    count: int = 8,
) -> np.ndarray:
    """Draws the most similar samples and their densest cluster, above the same for real images, as a reference.

    Among many samples of a generator with small support some are equal: the birthday paradox test (Arora and Zhang
    2017, arXiv:1706.08224). Simple images are similar in the data too, so that distances are divided by those to as
    many real images: if a ratio is small, samples are closer to one another than to the data. For the reference, one
    half of the real images takes the place of the samples.

    Args:
        samples: `[n, H, W, C]`.
        real: `[m, H, W, C]`; at most m / 2 samples are searched.
        features: Features of both.
        name: Name of the features, for the title.
        count: Number of pairs; the density at a sample is measured by the distance to its neighbour of this rank.
    """
    images = _images(samples=samples, real=real)
    sampled, real_values = _features(features, images)
    number = min(len(sampled), len(real_values) // 2)
    if number < 2:
        raise UserError(f"samples, real: got {len(sampled)} and {len(real_values)}; give at least 2 and 4")
    count, half, parts = min(count, number - 1), slice(number, 2 * number), []
    for what, shown, values in (("samples", images[0], sampled), ("real images", images[1][half], real_values[half])):
        values = values[:number]
        distances, indices = nearest(values, values, count, exclude_self=True)
        to_data = nearest(values, real_values[:number], count)[0]
        alike, crowded = (_ratio(distances[:, k], to_data[:, k]) for k in (0, -1))
        pairs = {frozenset((i, int(indices[i, 0]))): i for i in np.argsort(-alike, kind="stable")}  # the least is last
        first = sorted(pairs.values(), key=lambda i: alike[i])[:count]
        rows = [[Cell(shown[i]) for i in first], [Cell(shown[indices[i, 0]], f"{alike[i]:.2f}") for i in first]]
        title = f"{number:,} {what}, by {name}: most similar pairs; their distance / that to the nearest real image"
        place = int(np.argmin(crowded))
        radius = distances[place, -1]
        near = int(np.sum(np.linalg.norm(real_values[:number] - values[place], axis=1) <= radius))
        row = [Cell(shown[place], f"{crowded[place]:.2f}"), *_cells(shown[indices[place]], distances[place])]
        crowd = f"densest cluster: {count} others within {radius:.3g}, and {near} of as many real images"
        parts.append(below([table(rows, title), table([row], crowd, apart=1)]))
    return below(parts, 28)


def inversion(
    targets: ArrayLike, inverted: ArrayLike, errors: ArrayLike, title: str = "", columns: int = 10
) -> np.ndarray:
    """Draws given images, their inversions, and the differences, see `tables.tinted`.

    Args:
        targets: `[n, H, W, C]`.
        inverted: The inversions, `[n, H, W, C]`.
        errors: `[n]`, for the captions.
        title: Title of the sheet.
        columns: Images per row.
    """
    targets, inverted = _images(targets=targets, inverted=inverted)
    difference = tinted((inverted.astype(np.float32) - targets) / 127.5, 1.0, targets / 127.5 - 1)
    parts, errors = [], np.asarray(errors)
    for start in range(0, len(targets), columns):
        part = slice(start, start + columns)
        last = [Cell(image, f"{error:.3g}") for image, error in zip(difference[part], errors[part], strict=True)]
        rows = [[Cell(image) for image in images[part]] for images in (targets, inverted)]
        parts.append(table([*rows, last], "" if start else title, ["given", "inverted", "difference"]))
    return below(parts)


def _images(**named: ArrayLike) -> list[np.ndarray]:
    """Checks that all are images of one shape."""
    images, first = {name: np.asarray(value) for name, value in named.items()}, next(iter(named))
    for name, value in images.items():
        kinds.image.require(name, value)
        if not len(value):
            raise UserError(f"{name}: no images; give at least 1")
        if value.shape[1:] != images[first].shape[1:]:
            raise UserError(f"{name} {value.shape}, {first} {images[first].shape}: give images of one size")
    return list(images.values())


def _features(features: Sequence[ArrayLike], images: Sequence[np.ndarray]) -> list[np.ndarray]:
    values = [np.asarray(value) for value in features] or [
        np.asarray(kinds.image.to_network(jnp.asarray(image))).reshape(len(image), -1) for image in images
    ]
    if [len(value) for value in values] != [len(image) for image in images]:
        shapes = ", ".join(str(value.shape) for value in values)
        raise UserError(
            f"features: got {shapes} for {', '.join(str(len(i)) for i in images)} images; give one row per image"
        )
    return values


def _ratio(distances: np.ndarray, others: np.ndarray) -> np.ndarray:
    return distances / np.maximum(others, 1e-12)


def _cells(images: np.ndarray, distances: np.ndarray) -> list[Cell]:
    return [Cell(image, f"{distance:.3g}") for image, distance in zip(images, distances, strict=True)]
