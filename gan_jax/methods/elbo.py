"""The evidence lower bound of Kingma & Welling 2014 (arXiv:1312.6114), as what one player descends."""

import math
from collections.abc import Callable, Mapping

import jax.numpy as jnp

from gan_jax import rng
from gan_jax.checks import require_noise
from gan_jax.types import Array, Aux, Batch, Latent, Network, Objective, TrainState


def negative_elbo(
    x: Array, inferred: Array, noise: Array, decode: Callable[[Array], Array], deviation: float
) -> tuple[Array, Array]:
    """Returns -log p(x | z) at one z of q(z | x) an example, and KL(q(z | x) | N(0, I)), `[b]` each, in nats.

    p(x | z) = N(decode(z), deviation^2 I). The expectation of their sum bounds -log p(x) from above.

    Args:
        x: Examples `[b, ...]`.
        inferred: Means and log variances of q, `[b, 2 size]`.
        noise: Standard normal, `[b, size]`.
        decode: `[b, size]` to means of p, `[b, ...]`.
        deviation: Of p, positive.
    """
    mean, log_variance = jnp.split(inferred, 2, axis=1)
    errors = ((x - decode(mean + jnp.exp(log_variance / 2) * noise)) / deviation) ** 2
    surprise = jnp.sum(errors + math.log(2 * math.pi * deviation**2), axis=tuple(range(1, x.ndim))) / 2
    return surprise, jnp.sum(mean**2 + jnp.exp(log_variance) - 1 - log_variance, axis=1) / 2


def evidence(networks: Mapping[str, Network], latent: Latent, deviation: float) -> Objective:
    """Returns the objective of a player of "encoder" and "generator": the negative bound, averaged.

    Args:
        networks: "encoder", examples -> `[b, 2 size]`, and "generator", latents -> examples.
        latent: Standard normal.
        deviation: Of an example's entries about their means, positive.
    """
    require_noise("deviation", deviation)

    def objective(state: TrainState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        moved = {}

        def apply(name: str, inputs: Array) -> Array:
            own = rng.named(key, name)
            output, moved[name] = networks[name].apply(
                state.params[name], state.stats[name], inputs, train=True, key=own
            )
            return output

        noise = latent.draw(rng.per_example(rng.named(key, "latent"), len(batch["image"])))
        inferred = apply("encoder", batch["image"])
        parts = negative_elbo(batch["image"], inferred, noise, lambda z: apply("generator", z), deviation)
        surprise, divergence = (jnp.mean(part) for part in parts)
        loss = surprise + divergence
        return loss, Aux(moved, metrics={"loss": loss, "surprise": surprise, "divergence": divergence})

    return objective
