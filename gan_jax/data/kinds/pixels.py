"""Kinds that are drawn as images: images, video, piano rolls and voxels."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from gan_jax import pictures
from gan_jax.data.kinds.drawing import tiled
from gan_jax.data.kinds.kind import Kind
from gan_jax.types import Array


def scale(x: Array) -> Array:
    """Scales uint8 to float32 in [-1, 1] by (x - 127.5) / 127.5; returns other types unchanged."""
    # Not x / 127.5 - 1: compiled, that maps 255 to 1 + 1e-7. This maps 0 and 255 to -1 and 1, and is odd about 127.5.
    x = jnp.asarray(x)
    return (x.astype(jnp.float32) - 127.5) / 127.5 if x.dtype == jnp.uint8 else x


def to_uint8(x: Array) -> Array:
    """Converts values in [-1, 1] to uint8 as `pictures.to_uint8` does, compiled: clips, and makes NaN grey."""
    x = jnp.nan_to_num(jnp.asarray(x).astype(jnp.float32), nan=0.0)  # a diverged generator should score badly, not fail
    return jnp.round((jnp.clip(x, -1, 1) + 1) * 127.5).astype(jnp.uint8)


def to_signs(x: Array) -> Array:
    """Scales 0 and 1 to -1 and 1, float32."""
    return 2 * jnp.asarray(x).astype(jnp.float32) - 1


def to_bits(x: Array) -> Array:
    """Converts values to uint8: 1 above 0, and 0 elsewhere."""
    return (jnp.asarray(x) > 0).astype(jnp.uint8)


def _image_sheet(examples: np.ndarray, columns: int | None = None, real: np.ndarray | None = None) -> np.ndarray:
    return tiled(examples, columns)


def _video_sheet(examples: np.ndarray, columns: int | None = None, real: np.ndarray | None = None) -> np.ndarray:
    return np.stack([tiled(moment, columns) for moment in np.moveaxis(examples, 1, 0)])


def _roll(example: np.ndarray) -> np.ndarray:
    """Draws a piano roll: time to the right, pitch upward, tracks one below another; white on black `[H, W, 1]`."""
    tracks = example if example.ndim == 3 else example[..., None]  # [time, pitches, tracks]
    return 255 * np.concatenate([track.T[::-1] for track in np.moveaxis(tracks, 2, 0)])[..., None]


def _roll_sheet(examples: np.ndarray, columns: int | None = None, real: np.ndarray | None = None) -> np.ndarray:
    return tiled(np.stack([_roll(example) for example in examples]), columns)


def _voxel_sheet(examples: np.ndarray, columns: int | None = None, real: np.ndarray | None = None) -> np.ndarray:
    """Draws the view along the first axis; what is nearer is lighter."""
    depth = examples.shape[1]
    shades = np.linspace(255, 64, depth).round().astype(np.uint8)[examples.argmax(axis=1)]
    return tiled(np.where(examples.any(axis=1), shades, 0)[..., None].astype(np.uint8), columns)


def _is(dimensions: tuple[int, ...], channels: tuple[int, ...] = ()) -> Any:
    """Returns a `fits`: uint8, and of these numbers of dimensions, the last one of `channels` sizes if any."""
    return lambda shape, dtype: (
        dtype == np.uint8 and len(shape) in dimensions and (not channels or shape[-1] in channels)
    )


image = Kind(
    "image",
    "images",
    "uint8 [H, W, 1 or 3]",
    _is((3,), (1, 3)),
    scale,
    to_uint8,
    _image_sheet,
    pictures.save,
    is_image=True,
)
"""Images, uint8 `[H, W, 1 or 3]`; networks see [-1, 1]. Files are PNG."""

video = Kind(
    "video",
    "videos",
    "uint8 [T, H, W, 1 or 3]",
    _is((4,), (1, 3)),
    scale,
    to_uint8,
    _video_sheet,
    shown=16,
    moving=True,
)
"""Videos, uint8 `[T, H, W, 1 or 3]`; networks see [-1, 1]. A sheet moves; files are .npy, as GIF has 256 colours."""

piano_roll = Kind(
    "piano_roll",
    "piano rolls",
    "uint8, 0 or 1, [T, pitches] or [T, pitches, tracks]",
    _is((2, 3)),
    to_signs,
    to_bits,
    _roll_sheet,
    lambda path, example: pictures.save(path, _roll(example)),
    shown=16,
)
"""Piano rolls, uint8 0 or 1, `[T, pitches]` or `[T, pitches, tracks]`; networks see -1 and 1. Files are PNG."""

voxels = Kind("voxels", "voxel grids", "uint8, 0 or 1, [D, H, W]", _is((3,)), to_signs, to_bits, _voxel_sheet)
"""Voxels, uint8 0 or 1, `[D, H, W]`; networks see -1 and 1. A sheet views them along D; files are .npy."""
