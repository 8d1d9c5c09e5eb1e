"""Data sets: `load` gives a split as host arrays, `batches` draws from them inside the compiled step."""

from gan_jax.data.batches import batches, permutation
from gan_jax.data.catalog import load, stream
from gan_jax.data.dataset import Dataset, Spec, Stream
from gan_jax.data.names import images_of

__all__ = [
    "Dataset",
    "Spec",
    "Stream",
    "batches",
    "images_of",
    "load",
    "permutation",
    "stream",
]
