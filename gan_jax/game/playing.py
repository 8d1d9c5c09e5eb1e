"""A game, and one forward pass of it, on which all objectives are built."""

from collections.abc import Mapping
from typing import NamedTuple

import jax

from gan_jax import numerics, rng
from gan_jax.devices import parallel
from gan_jax.errors import UserError
from gan_jax.game import inputs
from gan_jax.networks.wrappers import unfit
from gan_jax.types import (
    Array,
    Augment,
    Batch,
    Condition,
    Context,
    Inputs,
    Latent,
    Loss,
    Network,
    Pseudo,
    PyTree,
    Refine,
    TrainState,
)


class Game(NamedTuple):
    """What players share: the networks, the adversarial loss, and what the generator is given.

    Attributes:
        networks: All networks, by name. An adversarial game has "generator", inputs -> examples; and "discriminator",
            examples -> logits `[b, ...]`, or a dictionary of "logits" and other outputs for terms, such as "features".
            With a "body", examples -> features, the discriminator takes these features; so may other networks, in
            terms.
        loss: The adversarial loss, or `(state, key) -> loss`; None for games without one.
        latent: Distribution of latents, from which samples are drawn; None for a system that does not sample.
        inputs: `(keys [b], batch) -> inputs`: what the generator is given in training; by default latents.
        augment: Augmentation of real and fake examples before the discriminator, in both players' objectives.
        condition: Further inputs of the discriminator; see `given`.
        refine: Changes latents before either player uses them, for example along the gradient of the discriminator's
            logits; see `methods.latent_optimisation`.
        pseudo: Replaces real examples in the discriminator's objective; see `methods.pseudo_augmentation`.
    """

    networks: Mapping[str, Network]
    loss: Loss | None = None
    latent: Latent | None = None
    inputs: Inputs | None = None
    augment: Augment | None = None
    condition: Condition | None = None
    refine: Refine | None = None
    pseudo: Pseudo | None = None


class Played(NamedTuple):
    """Results of one forward pass of a game.

    Attributes:
        context: What terms are given.
        real_logits: Logits of the global batch's real examples, `[B, ...]`.
        fake_logits: Logits of its samples, `[B, ...]`.
        stats: Name of each network -> its new running statistics.
        key: The key of the move.
    """

    context: Context
    real_logits: Array
    fake_logits: Array
    stats: dict[str, PyTree]
    key: Array


def play(game: Game, state: TrainState, batch: Batch, key: Array) -> Played:
    """Plays a game once: generates samples, and judges them and the real examples.

    Args:
        game: The game.
        state: The state before the move.
        batch: Holds "image" `[b, ...]`, this device's real examples.
        key: A typed key, the same on every device.

    Raises:
        UserError: While tracing, if samples and real examples differ in shape, or the logits do not fit the examples.
    """
    real, networks = batch["image"], game.networks
    keys = rng.per_example(rng.named(key, "latent"), len(real))
    latents = inputs_of(game)(keys, batch)

    def run(name: str, purpose: str, *inputs: Array) -> tuple[PyTree, PyTree]:
        noise_key = rng.named(key, purpose)
        with unfit.named(name):
            return networks[name].apply(state.params[name], state.stats[name], *inputs, train=True, key=noise_key)

    def judge(images: Array, purpose: str, further: tuple[Array, ...]) -> tuple[dict[str, PyTree], dict[str, PyTree]]:
        if game.augment is not None:
            keys = rng.per_example(rng.named(key, f"augment {purpose}"), len(images))
            changed = game.augment(images, keys, state)
            images, *added = changed if isinstance(changed, tuple) else (changed,)
            further = (*further, *added)
        new, features = {}, {}
        if "body" in networks:
            images, new["body"] = run("body", f"{purpose} body", images)
            features = {"features": images}
        output, new["discriminator"] = run("discriminator", purpose, images, *further)
        return features | (output if isinstance(output, dict) else {"logits": output}), new

    def apply(name: str, *inputs: Array) -> PyTree:
        if name not in networks:
            raise UserError(f"terms: one applies the network {name!r}, but the game has only {sorted(networks)}")
        return run(name, f"{name} of terms", *inputs)[0]

    def conditions(latents: Array) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        return game.condition(state, batch, latents) if game.condition else ((), ())

    def score(latents: Array) -> Array:
        sample = run("generator", "generator", latents)[0]
        return numerics.average(judge(sample, "fake", conditions(latents)[1])[0]["logits"])

    if game.refine is not None:
        latents = game.refine(latents, rng.each(keys, "refine"), score)
    real_conditions, fake_conditions = conditions(latents)
    fake, generator_stats = run("generator", "generator", latents)
    _require_examples(real, fake)
    real_output, real_stats = judge(real, "real", real_conditions)
    fake_output, fake_stats = judge(fake, "fake", fake_conditions)
    _require_logits(real, real_output)
    context = Context(
        real,
        fake,
        latents,
        critic=lambda images: judge(images, "term", real_conditions)[0]["logits"],
        fake_critic=lambda images: judge(images, "term", fake_conditions)[0]["logits"],
        generate=lambda latents: run("generator", "generator", latents)[0],
        real_output=real_output,
        fake_output=fake_output,
        apply=apply,
        keys=rng.per_example(rng.named(key, "terms"), len(real)),
        state=state,
        batch=batch,
    )
    real_logits, fake_logits = parallel.gather((real_output["logits"], fake_output["logits"]))
    stats = {"generator": generator_stats} | jax.tree.map(lambda a, b: (a + b) / 2, real_stats, fake_stats)
    return Played(context, real_logits, fake_logits, stats, key)


def inputs_of(game: Game) -> Inputs:
    """Returns what the generator is given in training.

    Raises:
        UserError: If the game has neither inputs nor a latent.
    """
    if game.inputs is not None:
        return game.inputs
    if game.latent is None:
        raise UserError(
            "game: the generator has no input; give the game a latent, or inputs (a function of key and batch)"
        )
    return inputs.drawn(game.latent)


def _require_examples(real: Array, fake: Array) -> None:
    """Checks, while tracing, that samples have the data's shape."""
    if fake.shape[1:] != real.shape[1:]:
        raise UserError(
            f"the generator makes examples of shape {fake.shape[1:]}, but the data have {real.shape[1:]}; build its "
            "network for the data's shape"
        )


def _require_logits(real: Array, output: dict[str, PyTree]) -> None:
    """Checks, while tracing, that there is one row of logits per example or pack."""
    if "logits" not in output:
        raise UserError(f"the discriminator returns {sorted(output)} without 'logits'; return them too")
    rows = output["logits"].shape[:1]  # one per example, or per pack
    if not rows or len(real) % rows[0]:
        raise UserError(
            f"the discriminator returns logits of shape {output['logits'].shape} for examples of shape {real.shape}; "
            "return one row of logits per example"
        )
