"""Baseline GAN of the classic experiments: their common configuration, networks and optimisers.

An experiment's `Config` extends `Baseline` by its paper's options, and its `build` changes the game in one place:

    networks = baseline.networks(config, spec, norm="none")
    return baseline.game(config, networks, losses.least_squares())

Unless an experiment's docstring says otherwise, its losses, terms and rules are its paper's, and its networks, sizes,
learning rates and batch sizes are the baseline's. Samples come from an average of the generator's weights, which most
of the papers do not use; `--ema-decay 0` turns it off.
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
    """Returns the `run` field of a config: this many iterations, logged every 100, with sample grids every 250."""
    return field(default_factory=lambda: loop.Run(steps=steps, log_every=100, sample_every=250))


@dataclass(frozen=True)
class Common:
    """Configuration of every experiment."""

    dataset: str = "digits"
    """Data set: digits (included), a TFDS name such as fashion_mnist, a folder of images, or points in the plane such
    as ring or grid. For translation: edges:NAME, grey:NAME, inverted:NAME, recoloured:NAME or
    pairs:DIRECTORY:DIRECTORY, each with the prefix unpaired: to train without pairs. For semi-supervised learning:
    few:10:0:NAME, with 10 labels per class, draw number 0."""
    resolution: int | None = None
    """Side in pixels to resize images to; 28, 32 or 64 for DCGAN's and residual networks."""
    batch_size: int = 32
    """Examples per batch, over all devices."""
    latent_size: int = 32
    """Dimensions of the generator's latent input."""
    latent: latents.Distribution = "normal"
    """Distribution of latents: normal; uniform on [0, 1]; or symmetric, uniform on [-1, 1] as in DCGAN's paper."""
    beta1: float = 0.5
    """Adam's beta1, the decay of the average of gradients, in [0, 1)."""
    ema_decay: float = 0.999
    """Decay of the moving average of the generator that samples come from, in [0, 1); 0 samples the current one."""
    accumulate: int = 1
    """Gradient accumulation: batches whose mean gradient makes a move, one in memory at a time."""
    precision: Precision = "float32"
    """Precision of the networks' computations; parameters, statistics and losses stay float32. bfloat16 is faster on
    accelerators."""
    activations: remat.Kept = "everything"
    """Activations kept for the backward pass: everything, the outputs of layers with weights, or nothing. Keeping less
    saves memory on accelerators and takes longer."""
    seed: int = 0
    """Seed of all randomness."""
    run: loop.Run = lasting(11_000)


@dataclass(frozen=True)
class Baseline(Common):
    """Configuration of the classic experiments: widths, learning rates and their schedule."""

    g_width: int = 32
    """Channels of the generator's largest hidden map; doubled in each smaller map, except in residual networks. For
    points, each of two hidden layers has four times as many units."""
    d_width: int = 24
    """Channels of the discriminator's largest hidden map; otherwise as g_width."""
    g_learning_rate: float = 1e-3
    """Learning rate of the generator's Adam."""
    d_learning_rate: float = 3e-4
    """Learning rate of the discriminator's Adam."""
    beta2: float = 0.99
    """Adam's beta2, the decay of the average of squared gradients, in [0, 1)."""
    decay_steps: int = 0
    """Iterations in which both learning rates decay to 0; 0 keeps them constant."""
    decay_start: int = 0
    """Iterations before the decay; needs decay_steps. In CycleGAN's paper, half of the run."""
    decay: Literal["linear", "cosine"] = "linear"
    """Shape of the decay: linear, or half a period of a cosine."""
    warm_up: int = 0
    """Iterations of linear warm-up of both learning rates; 0 for none."""


def latent(config: Common) -> Latent:
    """Returns the distribution of latents that the config names."""
    return latents.latent(config.latent, config.latent_size)


def generator(config: Baseline, spec: Spec, norm: AnyNorm = "batch", kind: Kind = "dcgan") -> nn.Module:
    """Returns the generator's module: DCGAN's or residual for images; for other kinds an MLP of two hidden layers.

    Args:
        config: Holds the width.
        spec: Shape of the examples.
        norm: Normalisation, for images; the MLP has none.
        kind: Architecture, for images.

    Raises:
        UserError: If a width or size is below 1, or `kind` is "resnet" for what is no image.
    """
    _require_sizes(config)
    if not spec.kind.is_image:
        if kind != "dcgan":
            raise UserError(f"network={kind!r}: it is for images, and these are {spec.kind.noun}; leave it out")
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
    """Returns the discriminator's module: DCGAN's or residual for images; for other kinds an MLP of two hidden layers.

    Args:
        config: Holds the width.
        spec: Shape of the examples.
        norm: Normalisation; for what is no image "batch" means none.
        kind: Architecture, for images.
        options: Other attributes of the module, such as `with_features`.
    """
    if not spec.kind.is_image:
        return mlp.Discriminator((4 * config.d_width,) * 2, "none" if norm == "batch" else norm, **options)
    module = dcgan.Discriminator if kind == "dcgan" else resnet.Discriminator
    return module(spec.shape, config.d_width, norm, **options)


