"""Sides of the images that convolutional networks take, and of the maps between latents and images.

One rule for all architectures but those of translation: images are squares of side m * 2^k, with m from 4 to 7 and k at
least 1, up to 1024. So 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 256 and so on fit.
"""

from collections.abc import Iterable

from gan_jax.errors import UserError

LARGEST = 1024
ROOTS = {m * 2**k: m for k in range(1, 9) for m in (4, 5, 6, 7) if m * 2**k <= LARGEST}  # side of images -> m
MAX_WIDENING = 8  # by default: as in DCGAN for side 64, in pix2pix and in PatchGAN


def root(shape: tuple[int, ...], least: int = 8) -> int:
    """Returns m of images `(H, W, C)` of side H = W = m * 2^k.

    Args:
        shape: Shape of an image.
        least: The least side that fits.

    Raises:
        UserError: If there is no such m, or the side is below `least`; it names the nearest sides that fit.
    """
    if len(shape) == 3 and shape[0] == shape[1] and shape[0] in ROOTS and shape[0] >= least:
        return ROOTS[shape[0]]
    raise refused(
        shape,
        f"this network takes squares whose side is 4, 5, 6 or 7 times a power of 2, from {least} to {LARGEST}",
        [side for side in ROOTS if side >= least],
    )


def refused(shape: tuple[int, ...], rule: str, fitting: Iterable[int], otherwise: str = "") -> UserError:
    """Returns the error for images whose sides do not fit a network; it names the nearest that do.

    Args:
        shape: Shape of an image, or of an example of another kind.
        rule: Which sides fit.
        fitting: Sides that fit.
        otherwise: Another remedy, such as "depth=2"; "" for none.
    """
    sides = sorted(fitting)
    if len(shape) != 3:
        return UserError(f"examples of shape {tuple(shape)} are not images: {rule}")
    wanted = min(shape[:2])
    near = [max((s for s in sides if s <= wanted), default=None), min((s for s in sides if s >= wanted), default=None)]
    remedy = " or ".join(f"--resolution {side}" for side in dict.fromkeys(near) if side)
    return UserError(f"images of {shape[0]}x{shape[1]}: {rule}; give {f'{otherwise}, or ' * bool(otherwise)}{remedy}")


def map_sides(shape: tuple[int, ...], most: int = 6) -> tuple[int, ...]:
    """Returns the sides of maps for images `(H, W, C)`, from the smallest up to H: each half of the next, rounded up.

    With DCGAN's `most` of 6, they are (4, 7, 14, 28) for side 28, (4, 8, 16, 32) for 32 and (6, 12, 24, 48) for 48.

    Args:
        shape: Shape of an image.
        most: The smallest side is the first that is at most this.

    Raises:
        UserError: See `root`.
    """
    root(shape)
    sides = [shape[0]]
    while sides[-1] > most:
        sides.append(-(-sides[-1] // 2))
    return tuple(reversed(sides))


def widths(width: int, count: int, max_widening: int) -> list[int]:
    """Returns the channels of maps from the largest on: doubled each time, up to `max_widening * width`."""
    return [width * min(2**depth, max_widening) for depth in range(count)]
