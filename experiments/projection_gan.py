"""Projection GAN (Miyato & Koyama 2018, arXiv:1802.05637): D's logit has a product with a class embedding.

    for each iteration:
        n times: D minimises max(0, 1 - D(x, y)) + max(0, 1 + D(G(z, y'), y')), with x dequantised
        G minimises -D(G(z, y'), y')
    where D(x, y) = w^T h(x) + b + e_y^T h(x), with spectral norm, and y' is uniform

The batch norms of G have a scale and a shift for each class. The settings of the authors' code for CIFAR-10 are
`--dataset cifar10 --d-steps 5 --g-width 64 --d-width 32 --batch-size 64 --latent-size 128 --g-learning-rate 2e-4
--d-learning-rate 2e-4 --decay-steps 50000 --steps 50000`, and for ImageNet at 128 pixels `--g-width 64 --d-width 64
--decay-start 400000 --decay-steps 50000 --steps 450000`, the rest being equal. That code has batches of 128 for G, no b
for CIFAR-10, and a last convolution of G that starts sqrt(2) times smaller. The defaults have fewer channels and n = 1,
for CPUs. Samples come from an average of the generator's weights, which the paper does not use; `--ema-decay 0` turns
it off. Samples of one class: `python -m gan_jax.sample RUN --labels 3`; a grid has one column per class.
"""

from dataclasses import dataclass

from gan_jax import baseline, latents, losses, rules
from gan_jax.cli import cli
from gan_jax.data import Spec
from gan_jax.game import Game, drawn_labels
from gan_jax.methods.dequantisation import dequantised
from gan_jax.networks import biggan
from gan_jax.types import System


@dataclass(frozen=True)
class Config(baseline.Adam, baseline.ConditionalNetworks):
    """The baseline with class-conditional residual networks and the paper's betas."""

    d_steps: int = 1
    """n, the discriminator updates per iteration."""
    g_learning_rate: float = 1e-3
    d_learning_rate: float = 1e-3
    beta1: float = 0.0
    beta2: float = 0.9


def build(config: Config, spec: Spec) -> System:
    """Assembles a generator with conditional batch norm, a projection discriminator, and the hinge loss."""
    latent = latents.labelled(baseline.latent(config), spec.classes)
    g = biggan.Generator(spec.shape, spec.classes, config.g_width, norm="none", kernel_init=biggan.glorot)
    d = biggan.Discriminator(spec.shape, spec.classes, config.d_width, wide=False, kernel_init=biggan.glorot)
    networks = {
        "generator": baseline.network(config, g, (latent.size,)),
        "discriminator": baseline.network(config, d, spec.shape, ()),
    }
    game = Game(networks, losses.hinge(), latent, condition=drawn_labels(latent))
    players = [baseline.discriminator(config, game), baseline.generator(config, game)]
    rule = rules.alternating(players, {"discriminator": config.d_steps})
    return dequantised(baseline.system(config, game, rule))


def main(config: Config) -> None:
    """Trains projection GAN."""
    baseline.train(build, config)


if __name__ == "__main__":
    cli(main, __doc__)
