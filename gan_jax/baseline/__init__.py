"""Baseline GAN of the classic experiments: their common configuration, networks and players.

An experiment's `Config` extends `Baseline` by its paper's options, and its `build` writes out its game and players:

    game = Game(baseline.networks(config, spec), losses.least_squares(), baseline.latent(config))
    players = [baseline.discriminator(config, game), baseline.generator(config, game)]
    return baseline.system(config, game, rules.alternating(players))

An experiment that does not use all of `Baseline` extends the groups of settings that it does use. Unless an
experiment's docstring says otherwise, its losses, terms and rules are its paper's, and its networks, sizes, learning
rates and batch sizes are the baseline's. Samples come from an average of the generator's weights, which most of the
papers do not use; `--ema-decay 0` turns it off.
"""

from gan_jax.baseline.config import (
    Adam,
    Baseline,
    Betas,
    Common,
    Essentials,
    Latents,
    Networks,
    Rates,
    ResidualNetworks,
    Schedule,
    Widening,
    Widths,
    lasting,
)
from gan_jax.baseline.networks import (
    Architecture,
    discriminator_module,
    generator_module,
    headed,
    latent,
    network,
    networks,
    source_shape,
)
from gan_jax.baseline.training import adam, discriminator, generator, scheduled, system, train

__all__ = [
    "Adam",
    "Architecture",
    "Baseline",
    "Betas",
    "Common",
    "Essentials",
    "Latents",
    "Networks",
    "Rates",
    "ResidualNetworks",
    "Schedule",
    "Widening",
    "Widths",
    "adam",
    "discriminator",
    "discriminator_module",
    "generator",
    "generator_module",
    "headed",
    "lasting",
    "latent",
    "network",
    "networks",
    "scheduled",
    "source_shape",
    "system",
    "train",
]
