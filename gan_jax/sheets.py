"""Sheets: pictures that show at a glance what a generator copies, repeats, misses, and is made of.

They take uint8 images `[n, H, W, C]`, C of 1 or 3, and give pictures uint8 `[H, W, 3]`. Which images are alike is
decided by features `[n, D]`, by default their pixels in [-1, 1], and Euclidean distances between them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from gan_jax import pictures
from gan_jax.filters import Layer
from gan_jax.metrics.search import nearest
from gan_jax.tables import Cell, below, beside, table

MORE, LESS = np.array([255, 176, 64]), np.array([64, 150, 255])  # what is added to a grey image, and what taken away


def neighbours(
    samples: ArrayLike,
    training: ArrayLike,
    features: Sequence[ArrayLike] = (),
    name: str = "pixels",
    count: int = 8,
) -> np.ndarray:
    """Shows each sample, a row each, and the training images nearest to it.

    Args:
        samples: `[n, H, W, C]`.
        training: `[m, H, W, C]`.
        features: Of samples and of training images.
        name: Of the features, for the title.
        count: How many neighbours.
    """
    images = _images(samples=samples, training=training)
    distances, indices = nearest(*_features(features, images), count)
    rows = [
        [Cell(sample), None, *_cells(images[1], *found)]
        for sample, *found in zip(images[0], indices, distances, strict=True)
    ]
    return table(rows, f"samples, and the nearest of {len(images[1]):,} training images, by {name}")


def memorisation(
    samples: ArrayLike,
    training: ArrayLike,
    held_out: ArrayLike,
    features: Sequence[ArrayLike] = (),
    name: str = "pixels",
    count: int = 8,
) -> np.ndarray:
    """Shows the samples nearest to training images, beside the held-out images that are: the yardstick.

    A generator that copies has samples much nearer to training images than any held-out image is. As many samples are
    looked at as there are held-out images, or the other way round, for the more there are the nearer is the nearest.

    Args:
        samples: `[n, H, W, C]`.
        training: `[m, H, W, C]`.
        held_out: Real images that were not trained on, `[k, H, W, C]`.
        features: Of the three.
        name: Of the features, for the title.
        count: How many samples, and how many held-out images.
    """
    images = _images(samples=samples, training=training, held_out=held_out)
    one, seen, other = _features(features, images)
    number, parts = min(len(one), len(other)), []
    for what, shown, values in (("samples", images[0], one), ("held-out images", images[2], other)):
        distances, indices = nearest(values[:number], seen, min(3, len(seen)))
        least = distances[:, 0]
        title = f"{number:,} {what}: those nearest to training images, by {name}\n"
        title += f"distance: least {least.min():.3g}, median {np.median(least):.3g}"
        first = np.argsort(least, kind="stable")[:count]
        parts.append(
            table([[Cell(shown[i]), None, *_cells(images[1], indices[i], distances[i])] for i in first], title)
        )
    return beside(parts)


def collapse(
    samples: ArrayLike,
    real: ArrayLike,
    features: Sequence[ArrayLike] = (),
    name: str = "pixels",
    count: int = 8,
) -> np.ndarray:
    """Shows the samples most alike, and the most crowded place among them, above the same of as many real images.

    Among many samples of a generator that makes few images some are equal: the birthday paradox test (Arora and Zhang
    2017, arXiv:1706.08224). The most crowded place is around the sample whose `count`-th neighbour is nearest; the
    title tells how many are as near to it as the `count`-th neighbour is where real images are most crowded.

    Args:
        samples: `[n, H, W, C]`.
        real: `[m, H, W, C]`.
        features: Of both.
        name: Of the features, for the title.
        count: How many pairs, and how many neighbours.
    """
    images = _images(samples=samples, real=real)
    number = min(map(len, images))
    count = min(count, number - 1)
    values = [value[:number] for value in _features(features, images)]
    found = [nearest(value, value, count, exclude_self=True) for value in values]
    radius, parts = found[1][0][:, -1].min(), []
    for what, shown, value, (distances, indices) in zip(("samples", "real images"), images, values, found, strict=True):
        pairs = sorted({(distances[i, 0], *sorted((i, int(indices[i, 0])))) for i in range(number)})[:count]
        rows = [[Cell(shown[i]) for _, i, _ in pairs], [Cell(shown[j], f"{d:.3g}") for d, _, j in pairs]]
        alike = table(rows, f"{number:,} {what}: the pairs most alike, by {name}")
        place = int(np.argmin(distances[:, -1]))
        within = int(np.sum(np.linalg.norm(value - value[place], axis=1) <= radius + 1e-6))
        title = f"the most crowded place: {within:,} {what} within {radius:.3g}"
        row = [Cell(shown[place]), *_cells(shown, indices[place], distances[place])]
        parts.append(below([alike, table([row], title)]))
    return below(parts, 28)


def inversion(given: ArrayLike, found: ArrayLike, errors: ArrayLike, title: str = "", columns: int = 10) -> np.ndarray:
    """Shows given images, what the generator comes nearest to them with, and the difference: orange is too much.

    Args:
        given: `[n, H, W, C]`.
        found: `[n, H, W, C]`.
        errors: `[n]`, for the captions.
        title: Above.
        columns: How many beside one another.
    """
    given, found = _images(given=given, found=found)
    difference = tinted((found.astype(np.float32) - given) / 127.5, 1.0)
    parts, errors = [], np.asarray(errors)
    for start in range(0, len(given), columns):
        part = slice(start, start + columns)
        last = [Cell(image, f"{error:.3g}") for image, error in zip(difference[part], errors[part], strict=True)]
        rows = [[Cell(image) for image in images[part]] for images in (given, found)]
        parts.append(table([*rows, last], "" if start else title, ["given", "found", "found less\ngiven"]))
    return below(parts)


def filters(layers: Sequence[Layer], count: int = 8) -> np.ndarray:
    """Shows how the filters of each layer put an image together.

    Of each layer: the image with none of its channels, with the few of the largest effect, with all; then, of these
    channels: the map; what it adds to the image, orange, and takes away, blue; the filter that makes it, its kernels on
    the four inputs of the largest weights; and those with which the next layer paints with it.

    Args:
        layers: By `filters.of_image` or `filters.dissect`.
        count: How many channels of each.
    """
    parts = []
    for layer in layers:
        h, w, channels = layer.maps.shape
        first = layer.order[:count]
        adds = tinted(layer.contributions[first], np.abs(layer.contributions[first]).max(), layer.assembly[-1])
        rows = {
            "the image with\nso many maps": [
                Cell(image, f"{kept} of {channels}")
                for kept, image in zip(layer.counts, pictures.to_uint8(layer.assembly), strict=True)
            ],
            "the map": [
                Cell(image, f"number {c}") for image, c in zip(maps(layer.maps[..., first]), first, strict=True)
            ],
            "what it does\nto the image": [
                Cell(image, f"{layer.effects[c]:.3g}") for image, c in zip(adds, first, strict=True)
            ],
        }
        if layer.kernel is not None:
            rows["the filter that\nmakes it"] = [Cell(tiles(layer.kernel[..., c])) for c in first]
        if layer.brush is not None:
            rows["the filters that\npaint with it"] = [Cell(tiles(layer.brush[:, :, c])) for c in first]
        title = f"{layer.path}: {channels} maps of {h}x{w}, those of the largest effect on the image"
        parts.append(table(list(rows.values()), title, list(rows)))
    return below(parts, 24)


def filter_maps(layers: Sequence[Layer], most: int = 64) -> np.ndarray:
    """Shows the maps that layers give for an image, those of the largest effect on it first.

    Args:
        layers: By `filters.of_image` or `filters.dissect`.
        most: How many maps of each.
    """
    parts = []
    for layer in layers:
        cells = [Cell(image) for image in maps(layer.maps[..., layer.order[:most]])]
        h, w, channels = layer.maps.shape
        title = f"{layer.path}: {len(cells)} of {channels} maps of {h}x{w}, that of the largest effect first"
        parts.append(table([cells[i : i + 16] for i in range(0, len(cells), 16)], title, side=56))
    return below(parts, 24)


def maps(values: ArrayLike) -> np.ndarray:
    """Makes grey images of maps `[h, w, n]`, uint8 `[n, h, w, 1]`: of each the least black, the greatest white."""
    values = np.moveaxis(np.asarray(values, np.float32), -1, 0)[..., None]
    low, high = (f(values, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
    return pictures.to_uint8(2 * (values - low) / np.maximum(high - low, 1e-12) - 1)


def tiles(kernels: ArrayLike, most: int = 4) -> np.ndarray:
    """Lays out the kernels `[kh, kw, n]` of the largest weights, white positive, black negative, as one picture."""
    kernels = np.asarray(kernels, np.float32)
    first = np.argsort(-np.sum(kernels**2, axis=(0, 1)), kind="stable")[:most]
    shown = np.moveaxis(kernels[..., first], -1, 0)[..., None] / np.maximum(np.abs(kernels).max(), 1e-12)
    return pictures.grid(shown, padding=1)


def tinted(differences: ArrayLike, scale: float, image: ArrayLike | None = None) -> np.ndarray:
    """Makes pictures of differences of images, uint8 `[n, H, W, 3]`.

    Args:
        differences: `[n, H, W, C]`. Of one channel, more is orange and less is blue; of three, each is its own.
        scale: What is drawn at full strength.
        image: What they are differences from, `[H, W, C]` in [-1, 1], seen darkly beneath; grey by default.
    """
    values = np.clip(np.asarray(differences, np.float32) / max(scale, 1e-12), -1, 1)
    beneath = pictures.NEUTRAL if image is None else 0.35 * pictures.to_uint8(image)
    more, less = (MORE, LESS) if values.shape[-1] == 1 else (255, 0)
    strength = np.abs(values) ** 0.7  # else all but the strongest is lost
    return np.round(beneath + strength * (np.where(values > 0, more, less) - beneath)).astype(np.uint8)


def _images(**given: ArrayLike) -> list[np.ndarray]:
    """Checks that all are images of one shape."""
    images, first = {name: np.asarray(value) for name, value in given.items()}, next(iter(given))
    for name, value in images.items():
        if value.ndim == 2:
            raise ValueError(f"{name} {value.shape}: points have no pixels to look at; pictures.scatter draws them")
        if value.dtype != np.uint8 or value.ndim != 4 or value.shape[3] not in (1, 3) or not len(value):
            raise ValueError(f"{name}: got {value.dtype} {value.shape}, expected uint8 [n, H, W, 1 or 3], n at least 1")
        if value.shape[1:] != images[first].shape[1:]:
            raise ValueError(f"{name} {value.shape}: {first} is {images[first].shape}; give images of one size")
    return list(images.values())


def _features(features: Sequence[ArrayLike], images: Sequence[np.ndarray]) -> list[np.ndarray]:
    found = [np.asarray(value) for value in features] or [
        (image.reshape(len(image), -1) - np.float32(127.5)) / np.float32(127.5) for image in images
    ]
    if [len(value) for value in found] != [len(image) for image in images]:
        shapes = ", ".join(str(value.shape) for value in found)
        raise ValueError(f"features: got {shapes} for {', '.join(str(len(i)) for i in images)} images; give a row each")
    return found


def _cells(images: np.ndarray, indices: np.ndarray, distances: np.ndarray) -> list[Cell]:
    return [Cell(images[i], f"{distance:.3g}") for i, distance in zip(indices, distances, strict=True)]
