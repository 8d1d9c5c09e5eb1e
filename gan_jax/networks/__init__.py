"""Networks: Flax Linen modules, wrapped into pure functions by `linen`."""

from gan_jax.networks.wrappers.linen import linen
from gan_jax.networks.wrappers.packing import packed
from gan_jax.networks.wrappers.precision import mixed
from gan_jax.networks.wrappers.reference_batch import with_reference
from gan_jax.networks.wrappers.remat import Kept, rematerialised

__all__ = [
    "Kept",
    "linen",
    "mixed",
    "packed",
    "rematerialised",
    "with_reference",
]
