"""The evidence lower bound (ELBO) of Kingma & Welling 2014 (arXiv:1312.6114), as a player's objective."""

import math
from collections.abc import Callable, Mapping

import jax.numpy as jnp

from gan_jax import rng
from gan_jax.checks import require_noise
from gan_jax.types import Array, Aux, Batch, Latent, Network, Objective, TrainState


def negative_elbo(
    x: Array, inferred: Array, noise: Array, decode: Callable[[Array], Array], deviation: float
) -> tuple[Array, Array]:
    """Returns the two parts of the negative ELBO, `[b]` each, in nats: -log p(x | z) and KL(q(z | x) || N(0, I)).

    p(x | z) = N(decode(z), deviation^2 I), with one z from q(z | x) per example. The expectation of the sum is an upper
    bound of -log p(x).

    Args:
        x: Examples `[b, ...]`.
        inferred: Means and log variances of q, `[b, 2 size]`.
        noise: Standard normal noise, `[b, size]`.
        decode: Maps latents `[b, size]` to the means of p, `[b, ...]`.
        deviation: Standard deviation of p, positive.
    """
    mean, log_variance = jnp.split(inferred, 2, axis=1)
    errors = ((x - decode(mean + jnp.exp(log_variance / 2) * noise)) / deviation) ** 2
    surprise = jnp.sum(errors + math.log(2 * math.pi) + 2 * jnp.log(deviation), axis=tuple(range(1, x.ndim))) / 2
    return surprise, jnp.sum(mean**2 + jnp.exp(log_variance) - 1 - log_variance, axis=1) / 2


def evidence(networks: Mapping[str, Network], latent: Latent, deviation: float) -> Objective:
    """Returns the objective of a player with "encoder" and "generator": the negative ELBO, averaged over the batch.

    Args:
        networks: "encoder", examples -> `[b, 2 size]`, and "generator", latents -> examples.
        latent: Distribution of latents, standard normal.
        deviation: Standard deviation of p(x | z), positive.
    """
    require_noise("deviation", deviation)

    def objective(state: TrainState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        moved = {}

        def apply(name: str, inputs: Array) -> Array:
            network_key = rng.named(key, name)
            output, moved[name] = networks[name].apply(
                state.params[name], state.stats[name], inputs, train=True, key=network_key
            )
            return output

        noise = latent.draw(rng.per_example(rng.named(key, "latent"), len(batch["image"])))
        inferred = apply("encoder", batch["image"])
        parts = negative_elbo(batch["image"], inferred, noise, lambda z: apply("generator", z), deviation)
        surprise, divergence = (jnp.mean(part) for part in parts)
        loss = surprise + divergence
        return loss, Aux(moved, metrics={"loss": loss, "surprise": surprise, "divergence": divergence})

    return objective
