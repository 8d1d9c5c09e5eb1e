"""BEGAN (Berthelot et al. 2017, arXiv:1703.10717): balances an autoencoder's errors on real images and samples.

    for each iteration:
        D minimises L(x) - k L(G(z))
        G minimises L(G(z))
        k <- clip(k + rate * (gamma L(x) - L(G(z))), 0, 1), with L(G(z)) from G's update
    where L(x) = mean |x - decode(encode(x))|

The convergence measure L(x) + |gamma L(x) - L(G(z))|, logged as balance/measure, falls as training converges. A smaller
gamma gives better and less varied samples; the paper uses 0.3 to 0.7. `--network upsampling` builds the paper's
networks: 3x3 convolutions with ELU, nearest-neighbour upsampling, no normalisation and no tanh; only the optional skip
connections are left out. The default networks are DCGAN's with batch norm, several times as fast on a CPU. The paper
halves its learning rates when the measure stalls; here they stay constant. Samples come from an average of the
generator's weights, which the paper does not use; `--ema-decay 0` turns it off.

What to expect: 3 runs of 2,000 iterations on fashion_mnist (`--g-width 16 --d-width 12`): FID 46.22 (44.96 to 48.48) by
its classifier's features, precision 0.68, recall 0.00; an iteration takes 1.76 times as long as one of dcgan.
"""

from dataclasses import dataclass
from typing import Literal

from gan_jax import baseline, latents, losses, rules
from gan_jax.cli import cli
from gan_jax.data import Spec
from gan_jax.game import Game
from gan_jax.networks.autoencoder import Autoencoder, UpsamplingAutoencoder, UpsamplingDecoder
from gan_jax.rules import controllers
from gan_jax.types import System


@dataclass(frozen=True)
class Config(baseline.Baseline):
    """The baseline with an autoencoder as the discriminator, and the controller of k."""

    gamma: float = 0.7
    """Target ratio of L(G(z)) to L(x), in [0, 1]: smaller gives better and less varied samples."""
    rate: float = 0.001
    """Step size of the update of k."""
    code: int = 32
    """Dimensions of the autoencoder's code."""
    network: Literal["dcgan", "upsampling"] = "dcgan"
    """dcgan: with batch norm. upsampling: the paper's, with ELU and no norm; several times as slow on a CPU."""
    latent: latents.Distribution = "symmetric"
    d_learning_rate: float = 1e-3


def build(config: Config, spec: Spec) -> System:
    """Assembles generator, autoencoder, the loss balanced by k, and the controller that updates k."""
    sizes = spec.shape, config.d_width, config.code
    if config.network == "dcgan":
        generator = baseline.generator_module(config, spec)
        critic = Autoencoder(*sizes, order=1, norm="batch", max_widening=config.max_widening)
    else:
        generator = UpsamplingDecoder(spec.shape, config.g_width)
        critic = UpsamplingAutoencoder(*sizes, config.max_widening)
    networks = {
        "generator": baseline.network(config, generator, (config.latent_size,)),
        "discriminator": baseline.network(config, critic, spec.shape),
    }
    balance = controllers.balance(config.gamma, config.rate)
    game = Game(networks, losses.balanced(), baseline.latent(config))
    players = [baseline.discriminator(config, game), baseline.generator(config, game)]
    return baseline.system(config, game, rules.alternating(players), [balance])


def main(config: Config) -> None:
    """Trains BEGAN."""
    baseline.train(build, config)


if __name__ == "__main__":
    cli(main, __doc__)
