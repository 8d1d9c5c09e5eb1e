"""The baseline's players, systems and training: `Config` to optimisers, averages and runs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gan_jax import data, loop, optimizers
from gan_jax import game as games
from gan_jax.baseline.config import Adam, Betas, Common, Essentials, Schedule
from gan_jax.checks import require
from gan_jax.data import names
from gan_jax.errors import UserError
from gan_jax.game import Game
from gan_jax.optimizers import AnyOptimizer, Optimizer
from gan_jax.rules.controllers import ema
from gan_jax.types import Controller, Player, Rule, System, Term


def adam(config: Any, learning_rate: float, **options: Any) -> Optimizer:
    """Returns Adam with the config's betas and schedule.

    Args:
        config: Has the settings of `Betas` and `Schedule`.
        learning_rate: The learning rate, before decay and warm-up.
        options: Other arguments of `optimizers.adam`, such as `eps_root`.

    Raises:
        UserError: If a setting is out of range.
    """
    assert isinstance(config, Betas)
    betas = (config.beta1, config.beta2)
    require(lambda: min(betas) >= 0 and max(betas) < 1, f"beta1, beta2 = {betas}: give numbers in [0, 1)")
    return optimizers.adam(scheduled(config, learning_rate), *betas, **options)


def scheduled(config: Any, learning_rate: float) -> optimizers.Rate:
    """Returns a learning rate with the config's decay and warm-up: a schedule, or the number if there are none."""
    assert isinstance(config, Schedule)
    decay, start, warm = config.decay_steps, config.decay_start, config.warm_up
    require(lambda: learning_rate > 0, f"learning rate {learning_rate}: give --g-learning-rate and others above 0")
    require(lambda: decay >= 0, f"decay_steps={decay}: give 0 for constant learning rates, or a positive number")
    require(lambda: warm >= 0, f"warm_up={warm}: give 0 for none, or a positive number")
    require(lambda: not start or decay, f"decay_start={start} has no effect without --decay-steps; give it too")
    shape = {"linear": optimizers.linear, "cosine": optimizers.cosine}[config.decay]
    falling = shape(learning_rate, decay, start) if decay else learning_rate
    return optimizers.warm_up(falling, warm) if warm else falling


def discriminator(
    config: Essentials, game: Game, terms: Sequence[Term] = (), optimizer: AnyOptimizer | None = None, **options: Any
) -> Player:
    """Returns `game.discriminator` with the config's optimiser and gradient accumulation.

    Args:
        config: The experiment's configuration.
        game: The game.
        terms: Regularisation terms, added to the loss.
        optimizer: Instead of Adam with `d_learning_rate`; required if the config is no `Adam`.
        options: Other arguments of `game.discriminator`.
    """
    if optimizer is None:
        optimizer = adam(config, _rates(config).d_learning_rate)
    return games.discriminator(game, optimizer, terms, batches=_batches(config), **options)


def generator(
    config: Essentials, game: Game, terms: Sequence[Term] = (), optimizer: AnyOptimizer | None = None, **options: Any
) -> Player:
    """Returns `game.generator`, by default with Adam and `g_learning_rate`; arguments as in `discriminator`."""
    if optimizer is None:
        optimizer = adam(config, _rates(config).g_learning_rate)
    return games.generator(game, optimizer, terms, batches=_batches(config), **options)


def _batches(config: Essentials) -> int:
    require(lambda: config.accumulate >= 1, f"accumulate={config.accumulate}: give at least 1")
    return config.accumulate


def _rates(config: Essentials) -> Adam:
    if not isinstance(config, Adam):
        raise UserError("optimizer: give one, because this config has no settings of Adam")
    return config


def system(
    config: Common,
    game: Game,
    rule: Rule,
    controllers: Sequence[Controller] = (),
    averaged: Sequence[str] = ("generator",),
    **options: Any,
) -> System:
    """Returns `game.system` with the config's averages.

    Args:
        config: The experiment's configuration.
        game: The game.
        rule: Who moves when.
        controllers: Hooks that run after the moves and before the averages.
        averaged: Names of the networks to average.
        options: Other arguments of `game.system`: `encode`, `translate`, `translate_back`.
    """
    return games.system(game, rule, [*controllers, *(ema(name, config.ema_decay) for name in averaged)], **options)


def train(build: Callable[..., System], config: Essentials) -> None:
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
        raise UserError(f"workdir={options.workdir} is the folder of the data; give another, such as a subfolder")
    source = data.stream if options.stream else data.load
    dataset = source(config.dataset, resolution=config.resolution, skip_damaged=options.skip_damaged)
    if dataset.spec.source and build(config, dataset.spec).translate is None:
        raise UserError(
            f"dataset={config.dataset} has source images, and this experiment does not translate; use pix2pix or "
            "cyclegan, or a data set without sources"
        )
    loop.run(build, dataset, config)
