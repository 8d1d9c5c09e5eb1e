"""Pictures of samples: grids, scatter plots, and PNG, GIF and NPZ files, written atomically.

Images are NHWC, float in [-1, 1] or uint8. Pictures are uint8 `[H, W, 3]`, or grey `[H, W, 1]`.
"""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from gan_jax.errors import UserError
from gan_jax.files import atomic

REFERENCE = "#b4bac4"  # real points
LEVELS = ["#ffffff", "#f8fafc", "#f1f5f9", "#eaf0f6", "#e3ebf3", "#dce6f0", "#d5e1ed", "#cedcea", "#c7d7e7", "#c0d2e4"]
NEUTRAL = 112  # grey between images; contrasts with black and white images, on light and dark pages


def to_uint8(images: ArrayLike) -> np.ndarray:
    """Converts floats in [-1, 1] of any shape and precision to uint8, `(x + 1) * 127.5`; clips, and makes NaN grey."""
    images = np.asarray(images)
    _expect("float" in images.dtype.name, "images", images, "floating point in [-1, 1]")  # bfloat16 too, hence by name
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
    _expect(images.ndim == 4 and images.size > 0 and images.shape[3] in (1, 3), "images", images, "[N, H, W, 1 or 3]")
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


def scatter(points: ArrayLike, reference: ArrayLike | None = None, limit: float | None = None) -> np.ndarray:
    """Returns a scatter plot of points in the plane.

    Args:
        points: `[N, 2]`, generated points.
        reference: `[M, 2]`, real points, drawn in grey below.
        limit: Half the side of the square shown around the origin; by default the reference fits, without one the
            points.

    Raises:
        UserError: If an array has another shape.
    """
    layers = _layers(points, reference)
    for layer in layers:
        limit = limit or 1.15 * float(np.abs(layer).max(where=np.isfinite(layer), initial=0.0)) or None
    return _plane(limit or 1, layers, REFERENCE)


def field(
    points: ArrayLike,
    reference: ArrayLike | None,
    axis: ArrayLike,
    logits: ArrayLike,
    gradient: ArrayLike | None = None,
    limit: float | None = None,
) -> np.ndarray:
    """Returns a scatter plot over the critic's level sets; deeper blue is more real.

    Levels are evenly spaced between the 2nd and the 98th percentile of the logits, so a logits + b, a > 0, gives the
    same picture. Non-finite logits are left out; if all are equal there are no levels. All plots have the same size.

    Args:
        points: `[N, 2]`, generated points.
        reference: `[M, 2]`, real points, drawn in grey below; or None.
        axis: `[n]`, increasing: the x and y coordinates of the logits.
        logits: `[n, n]`; entry `[i, j]` is at y = `axis[i]`, x = `axis[j]`.
        gradient: `[m, m, 2]`, (d/dx, d/dy) at m evenly spaced coordinates from `axis[0]` to `axis[-1]`, drawn as
            arrows of one length; m of about 16.
        limit: Half the side of the square shown around the origin; by default the axis fits.

    Raises:
        UserError: If an array has another shape.
    """
    axis, logits = np.asarray(axis, np.float64), np.asarray(logits, np.float64)
    _expect(axis.ndim == 1 and len(axis) > 1 and bool((np.diff(axis) > 0).all()), "axis", axis, "[n], increasing")
    _expect(logits.shape == 2 * axis.shape, "logits", logits, f"[{len(axis)}, {len(axis)}], as axis has it")
    arrows = np.asarray(np.empty((0, 0, 2)) if gradient is None else gradient, np.float64)
    _expect(arrows.ndim == 3 and arrows.shape == (len(arrows), len(arrows), 2), "gradient", arrows, "[m, m, 2]")

    def backdrop(axes: Any) -> None:
        axes.set_facecolor(LEVELS[len(LEVELS) // 2])
        finite = np.isfinite(logits)
        low, high = np.percentile(logits[finite], (2, 98)) if finite.any() else (0, 0)
        if low < high:
            heights = np.ma.masked_where(~finite, (np.where(finite, logits, low) - low) / (high - low))
            steps = np.linspace(0, 1, len(LEVELS) + 1)[1:-1]
            axes.contourf(axis, axis, heights, levels=steps, colors=LEVELS, extend="both")
            axes.contour(axis, axis, heights, levels=steps, colors="#8fa3bb", linewidths=0.5, linestyles="solid")
        places, lengths = np.linspace(axis[0], axis[-1], len(arrows)), np.linalg.norm(arrows, axis=2)
        shown = np.isfinite(lengths) & (lengths > 0)
        row, column = np.nonzero(shown)
        step = 0.55 * (axis[-1] - axis[0]) / max(1, len(arrows) - 1)
        x, y = (step * arrows[shown] / lengths[shown][:, None]).T
        look = {"angles": "xy", "scale_units": "xy", "scale": 1, "pivot": "mid", "width": 0.003, "color": "#7688a1"}
        axes.quiver(places[column], places[row], x, y, **look)

    return _plane(limit or float(np.abs(axis).max()), _layers(points, reference), "#6d7580", backdrop)


def save_png(path: Path | str, image: ArrayLike) -> None:
    """Writes a picture, uint8 `[H, W, 3]` or grey `[H, W, 1]`, as PNG; raises UserError for anything else."""
    image = np.asarray(image)
    grey = image.dtype == np.uint8 and image.shape[2:] == (1,) and image.size > 0
    picture = image[..., 0] if grey else _picture("image", image)
    with atomic(path, ".png") as stream:
        Image.fromarray(picture).save(stream, "PNG", optimize=True)


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
    found = [path for path in folder.glob("*") if re.fullmatch(r"[0-9]{8,}\.(png|gif)", path.name)]
    return {int(path.stem): path for path in sorted(found, key=lambda path: int(path.stem))}


def _layers(points: ArrayLike, reference: ArrayLike | None) -> list[np.ndarray]:
    layers = []
    for name, given in (("reference", reference), ("points", points)):
        layers.append(np.asarray(np.empty((0, 2)) if given is None else given, np.float32))
        _expect(layers[-1].shape[1:] == (2,), name, layers[-1], "[N, 2]")
    return layers


def _plane(
    limit: float, layers: list[np.ndarray], grey: str, backdrop: Callable[[Any], None] = lambda axes: None
) -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import, and only toy problems need it
    from matplotlib.figure import Figure

    canvas = FigureCanvasAgg(Figure(figsize=(4, 4), dpi=120))
    axes = canvas.figure.add_axes((0.08, 0.07, 0.88, 0.88))
    backdrop(axes)
    for layer, colour in zip(layers, (grey, "#d1622b"), strict=True):
        size = max(2, min(20, 6000 / (len(layer) + 1)))  # smaller dots for more points, so that modes keep their shape
        axes.scatter(*layer.T, s=size, c=colour, alpha=0.6, linewidths=0)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    axes.tick_params(length=0, labelsize=7, labelcolor="#7a808a")
    axes.spines[:].set_color("#d5d9df")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


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
    _expect(image.dtype == np.uint8 and image.shape[2:] == (3,) and image.size > 0, name, image, "uint8 [H, W, 3]")
    _expect(shape in (None, image.shape), name, image, f"the shape of the first, {shape}")
    return image


def _expect(valid: bool, name: str, array: np.ndarray, expected: str) -> None:
    if not valid:
        raise UserError(f"{name}: got {array.dtype} of shape {array.shape}, expected {expected}")
