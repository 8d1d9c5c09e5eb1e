"""Boosting (AdaGAN): weights of the examples that a mixture misses, and weighted sampling of batches."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gan_jax.devices import parallel
from gan_jax.types import Array


def missed(logits: Array, beta: ArrayLike) -> Array:
    """Weights examples by how much a mixture G misses them, as in AdaGAN (Tolstikhin et al. 2017, arXiv:1701.02386).

    w_i = (lambda - (1 - beta) d_i)_+ / beta, where d_i = exp(-logit_i) is the density ratio of G to the data, and
    lambda makes the mean weight 1. As in the paper, lambda comes from the fewest examples, in the order of d_i, that
    leave all others weight 0. A component distributed by w minimises the f-divergence of (1 - beta) G + beta component
    to the data.

    Args:
        logits: Logits of a classifier of data against samples of G, for all N examples, `[N]`; clipped to [-30, 30].
        beta: Weight of the new component in the mixture, in (0, 1]; 1 gives equal weights.

    Returns:
        Weights `[N]`.
    """
    ratios = (1 - beta) * jnp.exp(-jnp.clip(logits, -30, 30))
    counts = 1 + jnp.arange(len(ratios))
    # lambda from the k smallest ratios, for every k: it falls while the next example has weight, and then rises
    level = jnp.min((beta * len(ratios) + jnp.cumsum(jnp.sort(ratios))) / counts)
    return jax.nn.relu(level - ratios) / beta


def places(weights: Array, count: int, key: Array) -> Array:
    """Draws this device's rows of a batch from weighted examples, by systematic sampling.

    Row k of B is the example at (k + u) / B of the cumulative weight, u uniform on [0, 1). Example i occurs
    B w_i / sum w times on average, rounded up or down. With B equal weights each example occurs once.

    Args:
        weights: Weights of all examples, `[N]`, non-negative and not all 0; the same on every device.
        count: Rows on this device.
        key: A typed key, the same on every device.

    Returns:
        Indices int32 `[count]` in [0, N), never of an example of weight 0.
    """
    place = parallel.index() * count + jnp.arange(count) + jax.random.uniform(key)
    bounds = jnp.cumsum(weights)
    rows = jnp.searchsorted(bounds, bounds[-1] * place / (count * parallel.size()), side="right")
    return jnp.minimum(rows, jnp.searchsorted(bounds, bounds[-1]))  # rounding may reach the end
