"""The GAN that the classic experiments vary: what all of them can be told, and its parts, sized by the data.

An experiment's `Config` extends `Baseline` by what is its paper's own, and its `build` changes the game in one place:

    networks = baseline.networks(config, spec, norm="none")
    return baseline.game(config, networks, losses.least_squares())

Unless an experiment's docstring says otherwise, its losses, terms and rules are its paper's, and its networks, sizes,
rates and batches the baseline's. Samples come from an average of the generator's weights, which most of the papers do
not use; `--ema-decay 0` turns it off.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from gan_jax import data, latents, loop, optimizers, rng, rules
from gan_jax.checks import require
from gan_jax.data import Spec, names
from gan_jax.errors import UserError
from gan_jax.game import PLAYERS, gan, system
from gan_jax.networks import dcgan, linen, mixed, mlp, resnet
from gan_jax.networks.heads import Body, Head
from gan_jax.networks.layers.norm import AnyNorm
from gan_jax.networks.wrappers import remat
from gan_jax.optimizers import AnyOptimizer, Optimizer
from gan_jax.rules.controllers import ema
from gan_jax.types import Latent, Loss, Network, Objective, Player, System

Kind = Literal["dcgan", "resnet"]
Precision = Literal["float32", "bfloat16"]


def lasting(steps: int) -> Any:
    """Returns the field of a config that says how long its experiment runs, and how often it reports."""
    return field(default_factory=lambda: loop.Run(steps=steps, log_every=100, sample_every=250))


@dataclass(frozen=True)
class Common:
    """What every experiment can be told."""

    dataset: str = "digits"
    """digits (in the package), a TFDS name such as fashion_mnist, a folder of images, or points: ring, grid, ...; to
    translate edges:NAME, grey:NAME, inverted:NAME, recoloured:NAME or pairs:DIRECTORY:DIRECTORY, and with unpaired:
    before them without pairs; few:10:0:NAME for few labels."""
    resolution: int | None = None
    """Resize images to this side; for DCGAN's networks it must be 28, 32 or 64."""
    batch_size: int = 32
    """Examples a batch, over all devices."""
    latent_size: int = 32
    """Dimensions of the generator's input."""
    latent: latents.Distribution = "normal"
    """normal; uniform on [0, 1]; or symmetric, uniform on [-1, 1], as in DCGAN's paper."""
    beta1: float = 0.5
    """Of Adam: how long it remembers gradients."""
    ema_decay: float = 0.999
    """Samples come from an average of the generator; 0 takes the last one."""
    accumulate: int = 1
    """Batches whose mean gradient makes a move, one in memory at a time."""
    precision: Precision = "float32"
    """What networks compute in; parameters, statistics and losses are float32. bfloat16 is faster on accelerators."""
    activations: remat.Kept = "everything"
    """What is kept of a forward pass for the backward one, to save memory at the cost of time; see `wrappers.remat`."""
    seed: int = 0
    """Everything random follows from it."""
    run: loop.Run = lasting(11_000)


@dataclass(frozen=True)
class Baseline(Common):
    """What every classic experiment can be told."""

    g_width: int = 32
    """Channels of the generator's largest hidden map; each smaller one has twice as many, but in residual networks,
    which have one width. For points a quarter of the units of each of two hidden layers."""
    d_width: int = 24
    """The same of the discriminator."""
    g_learning_rate: float = 1e-3
    """Of the generator's Adam."""
    d_learning_rate: float = 3e-4
    """Of the discriminator's."""
    beta2: float = 0.99
    """Of both: how long it remembers squares of gradients."""
    decay_steps: int = 0
    """Iterations over which both learning rates fall to 0; 0 keeps them."""
    decay_start: int = 0
    """Iterations before they fall: CycleGAN's paper keeps them for the first half of its run."""
    decay: Literal["linear", "cosine"] = "linear"
    """How they fall: along a line, or half a cosine."""
    warm_up: int = 0
    """Iterations over which they rise from 0 at first."""


