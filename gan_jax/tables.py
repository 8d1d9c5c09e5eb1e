"""Tables of images with captions, as pictures: the layout of sheets."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gan_jax.pictures import NEUTRAL

GAP = 4  # between cells
INK, PALE = (255, 255, 255), (214, 214, 214)  # of titles and labels, and of captions


class Cell(NamedTuple):
    """An image, uint8 `[h, w, 1 or 3]`, and a few words below it."""

    image: np.ndarray
    caption: str = ""


def table(
    rows: Sequence[Sequence[Cell | None]], title: str = "", labels: Sequence[str] = (), side: int = 84
) -> np.ndarray:
    """Lays out images with captions.

    Args:
        rows: Of cells, at least one; None leaves a place empty.
        title: Lines above the rows.
        labels: A few words at the left of each row.
        side: Pixels of an image's longer side: enlarged by a whole factor, it comes as near as it can.

    Returns:
        The picture, uint8 `[H, W, 3]`, as large as it needs to be.
    """
    rows = [[cell and Cell(_enlarged(cell.image, side), cell.caption) for cell in row] for row in rows]
    cells = [cell for row in rows for cell in row if cell]
    height, width = (max(cell.image.shape[axis] for cell in cells) for axis in (0, 1))
    width = max(width, *(_size(cell.caption, 11)[0] for cell in cells))
    captions = [max((_size(cell.caption, 11)[1] for cell in row if cell), default=0) for row in rows]
    label_width = max((_size(label, 11)[0] for label in labels), default=0)
    left = GAP + (label_width + 2 * GAP if label_width else 0)
    tops = np.cumsum([GAP + _size(title, 13)[1], *(height + GAP + space for space in captions)]).tolist()
    across = max(left + max(map(len, rows)) * (width + GAP), _size(title, 13)[0] + 2 * GAP)
    page = Image.new("RGB", (across, tops[-1]), (NEUTRAL,) * 3)
    draw = ImageDraw.Draw(page)
    draw.multiline_text((GAP, GAP), title, INK, ImageFont.load_default(13))
    for y, row, label in zip(tops, rows, [*labels, *[""] * len(rows)], strict=False):
        words = y + (height - _size(label, 11)[1]) // 2
        draw.multiline_text((GAP, words), label, INK, ImageFont.load_default(11))
        for column, cell in enumerate(row):
            if cell:
                middle = left + column * (width + GAP) + width // 2
                image = Image.fromarray(cell.image)
                page.paste(image, (middle - image.width // 2, y + (height - image.height) // 2))
                draw.multiline_text(
                    (middle, y + height + 1), cell.caption, PALE, ImageFont.load_default(11), "ma", align="center"
                )
    return np.asarray(page)


def below(parts: Sequence[np.ndarray], gap: int = 12) -> np.ndarray:
    """Puts pictures one below another."""
    return _joined(parts, gap, 0)


def beside(parts: Sequence[np.ndarray], gap: int = 24) -> np.ndarray:
    """Puts pictures one beside another."""
    return _joined(parts, gap, 1)


def _joined(parts: Sequence[np.ndarray], gap: int, axis: int) -> np.ndarray:
    """Puts pictures in a line, at the left or at the top of it, with a gap between two."""
    most = max(part.shape[1 - axis] for part in parts)
    padded = []
    for i, part in enumerate(parts):
        pads = [(0, 0)] * 3
        pads[axis], pads[1 - axis] = (0, gap if i < len(parts) - 1 else 0), (0, most - part.shape[1 - axis])
        padded.append(np.pad(part, pads, constant_values=NEUTRAL))
    return np.concatenate(padded, axis)


def _enlarged(image: np.ndarray, side: int) -> np.ndarray:
    """Returns an image of three channels, its longer side as near to `side` as a whole factor brings it."""
    factor = max(1, round(side / max(image.shape[:2])))
    return np.broadcast_to(image, (*image.shape[:2], 3)).repeat(factor, axis=0).repeat(factor, axis=1)


def _size(text: str, points: int) -> tuple[int, int]:
    """Returns width and height of lines of text, with a little room below; of none, 0 and 0."""
    if not text:
        return 0, 0
    box = ImageDraw.Draw(Image.new("RGB", (1, 1))).multiline_textbbox((0, 0), text, ImageFont.load_default(points))
    return int(np.ceil(box[2])), int(np.ceil(box[3])) + 5
