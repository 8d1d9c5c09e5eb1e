"""From networks, a loss and terms to what a player descends.

No objective stops the gradient of another player's networks: the gradient is taken with respect to the player's own
parameters, and rules of second order need the rest.
"""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp

from gan_jax import parallel, rng
from gan_jax.penalties import Penalty
from gan_jax.types import Array, Aux, Batch, GanLoss, Latent, Network, Objective, PyTree, TrainState


def discriminator(
    networks: Mapping[str, Network],
    loss: GanLoss,
    latent: Latent,
    penalties: Sequence[Penalty] = (),
) -> Objective:
    """Returns the objective of the player that tells real from fake.

    Real and fake pass the discriminator as two batches, both from the statistics of before the move, and the new
    statistics are the mean of theirs: batch norm normalises each by its own moments, and spectral norm, whose vectors
    do not depend on the batch, gives both the same sigma and moves once.

    Args:
        networks: Holds "generator", latents -> images, and "discriminator", images -> logits.
        loss: The adversarial loss.
        latent: The generator's input.
        penalties: Terms added to the loss.

    Returns:
        `(state, batch, key) -> (loss, Aux)`; the batch holds "image" `[b, ...]`.

    Raises:
        ValueError: If a penalty differentiates single scores and the discriminator mixes its batch.
    """
    generate, discriminate = networks["generator"].apply, networks["discriminator"].apply
    if any(penalty.per_example for penalty in penalties) and networks["discriminator"].batch_dependent():
        raise ValueError(
            "penalties: one differentiates each example's score, but the discriminator's scores depend on the whole "
            "batch (batch norm?), so that derivative does not exist; use spectral or layer norm, or none"
        )

    def objective(state: TrainState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        real, step = batch["image"], state.step
        fake, _ = _generate(generate, state, latent, len(real), key)
        params, stats = state.params["discriminator"], state.stats["discriminator"]

        def critic(images: Array, purpose: str) -> tuple[Array, PyTree]:
            return discriminate(params, stats, images, train=True, key=rng.named(key, purpose))

        real_logits, real_stats = critic(real, "real")
        fake_logits, fake_stats = critic(fake, "fake")
        real_logits, fake_logits = parallel.gather((real_logits, fake_logits))
        value = jnp.mean(loss.discriminator(real_logits, fake_logits))
        metrics = {
            "loss": value,
            "accuracy_real": jnp.mean(real_logits > 0),
            "accuracy_fake": jnp.mean(fake_logits < 0),
            "probability_real": jnp.mean(jax.nn.sigmoid(real_logits)),
            "probability_fake": jnp.mean(jax.nn.sigmoid(fake_logits)),
        }
        for place, penalty in enumerate(penalties):
            keys = rng.per_example(rng.named(key, f"penalty {place}"), len(real))
            term = penalty.value(lambda x: critic(x, "penalty")[0], real, fake, step=step, keys=keys)
            metrics[f"penalty_{place}"] = jnp.mean(term)
            value += jnp.mean(term)
        stats = jax.tree.map(lambda a, b: (a + b) / 2, real_stats, fake_stats)
        return value, Aux(stats={"discriminator": stats}, metrics=metrics)

    return objective


def generator(networks: Mapping[str, Network], loss: GanLoss, latent: Latent) -> Objective:
    """Returns the objective of the player whose samples should pass for real.

    The discriminator judges in training mode (batch norm by the moments of the batch); its statistics stay as they are.

    Args:
        networks: Holds "generator", latents -> images, and "discriminator", images -> logits.
        loss: The adversarial loss.
        latent: The generator's input.

    Returns:
        `(state, batch, key) -> (loss, Aux)`; the batch holds "image" `[b, ...]`, which relativistic losses judge too.
    """
    generate, discriminate = networks["generator"].apply, networks["discriminator"].apply

    def objective(state: TrainState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        real = batch["image"]
        fake, stats = _generate(generate, state, latent, len(real), key)

        def logits(images: Array, purpose: str) -> Array:
            critic = state.params["discriminator"], state.stats["discriminator"]
            return parallel.gather(discriminate(*critic, images, train=True, key=rng.named(key, purpose))[0])

        value = jnp.mean(loss.generator(logits(real, "real"), logits(fake, "fake")))  # XLA drops real where unused
        return value, Aux(stats={"generator": stats}, metrics={"loss": value})

    return objective


def _generate(generate: Callable, state: TrainState, latent: Latent, count: int, key: Array) -> tuple[Array, PyTree]:
    latents = latent.draw(rng.per_example(rng.named(key, "latent"), count))
    params, stats = state.params["generator"], state.stats["generator"]
    return generate(params, stats, latents, train=True, key=rng.named(key, "generator"))
