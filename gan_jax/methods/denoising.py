"""Denoising feature matching (Warde-Farley and Bengio 2017): what the denoiser descends, and what the generator does.

The denoiser r is a network "denoiser" from features to features, f those that the discriminator returns. The best one
is r(f) = E[f' | f' + e = f] = f + s^2 grad log p(f), where p is the density of the noisy features f' + e of real data.
"""

import jax.numpy as jnp
import optax
from jax import lax

from gan_jax import numerics, rng
from gan_jax.checks import require_noise, require_weight
from gan_jax.types import Array, Aux, Batch, Context, Network, Objective, Term, TrainState


def objective(
    denoiser: Network, discriminator: Network, std: float = 1.0, schedule: optax.Schedule | None = None
) -> Objective:
    """Returns the objective of the player that moves the denoiser.

    |f(x) - r(f(x) + e)|^2, averaged over features; e = std * schedule(step) * N(0, I).

    Args:
        denoiser: r.
        discriminator: Returns "features", `[b, F]`; it judges in training mode.
        std: Standard deviation of the noise, positive.
        schedule: Factor of `std` at each step, such as `optax.linear_schedule(1, 0, 10_000)`; None means 1 throughout.
    """
    require_noise("std", std)

    def denoised(state: TrainState, features: Array) -> Array:
        return denoiser.apply(state.params["denoiser"], state.stats["denoiser"], features, train=True)[0]

    def value(state: TrainState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        params, stats = state.params["discriminator"], state.stats["discriminator"]
        said, _ = discriminator.apply(params, stats, batch["image"], train=True, key=rng.named(key, "real"))
        features = said["features"]
        scale = std if schedule is None else jnp.asarray(std * schedule(state.step), features.dtype)
        noise = scale * rng.normal(rng.per_example(rng.named(key, "noise"), len(features)), features)
        loss = jnp.mean((features - denoised(state, features + noise)) ** 2)
        return loss, Aux(metrics={"loss": loss})

    return value


def matching(weight: float = 0.03) -> Term:
    """Returns the generator's term, weight |f(G(z)) - r(f(G(z)))|^2, averaged over features.

    r's output is a target: no gradient passes it.

    Args:
        weight: Positive.
    """
    require_weight("weight", weight)

    def value(context: Context) -> Array:
        features = context.fake_output["features"]
        target = lax.stop_gradient(context.apply("denoiser", features))
        return weight * numerics.average((features - target) ** 2)

    return Term("denoising", value, player="generator")
