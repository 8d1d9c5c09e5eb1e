"""Building blocks of sheets: tables of images with captions, and images of differences."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

from gan_jax.pictures import NEUTRAL, to_uint8

GAP = 4  # between cells
INK, PALE = (255, 255, 255), (214, 214, 214)  # colours of titles and labels, and of captions
MORE, LESS = np.array([255, 176, 64]), np.array([64, 150, 255])  # colours of what a grey image gains and loses


class Cell(NamedTuple):
    """An image, uint8 `[h, w, 1 or 3]`, with a caption below it."""

    image: np.ndarray
    caption: str = ""


def table(
    rows: Sequence[Sequence[Cell]], title: str = "", labels: Sequence[str] = (), side: int = 84, apart: int = 0
) -> np.ndarray:
    """Lays out images with captions.

    Args:
        rows: Rows of cells, at least one cell in each.
        title: Lines above the rows.
        labels: Text to the left of each row.
        side: Approximate length of an image's longer side, in pixels; images are enlarged by whole factors.
        apart: Number of left columns that a gap separates from the others.

    Returns:
        The picture, uint8 `[H, W, 3]`, as large as it needs to be.
    """
    rows = [[Cell(_enlarged(cell.image, side), cell.caption) for cell in row] for row in rows]
    cells = [cell for row in rows for cell in row]
    width = max(max(cell.image.shape[1], _size(cell.caption, 11)[0]) for cell in cells)
    heights = [max(cell.image.shape[0] for cell in row) for row in rows]
    spaces = [max(_size(cell.caption, 11)[1] for cell in row) + GAP for row in rows]
    columns = max(map(len, rows))
    label_width = max((_size(label, 11)[0] for label in labels), default=0)
    left = GAP + (label_width + 2 * GAP if label_width else 0)
    tops = np.cumsum([GAP + _size(title, 13)[1], *np.add(heights, spaces)]).tolist()
    lefts = [left + column * (width + GAP) + (3 * GAP if 0 < apart <= column else 0) for column in range(columns)]
    across = max(lefts[-1] + width + GAP, _size(title, 13)[0] + 2 * GAP)
    page = Image.new("RGB", (across, tops[-1]), (NEUTRAL,) * 3)
    draw = ImageDraw.Draw(page)
    draw.multiline_text((GAP, GAP), title, INK, ImageFont.load_default(13))
    for y, height, row, label in zip(tops, heights, rows, [*labels, *[""] * len(rows)], strict=False):
        words = y + (height - _size(label, 11)[1]) // 2
        draw.multiline_text((GAP, words), label, INK, ImageFont.load_default(11))
        for x, cell in zip(lefts, row, strict=False):
            middle, image = x + width // 2, Image.fromarray(cell.image)
            page.paste(image, (middle - image.width // 2, y + (height - image.height) // 2))
            at, font = (middle, y + height + 1), ImageFont.load_default(11)
            draw.multiline_text(at, cell.caption, PALE, font, "ma", align="center")
    return np.asarray(page)


def below(parts: Sequence[np.ndarray], gap: int = 12) -> np.ndarray:
    """Stacks pictures vertically."""
    return _joined(parts, gap, 0)


def beside(parts: Sequence[np.ndarray], gap: int = 24) -> np.ndarray:
    """Stacks pictures horizontally."""
    return _joined(parts, gap, 1)


def tinted(differences: ArrayLike, scale: float, image: ArrayLike | None = None) -> np.ndarray:
    """Draws differences of images, uint8 `[n, H, W, 3]`.

    Args:
        differences: `[n, H, W, C]`. With one channel, positive is orange and negative blue; with three, each channel is
            lighter or darker than grey.
        scale: Difference drawn at full strength.
        image: The background, `[H, W, C]` or one for each, in [-1, 1]; drawn dark, and for one channel only.
    """
    values = np.clip(np.asarray(differences, np.float32) / max(scale, 1e-12), -1, 1)
    one = values.shape[-1] == 1
    beneath = 0.35 * to_uint8(image) if one and image is not None else NEUTRAL
    more, less = (MORE, LESS) if one else (255, 0)
    strength = np.abs(values) ** 0.7  # else only the largest differences would be visible
    return np.round(beneath + strength * (np.where(values > 0, more, less) - beneath)).astype(np.uint8)


def _joined(parts: Sequence[np.ndarray], gap: int, axis: int) -> np.ndarray:
    """Stacks pictures along an axis, aligned at the top or left, with gaps in between."""
    most = max(part.shape[1 - axis] for part in parts)
    padded = []
    for i, part in enumerate(parts):
        pads = [(0, 0)] * 3
        pads[axis], pads[1 - axis] = (0, gap if i < len(parts) - 1 else 0), (0, most - part.shape[1 - axis])
        padded.append(np.pad(part, pads, constant_values=NEUTRAL))
    return np.concatenate(padded, axis)


def _enlarged(image: np.ndarray, side: int) -> np.ndarray:
    """Returns an image with three channels, enlarged by the whole factor that brings its longer side nearest to
    `side`."""
    factor = max(1, round(side / max(image.shape[:2])))
    return np.broadcast_to(image, (*image.shape[:2], 3)).repeat(factor, axis=0).repeat(factor, axis=1)


def _size(text: str, points: int) -> tuple[int, int]:
    """Returns width and height of lines of text, with a margin below; 0 and 0 for no text."""
    if not text:
        return 0, 0
    box = ImageDraw.Draw(Image.new("RGB", (1, 1))).multiline_textbbox((0, 0), text, ImageFont.load_default(points))
    return int(np.ceil(box[2])), int(np.ceil(box[3])) + 5
