"""Kinds of examples: how they are scaled for networks and back, drawn, and written to files.

A new kind is one value, `Kind(...)`, in a module of your own; nothing is registered. See ../README.md.
"""

from gan_jax.data.kinds.find import find, of_record, to_record
from gan_jax.data.kinds.kind import Kind
from gan_jax.data.kinds.pixels import image, piano_roll, video, voxels
from gan_jax.data.kinds.values import points, text, tokens, vector

__all__ = [
    "Kind",
    "find",
    "image",
    "of_record",
    "piano_roll",
    "points",
    "text",
    "to_record",
    "tokens",
    "vector",
    "video",
    "voxels",
]
