"""From networks, a loss, terms and an augmentation to what a player descends.

No objective stops the gradient of another player's networks: the gradient is taken with respect to the player's own
parameters, and rules of second order need the rest.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gan_jax import losses, rng
from gan_jax.devices import parallel
from gan_jax.errors import UserError
from gan_jax.types import (
    Array,
    Augment,
    Aux,
    Batch,
    Condition,
    Context,
    Latent,
    Loss,
    Metrics,
    Network,
    Objective,
    PyTree,
    Term,
    TrainState,
)


class Game(NamedTuple):
    """What a generator and a discriminator play.

    Attributes:
        networks: "generator", latents -> images; "discriminator", images -> logits `[b, ...]`, or a dictionary that
            holds them as "logits" beside whatever terms look at ("features"). If there is a "body", images ->
            features, the discriminator judges these, and so may other networks, in terms.
        loss: The adversarial loss, or a function of the state and a key that makes it.
        latent: The generator's input.
        augment: Changes real and fake alike before the discriminator sees them, in both players' objectives.
        condition: What the discriminator sees beside images, see `given`.
    """

    networks: Mapping[str, Network]
    loss: Loss
    latent: Latent
    augment: Augment | None = None
    condition: Condition | None = None


def given(*names: str) -> Condition:
    """Returns the condition of showing arrays of the batch, such as "label" or "source", beside real and fake."""

    def condition(state: TrainState, batch: Batch, inputs: Array) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        if missing := [name for name in names if name not in batch]:
            raise UserError(f"condition: the data have no {missing}, only {sorted(batch)}; use a data set that has")
        beside = tuple(batch[name] for name in names)
        return beside, beside

    return condition


def discriminator(game: Game, terms: Sequence[Term] = ()) -> Objective:
    """Returns the objective of the player that tells real from fake.

    Real and fake pass the discriminator as two batches, both from the statistics of before the move, and the new
    statistics are the mean of theirs: batch norm normalises each by its own moments, and spectral norm, whose vectors
    do not depend on the batch, gives both the same sigma and moves once.

    Args:
        game: What is played.
        terms: Added to the loss.

    Returns:
        `(state, batch, key) -> (loss, Aux)`; the batch holds "image" `[b, ...]`.

    Raises:
        UserError: If a term differentiates single examples and the network mixes its batch.
    """
    _require_terms(game, terms)
    return lambda state, batch, key: _discriminator(game, terms, _play(game, state, batch, key))


def generator(game: Game, terms: Sequence[Term] = ()) -> Objective:
    """Returns the objective of the player whose samples should pass for real.

    The discriminator judges in training mode (batch norm by the moments of the batch); its statistics stay as they are.

    Args:
        game: What is played.
        terms: Added to the loss.

    Returns:
        `(state, batch, key) -> (loss, Aux)`; the batch holds "image" `[b, ...]`, which relativistic losses judge too.

    Raises:
        UserError: If a term differentiates single examples and the network mixes its batch.
    """
    _require_terms(game, terms)
    return lambda state, batch, key: _generator(game, terms, _play(game, state, batch, key))


class _Played(NamedTuple):
    """One forward pass of the game."""

    context: Context
    real_logits: Array  # of the global batch
    fake_logits: Array
    stats: dict[str, PyTree]
    key: Array


def _play(game: Game, state: TrainState, batch: Batch, key: Array) -> _Played:
    real, networks = batch["image"], game.networks
    keys = rng.per_example(rng.named(key, "latent"), len(real))
    latents = game.latent.given(keys, batch) if game.latent.given else game.latent.draw(keys)
    beside = game.condition(state, batch, latents) if game.condition else ((), ())

    def generate(latents: Array) -> tuple[Array, PyTree]:
        params, stats = state.params["generator"], state.stats["generator"]
        return networks["generator"].apply(params, stats, latents, train=True, key=rng.named(key, "generator"))

    def judge(images: Array, purpose: str, beside: tuple[Array, ...]) -> tuple[dict[str, PyTree], dict[str, PyTree]]:
        if game.augment is not None:
            keys = rng.per_example(rng.named(key, f"augment {purpose}"), len(images))
            images = game.augment(images, keys, state)
        new, features = {}, {}
        for name in ("body", "discriminator") if "body" in networks else ("discriminator",):
            inputs = (images, *beside) if name == "discriminator" else (images,)
            own = rng.named(key, purpose if name == "discriminator" else f"{purpose} {name}")
            params, stats = state.params[name], state.stats[name]
            images, new[name] = networks[name].apply(params, stats, *inputs, train=True, key=own)
            features = {"features": images} if name == "body" else features
        return features | (images if isinstance(images, dict) else {"logits": images}), new

    def apply(name: str, *inputs: Array) -> PyTree:
        if name not in networks:
            raise UserError(f"terms: one applies the network {name!r}; the game has {sorted(networks)}")
        own = rng.named(key, f"{name} of terms")
        return networks[name].apply(state.params[name], state.stats[name], *inputs, train=True, key=own)[0]

    fake, generator_stats = generate(latents)
    real_output, real_stats = judge(real, "real", beside[0])
    fake_output, fake_stats = judge(fake, "fake", beside[1])
    _require_fit(real, fake, real_output)
    context = Context(
        real,
        fake,
        latents,
        critic=lambda images: judge(images, "term", beside[0])[0]["logits"],
        generate=lambda latents: generate(latents)[0],
        real_output=real_output,
        fake_output=fake_output,
        apply=apply,
        keys=rng.per_example(rng.named(key, "terms"), len(real)),
        state=state,
        batch=batch,
    )
    real_logits, fake_logits = parallel.gather((real_output["logits"], fake_output["logits"]))
    stats = {"generator": generator_stats} | jax.tree.map(lambda a, b: (a + b) / 2, real_stats, fake_stats)
    return _Played(context, real_logits, fake_logits, stats, key)


def _require_fit(real: Array, fake: Array, output: dict[str, PyTree]) -> None:
    """Checks, while tracing, that samples have the data's shape, and logits a row for each example or pack."""
    if fake.shape[1:] != real.shape[1:]:
        raise UserError(
            f"the generator makes examples of shape {fake.shape[1:]}, and the data's are {real.shape[1:]}: build its "
            "network for the data's shape"
        )
    if "logits" not in output:
        raise UserError(f"the discriminator returns {sorted(output)}; add its 'logits' to them")
    rows = output["logits"].shape[:1]  # one for each example, or for each pack
    if not rows or len(real) % rows[0]:
        raise UserError(
            f"the discriminator gives logits {output['logits'].shape} of examples {real.shape}: the first axis must "
            "be that of the examples"
        )


