"""Data sets: `load` returns a split as host arrays; `batches` draws batches from it inside the compiled step.

`from_arrays` makes a data set of your own arrays. A new data set is one file in `sources` or `tasks` and one branch in
`catalog`; a new kind of examples is a `kinds.Kind`. `python -m gan_jax.data NAME` shows a data set. See README.md in
this folder.
"""

from gan_jax.data.batches import batches, permutation
from gan_jax.data.catalog import load, stream
from gan_jax.data.dataset import Dataset, Spec, Stream
from gan_jax.data.names import images_of
from gan_jax.data.sources.arrays import from_arrays

__all__ = [
    "Dataset",
    "Spec",
    "Stream",
    "batches",
    "from_arrays",
    "images_of",
    "load",
    "permutation",
    "stream",
]
