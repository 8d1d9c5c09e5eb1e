"""Image maps that make translation tasks: edges, luminance, inversion and recolouring."""

from collections.abc import Callable

import numpy as np

STEP = 64  # the least step in brightness, of 255, that makes an edge
BLUE_ON_CREAM = ((20, 30, 110), (255, 250, 225))
ORANGE_ON_GREEN = ((255, 150, 30), (10, 50, 40))
CHUNK = 1024  # images mapped at once, which bounds the memory used


def edges(images: np.ndarray) -> np.ndarray:
    """Draws the edges of images, black on white, by a Sobel filter.

    A pixel is black where gx^2 + gy^2 >= (4 STEP)^2, with gx = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]] * brightness, gy
    the same with the transposed kernel, and borders repeated. Integer arithmetic makes it the same on every machine.

    Args:
        images: uint8 `[N, H, W, C]`, C = 1 or 3; the brightness of colours is their `luminance`.

    Returns:
        uint8 `[N, H, W, 1]`, 0 or 255.
    """

    def draw(images: np.ndarray) -> np.ndarray:
        grey = images if images.shape[-1] == 1 else _luminance(images)
        x = np.pad(grey[..., 0].astype(np.int32), ((0, 0), (1, 1), (1, 1)), "edge")
        across, down = x[:, :, 2:] - x[:, :, :-2], x[:, 2:] - x[:, :-2]
        gx = across[:, :-2] + 2 * across[:, 1:-1] + across[:, 2:]
        gy = down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:]
        return np.where(gx**2 + gy**2 >= (4 * STEP) ** 2, 0, 255).astype(np.uint8)[..., None]

    return _mapped(draw, images)


def luminance(images: np.ndarray) -> np.ndarray:
    """Returns the luminance of colours by ITU-R 601, 0.299 R + 0.587 G + 0.114 B, rounded, as Pillow's mode "L".

    Args:
        images: uint8 `[N, H, W, 3]`.

    Returns:
        uint8 `[N, H, W, 1]`.
    """
    return _mapped(_luminance, images)


def inverted(images: np.ndarray) -> np.ndarray:
    """Inverts brightness: 255 - images."""
    return 255 - images


def recoloured(images: np.ndarray, ink: tuple[int, int, int], paper: tuple[int, int, int]) -> np.ndarray:
    """Maps greyscale linearly to colours: a grey g becomes paper + (ink - paper) g / 255, rounded.

    Args:
        images: uint8 `[N, H, W, 1]`.
        ink: RGB colour that replaces white, in [0, 255].
        paper: RGB colour that replaces black, in [0, 255].

    Returns:
        uint8 `[N, H, W, 3]`.
    """
    grey = np.arange(256)[:, None]
    colours = (np.array(paper) * (255 - grey) + np.array(ink) * grey + 127) // 255
    return colours.astype(np.uint8)[images[..., 0]]


def _mapped(function: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
    return np.concatenate([function(images[i : i + CHUNK]) for i in range(0, len(images), CHUNK)])


def _luminance(images: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(images.astype(np.int32), -1, 0)
    return ((19595 * red + 38470 * green + 7471 * blue + 2**15) >> 16).astype(np.uint8)[..., None]  # of 2^16
