"""The original GAN (Goodfellow et al. 2014, arXiv:1406.2661), with fully connected networks, on handwritten digits.

    for each iteration:
        D minimises -log D(x) - log(1 - D(G(z)))
        G minimises -log D(G(z))

The networks are those of many tutorials: G 100-256-512-1024-784 with LeakyReLU 0.2, batch norm and tanh, D
784-512-256-1 with LeakyReLU 0.2; Adam at 2e-4 with beta1 0.5, batches of 32. The authors' networks for MNIST are a G
100-1200-1200-784 with ReLU and a sigmoid output, and a D of maxout units with dropout, trained by gradient descent with
momentum. Samples come from an average of the generator's weights, which the paper does not use; `--ema-decay 0` turns
it off.

What to expect, from runs that were made (`experiments/results/`):

One run of 20,000 iterations on digits, 2.5 minutes on 2 CPU cores: the classifier is sure of 73% of the samples (worst
run 73%; real test images 97%; untrained generator 0%), and the rarest class makes up 5.9%.

3 runs of 2,000 iterations on fashion_mnist: FID 30.76 (30.67 to 31.85) by its classifier's features, precision 0.62,
recall 0.07; an iteration takes 0.90 times as long as one of dcgan.
"""

from dataclasses import dataclass, field

from gan_jax import baseline, loop, losses, optimizers, rules
from gan_jax.cli import cli
from gan_jax.data import Spec
from gan_jax.game import Game
from gan_jax.networks import mlp
from gan_jax.networks.layers.norm import Norm
from gan_jax.types import System


@dataclass(frozen=True)
class Config(baseline.Latents, baseline.Common):
    """Fully connected networks of fixed widths, with one learning rate for both players."""

    latent_size: int = 100
    d_norm: Norm = "none"
    """Normalisation of the discriminator."""
    d_steps: int = 1
    """Discriminator updates per iteration."""
    g_steps: int = 1
    """Generator updates per iteration."""
    learning_rate: float = 2e-4
    """Adam's learning rate, of both players."""
    beta1: float = 0.5
    """Adam's beta1, the decay of the average of gradients, in [0, 1)."""
    run: loop.Run = field(default_factory=lambda: loop.Run(steps=20_000, log_every=200, sample_every=500))


def build(config: Config, spec: Spec) -> System:
    """Assembles two fully connected networks and the non-saturating loss."""
    networks = {
        "generator": baseline.network(config, mlp.Generator(spec.shape), (config.latent_size,)),
        "discriminator": baseline.network(config, mlp.Discriminator(norm=config.d_norm), spec.shape),
    }
    game = Game(networks, losses.non_saturating(), baseline.latent(config))
    adam = optimizers.adam(config.learning_rate, config.beta1)
    players = [
        baseline.discriminator(config, game, optimizer=adam),
        baseline.generator(config, game, optimizer=adam),
    ]
    repeats = {"discriminator": config.d_steps, "generator": config.g_steps}
    return baseline.system(config, game, rules.alternating(players, repeats))


def main(config: Config) -> None:
    """Trains the original GAN."""
    baseline.train(build, config)


if __name__ == "__main__":
    cli(main, __doc__)
