"""Conditional GAN (Mirza & Osindero 2014, arXiv:1411.1784): both players also receive a label.

    for each iteration, with the labels y of the real batch:
        D minimises -log D(x, y) - log(1 - D(G(z, y), y))
        G minimises -log D(G(z, y), y)

The generator's latent ends in the one-hot class; the discriminator sees the one-hot class as constant channels of the
image. Samples of one class: `python -m gan_jax.sample RUN --labels 3`; a grid has one column per class. The paper's
networks are fully connected, with maxout units and dropout, and join the label in a hidden layer. Samples come from an
average of the generator's weights, which the paper does not use; `--ema-decay 0` turns it off.

What to expect: One run of 11,000 iterations on digits, 32.6 minutes on 1 CPU core: the classifier puts 98.9% of 10,000
samples, 1,000 per class, in the requested class (test images: 99.1%); in the worst class, 7, 97.4%. Within classes,
recall is 0.77 (training images: 0.88) and FID 4.30 (2.18). A classifier trained on the samples alone classifies 97.6%
of the test images correctly; trained on as many training images, 98.6%.
"""

from dataclasses import dataclass

from gan_jax import baseline, latents, losses, rules
from gan_jax.cli import cli
from gan_jax.data import Spec
from gan_jax.game import Game, given, labelled
from gan_jax.networks.heads import WithLabel
from gan_jax.networks.layers.norm import Norm
from gan_jax.types import System


@dataclass(frozen=True)
class Config(baseline.Baseline):
    """The baseline on labelled data."""

    d_norm: Norm = "batch"
    """Normalisation of the discriminator."""


def build(config: Config, spec: Spec) -> System:
    """Assembles a generator and a discriminator that are both conditioned on the label."""
    latent = latents.labelled(baseline.latent(config), spec.classes)
    with_planes = spec._replace(shape=(*spec.shape[:-1], spec.shape[-1] + spec.classes))
    critic = WithLabel(baseline.discriminator_module(config, with_planes, config.d_norm), spec.classes)
    networks = {
        "generator": baseline.network(config, baseline.generator_module(config, spec), (latent.size,)),
        "discriminator": baseline.network(config, critic, spec.shape, ()),
    }
    game = Game(networks, losses.non_saturating(), latent, labelled(latent), condition=given("label"))
    players = [baseline.discriminator(config, game), baseline.generator(config, game)]
    return baseline.system(config, game, rules.alternating(players))


def main(config: Config) -> None:
    """Trains the conditional GAN."""
    baseline.train(build, config)


if __name__ == "__main__":
    cli(main, __doc__)
