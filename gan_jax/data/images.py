"""From encoded images of any kind to one uint8 array: decoded, flattened, and made square where asked."""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from gan_jax.errors import UserError

LIMIT = 8 * 2**30  # bytes held in memory


def stack(files: Iterable[tuple[str, Path | bytes]], count: int, resolution: int | None, channels: int) -> np.ndarray:
    """Decodes images into one array.

    Transparent images are laid on white, turned ones (by their EXIF tag) are set upright.

    Args:
        files: Pairs of a name, for errors, and a path or the encoded bytes.
        count: Number of pairs.
        resolution: Side of the results, see `square`; None asks that all images be of one size.
        channels: 1 for greyscale, 3 for RGB.

    Returns:
        uint8 `[count, H, W, channels]`.

    Raises:
        UserError: Naming the image which cannot be decoded, or two that differ in size; or if the array would be
            larger than `LIMIT`.
    """
    if resolution is not None:
        _check_size((count, resolution, resolution, channels))
    result, first = np.empty((0, 0, 0, 0), np.uint8), ""
    for i, (name, file) in enumerate(files):
        try:
            with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as encoded:
                image = flatten(ImageOps.exif_transpose(encoded), "L" if channels == 1 else "RGB")
        except Exception as error:  # decoders raise OSError, SyntaxError, EOFError, struct.error and others
            raise UserError(f"cannot read the image {name}: {error}; repair or remove it") from error
        if resolution is not None:
            image = square(image, resolution)
        shape = (image.height, image.width, channels)
        if i == 0:
            _check_size((count, *shape))
            result, first = np.empty((count, *shape), np.uint8), name
        if shape != result.shape[1:]:
            raise UserError(
                f"images differ in size: {first} has {result.shape[1]}x{result.shape[2]} (height x width) pixels, "
                f"{name} has {shape[0]}x{shape[1]}; give --resolution to make them squares of one size"
            )
        result[i] = np.asarray(image).reshape(shape)
    return result


def flatten(image: Image.Image, mode: str) -> Image.Image:
    """Converts an image of any mode to "L" or "RGB", transparent parts to white, 16 bits to the upper 8."""
    if image.mode.startswith("I"):  # Pillow would clip 16 bits at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image.convert(mode)


def square(image: Image.Image, resolution: int) -> Image.Image:
    """Scales the shorter side of an image to `resolution` and cuts the longer one to match, evenly on both ends.

    Scaling is by Lanczos filter, widened when shrinking (antialiased); an image that already fits is returned as it is.

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
    _check_size((count, *shape))
    result = np.empty((count, *shape), np.uint8)
    for i, image in enumerate(images):
        result[i] = np.asarray(
            square(Image.fromarray(image.squeeze(-1) if channels == 1 else image), resolution)
        ).reshape(shape)
    return result


def _check_size(shape: tuple[int, int, int, int]) -> None:
    count, height, width, channels = shape
    size = count * height * width * channels
    if size > LIMIT:
        raise UserError(
            f"{count:,} images of {height}x{width}x{channels} take {size / 2**30:.1f} GiB, more than the "
            f"{LIMIT / 2**30:.0f} GiB that are held in memory; pass a smaller resolution, or fewer images"
        )
