"""SAGAN (Zhang et al. 2019, arXiv:1805.08318): self-attention and spectral norm in both networks, two learning rates.

    for each iteration:
        D minimises max(0, 1 - D(x, y)) + max(0, 1 + D(G(z, y'), y')), with y' uniform
        G minimises -D(G(z, y'), y'), at a quarter of D's learning rate
    where one map h of each network becomes h + gamma W_o (softmax(Q K^T) V), with Q, K, V linear in h

Labels enter both networks as in projection_gan. `--preset paper-imagenet128` has the paper's settings for ImageNet at
128 pixels. Attention is that of the authors' code, which pools K and V, but beta2 is the paper's: 0.9, not 0.999. By
default x is dequantised, as in projection_gan; in the authors' code and in the preset it is not.
Samples come from an average of the generator's weights, which the paper does not use; `--ema-decay 0` turns it off.
Samples of one class: `python -m gan_jax.sample RUN --labels 3`; a grid has one column per class.
"""

from dataclasses import dataclass

from flax.linen.initializers import glorot_uniform

from gan_jax import baseline, latents, loop, losses, rules
from gan_jax.cli import cli
from gan_jax.data import Spec
from gan_jax.game import Game, drawn_labels
from gan_jax.methods.dequantisation import dequantised
from gan_jax.networks import biggan
from gan_jax.types import System


@dataclass(frozen=True)
class Config(baseline.Adam, baseline.ConditionalNetworks):
    """The baseline with class-conditional residual networks and the paper's betas and ratio of learning rates."""

    attention: int = 2
    """Self-attention acts on the maps whose side is that of the images divided by this number: 2, 4, ...; 0 for
    none."""
    dequantise: bool = True
    """Add uniform noise to real images, which makes their grey levels continuous."""
    g_learning_rate: float = 5e-4
    d_learning_rate: float = 2e-3
    beta1: float = 0.0
    beta2: float = 0.9


PRESETS = {
    # section 4, with attention on maps of side 32 (table 1); train_imagenet.py and model.py of
    # brain-research/self-attention-gan, but for beta2; its README speaks of one million iterations
    "paper-imagenet128": Config(
        dataset="imagenet2012",
        resolution=128,
        batch_size=256,
        latent_size=128,
        latent="normal",
        g_width=64,
        d_width=64,
        attention=4,
        dequantise=False,
        g_learning_rate=1e-4,
        d_learning_rate=4e-4,
        beta1=0.0,
        beta2=0.9,
        ema_decay=0.0,
        run=loop.Run(steps=1_000_000, sample_every=1_000),
    )
}


def build(config: Config, spec: Spec) -> System:
    """Assembles a conditional generator and a projection discriminator with self-attention, and the hinge loss."""
    latent = latents.labelled(baseline.latent(config), spec.classes)
    shared = {"attention": config.attention, "kernel_init": glorot_uniform()}
    g = biggan.Generator(spec.shape, spec.classes, config.g_width, **shared)
    d = biggan.Discriminator(spec.shape, spec.classes, config.d_width, **shared)
    networks = {
        "generator": baseline.network(config, g, (latent.size,)),
        "discriminator": baseline.network(config, d, spec.shape, ()),
    }
    game = Game(networks, losses.hinge(), latent, condition=drawn_labels(latent))
    players = [baseline.discriminator(config, game), baseline.generator(config, game)]
    system = baseline.system(config, game, rules.alternating(players))
    return dequantised(system) if config.dequantise else system


def main(config: Config) -> None:
    """Trains SAGAN."""
    baseline.train(build, config)


if __name__ == "__main__":
    cli(main, __doc__, presets=PRESETS)
