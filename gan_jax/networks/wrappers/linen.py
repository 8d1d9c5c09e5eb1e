"""Wraps a Flax Linen module into a `Network` of pure functions."""

import functools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from gan_jax import rng
from gan_jax.devices import memory
from gan_jax.networks.wrappers import unfit
from gan_jax.types import Array, Network, PyTree


def linen(module: nn.Module, *shapes: tuple[int, ...]) -> Network:
    """Wraps a Linen module into a `Network`.

    Running statistics live in the collection "batch_stats". Layers draw noise with
    `rng.per_example(self.make_rng("noise"), ...)`, whose key is the `key` of `apply`.

    Args:
        module: A module whose `__call__` takes `(*inputs, train: bool)`.
        shapes: The shape of one example of each input, without the batch.

    Returns:
        The network. Layers that do not fit their inputs raise `unfit.Unfit`.
    """

    def init(key: Array) -> tuple[PyTree, PyTree]:
        keys = {name: rng.named(key, name) for name in ("params", "noise")}
        inputs = [jnp.zeros((1, *shape)) for shape in shapes]
        with unfit.explained(module, [x.shape for x in inputs]):
            variables = module.init(keys, *inputs, train=True)
        return variables.get("params", {}), variables.get("batch_stats", {})

    def apply(
        params: PyTree, stats: PyTree, *inputs: Array, train: bool, key: Array | None = None
    ) -> tuple[PyTree, PyTree]:
        variables = {"params": params, "batch_stats": stats}
        rngs = None if key is None else {"noise": key}
        with unfit.explained(module, [x.shape for x in inputs]):
            if not (train and stats):
                return module.apply(variables, *inputs, train=train, rngs=rngs), stats
            output, new = module.apply(variables, *inputs, train=True, rngs=rngs, mutable=["batch_stats"])
            return output, new["batch_stats"]

    def inspect(
        params: PyTree, stats: PyTree, *inputs: Array, edit: Callable[[str, Array], Array] | None = None
    ) -> tuple[PyTree, dict[str, Array]]:
        layers: dict[str, Array] = {}

        def intercept(layer: Callable, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
            value, path = layer(*args, **kwargs), "/".join(context.module.path)
            if path and context.method_name == "__call__" and isinstance(value, jax.Array):
                value = layers[path] = value if edit is None else edit(path, value)
            return value

        with nn.intercept_methods(intercept):
            output = apply(params, stats, *inputs, train=False)[0]
        return output, layers

    return Network(init, apply, mixing(init, apply, *shapes), inspect)


def mixing(
    init: Callable[..., tuple[PyTree, PyTree]], apply: Callable[..., tuple[PyTree, PyTree]], *shapes: tuple[int, ...]
) -> Callable[[], bool]:
    """Returns `Network.batch_dependent` for these functions: whether an example's output depends on the others.

    It is measured by one trial on first use, so it holds for any network.

    Args:
        init: As in `Network`.
        apply: As in `Network`.
        shapes: The shape of one example of each input, without the batch.
    """

    def trial() -> bool:
        # Does the output of example 0 change when the others become copies of it? It does even for layers that see only
        # near neighbours. Parameters are random, as initial ones may be zero and hide a dependence, and scaled to keep
        # activations near 1. NumPy draws them: JAX would compile a generator for each shape.
        draw, key = np.random.default_rng(0), rng.key(0)

        def normal(p: jax.ShapeDtypeStruct) -> np.ndarray:
            return (draw.normal(size=p.shape) / math.sqrt(math.prod(p.shape[:-1]))).astype(p.dtype)

        like = jax.eval_shape(init, key)[0]
        memory.require(memory.size(like), "the parameters of a network", "lower its width")
        params = jax.tree.map(normal, like)
        stats = jax.jit(lambda key: init(key)[1])(key)
        inputs = [jnp.asarray(draw.normal(size=(4, *shape))) for shape in shapes]
        copies = [jnp.broadcast_to(x[:1], x.shape) for x in inputs]
        run = jax.jit(functools.partial(apply, train=True))
        first, second = (
            [np.asarray(y)[0] for y in jax.tree.leaves(run(params, stats, *x, key=key)[0])] for x in (inputs, copies)
        )
        return any(np.max(np.abs(a - b)) > 1e-4 * np.max(np.abs(a)) for a, b in zip(first, second, strict=True))

    @functools.cache
    def batch_dependent() -> bool:
        # A system may be built while JAX traces something else; a new thread is outside that trace. Under
        # `jax.ensure_compile_time_eval` each initialiser would be compiled, as Flax asks them for shapes.
        with ThreadPoolExecutor(1) as apart:
            return apart.submit(trial).result()

    return batch_dependent