def _discriminator(game: Game, terms: Sequence[Term], played: _Played) -> tuple[Array, Aux]:
    real, fake = played.real_logits, played.fake_logits
    loss = losses.resolve(game.loss, played.context.state, rng.named(played.key, "loss"))
    value = jnp.mean(loss.discriminator(real, fake))
    added, metrics, extra = _sum(terms, played.context, "discriminator")
    metrics |= {
        "loss": value,
        "accuracy_real": jnp.mean((1 + jnp.sign(real)) / 2),  # a logit of 0 is a guess, right every other time
        "accuracy_fake": jnp.mean((1 - jnp.sign(fake)) / 2),
        "probability_real": jnp.mean(jax.nn.sigmoid(real)),
        "probability_fake": jnp.mean(jax.nn.sigmoid(fake)),
        "logit_real": jnp.mean(real),
        "logit_fake": jnp.mean(fake),
    }
    metrics |= _spread(played.context.real, played.context.real_output, "real")
    judges = {name: stats for name, stats in played.stats.items() if name != "generator"}
    return value + added, Aux(judges, extra, metrics)


def _generator(game: Game, terms: Sequence[Term], played: _Played) -> tuple[Array, Aux]:
    loss = losses.resolve(game.loss, played.context.state, rng.named(played.key, "loss"))
    value = jnp.mean(loss.generator(played.real_logits, played.fake_logits))  # XLA drops real where unused
    added, metrics, extra = _sum(terms, played.context, "generator")
    metrics |= {"loss": value} | _spread(played.context.fake, played.context.fake_output, "fake")
    return value + added, Aux({"generator": played.stats["generator"]}, extra, metrics)


def _spread(examples: Array, output: dict[str, PyTree], side: str) -> Metrics:
    """Measures how real or fake ones vary over the global batch, as images and as the discriminator sees them.

    The variances of pixels, averaged, are the "diversity"; of the discriminator's features, or of its logits where it
    gives none, the "feature_variance". A generator that has collapsed has little of either beside the real ones. Each
    side is measured in the move that evaluates it anyway.
    """
    sets = {f"diversity_{side}": examples, f"feature_variance_{side}": output.get("features", output["logits"])}
    means = parallel.pmean(jax.tree.map(lambda x: jnp.mean(x, axis=0), sets))  # global ones; the rest is linear
    return jax.tree.map(lambda x, mean: jnp.mean((x - mean) ** 2), sets, means)


def _sum(terms: Sequence[Term], context: Context, player: str) -> tuple[Array, Metrics, dict[str, PyTree]]:
    """Evaluates terms, each with keys of its own."""
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


def _require_terms(game: Game, terms: Sequence[Term]) -> None:
    """Refuses terms that share a name, or that differentiate single examples of a network that mixes its batch."""
    names = [term.name for term in terms]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"terms: two are called {twice[0]!r}; rename one: term._replace(name='another')")
    named = {network for term in terms for network in term.per_example}
    for network in sorted(named | ({"body"} & set(game.networks) if "discriminator" in named else set())):
        if game.networks[network].batch_dependent():
            raise UserError(
                f"terms: one differentiates what the {network} makes of each example, but that depends on the whole "
                "batch (minibatch layer, batch norm?), so that does not exist; use spectral or layer norm, or none"
            )