def latent(config: Common) -> Latent:
    """Returns the generator's input."""
    return latents.latent(config.latent, config.latent_size)


def generator(config: Baseline, spec: Spec, norm: AnyNorm = "batch", kind: Kind = "dcgan") -> nn.Module:
    """Returns a generator of images of this kind; of points, two hidden layers, unbounded and without norm.

    Args:
        config: Its width.
        spec: What it makes.
        norm: Of its layers, for images.
        kind: For images.
    """
    _require_sizes(config)
    if len(spec.shape) == 1:
        if kind != "dcgan":
            raise UserError(f"network={kind!r}: it is for images, and these are points; leave it out")
        return mlp.Generator(spec.shape, (4 * config.g_width,) * 2, norm="none", bounded=False)
    module = dcgan.Generator if kind == "dcgan" else resnet.Generator
    return module(spec.shape, config.g_width, norm)


def _require_sizes(config: Baseline) -> None:
    for name in ("g_width", "d_width", "latent_size", "accumulate"):
        if getattr(config, name) < 1:
            raise UserError(f"{name}={getattr(config, name)} must be at least 1")


def discriminator(
    config: Baseline, spec: Spec, norm: AnyNorm = "batch", kind: Kind = "dcgan", **options: Any
) -> nn.Module:
    """Returns a discriminator of images of this kind; of points, two hidden layers, without batch norm.

    Args:
        config: Its width.
        spec: What it judges.
        norm: Of its layers.
        kind: For images.
        options: More of its attributes, such as `with_features`.
    """
    if len(spec.shape) == 1:
        return mlp.Discriminator((4 * config.d_width,) * 2, "none" if norm == "batch" else norm, **options)
    module = dcgan.Discriminator if kind == "dcgan" else resnet.Discriminator
    return module(spec.shape, config.d_width, norm, **options)


def networks(
    config: Baseline, spec: Spec, norm: AnyNorm = "batch", kind: Kind = "dcgan", **options: Any
) -> dict[str, Network]:
    """Returns a generator with batch norm, and a discriminator; arguments as in `discriminator`."""
    return {
        "generator": network(config, generator(config, spec, kind=kind), (config.latent_size,)),
        "discriminator": network(config, discriminator(config, spec, norm, kind, **options), spec.shape),
    }


def network(config: Common, module: nn.Module, *shapes: tuple[int, ...]) -> Network:
    """Returns `linen` of a module, in the config's precision, keeping the activations that it says."""
    return remat.rematerialised(mixed(linen(module, *shapes), config.precision), config.activations)


def headed(
    config: Baseline, spec: Spec, inputs: Latent, norm: AnyNorm = "batch", hidden: int = 0, **heads: nn.Module
) -> dict[str, Network]:
    """Returns a generator with batch norm, and a discriminator that is a head on a "body", which others share.

    Args:
        config: Their widths.
        spec: What they make and judge.
        inputs: The generator's.
        norm: Of the body.
        hidden: Units of the body's last layer, after the maps; 0 for none.
        heads: More of them by name, of features `[b, F]`.
    """
    body = network(config, Body(config.d_width, norm, hidden), spec.shape)
    example = jax.ShapeDtypeStruct((1, *spec.shape), jnp.float32)
    made = jax.eval_shape(lambda key, x: body.apply(*body.init(key), x, train=False)[0], rng.key(0), example)
    parts = {"generator": network(config, generator(config, spec), (inputs.size,)), "body": body}
    heads = {"discriminator": Head(), **heads}
    return parts | {name: network(config, head, made.shape[1:]) for name, head in heads.items()}


