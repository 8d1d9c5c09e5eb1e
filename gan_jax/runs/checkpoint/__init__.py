"""Checkpoints: written in the background, verified when read, independent of devices.

A step is a directory `step_00000042` of three Orbax items. `state` and `ema` map paths such as
`params/generator/Dense_0/kernel` to host arrays: flat, so that they are read without a target and independently of
devices. `meta` is JSON: the caller's entries, and the checksum, shape and dtype of every array. Checksums are needed
because Orbax itself restores a flipped bit without complaint, casts dtypes silently, and refuses empty trees and
arrays.

`writing` saves states and `reading` restores them, `directory` lists and moves steps, `integrity` defines the document
of checksums and what counts as damage, and `store` alone imports Orbax.
"""

from gan_jax.runs.checkpoint.directory import copy, discard_after, steps
from gan_jax.runs.checkpoint.integrity import Damaged, amend
from gan_jax.runs.checkpoint.reading import read_meta, restore, restore_arrays, restore_averaged
from gan_jax.runs.checkpoint.writing import require_writable, writer

__all__ = [
    "Damaged",
    "amend",
    "copy",
    "discard_after",
    "read_meta",
    "require_writable",
    "restore",
    "restore_arrays",
    "restore_averaged",
    "steps",
    "writer",
]
