"""BGAN (Hjelm et al. 2018, arXiv:1702.08431): boundary-seeking training of a generator of binary images.

    for each iteration:
        z ~ p(z), x^(1), ..., x^(M) ~ g(x | z): each pixel is white with the probability that G outputs
        D minimises -log D(x) - 1/M sum_m log(1 - D(x^(m))), x a real image, each pixel white with probability its grey
        w^(m) = D(x^(m)) / (1 - D(x^(m))), normalised to sum to 1 over m
        G minimises -sum_m w^(m) log g(x^(m) | z)

No gradient passes through a sample: the weights alone tell G which samples to make likelier. As M grows, the gradient
becomes that of KL(p~ || g) averaged over z, where p~ is g D / (1 - D), normalised: the data distribution, according to
D. The metric "generator/effective_samples", 1 / sum_m (w^(m))^2, falls from M to 1 as the weights grow unequal.
"discriminator/loss" is D's loss on real images, "discriminator/samples" its loss on samples; "generator/loss", -log
D(x^(1)), is only logged.

The uniform random numbers that set the pixels are part of the latent, so that a sample is a function of its latent as
in any other run. Scores compare binary samples with grey real images.

`--preset mnist` has the settings of the authors' code for MNIST, except that the code binarises the images once, before
training, and that its networks have two 5x5 convolutions and a layer of 1,024 units. Samples come from an average of
the generator's weights, which the paper does not use; `--ema-decay 0` turns it off.

What to expect: One run of 3,000 iterations on digits, 19.2 minutes on 1 CPU core: the classifier is sure of 38% of the
samples (worst run 38%; real test images 97%; untrained generator 0%), and the rarest class makes up 0.5%.
Other work was running meanwhile.
"""

from dataclasses import dataclass

import jax

from gan_jax import baseline, loop, losses, rules
from gan_jax.cli import cli
from gan_jax.data import Spec
from gan_jax.game import Game
from gan_jax.methods import binary_pixels
from gan_jax.networks.layers.norm import Norm
from gan_jax.types import GanLoss, System


@dataclass(frozen=True)
class Config(baseline.Baseline):
    """The baseline with several binary samples per latent."""

    samples: int = 10
    """M, the samples drawn per latent, on which both players train; at least 2."""
    d_norm: Norm = "none"
    """Normalisation of the discriminator."""


PRESETS = {
    # rdevon/BGAN, main_discrete.py: 100 epochs
    "mnist": Config(
        dataset="mnist",
        samples=20,
        batch_size=64,
        latent_size=64,
        latent="uniform",
        g_width=64,
        d_width=64,
        d_norm="none",
        g_learning_rate=1e-4,
        d_learning_rate=1e-4,
        beta1=0.5,
        beta2=0.999,
        ema_decay=0.0,
        run=loop.Run(steps=93_700, sample_every=1_000),
    )
}


def build(config: Config, spec: Spec) -> System:
    """Assembles a sampler of binary images, the losses on M samples per latent, and binarised real images."""
    networks = baseline.networks(config, spec, config.d_norm)
    of_real = GanLoss(lambda real, fake: jax.nn.softplus(-real), losses.non_saturating().generator)
    networks["generator"] = binary_pixels.sampler(networks["generator"], config.latent_size)
    latent = binary_pixels.latent(baseline.latent(config), spec.shape)
    game = Game(networks, of_real, latent, augment=binary_pixels.binarised)
    players = [
        baseline.discriminator(config, game, [binary_pixels.judged(config.latent_size, config.samples)]),
        baseline.generator(config, game, [binary_pixels.boundary_seeking(config.latent_size, config.samples)]),
    ]
    return baseline.system(config, game, rules.alternating(players), [binary_pixels.effective_samples()])


def main(config: Config) -> None:
    """Trains BGAN."""
    baseline.train(build, config)


if __name__ == "__main__":
    cli(main, __doc__, presets=PRESETS)
