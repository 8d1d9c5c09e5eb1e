"""Decodes images of any format into one uint8 array, flattened onto white and optionally made square."""

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import ExifTags, Image

from gan_jax.data.reading import metadata
from gan_jax.errors import UserError

T = TypeVar("T")
Turn = Image.Transpose
TURNS = {  # by EXIF orientation, 1 to 8
    2: Turn.FLIP_LEFT_RIGHT,
    3: Turn.ROTATE_180,
    4: Turn.FLIP_TOP_BOTTOM,
    5: Turn.TRANSPOSE,
    6: Turn.ROTATE_270,
    7: Turn.TRANSVERSE,
    8: Turn.ROTATE_90,
}
LIMIT = 8 * 2**30  # largest array in memory, in bytes


class Damaged(UserError):
    """An image that cannot be read."""


class TooLarge(UserError):
    """Images that take more memory than `LIMIT`."""


def stack(
    files: Iterable[tuple[str, Path | bytes]],
    count: int,
    resolution: int | None,
    channels: int,
    damaged: list[int] | None = None,
) -> np.ndarray:
    """Decodes images into one array.

    Transparent images are composited onto white. Images are rotated upright by their EXIF orientation, if it can be
    read. Other metadata are ignored, even if damaged.

    Args:
        files: Pairs of a name, for errors, and a path or the encoded bytes.
        count: Number of pairs.
        resolution: Side of the results, see `square`; None requires images of one size.
        channels: 1 for greyscale, 3 for RGB.
        damaged: A list to which the indices of unreadable images are appended; their rows stay black. If None, or if no
            image can be read, an unreadable image raises.

    Returns:
        uint8 `[count, H, W, channels]`.

    Raises:
        Damaged: If an image cannot be decoded.
        UserError: If two images differ in size.
        TooLarge: If the array would be larger than `LIMIT`.
    """
    if resolution is not None:
        require_size((count, resolution, resolution, channels))
    result, first = np.empty((0, 0, 0, 0), np.uint8), ""
    for i, (name, file) in enumerate(files):
        try:
            image = _read(file, lambda encoded: flatten(_upright(encoded), "L" if channels == 1 else "RGB"))
        except Exception as error:  # decoders raise OSError, SyntaxError, EOFError, struct.error and others
            if damaged is None or (i == count - 1 == len(damaged)):  # the last one, and all before it were unreadable
                raise Damaged(f"cannot read the image {name}: {error}; repair or remove it") from error
            damaged.append(i)
            continue
        if resolution is not None:
            image = square(image, resolution)
        shape = (image.height, image.width, channels)
        if not first:
            require_size((count, *shape))
            result, first = np.zeros((count, *shape), np.uint8), name
        if shape != result.shape[1:]:
            raise UserError(
                f"images differ in size: {first} has {result.shape[1]}x{result.shape[2]} (height x width) pixels, "
                f"{name} has {shape[0]}x{shape[1]}; give --resolution to make them squares of one size"
            )
        result[i] = np.asarray(image).reshape(shape)
    return result


def shape_of(
    files: Iterable[tuple[str, Path | bytes]], resolution: int | None, channels: int, skip_damaged: bool
) -> tuple[int, int, int]:
    """Returns the shape of images after `stack`; without `resolution` it reads one image for its size.

    Args:
        files: As in `stack`.
        resolution: As in `stack`.
        channels: As in `stack`.
        skip_damaged: Whether to take the first readable image; otherwise the first image must be readable.

    Raises:
        Damaged: If that image cannot be read, or no image can.
    """
    if resolution is not None:
        require_size((1, resolution, resolution, channels))
        return resolution, resolution, channels
    first = None
    for each in files:
        try:
            height, width = stack([each], 1, None, channels).shape[1:3]
            return height, width, channels
        except Damaged as error:
            if not skip_damaged:
                raise Damaged(f"{error}; or give --skip-damaged") from error
            first = first or error
    raise first or Damaged("there are no images")


def grey(file: Path | bytes) -> bool:
    """Returns whether an image is greyscale, from its header alone; True for an unreadable one."""
    try:
        return _read(file, lambda encoded: encoded.mode in ("1", "L", "LA") or encoded.mode.startswith("I"))
    except Exception:
        return True


def channels(files: Iterable[Path | bytes]) -> int:
    """Returns the number of channels that all images need: 1 if all are greyscale, else 3."""
    return 1 if all(map(grey, files)) else 3


def _read(file: Path | bytes, read: Callable[[Image.Image], T]) -> T:
    """Opens and reads an image; if that fails, tries again without its metadata."""
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as encoded:
            return read(encoded)
    except Exception:
        bare = metadata.removed(file if isinstance(file, bytes) else file.read_bytes())
        if bare is None:
            raise
        try:
            with Image.open(io.BytesIO(bare)) as encoded:
                return read(encoded)
        except Exception:  # the pixels are damaged: raise the first error
            pass
        raise


def _upright(image: Image.Image) -> Image.Image:
    image.load()  # a PNG may store its tags after its pixels
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged tags; the pixels are readable
        turn = None
    return image if turn is None else image.transpose(turn)


def flatten(image: Image.Image, mode: str) -> Image.Image:
    """Converts an image of any mode to "L" or "RGB": transparency onto white, 16 bits to the upper 8."""
    if image.mode.startswith("I"):  # Pillow would clip 16 bits at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image.convert(mode)


def square(image: Image.Image, resolution: int) -> Image.Image:
    """Crops an image to its central square and resizes it to `resolution`.

    Resizing is by an antialiased Lanczos filter. An image that already fits is returned as it is.

    Args:
        image: An image of mode L or RGB.
        resolution: Side of the result, at least 1.

    Returns:
        An image of `resolution` x `resolution` pixels.
    """
    if image.size == (resolution, resolution):
        return image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2  # whole pixels: nothing is blended unscaled
    return image.resize((resolution, resolution), Image.Resampling.LANCZOS, (left, top, left + side, top + side))


def squares(images: np.ndarray, resolution: int | None) -> np.ndarray:
    """Applies `square` to every image of an array.

    Args:
        images: uint8 `[N, H, W, C]`, C = 1 or 3.
        resolution: Side of the results; None leaves the images alone.

    Returns:
        uint8 `[N, resolution, resolution, C]`.
    """
    if resolution is None or images.shape[1:3] == (resolution, resolution):
        return images
    count, _, _, channels = images.shape
    shape = (resolution, resolution, channels)
    require_size((count, *shape))
    result = np.empty((count, *shape), np.uint8)
    for i, image in enumerate(images):
        result[i] = np.asarray(
            square(Image.fromarray(image.squeeze(-1) if channels == 1 else image), resolution)
        ).reshape(shape)
    return result


def require_size(shape: tuple[int, int, int, int]) -> None:
    """Raises TooLarge if a uint8 array of images `[N, H, W, C]` would be larger than `LIMIT`."""
    count, height, width, channels = shape
    size = count * height * width * channels
    if size > LIMIT:
        raise TooLarge(
            f"{count:,} images of {height}x{width}x{channels} take {size / 2**30:.1f} GiB, more than the limit "
            f"of {LIMIT / 2**30:.0f} GiB for data in memory; give a smaller --resolution or fewer images, or, in "
            "training, --stream"
        )