def networks(
    config: Baseline, spec: Spec, norm: AnyNorm = "batch", kind: Kind = "dcgan", **options: Any
) -> dict[str, Network]:
    """Returns the generator, with batch norm, and the discriminator; arguments as in `discriminator`."""
    return {
        "generator": network(config, generator(config, spec, kind=kind), (config.latent_size,)),
        "discriminator": network(config, discriminator(config, spec, norm, kind, **options), spec.shape),
    }


def network(config: Common, module: nn.Module, *shapes: tuple[int, ...]) -> Network:
    """Returns a Flax module as a `Network`, with the config's precision and rematerialisation."""
    return remat.rematerialised(mixed(linen(module, *shapes), config.precision), config.activations)


def headed(
    config: Baseline, spec: Spec, inputs: Latent, norm: AnyNorm = "batch", hidden: int = 0, **heads: nn.Module
) -> dict[str, Network]:
    """Returns a generator, with batch norm, and a "body" with several heads, one of which is the discriminator.

    Args:
        config: Holds the widths.
        spec: Shape of the examples.
        inputs: Distribution of the generator's inputs.
        norm: Normalisation of the body.
        hidden: Units of a dense layer at the body's end, for images; 0 for none.
        heads: Name -> module of a further head, from features `[b, F]`.
    """
    body = network(config, Body(config.d_width, norm, hidden), spec.shape)
    example = jax.ShapeDtypeStruct((1, *spec.shape), jnp.float32)
    made = jax.eval_shape(lambda key, x: body.apply(*body.init(key), x, train=False)[0], rng.key(0), example)
    parts = {"generator": network(config, generator(config, spec), (inputs.size,)), "body": body}
    heads = {"discriminator": Head(), **heads}
    return parts | {name: network(config, head, made.shape[1:]) for name, head in heads.items()}


def adam(config: Baseline, **options: Any) -> dict[str, Optimizer]:
    """Returns player name -> Adam with the config's settings.

    Args:
        config: Holds the learning rates, their schedule and the betas.
        options: Other arguments of `optimizers.adam`, such as `eps_root`.

    Raises:
        UserError: If a setting is out of range.
    """
    rates = {"discriminator": config.d_learning_rate, "generator": config.g_learning_rate}
    require(lambda: min(rates.values()) > 0, f"learning rates: {rates}; they must be positive")
    betas = (config.beta1, config.beta2)
    require(lambda: min(betas) >= 0 and max(betas) < 1, f"beta1, beta2: {betas}; give numbers from 0 to below 1")
    return {name: optimizers.adam(scheduled(config, rates[name]), *betas, **options) for name in PLAYERS}


def scheduled(config: Baseline, rate: float) -> optimizers.Rate:
    """Returns a learning rate with the config's decay and warm-up: a schedule, or the number if there are none."""
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
    """Returns `game.gan` of these networks, with the config's latents, averaging, accumulation and Adam.

    Args:
        config: The experiment's configuration.
        networks: As in `game.gan`.
        loss: The adversarial loss.
        optimizer: Player name -> optimiser, instead of Adam; required if the config is no `Baseline`.
        repeats: Player name -> moves per iteration.
        inputs: Distribution of the generator's inputs, instead of `latent(config)`.
        options: Other arguments of `game.gan`.
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
    """Returns a system of alternating players with objectives of their own, and the config's Adam and averaging.

    Args:
        config: The experiment's configuration.
        networks: All networks, by name.
        players: Player name, "discriminator" or "generator" -> the networks that it moves, and its objective.
        inputs: Distribution of the generator's inputs.
        averaged: Names of the networks to average, "generator" among them.
        options: Other arguments of `game.system`.
    """
    rates, count = adam(config), config.accumulate
    moving = [Player(n, tuple(own), objective, rates[n], batches=count) for n, (own, objective) in players.items()]
    update = rules.then(rules.alternating(moving), *(ema(name, config.ema_decay) for name in averaged))
    return system(networks, moving, update, inputs, batches=count, averaged=averaged, **options)


def train(build: Callable[..., System], config: Common) -> None:
    """Trains an experiment's system on the data set of its config.

    Args:
        build: The experiment's `(config, spec) -> System`.
        config: The experiment's configuration.

    Raises:
        UserError: If the data set is for translation and the system does not translate, or the run directory is the
            folder of images.
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
