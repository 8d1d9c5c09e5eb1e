"""Training on what a mixture misses so far: weights of examples, and batches drawn by them."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gan_jax.devices import parallel
from gan_jax.types import Array


def missed(logits: Array, beta: ArrayLike) -> Array:
    """Weighs examples by what a mixture G misses of them, as AdaGAN does (Tolstikhin et al. 2017, arXiv:1701.02386).

    w_i = (lambda - (1 - beta) d_i)_+ / beta, d_i = exp(-logit_i) the density of G over that of the data, lambda such
    that weights are 1 in the mean. It is found as in the paper: in the order of their ratios, the fewest examples are
    taken by which it leaves all others no weight. A component that is distributed by w makes (1 - beta) G + beta
    component as close to the data as can be, in f-divergence.

    Args:
        logits: Of a classifier on examples, of being data rather than samples of G; beyond 30 they count as 30. Of the
            global batch, `[N]`.
        beta: Weight of the new component in the mixture, in (0, 1]; at 1 all examples weigh the same.

    Returns:
        `[N]`.
    """
    ratios = (1 - beta) * jnp.exp(-jnp.clip(logits, -30, 30))
    counts = 1 + jnp.arange(len(ratios))
    # the lambda of the k smallest ratios, for every k: it falls as long as the next one has weight, and then rises
    level = jnp.min((beta * len(ratios) + jnp.cumsum(jnp.sort(ratios))) / counts)
    return jax.nn.relu(level - ratios) / beta


def places(weights: Array, count: int, key: Array) -> Array:
    """Draws this device's rows of a batch from weighted examples by systematic sampling: at even distances of weight.

    Row k of B is the example at (k + u) / B of the weights' sum, u uniform on [0, 1): example i comes B w_i / sum w
    times, rounded up or down so that this is the mean. Of B equal weights each comes once.

    Args:
        weights: Of all examples, the same on every device, not negative and not all 0, `[N]`.
        count: Rows on this device.
        key: A typed key, the same on every device.

    Returns:
        int32 `[count]` in [0, N), never of an example of weight 0.
    """
    place = parallel.index() * count + jnp.arange(count) + jax.random.uniform(key)
    bounds = jnp.cumsum(weights)
    found = jnp.searchsorted(bounds, bounds[-1] * place / (count * parallel.size()), side="right")
    return jnp.minimum(found, jnp.searchsorted(bounds, bounds[-1]))  # rounding may lead to the end
