"""From a Flax Linen module to a `Network` of pure functions."""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from gan_jax import rng
from gan_jax.types import Array, Network, PyTree


def linen(module: nn.Module, *shapes: tuple[int, ...]) -> Network:
    """Wraps a module whose `__call__` takes `(*inputs, train: bool)`.

    Running statistics live in its collection "batch_stats"; layers with noise of their own draw it by
    `rng.per_example(self.make_rng("noise"), ...)`, which `apply`'s key feeds.

    Args:
        module: The module.
        shapes: The shape of one example of each input, without the batch.

    Returns:
        The network.
    """

    def init(key: Array) -> tuple[PyTree, PyTree]:
        keys = {name: rng.named(key, name) for name in ("params", "noise")}
        variables = module.init(keys, *[jnp.zeros((1, *shape)) for shape in shapes], train=True)
        return variables.get("params", {}), variables.get("batch_stats", {})

    def apply(
        params: PyTree, stats: PyTree, *inputs: Array, train: bool, key: Array | None = None
    ) -> tuple[PyTree, PyTree]:
        variables = {"params": params, "batch_stats": stats}
        rngs = None if key is None else {"noise": key}
        if not (train and stats):
            return module.apply(variables, *inputs, train=train, rngs=rngs), stats
        output, new = module.apply(variables, *inputs, train=True, rngs=rngs, mutable=["batch_stats"])
        return output, new["batch_stats"]

    @functools.cache
    def batch_dependent() -> bool:
        # Found by trial, so that it holds for any module: does example 0 notice that the others change? Parameters are
        # drawn at random, as fresh ones may be zero and hide it.
        def trial(key: Array) -> Array:
            params, stats = init(key)
            flat, structure = jax.tree.flatten(params)
            flat = [jax.random.normal(rng.named(key, str(i)), leaf.shape, leaf.dtype) for i, leaf in enumerate(flat)]
            inputs = [jax.random.normal(rng.named(key, f"input {i}"), (4, *s)) for i, s in enumerate(shapes)]
            others = [x.at[1:].multiply(-3.0) for x in inputs]
            run = functools.partial(apply, jax.tree.unflatten(structure, flat), stats, train=True, key=key)
            first, second = (jax.tree.map(lambda y: y[0], run(*x)[0]) for x in (inputs, others))
            gaps = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)) > 1e-4 * jnp.max(jnp.abs(a)), first, second)
            return jnp.any(jnp.stack(jax.tree.leaves(gaps)))

        return bool(jax.jit(trial)(jax.random.key(0)))

    return Network(init, apply, batch_dependent)
