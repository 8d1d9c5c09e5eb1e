"""Objectives of the discriminator and the generator, from networks, a loss, terms and an augmentation.

No objective stops gradients through another player's networks: a rule differentiates with respect to the player's own
parameters, and second-order rules need the other derivatives.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from gan_jax import losses, rng
from gan_jax.devices import parallel
from gan_jax.errors import UserError
from gan_jax.game.playing import Game, Played, inputs_of, play
from gan_jax.types import (
    Array,
    Aux,
    Batch,
    Context,
    Metrics,
    Objective,
    Pseudo,
    PyTree,
    Term,
    TrainState,
)


def discriminator(game: Game, terms: Sequence[Term] = ()) -> Objective:
    """Returns the discriminator's objective.

    Real and fake go through the discriminator as two batches. Both start from the running statistics before the move,
    and the new statistics are the mean of both results: batch norm normalises each batch by its own moments; spectral
    norm, whose vectors do not depend on the batch, uses the same sigma for both and makes one power iteration.

    Args:
        game: Networks, loss, latent and augmentation.
        terms: Regularisation terms, added to the loss.

    Returns:
        `(state, batch, key) -> (loss, Aux)`; the batch holds "image" `[b, ...]`.

    Raises:
        UserError: If two terms share a name, or a term differentiates example by example a network whose output for
            an example depends on the rest of the batch.
    """
    _require_playable(game)
    _require_terms(game, terms)

    def objective(state: TrainState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        batch = batch if game.pseudo is None else batch | {"image": _presented(game, game.pseudo, state, batch, key)}
        return _discriminator(game, terms, play(game, state, batch, key))

    return objective


def generator(game: Game, terms: Sequence[Term] = (), samples: int = 1) -> Objective:
    """Returns the generator's objective.

    The discriminator runs in training mode (batch norm by the moments of the batch); its running statistics are not
    updated.

    Args:
        game: Networks, loss, latent and augmentation.
        terms: Regularisation terms, added to the loss.
        samples: Samples for each example of the batch.

    Returns:
        `(state, batch, key) -> (loss, Aux)`; the batch holds "image" `[b, ...]`, which relativistic losses use too.

    Raises:
        UserError: See `discriminator`.
    """
    _require_playable(game)
    _require_terms(game, terms)

    def objective(state: TrainState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        batch = jax.tree.map(lambda x: jnp.repeat(x, samples, axis=0), batch) if samples > 1 else batch
        return _generator(game, terms, play(game, state, batch, key))

    return objective


def regularisation(game: Game, terms: Sequence[Term], player: str, every: int) -> Objective:
    """Returns the objective of separate lazy steps: `every` times the sum of terms, without the adversarial loss.

    Args:
        game: Networks, loss, latent and augmentation.
        terms: At least one.
        player: Whose terms they are: "discriminator" or "generator".
        every: Iterations from one step to the next.
    """
    _require_playable(game)
    _require_terms(game, terms)

    def objective(state: TrainState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        added, metrics, extra = _sum(terms, play(game, state, batch, key).context, player)
        return every * added, Aux({}, extra, metrics)  # XLA removes the adversarial loss, which nothing uses

    return objective


def _presented(game: Game, pseudo: Pseudo, state: TrainState, batch: Batch, key: Array) -> Array:
    """Returns what the discriminator is shown as real examples."""
    pseudo_key = rng.named(key, "pseudo")

    def sample(keys: Array) -> Array:
        params, stats = state.params["generator"], state.stats["generator"]
        drawn, noise = inputs_of(game)(keys, batch), rng.named(pseudo_key, "generator")
        return game.networks["generator"].apply(params, stats, drawn, train=True, key=noise)[0]

    return pseudo(batch["image"], rng.per_example(pseudo_key, len(batch["image"])), state, sample)


def _discriminator(game: Game, terms: Sequence[Term], played: Played) -> tuple[Array, Aux]:
    real, fake = played.real_logits, played.fake_logits
    assert game.loss is not None  # as the players' objectives check
    loss = losses.resolve(game.loss, played.context.state, rng.named(played.key, "loss"))
    value = jnp.mean(loss.discriminator(real, fake))
    added, metrics, extra = _sum(terms, played.context, "discriminator")
    metrics |= {
        "loss": value,
        "accuracy_real": jnp.mean((1 + jnp.sign(real)) / 2),  # a logit of 0 counts as half right
        "accuracy_fake": jnp.mean((1 - jnp.sign(fake)) / 2),
        "probability_real": jnp.mean(jax.nn.sigmoid(real)),
        "probability_fake": jnp.mean(jax.nn.sigmoid(fake)),
        "logit_real": jnp.mean(real),
        "logit_fake": jnp.mean(fake),
    }
    metrics |= _spread(played.context.real, played.context.real_output, "real")
    judges = {name: stats for name, stats in played.stats.items() if name != "generator"}
    return value + added, Aux(judges, extra, metrics)


def _generator(game: Game, terms: Sequence[Term], played: Played) -> tuple[Array, Aux]:
    assert game.loss is not None  # as the players' objectives check
    loss = losses.resolve(game.loss, played.context.state, rng.named(played.key, "loss"))
    value = jnp.mean(loss.generator(played.real_logits, played.fake_logits))  # XLA removes the real part where unused
    added, metrics, extra = _sum(terms, played.context, "generator")
    metrics |= {"loss": value} | _spread(played.context.fake, played.context.fake_output, "fake")
    return value + added, Aux({"generator": played.stats["generator"]}, extra, metrics)


def _spread(examples: Array, output: dict[str, PyTree], side: str) -> Metrics:
    """Metrics of mode collapse: variances of real or of fake examples over the global batch.

    "diversity" is the mean variance of pixels, and "feature_variance" that of the discriminator's features, or of its
    logits if it returns no features. A collapsed generator has much smaller ones than the data. Real examples are
    measured in the discriminator's move and fake ones in the generator's.
    """
    sets = {f"diversity_{side}": examples, f"feature_variance_{side}": output.get("features", output["logits"])}
    means = parallel.pmean(jax.tree.map(lambda x: jnp.mean(x, axis=0), sets))  # global means; the rest is linear
    return jax.tree.map(lambda x, mean: jnp.mean((x - mean) ** 2), sets, means)


def _sum(terms: Sequence[Term], context: Context, player: str) -> tuple[Array, Metrics, dict[str, PyTree]]:
    """Evaluates a player's terms: returns their sum, their metrics and their new slot values."""
    total, metrics, extra = jnp.zeros(()), {}, {}
    for term in terms:
        values = term.value(context._replace(keys=rng.each(context.keys, f"{player} {term.name}")))
        if isinstance(values, tuple):
            values, carried = values
            extra |= carried
        value = jnp.mean(values)
        metrics[term.name] = value
        total += value
    return total, metrics, extra


def _require_playable(game: Game) -> None:
    """Refuses a game that lacks what its discriminator and generator need."""
    if missing := {"generator", "discriminator"} - set(game.networks):
        raise UserError(f"networks: {sorted(missing)} missing, there are only {sorted(game.networks)}; add them")
    if game.loss is None:
        raise UserError("game: it has no adversarial loss; give one, such as losses.hinge()")
    inputs_of(game)


def _require_terms(game: Game, terms: Sequence[Term]) -> None:
    """Refuses terms that share a name, and per-example terms on networks that depend on the whole batch."""
    names = [term.name for term in terms]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"terms: two are named {twice[0]!r}; rename one with term._replace(name='another')")
    for term in terms:
        body = ["body"] if "discriminator" in term.per_example and "body" in game.networks else []
        for network in (*term.per_example, *body):
            if game.networks[network].batch_dependent():
                raise UserError(
                    f"terms: {term.name!r} differentiates the output of the {network} for each example, but that "
                    "output depends on the whole batch (batch norm or a minibatch layer?); set the norm of its module "
                    "to spectral, layer or none by norm=..., in networks.projected by "
                    "critic=gan_jax.networks.wrappers.projected.Critics(norm='none'), and leave minibatch layers out"
                )
