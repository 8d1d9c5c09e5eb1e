"""Networks: Flax Linen modules, one file or folder per architecture, wrapped into pure functions by `linen`.

A new architecture is one file here: modules whose `__call__` takes `(*inputs, train)` and returns images in [-1, 1]
(generator) or logits `[B, ...]` (discriminator). Use the convolutions, normalisation and noise of `layers`: they are
fast on CPUs and do not depend on the number of devices. `wrappers` holds changes that apply to any network, such as
its precision; `published` fills a network with weights trained elsewhere.
"""

from gan_jax.networks.wrappers.linen import linen
from gan_jax.networks.wrappers.packing import packed
from gan_jax.networks.wrappers.precision import mixed
from gan_jax.networks.wrappers.projected import Backbone, projected
from gan_jax.networks.wrappers.reference_batch import with_reference
from gan_jax.networks.wrappers.remat import Kept, rematerialised

__all__ = [
    "Backbone",
    "Kept",
    "linen",
    "mixed",
    "packed",
    "projected",
    "rematerialised",
    "with_reference",
]
