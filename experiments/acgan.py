"""AC-GAN (Odena et al. 2017, arXiv:1610.09585): the discriminator also classifies real images and samples.

    for each iteration, with the labels y of the real batch:
        D minimises -log D(x) - log(1 - D(G(z, y))) - log C(y | x) - log C(y | G(z, y))
        G minimises -log D(G(z, y)) - log C(y | G(z, y))

D and C are heads on a shared body; the discriminator's player updates all three networks. Samples of one class: `python
-m gan_jax.sample RUN --labels 3`; a grid has one column per class. The paper draws the labels of samples at random, and
its D uses dropout. Samples come from an average of the generator's weights, which the paper does not use; `--ema-decay
0` turns it off.

What to expect: One run of 11,000 iterations on digits, 19.6 minutes on 1 CPU core: the classifier puts 98.9% of 10,000
samples, 1,000 per class, in the requested class (test images: 99.1%); in the worst class, 3, 97.2%. Within classes,
recall is 0.68 (training images: 0.88) and FID 6.41 (2.18). A classifier trained on the samples alone classifies 96.1%
of the test images correctly; trained on as many training images, 98.6%.
"""

from dataclasses import dataclass

from gan_jax import baseline, latents, losses, rules, terms
from gan_jax.cli import cli
from gan_jax.data import Spec
from gan_jax.game import Game, labelled
from gan_jax.networks.heads import Head
from gan_jax.networks.layers.norm import Norm
from gan_jax.types import System


@dataclass(frozen=True)
class Config(baseline.Baseline):
    """The baseline plus an auxiliary classifier."""

    weight: float = 1.0
    """Weight of the classification loss relative to the adversarial loss, for both players."""
    d_norm: Norm = "batch"
    """Normalisation of the body that D and C share."""


def build(config: Config, spec: Spec) -> System:
    """Assembles a class-conditional generator, and a body with two heads: discriminator and classifier."""
    latent = latents.labelled(baseline.latent(config), spec.classes)
    networks = baseline.headed(config, spec, latent, config.d_norm, classifier=Head(spec.classes))
    fake_labels = terms.mutual_information("classifier", latent, config.weight)
    real_labels = terms.real_labels("classifier", config.weight)
    game = Game(networks, losses.non_saturating(), latent, labelled(latent))
    players = [
        baseline.discriminator(config, game, [fake_labels, real_labels], trains=["classifier"]),
        baseline.generator(config, game, [fake_labels]),
    ]
    return baseline.system(config, game, rules.alternating(players))


def main(config: Config) -> None:
    """Trains AC-GAN."""
    baseline.train(build, config)


if __name__ == "__main__":
    cli(main, __doc__)
