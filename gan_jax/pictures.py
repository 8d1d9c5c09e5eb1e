"""Pictures of samples: grids of images, and PNG, GIF and NPZ files, written atomically. `plots` draws points.

Images are NHWC, float in [-1, 1] or uint8. Pictures are uint8 `[H, W, 3]`, or grey `[H, W, 1]`.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont
from PIL.ImageFont import FreeTypeFont

from gan_jax.errors import UserError
from gan_jax.files import atomic

NEUTRAL = 112  # grey between images; contrasts with black and white images, on light and dark pages
LONGEST = 24  # characters of a caption


def to_uint8(images: ArrayLike) -> np.ndarray:
    """Converts floats in [-1, 1] of any shape and precision to uint8, `(x + 1) * 127.5`; clips, and makes NaN grey."""
    images = np.asarray(images)
    expect("float" in images.dtype.name, "images", images, "floating point in [-1, 1]")  # bfloat16 too, hence by name
    images = np.nan_to_num(images.astype(np.float32), nan=0.0)  # a diverged generator shows as grey and raises no error
    return np.round((np.clip(images, -1, 1) + 1) * 127.5).astype(np.uint8)


def grid(images: ArrayLike, columns: int | None = None, padding: int = 2, scale: int = 1) -> np.ndarray:
    """Returns a grid of images: image `i` at row `i // columns`, column `i % columns`, on the grey `NEUTRAL`.

    Args:
        images: `[N, H, W, C]`, C of 1 or 3, uint8 or float in [-1, 1].
        columns: Images per row; by default ceil(sqrt(N)); N gives a strip.
        padding: Grey pixels around and between the images.
        scale: Integer factor by which the images, not the padding, are enlarged.

    Returns:
        uint8 `[rows, columns, 3]`, in pixels.

    Raises:
        UserError: If the images have another shape or type, or a number is too small.
    """
    images = np.asarray(images)
    expect(images.ndim == 4 and images.size > 0 and images.shape[3] in (1, 3), "images", images, "[N, H, W, 1 or 3]")
    columns = math.ceil(math.sqrt(len(images))) if columns is None else columns
    if columns < 1 or padding < 0 or scale < 1:
        raise UserError(f"columns, padding, scale: got {columns}, {padding}, {scale}, expected at least 1, 0, 1")
    images = (images if images.dtype == np.uint8 else to_uint8(images)).repeat(scale, axis=1).repeat(scale, axis=2)
    height, width = (size + padding for size in images.shape[1:3])
    picture = np.full((-(-len(images) // columns) * height + padding, columns * width + padding, 3), NEUTRAL, np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * height + padding, i % columns * width + padding
        picture[top : top + image.shape[0], left : left + image.shape[1]] = image
    return picture


def compared(sets: Sequence[ArrayLike], columns: int = 8) -> np.ndarray:
    """Returns a grid that compares sets of images: image i of each set is above image i of the next set.

    Args:
        sets: Arrays `[N, H, W, C]` with equal N, H and W, C of 1 or 3, uint8 or float in [-1, 1].
        columns: Images per row.
    """
    arrays = [np.asarray(images) for images in sets]
    arrays = [images if images.dtype == np.uint8 else to_uint8(images) for images in arrays]
    arrays = [np.broadcast_to(images, (*images.shape[:3], 3)) for images in arrays]
    starts = range(0, len(arrays[0]), columns)
    return grid(np.concatenate([images[i : i + columns] for i in starts for images in arrays]), columns)


def captioned(picture: np.ndarray, captions: Sequence[str]) -> np.ndarray:
    """Writes a caption above each column of a grid: horizontally if all fit, else vertically.

    Args:
        picture: The grid, uint8 `[H, W, 3]`, or frames of it `[T, H, W, 3]`.
        captions: One for each column, cut at `LONGEST` characters; none leaves the picture as it is.
    """
    if not captions:
        return picture
    texts = [each if len(each) <= LONGEST else f"{each[: LONGEST - 1]}…" for each in captions]
    width = (picture.shape[-2] - 2) / len(texts)  # of a column
    font = ImageFont.load_default(max(6, min(11, int(width) - 1)))
    longest = math.ceil(max(font.getlength(each) for each in texts))
    upward, line = longest > width - 2, math.ceil(sum(font.getmetrics())) if isinstance(font, FreeTypeFont) else 11
    strip = Image.new("RGB", (picture.shape[-2], (longest if upward else line) + 4), (NEUTRAL,) * 3)
    for i, each in enumerate(texts):
        length = max(1, math.ceil(font.getlength(each)))
        label = Image.new("RGB", (length, line), (NEUTRAL,) * 3)
        ImageDraw.Draw(label).text((0, 0), each, "white", font)
        label = label.transpose(Image.Transpose.ROTATE_90) if upward else label
        strip.paste(label, (round(1 + (i + 0.5) * width - label.width / 2), strip.height - label.height - 1))
    above = np.broadcast_to(np.asarray(strip), (*picture.shape[:-3], *np.asarray(strip).shape))
    return np.concatenate([above, picture], axis=-3)


def pil(image: ArrayLike) -> Image.Image:
    """Returns a picture, uint8 `[H, W, 3]` or grey `[H, W, 1]`, as a PIL image, which notebooks show.

    Raises:
        UserError: If it is anything else.
    """
    image = np.asarray(image)
    grey = image.dtype == np.uint8 and image.shape[2:] == (1,) and image.size > 0
    return Image.fromarray(image[..., 0] if grey else _picture("image", image))


def save_png(path: Path | str, image: ArrayLike) -> None:
    """Writes a picture, uint8 `[H, W, 3]` or grey `[H, W, 1]`, as PNG; raises UserError for anything else."""
    picture = pil(image)
    with atomic(path, ".png") as stream:
        picture.save(stream, "PNG", optimize=True)


def save(path: Path, picture: np.ndarray) -> Path:
    """Writes a picture as PATH.png, or frames `[T, H, W, 3]` as PATH.gif; returns that path.

    Args:
        path: The file without its ending; a dot in its name is kept.
        picture: As for `save_png`, or frames as for `save_gif`.
    """
    if picture.ndim == 4:
        save_gif(target := path.with_name(f"{path.name}.gif"), list(picture), hold=120)
    else:
        save_png(target := path.with_name(f"{path.name}.png"), picture)
    return target


def load_png(path: Path | str) -> np.ndarray:
    """Reads a PNG as uint8 `[H, W, 3]`; grey becomes RGB and transparency is dropped."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def save_gif(path: Path | str, frames: Sequence[ArrayLike], milliseconds: int = 120, hold: int = 1500) -> None:
    """Writes pictures of one shape, uint8 `[H, W, 3]`, as an endless GIF animation.

    Each frame has its own palette of 256 colours, so greys are exact. Equal consecutive frames become one longer frame.

    Args:
        path: The file.
        frames: The pictures.
        milliseconds: Duration of each frame but the last.
        hold: Duration of the last frame, in milliseconds.

    Raises:
        UserError: If there are no frames, or they have another type or different shapes.
    """
    if len(frames) == 0:
        raise UserError("frames: got none, expected at least one picture")
    first, *rest = [_palette(_picture(f"frames[{i}]", frame, np.shape(frames[0]))) for i, frame in enumerate(frames)]
    times = [milliseconds] * len(rest) + [hold]
    with atomic(path, ".gif") as stream:
        first.save(stream, "GIF", save_all=True, append_images=rest, duration=times, loop=0, optimize=True)


