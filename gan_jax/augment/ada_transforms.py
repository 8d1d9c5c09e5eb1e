"""Transforms of ADA (Karras et al. 2020, arXiv:2006.06676) on one image; `augment.ada` combines them.

Strengths and order are the paper's. Each transform is applied with probability p, independently of the others; at p = 0
the image is unchanged, to the bit.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr

from gan_jax import rng
from gan_jax.types import Array


def inverse_map(key: Array, p: Array, sides: tuple[int, int], blit: bool = True, geometry: bool = True) -> Array:
    """Draws all geometric transforms, as one affine map from positions in the result to positions in the image.

    q -> F Q (R A R' (q - f) / s - t), q measured from the image's centre. Blit: F flips horizontally, Q rotates by
    multiples of 90 degrees, t translates by whole pixels. Geometry: s scales, R and R' rotate, A stretches, f
    translates.

    Args:
        key: A typed key.
        p: Probability of each transform, `[]`, in [0, 1].
        sides: Height and width of the image.
        blit: Whether to apply the blit transforms.
        geometry: Whether to apply the geometry transforms.

    Returns:
        The linear map and the shift, side by side, `[2, 3]`, of (row, column) in pixels, for `affine_warp.warp`.
    """
    inverse = jnp.eye(2, 3)
    if geometry:  # the map is from output to input, so the last transform comes first
        inverse = _geometry(inverse, rng.named(key, "geometry"), p, np.array(sides))
    if blit:
        inverse = _blit(inverse, rng.named(key, "blit"), p, np.array(sides))
    return inverse


def turn(inverse: Array, cosine: Array, sine: Array) -> Array:
    """Rotates n vectors (row, column), `[2, n]`, from the first axis to the second."""
    y, x = inverse  # written out, as a GPU's default matrix product is precise to only three digits
    return jnp.stack([cosine * y - sine * x, sine * y + cosine * x])


def recolor(image: Array, key: Array, p: Array) -> Array:
    """Changes brightness, contrast, luma, hue and saturation by one affine map of colours, x' = A (x + b).

    Args:
        image: `[H, W, C]`, C of 3 or 1; with 1 channel, hue and saturation have no effect.
        key: A typed key.
        p: Probability of each change, `[]`, in [0, 1].
    """
    (brighten, contrast, flip, hue, saturate), (angle, side), (bright, gain, strength) = draws(key, p, 5, 2, 3)
    matrix = color_matrix(
        jnp.where(contrast, jnp.exp2(0.5 * gain), 1.0),
        jnp.where(flip & (side < 0.5), 1.0, 0.0),
        jnp.where(hue, jnp.pi * (2 * angle - 1), 0.0),
        jnp.where(saturate, jnp.exp2(strength), 1.0),
        image.shape[-1],
    )
    return jnp.einsum("dc,hwc->hwd", matrix, image + jnp.where(brighten, 0.2 * bright, 0.0), precision="highest")


def color_matrix(gain: Array, flip: Array, angle: Array, saturation: Array, channels: int = 3) -> Array:
    """Returns the matrix of the linear colour changes, which commute.

    gain (I - 2 flip P + (saturation cos(angle) - 1) (I - P) + saturation sin(angle) K), P the projection onto the grey
    axis and K the cross product with it; with one channel P = 1 and K = 0.

    Args:
        gain: Contrast factor, `[]`.
        flip: 1 to flip luma, 0 not to, `[]`.
        angle: Rotation of the hue in radians, `[]`.
        saturation: Factor of the distance from grey, `[]`.
        channels: C, 3 or 1.

    Returns:
        `[C, C]`.
    """
    identity = jnp.eye(channels)
    grey = jnp.full((channels, channels), 1 / channels)
    cross = (jnp.roll(identity, 1, axis=0) - jnp.roll(identity, -1, axis=0)) / 3**0.5
    chroma = (saturation * jnp.cos(angle) - 1) * (identity - grey) + saturation * jnp.sin(angle) * cross
    return gain * (identity - 2 * flip * grey + chroma)


def amplify(image: Array, key: Array, p: Array) -> Array:
    """Amplifies or damps four frequency bands; for images with a 1 / f spectrum the total power is unchanged.

    Args:
        image: `[H, W, C]`.
        key: A typed key.
        p: Probability of changing each band, `[]`, in [0, 1].
    """
    on, _, exponents = draws(key, p, 4, normals=4)
    gains = jnp.where(on, jnp.exp2(exponents), 1.0)
    power = np.array([10, 1, 1, 1]) / 13  # of natural images, by band
    gains = gains / jnp.sqrt(jnp.prod(1 + power * (gains**2 - 1)))
    rows, columns = (jnp.einsum("b,bij->ij", gains, bands(side), precision="highest") for side in image.shape[:2])
    return jnp.einsum("ih,jw,hwc->ijc", rows, columns, image, precision="highest")


def bands(side: int) -> np.ndarray:
    """Returns band-pass filters of a row of pixels as matrices `[4, side, side]`, lowest band first; their sum is I.

    The filters are those of the sym2 wavelet: `halves` are its low-pass and high-pass filter, each convolved with its
    mirror image. Rows are reflected about their outermost pixels.
    """
    halves = np.array([[-1, 0, 9, 16, 9, 0, -1], [1, 0, -9, 16, -9, 0, 1]]) / 32
    taps = np.eye(4, 1)
    for band in (1, 2, 3):
        spread = np.zeros((4, 2 * taps.shape[1] - 1))
        spread[:, ::2] = taps
        taps = np.stack([np.convolve(row, halves[0]) for row in spread])
        middle = taps.shape[1] // 2
        taps[band, middle - 3 : middle + 4] += halves[1]
    reach = taps.shape[1] // 2
    mirrored = np.pad(np.eye(side), ((reach, reach), (0, 0)), "reflect")
    return np.sum([tap[:, None, None] * mirrored[i : i + side] for i, tap in enumerate(taps.T)], axis=0)


def draws(key: Array, p: Array, count: int = 1, uniforms: int = 0, normals: int = 0) -> tuple[Array, Array, Array]:
    """Draws which of `count` transforms happen, and parameters uniform on (0, 1] and standard normal.

    Args:
        key: A typed key.
        p: Probability of each, `[]` or `[count]`, in [0, 1].
        count: Number of transforms; with the values below at most 16.
        uniforms: Number of uniform values.
        normals: Number of normal values.

    Returns:
        `(happens bool[count], uniform [uniforms], normal [normals])`.
    """
    normal = jax.random.normal(key, (16,))  # one draw, of a power of 2: else XLA is slow to compile on a CPU
    happens, uniform, normal, _ = jnp.split(normal, np.cumsum([count, uniforms, normals]))
    return ndtr(happens) <= p, ndtr(uniform), normal  # ndtr of float32 normals is never 0, so at p = 0 nothing happens


def _blit(inverse: Array, key: Array, p: Array, sides: np.ndarray) -> Array:
    (flip, quarters, shift), (side, angle, *steps), _ = draws(key, p, 3, uniforms=4)
    pixels = jnp.round((2 * jnp.stack(steps) - 1) * sides / 8)
    inverse = _translate(inverse, jnp.where(shift, pixels, 0.0))
    angle = jnp.where(quarters, jnp.floor(4 * angle), 0.0) * jnp.pi / 2
    inverse = turn(inverse, jnp.round(jnp.cos(angle)), jnp.round(jnp.sin(angle)))
    return inverse * jnp.where(flip & (side < 0.5), np.array([[1.0], [-1.0]]), 1.0)


def _geometry(inverse: Array, key: Array, p: Array, sides: np.ndarray) -> Array:
    either = 1 - jnp.sqrt(1 - p)  # then at least one of the two rotations happens with probability p
    chances = jnp.stack([p, either, p, either, p])
    (scale, before, stretch, after, shift), angles, (size, shape, *steps) = draws(key, chances, 5, 2, 4)
    inverse = _translate(inverse, jnp.where(shift, jnp.stack(steps) * sides / 8, 0.0))
    first, second = jnp.where(jnp.stack([before, after]), jnp.pi * (2 * angles - 1), 0.0)
    inverse = turn(inverse, jnp.cos(second), jnp.sin(second))
    factor = jnp.where(stretch, jnp.exp2(0.2 * shape), 1.0)
    inverse = inverse * jnp.stack([factor, 1 / factor])[:, None]
    inverse = turn(inverse, jnp.cos(first), jnp.sin(first))
    return inverse / jnp.where(scale, jnp.exp2(0.2 * size), 1.0)


def _translate(inverse: Array, shift: Array) -> Array:
    return inverse - shift[:, None] * np.array([0, 0, 1])
