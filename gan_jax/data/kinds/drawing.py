"""Pictures and files of examples that are no images."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gan_jax import pictures
from gan_jax.files import atomic

WIDTH, HEIGHT = 128, 64  # of the cell of one line, in pixels


def lines(examples: np.ndarray, columns: int | None = None, real: np.ndarray | None = None) -> np.ndarray:
    """Draws each example, flattened, as a line; a `Sheet`. All have one scale, that of `real` where it is given."""
    values = np.nan_to_num(np.asarray(examples, np.float32).reshape(len(examples), -1))
    reference = values if real is None else np.asarray(real, np.float32)
    low, high = float(reference.min()), float(reference.max())
    across = np.linspace(2, WIDTH - 3, values.shape[1])
    down = HEIGHT - 3 - (np.clip(values, low, high) - low) / max(high - low, 1e-12) * (HEIGHT - 5)
    cells = np.zeros((len(values), HEIGHT, WIDTH, 1), np.uint8)
    for cell, heights in zip(cells, down, strict=True):
        picture = Image.new("L", (WIDTH, HEIGHT))
        ImageDraw.Draw(picture).line([*zip(across.tolist(), heights.tolist(), strict=True)], 255)
        cell[..., 0] = np.asarray(picture)
    return tiled(cells, columns)


def text(texts: Sequence[str], columns: int | None = None) -> np.ndarray:
    """Draws texts, one in each cell, in lines of at most 40 characters; returns a picture."""
    font = ImageFont.load_default(11)
    folded = ["\n".join(line[i : i + 40] for i in range(0, max(1, len(line)), 40)) for line in texts]
    measure = ImageDraw.Draw(Image.new("L", (1, 1)))
    boxes = [measure.multiline_textbbox((0, 0), part, font) for part in folded]
    width, height = (math.ceil(max(box[side] for box in boxes)) + 9 for side in (2, 3))
    cells = np.zeros((len(folded), height, width, 1), np.uint8)
    for cell, part in zip(cells, folded, strict=True):
        picture = Image.new("L", (width, height))
        ImageDraw.Draw(picture).multiline_text((4, 4), part, 255, font)
        cell[..., 0] = np.asarray(picture)
    return tiled(cells, columns)


def tiled(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Draws images `[n, H, W, 1 or 3]` as a grid, without a margin around a single one."""
    return pictures.grid(images, columns, padding=2 if len(images) > 1 else 0)


def write_npy(path: Path, example: np.ndarray) -> Path:
    """Writes an example as PATH.npy; returns that path."""
    target = path.with_name(f"{path.name}.npy")
    with atomic(target, ".npy") as stream:
        np.save(stream, example, allow_pickle=False)
    return target
