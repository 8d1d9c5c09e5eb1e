"""Sheets of how a generator's filters build an image, from the results of `filters`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from gan_jax import pictures
from gan_jax.explore.filters import Layer
from gan_jax.explore.tables import Cell, below, table, tinted


def assembly(layers: Sequence[Layer], count: int = 8) -> np.ndarray:
    """Draws how the channels of each layer build up an image.

    First row of a layer: the image with none of its channels, with those of largest effect, and with all. Further rows,
    for the channels of largest effect: the map; its contribution to the image, orange where positive, blue where
    negative; the filter that computes it, as its kernels on the four inputs of largest weight; and the kernels by which
    the next layer uses it.

    Args:
        layers: Results of `filters.of_image` or `filters.dissect`.
        count: Number of channels per layer.
    """
    parts = []
    for layer in layers:
        h, w, channels = layer.maps.shape
        first = layer.order[:count]
        adds = tinted(layer.contributions[first], np.abs(layer.contributions[first]).max(), layer.assembly[-1])
        rows = {
            "image with\nthese maps": [
                Cell(image, f"{number} of {channels}")
                for number, image in zip(layer.counts, pictures.to_uint8(layer.assembly), strict=True)
            ],
            "map": [Cell(image, f"number {c}") for image, c in zip(maps(layer.maps[..., first]), first, strict=True)],
            "its effect on\nthe image": [
                Cell(image, f"{layer.effects[c]:.3g}") for image, c in zip(adds, first, strict=True)
            ],
        }
        if layer.kernel is not None:
            rows["filter that\nproduces it"] = [Cell(tiles(layer.kernel[..., c])) for c in first]
        if layer.brush is not None:
            rows["filters that\nuse it"] = [Cell(tiles(layer.brush[:, :, c])) for c in first]
        title = f"{layer.path}: {channels} maps of {h}x{w}; those with the largest effect on the image"
        parts.append(table(list(rows.values()), title, list(rows)))
    return below(parts, 24)


def outputs(layers: Sequence[Layer], most: int = 64) -> np.ndarray:
    """Draws the maps of layers for an image, those of largest effect on it first.

    Args:
        layers: Results of `filters.of_image` or `filters.dissect`.
        most: Most maps per layer.
    """
    parts = []
    for layer in layers:
        cells = [Cell(image) for image in maps(layer.maps[..., layer.order[:most]])]
        h, w, channels = layer.maps.shape
        title = f"{layer.path}: {len(cells)} of {channels} maps of {h}x{w}, largest effect first"
        parts.append(table([cells[i : i + 16] for i in range(0, len(cells), 16)], title, side=56))
    return below(parts, 24)


def maps(values: ArrayLike) -> np.ndarray:
    """Draws maps `[h, w, n]` as grey images, uint8 `[n, h, w, 1]`, each from its minimum, black, to its maximum,
    white."""
    values = np.moveaxis(np.asarray(values, np.float32), -1, 0)[..., None]
    low, high = (f(values, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
    return pictures.to_uint8(2 * (values - low) / np.maximum(high - low, 1e-12) - 1)


def tiles(kernels: ArrayLike, most: int = 4) -> np.ndarray:
    """Draws the `most` kernels of `[kh, kw, n]` of largest weight as one picture, white positive, black negative."""
    kernels = np.asarray(kernels, np.float32)
    first = np.argsort(-np.sum(kernels**2, axis=(0, 1)), kind="stable")[:most]
    shown = np.moveaxis(kernels[..., first], -1, 0)[..., None] / np.maximum(np.abs(kernels).max(), 1e-12)
    return pictures.grid(shown, padding=1)
