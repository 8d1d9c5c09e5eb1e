"""Sides of the images that convolutional networks take, and of the maps between latents and images.

One rule for all architectures: images are squares of side m * 2^k, with m from 4 to 7 and k at least 1, up to 512. So
28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 256 and so on fit.
"""

from gan_jax.errors import UserError

LARGEST = 512
ROOTS = {m * 2**k: m for k in range(1, 8) for m in (4, 5, 6, 7) if m * 2**k <= LARGEST}  # side of images -> m
MAX_WIDENING = 8  # by default: as in DCGAN for side 64, in pix2pix and in PatchGAN


def root(shape: tuple[int, ...]) -> int:
    """Returns m of images `(H, W, C)` of side H = W = m * 2^k.

    Raises:
        UserError: If there is none; it names the nearest sides that fit.
    """
    if len(shape) == 3 and shape[0] == shape[1] and shape[0] in ROOTS:
        return ROOTS[shape[0]]
    wanted = min(shape[:2]) if len(shape) == 3 else 32
    near = [max((s for s in ROOTS if s <= wanted), default=None), min((s for s in ROOTS if s >= wanted), default=None)]
    fitting = " or ".join(f"--resolution {side}" for side in dict.fromkeys(near) if side)
    raise UserError(
        f"shape={tuple(shape)}: these networks take square images whose side is 4, 5, 6 or 7 times a power of 2, from "
        f"8 to {LARGEST}; resize the data ({fitting})"
    )


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