def adam(config: Baseline, **options: Any) -> dict[str, Optimizer]:
    """Returns each player's Adam.

    Args:
        config: Rates, their schedule and betas.
        options: More of `optimizers.adam`'s, such as `eps_root`.
    """
    rates = {"discriminator": config.d_learning_rate, "generator": config.g_learning_rate}
    require(lambda: min(rates.values()) > 0, f"learning rates: {rates}; they must be positive")
    betas = (config.beta1, config.beta2)
    require(lambda: min(betas) >= 0 and max(betas) < 1, f"beta1, beta2: {betas}; give numbers from 0 to below 1")
    return {name: optimizers.adam(scheduled(config, rates[name]), *betas, **options) for name in PLAYERS}


def scheduled(config: Baseline, rate: float) -> optimizers.Rate:
    """Returns a learning rate, or its schedule where the config has one."""
    decay, start, warm = config.decay_steps, config.decay_start, config.warm_up
    require(lambda: decay >= 0, f"decay_steps={decay}: give 0 to keep the rates, or more")
    require(lambda: warm >= 0, f"warm_up={warm}: give 0 for none, or more")
    require(lambda: not start or decay, f"decay_start={start}: the rates do not fall; give --decay-steps too")
    shape = {"linear": optimizers.linear, "cosine": optimizers.cosine}[config.decay]
    falling = shape(rate, decay, start) if decay else rate
    return optimizers.warm_up(falling, warm) if warm else falling


def game(
    config: Common,
    networks: Mapping[str, Network],
    loss: Loss,
    optimizer: Mapping[str, AnyOptimizer] | None = None,
    repeats: Mapping[str, int] | None = None,
    inputs: Latent | None = None,
    **options: Any,
) -> System:
    """Returns the game of these networks, with the config's latents, average and, unless others are given, Adam.

    Args:
        config: The experiment's.
        networks: As in `game.gan`.
        loss: The adversarial loss.
        optimizer: Of each player, instead of Adam.
        repeats: Moves of each an iteration.
        inputs: The generator's, where they are not `latent`'s.
        options: Any others of `game.gan`.
    """
    if optimizer is None:
        if not isinstance(config, Baseline):
            raise UserError("optimizer: give one for each, as this config has no learning rates")
        optimizer = adam(config)
    shared = {"repeats": repeats, "ema_decay": config.ema_decay, "accumulate": config.accumulate}
    return gan(networks, loss, inputs or latent(config), optimizer, **shared, **options)


def others(
    config: Baseline,
    networks: Mapping[str, Network],
    players: Mapping[str, tuple[Sequence[str], Objective]],
    inputs: Latent,
    averaged: Sequence[str],
    **options: Any,
) -> System:
    """Returns a game of other players than `game`'s, who take turns, with the config's Adam and averages.

    Args:
        config: The experiment's.
        networks: All, by name.
        players: Name, "discriminator" or "generator" -> the networks that it moves, and its objective.
        inputs: The generator's.
        averaged: Networks to average.
        options: Any others of `game.system`.
    """
    rates, count = adam(config), config.accumulate
    moving = [Player(n, tuple(own), objective, rates[n], batches=count) for n, (own, objective) in players.items()]
    update = rules.then(rules.alternating(moving), *(ema(name, config.ema_decay) for name in averaged))
    return system(networks, moving, update, inputs, batches=count, averaged=averaged, **options)


def train(build: Callable[..., System], config: Common) -> None:
    """Trains what an experiment builds, on the data that its config names.

    Raises:
        UserError: If the data have sources and the system does not translate, or the run directory holds the images.
    """
    options = config.run
    folders = [Path(folder).resolve() for folder in names.directories(names.resolved(config.dataset))]
    if options.workdir and options.workdir.expanduser().resolve() in folders:
        raise UserError(f"workdir={options.workdir}: the images lie there; give another --workdir, such as a subfolder")
    source = data.stream if options.stream else data.load
    dataset = source(config.dataset, resolution=config.resolution, skip_damaged=options.skip_damaged)
    if dataset.spec.source and not build(config, dataset.spec).latent.translates:
        raise UserError(
            f"dataset={config.dataset}: its sources are for translators, pix2pix and cyclegan; give a set of "
            "images without sources"
        )
    loop.run(build, dataset, config)
