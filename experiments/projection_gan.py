"""Projection GAN (Miyato & Koyama 2018, arXiv:1802.05637): D adds an inner product of features and class embedding.

    for each iteration:
        n times: D minimises max(0, 1 - D(x, y)) + max(0, 1 + D(G(z, y'), y')), with x dequantised
        G minimises -D(G(z, y'), y')
    where D(x, y) = w^T h(x) + b + e_y^T h(x), with spectral norm, and y' is uniform

The batch norms of G have a scale and a shift for each class. `--preset cifar10` and `--preset imagenet128` have the
settings of the authors' code, except that the code has no b for CIFAR-10, and starts G's last convolution sqrt(2) times
smaller. For ImageNet the code spreads each batch over 4 GPUs, and its batch norms see the 16 or 32 samples of one GPU;
here they see the whole batch. The defaults have fewer channels and n = 1, for CPUs. Samples come from an average of the
generator's weights, which the paper does not use; `--ema-decay 0` turns it off. Samples of one class: `python -m
gan_jax.sample RUN --labels 3`; a grid has one column per class.
"""

from dataclasses import dataclass, replace

from gan_jax import baseline, latents, loop, losses, rules
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
    g_samples: int = 1
    """Samples in a generator update, in multiples of the batch size."""
    g_learning_rate: float = 1e-3
    d_learning_rate: float = 1e-3
    beta1: float = 0.0
    beta2: float = 0.9


CIFAR = Config(  # pfnet-research/sngan_projection, configs/sn_cifar10_conditional.yml
    dataset="cifar10",
    batch_size=64,
    g_samples=2,
    d_steps=5,
    latent_size=128,
    latent="normal",
    g_width=64,
    d_width=32,
    g_learning_rate=2e-4,
    d_learning_rate=2e-4,
    beta1=0.0,
    beta2=0.9,
    decay_steps=50_000,
    ema_decay=0.0,
    run=loop.Run(steps=50_000, sample_every=1_000),
)
PRESETS = {
    "cifar10": CIFAR,
    # configs/sn_projection.yml, whose batch sizes are those of one of the 4 GPUs in README_paper.md
    "imagenet128": replace(
        CIFAR,
        dataset="imagenet2012",
        resolution=128,
        d_width=64,
        decay_start=400_000,
        run=loop.Run(steps=450_000, sample_every=1_000),
    ),
}


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
    players = [baseline.discriminator(config, game), baseline.generator(config, game, samples=config.g_samples)]
    rule = rules.alternating(players, {"discriminator": config.d_steps})
    return dequantised(baseline.system(config, game, rule))


def main(config: Config) -> None:
    """Trains projection GAN."""
    baseline.train(build, config)


if __name__ == "__main__":
    cli(main, __doc__, presets=PRESETS)
