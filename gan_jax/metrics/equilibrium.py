"""The distance of the discriminator's accuracy from 50%, its value in equilibrium.

It evaluates the discriminator's own objective, see `players`.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gan_jax import rng
from gan_jax.checks import require
from gan_jax.data import kinds
from gan_jax.data.kinds import Kind
from gan_jax.metrics import players
from gan_jax.types import Array, Player, System, TrainState


class Equilibrium(NamedTuple):
    """A discriminator's accuracy and its distance from 50/50, `[]` each.

    Attributes:
        distance: |accuracy - 1/2|, in [0, 1/2].
        accuracy: (accuracy_real + accuracy_fake) / 2.
        standard_error: Standard error of the accuracy over batches; NaN for one batch.
        accuracy_real: Fraction of real examples with a positive logit.
        accuracy_fake: Fraction of samples with a negative logit.
        probability_real: Mean of D(x) = sigmoid(logit).
        probability_fake: Mean of D(G(z)).
    """

    distance: Array
    accuracy: Array
    standard_error: Array
    accuracy_real: Array
    accuracy_fake: Array
    probability_real: Array
    probability_fake: Array


def equilibrium(
    system: System,
    state: TrainState,
    held_out: players.Arrays,
    *,
    batch_size: int,
    batches: int | None = None,
    seed: int = 0,
    kind: Kind = kinds.image,
) -> Equilibrium:
    """Measures how far the discriminator's accuracy on real examples and fresh samples is from 50/50.

    If samples are distributed like the data, the optimal discriminator has D = 1/2 everywhere (Goodfellow et al. 2014,
    arXiv:1406.2661, propositions 1 and 2), and no discriminator beats chance, as
    accuracy - 1/2 = (P_data(logit > 0) - P_G(logit > 0)) / 2. So twice the distance is, up to noise, a lower bound on
    the total variation between data and samples. The converse is false: a discriminator that calls everything real is
    at 50/50 too; see `accuracy_real` and `accuracy_fake`. A logit of 0 counts as half correct.

    It needs a loss whose decision boundary is at logit 0, such as cross-entropy, hinge and least squares with a = -b;
    relativistic and Wasserstein critics and energies have none. The accuracy on training examples minus that on
    held-out ones measures overfitting.

    Args:
        system: A system with a player "discriminator" whose objective is one of `objectives`.
        state: The state of the players; it is unchanged.
        held_out: `Dataset.arrays`, `[N, ...]`.
        batch_size: Examples in each batch.
        batches: Number of batches; None takes N // batch_size: each example once, except a remainder.
        seed: Seed of batches and latents.
        kind: Kind of the data, which scales them for networks.

    Raises:
        UserError: If there is no discriminator, the set is smaller than a batch, or a metric is missing.
    """
    players.require_batch("held_out", held_out, batch_size)
    batches = players.count(held_out) // batch_size if batches is None else batches
    require(lambda: batches >= 1, f"batches={batches}: it must be at least 1; None uses all examples once")
    player = players.player(system, "discriminator")
    return _equilibrium(player, state, dict(held_out), rng.key(seed), batch_size, batches, kind)


@functools.partial(jax.jit, static_argnames=("player", "batch_size", "batches", "kind"))
def _equilibrium(
    player: Player, state: TrainState, held_out: dict[str, Array], key: Array, batch_size: int, batches: int, kind: Kind
) -> Equilibrium:
    metrics = players.metrics(player, state, held_out, key, batch_size, batches, Equilibrium._fields[3:], kind)
    accuracies = (metrics["accuracy_real"] + metrics["accuracy_fake"]) / 2
    accuracy = jnp.mean(accuracies)
    distance, error = jnp.abs(accuracy - 0.5), players.standard_error(accuracies)
    return Equilibrium(distance, accuracy, error, **jax.tree.map(jnp.mean, metrics))
