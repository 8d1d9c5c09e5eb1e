"""Standing statistics: a generator's batch-norm statistics, re-estimated for the weights that it samples with."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from gan_jax import rng
from gan_jax.errors import UserError
from gan_jax.game.build import sampler
from gan_jax.trees import path
from gan_jax.types import Array, PyTree, System

GENERATOR = "generator"


def standing(system: System, ema: dict[str, PyTree], batches: int, batch_size: int, seed: int = 0) -> dict[str, PyTree]:
    """Replaces the generator's statistics by standing statistics (Brock et al. 2019, BigGAN, arXiv:1809.11096).

    The moments of each batch norm become the mean of its moments over batches of latents, 100 in the paper, as its
    running moments come from the weights of many past iterations. Other statistics, such as the vectors of spectral
    norm, are updated by the same passes in training mode.

    Args:
        system: A system that samples.
        ema: Its averaged networks, or `current` ones.
        batches: Number of batches, at least 1.
        batch_size: Latents in a batch, at least 2; preferably that of training.
        seed: Selects the latents.

    Returns:
        `ema` with the new statistics of the generator.

    Raises:
        UserError: If the generator has no batch norm, or an argument is too small.
    """
    if batches < 1 or batch_size < 2:
        raise UserError(f"standing={batches} batches of {batch_size}: give at least 1 batch of at least 2 latents")
    latent, _ = sampler(system)
    params, stats = (ema.get(GENERATOR, {}).get(name, {}) for name in ("params", "stats"))
    moments = _moments(stats)
    if not moments:
        raise UserError("standing: the generator has no batch norm, so it has no statistics to estimate; leave it out")
    key = rng.named(rng.key(seed), "standing")

    @jax.jit
    def update(total: PyTree, stats: PyTree, i: Array) -> tuple[PyTree, PyTree]:
        batch_key = jax.random.fold_in(key, i)
        values = latent.draw(rng.numbered(rng.named(batch_key, "latent"), batch_size))
        with nn.intercept_methods(_forget):
            _, stats = system.networks[GENERATOR].apply(params, stats, values, train=True, key=batch_key)
        return jax.tree.map(jnp.add, total, stats), stats

    total = jax.tree.map(jnp.zeros_like, stats)
    for i in range(batches):
        total, stats = update(total, stats, jnp.asarray(i))
    mean = jax.tree_util.tree_map_with_path(
        lambda entries, sums, last: sums / batches if path(entries) in moments else last, total, stats
    )
    return ema | {GENERATOR: {"params": params, "stats": mean}}


def _moments(stats: PyTree) -> set[str]:
    """Returns the paths of batch norms' moments: a "mean" and a "var" side by side."""
    paths = {path(entries) for entries, _ in jax.tree_util.tree_leaves_with_path(stats)}
    layers = [each.removesuffix("var") for each in paths if each.rpartition("/")[2] == "var"]
    return {layer + name for layer in layers if layer + "mean" in paths for name in ("mean", "var")}


def _forget(method: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
    """Makes batch norm store the moments of the batch, with no weight on earlier ones."""
    if isinstance(context.module, nn.BatchNorm) and context.method_name == "__call__":
        object.__setattr__(context.module, "momentum", 0.0)  # its fields are frozen
    return method(*args, **kwargs)
