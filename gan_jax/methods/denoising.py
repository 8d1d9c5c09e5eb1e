"""Denoising feature matching (Warde-Farley and Bengio 2017): the denoiser's objective and the generator's term.

The denoiser r is a network "denoiser" from features to features; f are the discriminator's features. The optimal one is
r(f) = E[f' | f' + e = f] = f + s^2 grad log p(f), where p is the density of the noisy features f' + e of real data, and
s the standard deviation of e.
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
    """Returns the objective of the denoiser's player.

    |f(x) - r(f(x) + e)|^2, averaged over features; e = std * schedule(step) * N(0, I).

    Args:
        denoiser: The network r.
        discriminator: A network whose output has "features", `[b, F]`; it is applied in training mode.
        std: Standard deviation of the noise, positive.
        schedule: Factor of `std` at each step, such as `optax.linear_schedule(1, 0, 10_000)`; None means 1 throughout.
    """
    require_noise("std", std)

    def denoised(state: TrainState, features: Array) -> Array:
        return denoiser.apply(state.params["denoiser"], state.stats["denoiser"], features, train=True)[0]

    def value(state: TrainState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        params, stats = state.params["discriminator"], state.stats["discriminator"]
        output, _ = discriminator.apply(params, stats, batch["image"], train=True, key=rng.named(key, "real"))
        features = output["features"]
        scale = std if schedule is None else jnp.asarray(std * schedule(state.step), features.dtype)
        noise = scale * rng.normal(rng.per_example(rng.named(key, "noise"), len(features)), features)
        loss = jnp.mean((features - denoised(state, features + noise)) ** 2)
        return loss, Aux(metrics={"loss": loss})

    return value


def matching(weight: float = 0.03) -> Term:
    """Returns the generator's term: weight |f(G(z)) - r(f(G(z)))|^2, averaged over features.

    The output of r is a target, without gradient.

    Args:
        weight: Weight of the term, positive.
    """
    require_weight("weight", weight)

    def value(context: Context) -> Array:
        features = context.fake_output["features"]
        target = lax.stop_gradient(context.apply("denoiser", features))
        return weight * numerics.average((features - target) ** 2)

    return Term("denoising", value, player="generator")
