"""Mixtures: several networks of one architecture as one network, with parameters stacked `[count, ...]`.

A mixture of generators has one more latent coordinate, uniform on [0, 1), which selects a sample's component by the
cumulative weights. A sample is then a pure function of its latent.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax import rng
from gan_jax.errors import UserError
from gan_jax.types import Array, Latent, Network, PyTree, TrainState


def latent(base: Latent) -> Latent:
    """Adds the coordinate that selects the component; it is never truncated.

    Args:
        base: Distribution of the components' latents.

    Returns:
        A distribution with one more dimension, the last.
    """

    def draw(keys: Array, truncation: float | None = None) -> Array:
        place = jax.vmap(jax.random.uniform)(rng.each(keys, "component"))
        return jnp.concatenate([base.draw(keys, truncation), place[:, None]], axis=1)

    return Latent(base.size + 1, draw, name=f"{base.name} in {base.size} dimensions; component uniform on [0, 1]")


def pick(weights: Array, latents: Array) -> Array:
    """Selects a component for each latent, with probabilities proportional to the weights.

    Args:
        weights: Non-negative weights with a positive sum, `[count]`; a component of weight 0 is never selected.
        latents: Latents of `latent`, `[n, size]`; the last coordinate is clipped to [0, 1), as walks may leave it.

    Returns:
        Components, int32 `[n]` in [0, count).
    """
    bounds = jnp.cumsum(weights)
    place = jnp.clip(latents[:, -1:], 0, 1 - jnp.finfo(latents.dtype).epsneg)
    return jnp.sum(place >= bounds / bounds[-1], axis=1)


def weights(params: PyTree) -> Array:
    """Returns the weights of `generators` or `discriminators`, which sum to 1, `[count]`."""
    return jax.nn.softmax(params["log_weights"])


def generators(network: Network, count: int) -> Network:
    """Mixture of generators that train together, with learnt weights: the softmax of the parameters "log_weights".

    In training each latent gives a sample of every component, `[n count, ...]`; those of latent k are rows k count to
    k count + count - 1. Otherwise each latent gives one sample, `[n, ...]`, of its selected component.

    Args:
        network: One generator; every component has its own parameters and running statistics.
        count: Number of components, at least 1.

    Raises:
        UserError: If `count` is less than 1.
    """

    def apply(
        params: PyTree, stats: PyTree, latents: Array, train: bool, key: Array | None = None
    ) -> tuple[PyTree, PyTree]:
        samples, new = _apply_all(network, count, params["components"], stats, latents[:, :-1], train, key)
        if not train:
            return _chosen(samples, pick(weights(params), latents)), stats
        return jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:]), samples), new

    def inspect(params: PyTree, stats: PyTree, latents: Array, edit: Any = None) -> tuple[PyTree, dict[str, Array]]:
        return _inspect(network, params["components"], stats, latents, weights(params), edit)

    return Network(_weighted(network, count), apply, network.batch_dependent, inspect)


def discriminators(network: Network, count: int) -> Network:
    """Ensemble of discriminators that all see every example, with learnt weights, as in `generators`.

    Args:
        network: One discriminator, with logits `[b]` or another output that `Game` accepts.
        count: Number of components, at least 1.

    Returns:
        A network whose outputs have a second axis of components: logits `[b, count]`.

    Raises:
        UserError: If `count` is less than 1.
    """

    def apply(
        params: PyTree, stats: PyTree, images: Array, train: bool, key: Array | None = None
    ) -> tuple[PyTree, PyTree]:
        logits, new = _apply_all(network, count, params["components"], stats, images, train, key)
        return jax.tree.map(lambda x: x.swapaxes(0, 1), logits), new

    return Network(_weighted(network, count), apply, network.batch_dependent)


def boosted(network: Network, count: int) -> Network:
    """Mixture of generators that train one after another, with equal weights.

    Its statistic "trained" is the number of finished components. In training it is the next component alone (the last
    one when all are finished), and the others have gradient 0. Otherwise it is the mixture of the finished components,
    or the first component if there are none.

    Args:
        network: One generator; every component has its own parameters and running statistics.
        count: Number of components, at least 1.

    Raises:
        UserError: If `count` is less than 1.
    """
    _require_some(count)

    def init(key: Array) -> tuple[PyTree, PyTree]:
        params, stats = _init_all(network, count, key)
        return params, {"components": stats, "trained": jnp.zeros(())}

    def apply(
        params: PyTree, stats: PyTree, latents: Array, train: bool, key: Array | None = None
    ) -> tuple[PyTree, PyTree]:
        if not train:
            samples, _ = _apply_all(network, count, params, stats["components"], latents[:, :-1], train, key)
            return _chosen(samples, pick(equal(stats), latents)), stats
        current = jnp.minimum(_whole(stats["trained"]), count - 1)
        component = jax.tree.map(lambda x: x[current], (params, stats["components"]))
        samples, new = network.apply(*component, latents[:, :-1], train=True, key=key)
        moved = jax.tree.map(lambda x, y: x.at[current].set(y), stats["components"], new)
        return samples, {**stats, "components": moved}

    def inspect(params: PyTree, stats: PyTree, latents: Array, edit: Any = None) -> tuple[PyTree, dict[str, Array]]:
        return _inspect(network, params, stats["components"], latents, equal(stats), edit)

    def equal(stats: PyTree) -> Array:
        return (jnp.arange(count) < jnp.maximum(_whole(stats["trained"]), 1)).astype(jnp.float32)

    return Network(init, apply, network.batch_dependent, inspect)


def with_one_more(fresh: TrainState, last: TrainState) -> TrainState:
    """Returns a fresh state with the `boosted` generators of `last`, the current component finished as its average.

    Args:
        fresh: The state in which the next component starts.
        last: The state in which the current component ended.
    """
    average, trained = last.ema["generator"], last.stats["generator"]["trained"]
    finished = _whole(trained)
    params, components = jax.tree.map(
        # nothing to set if all were finished
        lambda now, average: now.at[finished].set(average[finished], mode="drop"),
        (last.params["generator"], last.stats["generator"]["components"]),
        (average["params"], average["stats"]["components"]),
    )
    stats = {"components": components, "trained": trained + 1}
    return replace(
        fresh,
        params=fresh.params | {"generator": params},
        stats=fresh.stats | {"generator": stats},
        ema=fresh.ema | {"generator": {"params": params, "stats": stats}},
    )


def _whole(trained: Array) -> Array:
    return jnp.round(trained).astype(jnp.int32)  # averages of equal whole numbers may have rounding errors


def _weighted(network: Network, count: int) -> Callable[[Array], tuple[PyTree, PyTree]]:
    _require_some(count)

    def init(key: Array) -> tuple[PyTree, PyTree]:
        params, stats = _init_all(network, count, key)
        return {"components": params, "log_weights": jnp.zeros(count)}, stats

    return init


def _init_all(network: Network, count: int, key: Array) -> tuple[PyTree, PyTree]:
    return jax.vmap(network.init)(rng.numbered(key, count))


def _apply_all(
    network: Network, count: int, params: PyTree, stats: PyTree, inputs: Array, train: bool, key: Array | None
) -> tuple[PyTree, PyTree]:
    """Applies every component to all inputs; returns stacked outputs and statistics."""

    def one(params: PyTree, stats: PyTree, i: Array) -> tuple[PyTree, PyTree]:
        component_key = None if key is None else jax.random.fold_in(key, i)
        return network.apply(params, stats, inputs, train=train, key=component_key)

    return jax.vmap(one)(params, stats, jnp.arange(count))


def _inspect(
    network: Network, params: PyTree, stats: PyTree, latents: Array, weights: Array, edit: Any
) -> tuple[PyTree, dict[str, Array]]:
    """Inspects each latent's selected component; layers have the names of a single component's."""
    every = jax.vmap(lambda p, s: network.inspect(p, s, latents[:, :-1], edit=edit))(params, stats)
    return _chosen(every, pick(weights, latents))


def _chosen(every: PyTree, component: Array) -> PyTree:
    """Selects row k of component[k] from leaves `[count, n, ...]`; returns `[n, ...]`."""
    return jax.tree.map(lambda x: x[component, jnp.arange(component.shape[0])], every)


def _require_some(count: int) -> None:
    if count < 1:
        raise UserError(f"count={count}: give at least 1 component")
