"""StyleGAN2 (Karras et al. 2020, arXiv:1912.04958), with adaptive augmentation (ADA, arXiv:2006.06676).

    for each iteration:
        G minimises softplus(-D(G(z))); every 4th, in a step of its own, 4 * 2 (|J^T y| - a)^2, the path length in W
        D minimises softplus(D(G(z))) + softplus(-D(x)); every 16th, in a step of its own, 16 * gamma / 2 |grad D(x)|^2
    where G maps latents to styles w, which modulate its convolutions, and J is the derivative of the image in w

Both players use Adam with c times its learning rate and betas to the power of c, c = 4 / 5 for G and 16 / 17 for D, as
steps of regularisation come in addition. `--conditional` gives both networks the labels. Samples of less variety:
`python -m gan_jax.sample RUN --truncation 0.7`, towards the mean style.

`PRESETS` are the configurations of the authors' stylegan2-ada-pytorch (`train.py`, `cfg_specs`). Their batches are in
images over all GPUs, their runs as long as there. What differs: the crossover of style mixing and the random noise are
drawn for each example; fake images have the labels of the batch's real ones; warps of ADA sample bilinearly
(`augment.ada`), and its probability moves in every iteration, not every fourth; the average of G also has the ramp of
`controllers.ema`, and averages the mean style, which is copied there; gradients are not made finite; bfloat16 is used
for float16; images are not flipped, which the authors' `--mirror` does. The defaults are narrow, for CPUs.
"""

from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp

from gan_jax import augment, baseline, latents, loop, losses, optimizers, penalties, rules, terms
from gan_jax.cli import cli
from gan_jax.data import Spec
from gan_jax.game import Game, averaged_network, given, labelled, regularisation, system
from gan_jax.networks import linen, rematerialised, stylegan2
from gan_jax.rules.controllers import adaptive_augmentation, ema
from gan_jax.types import Network, System


@dataclass(frozen=True)
class Config(baseline.Common):
    """Data, precision and run, and the settings that depend on the resolution."""

    conditional: bool = False
    """Whether both networks are given the labels of the data."""
    latent_size: int = 64
    """Dimensions of latents, without the label."""
    style_size: int = 64
    """Dimensions of styles, and units of the mapping network's layers."""
    mapping_depth: int = 2
    """Layers of the mapping network."""
    channel_base: int = 512
    """Channels of a map of side s are channel_base / s, up to channel_max, in both networks."""
    channel_max: int = 64
    """Most channels of a map."""
    residual: bool = True
    """Whether the discriminator's blocks have skip connections."""
    group: int = 4
    """Examples in a group of the minibatch standard deviation; must divide the batch size."""
    learning_rate: float = 0.0025
    """Learning rate of both players, before the correction for lazy regularisation."""
    r1: float = 0.1
    """Gamma, the weight of R1."""
    path_length: float = 2.0
    """Weight of the path length regularisation; 0 for none."""
    mixing: float = 0.9
    """Probability of style mixing."""
    ada: float = 0.0
    """Target of the mean sign of D's logits of real images, to which ADA adapts the probability of its augmentations:
    0.6 in the paper, for small data sets; 0 for no augmentation."""
    ema_ramp: float = 0.05
    """Half-life of the generator's average, as a fraction of the images seen, where that is shorter than by ema_decay;
    0 for no such limit."""


def build(config: Config, spec: Spec) -> System:
    """Assembles both networks, their players with lazy regularisation, ADA, and truncation in W."""
    latent, classes, taken = latents.normal(config.latent_size), 0, []
    if config.conditional:
        latent, classes, taken = latents.labelled(latent, spec.classes), spec.classes, [()]
    dtype = jnp.bfloat16 if config.precision == "bfloat16" else None
    sizes = {"base": config.channel_base, "most": config.channel_max, "classes": classes, "dtype": dtype}
    mapping = {"width": config.style_size, "depth": config.mapping_depth, "mixing": config.mixing}

    def generator(psi: float = 1.0) -> Network:
        module = stylegan2.Generator(spec.shape, psi=psi, **mapping, **sizes)
        network = rematerialised(linen(module, (latent.size,)), config.activations)
        return network._replace(batch_dependent=lambda: False)  # as is known: no need to try

    judge = stylegan2.Discriminator(spec.shape, residual=config.residual, group=config.group, **sizes)
    discriminator = rematerialised(linen(judge, spec.shape, *taken), config.activations)
    networks = {"generator": generator(), "discriminator": discriminator}
    game = Game(networks, losses.non_saturating(), latent, augment=augment.ada() if config.ada else None)
    if config.conditional:
        game = game._replace(inputs=labelled(latent), condition=given("label"))
    g_adam, d_adam = (optimizers.adam(config.learning_rate, 0.0, 0.99, lazy=every) for every in (4, 16))
    g, d = baseline.generator(config, game, (), g_adam), baseline.discriminator(config, game, (), d_adam)
    players = [g, d, regularisation(game, d, [penalties.r1(config.r1, of_sum=True)], 16)]
    if config.path_length:
        paths = terms.path_length(config.path_length, layer="styles", shrink=2)
        players.insert(1, regularisation(game, g, [paths], 4))
    controllers = [adaptive_augmentation(config.batch_size, config.ada)] if config.ada else []
    return system(
        game,
        rules.alternating(players),
        [*controllers, ema("generator", _decay(config.ema_decay, config.ema_ramp))],
        truncate=lambda psi: averaged_network({"generator": generator(psi)}, "generator"),
    )


def _decay(final: float, ramp: float) -> float | optimizers.Schedule:
    """Returns the decay of the average, whose half-life is at most `ramp` times the iterations so far."""
    if not ramp:
        return final
    return lambda step: jnp.minimum(final, 0.5 ** (1 / jnp.maximum(ramp * step, 1e-8)))


def _paper(resolution: int, base: int, kimg: int, batch: int, ema_kimg: float, **settings: Any) -> Config:
    """Returns a configuration of train.py: what all have in common, and its own settings."""
    sizes = {"latent_size": 512, "style_size": 512, "mapping_depth": 8, "channel_base": base, "channel_max": 512}
    run = loop.Run(steps=kimg * 1000 // batch, log_every=100, sample_every=2_000, save_every=2_000)
    common = Config(resolution=resolution, batch_size=batch, precision="bfloat16", ada=0.6, ema_ramp=0.0, run=run)
    return replace(common, ema_decay=0.5 ** (batch / (1000 * ema_kimg)), **sizes | settings)


_CIFAR = {"dataset": "cifar10", "mapping_depth": 2, "path_length": 0.0, "mixing": 0.0, "residual": False}

PRESETS: dict[str, Config] = {
    "paper-cifar10": _paper(32, 32768, 100_000, 64, 500, r1=0.01, group=32, ema_ramp=0.05, **_CIFAR),
    "paper-256": _paper(256, 16384, 25_000, 64, 20, r1=1.0, group=8),
    "paper-512": _paper(512, 32768, 25_000, 64, 20, r1=0.5, group=8),
    "paper-1024": _paper(1024, 32768, 25_000, 32, 10, r1=2.0, learning_rate=0.002),
    "stylegan2": _paper(1024, 32768, 25_000, 32, 10, r1=10.0, learning_rate=0.002, ada=0.0),
}
"""Configurations of train.py: cifar, paper256, paper512, paper1024; and stylegan2, without ADA as in its example."""


def main(config: Config) -> None:
    """Trains StyleGAN2."""
    baseline.train(build, config)


if __name__ == "__main__":
    cli(main, __doc__)