def save_npz(path: Path | str, /, **arrays: Any) -> None:
    """Writes named arrays as a compressed NumPy archive; object arrays are refused, as they need pickle."""
    with atomic(path, ".npz") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def by_step(folder: Path) -> dict[int, Path]:
    """Returns step -> path of a folder's pictures named by their step, such as 00000042.png, in ascending order."""
    paths = [path for path in folder.glob("*") if re.fullmatch(r"[0-9]{8,}\.(png|gif)", path.name)]
    return {int(path.stem): path for path in sorted(paths, key=lambda path: int(path.stem))}


def expect(valid: bool, name: str, array: np.ndarray, expected: str) -> None:
    """Raises UserError, naming an array, its type and shape, and what was expected, if it is not valid."""
    if not valid:
        raise UserError(f"{name}: got {array.dtype} of shape {array.shape}, expected {expected}")


def _palette(picture: np.ndarray) -> Image.Image:
    image = Image.fromarray(picture)
    if image.getcolors(256) is not None:
        return image.quantize(256)  # exact
    some = picture.reshape(1, -1, 3)[:, :: picture.size // 3 // 8192 | 1].copy()  # a sample of pixels, for speed
    chosen = Image.fromarray(some).quantize(200, kmeans=1)
    colours, counts = np.unique(some[0], axis=0, return_counts=True)
    common = colours[50 * counts > counts.sum()]  # at most 49, kept exact so that the background does not flicker
    indices = np.array(image.quantize(palette=chosen, dither=Image.Dither.NONE))  # dither flickers and compresses badly
    for i, colour in enumerate(common):
        indices[(picture == colour).all(axis=2)] = 200 + i
    reduced = Image.fromarray(indices)
    reduced.putpalette([*np.resize(chosen.getpalette() or [0], 600).tolist(), *common.ravel().tolist()])
    return reduced


def _picture(name: str, image: ArrayLike, shape: tuple[int, ...] | None = None) -> np.ndarray:
    image = np.asarray(image)
    expect(image.dtype == np.uint8 and image.shape[2:] == (3,) and image.size > 0, name, image, "uint8 [H, W, 3]")
    expect(shape in (None, image.shape), name, image, f"the shape of the first, {shape}")
    return image
