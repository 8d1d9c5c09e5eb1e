"""DCGAN (Radford et al. 2016, arXiv:1511.06434): convolutional networks with batch norm that train stably.

    for each iteration:
        D minimises -log D(x) - log(1 - D(G(z)))
        G minimises -log D(G(z))

The image size sets the depth: G doubles maps of side 4, 5 or 6 up to the side of the images, and D halves them again.
Each halving of the side doubles the channels, up to `--max-widening` times those of the largest map. The preset
`--preset lsun64` has the paper's settings for LSUN bedrooms, but with kernels of 4x4, as in the Torch code by one of
the authors, instead of 5x5. The defaults are narrower and faster, with few latent dimensions, and learn digits on a CPU
in minutes. Samples come from an average of the generator's weights, which the paper does not use; `--ema-decay 0` turns
it off.

What to expect, from runs that were made (`experiments/results/`):

3 runs of 11,000 iterations on digits, 5.8 minutes on 2 CPU cores: the classifier is sure of 86% of the samples (worst
run 85%; real test images 97%; untrained generator 0%), and the rarest class makes up 7.0%.

One run of 4,000 iterations on cifar10, 32.8 minutes on 1 CPU core.

One run of 1,500 iterations on noto, 4.4 minutes on 2 CPU cores.

3 runs of 2,000 iterations on fashion_mnist (`--g-width 16 --d-width 12 --latent-size 32 --d-learning-rate 0.0003`): FID
9.61 (9.23 to 11.91) by its classifier's features, precision 0.60, recall 0.53.
"""

from dataclasses import dataclass

from gan_jax import baseline, loop, losses, rules
from gan_jax.cli import cli
from gan_jax.data import Spec
from gan_jax.game import Game
from gan_jax.networks.layers.norm import Norm
from gan_jax.types import System


@dataclass(frozen=True)
class Config(baseline.Baseline):
    """The baseline with defaults for digits, and any number of updates of each player."""

    latent_size: int = 4
    """Dimensions of the latent: few suffice for digits; photographs need 32 to 128."""
    d_learning_rate: float = 1e-3
    d_norm: Norm = "batch"
    """Normalisation of the discriminator."""
    d_steps: int = 1
    """Discriminator updates per iteration."""
    g_steps: int = 1
    """Generator updates per iteration."""


PRESETS = {
    # section 4 and figures 1 and 3; five epochs of 3,033,042 images
    "lsun64": Config(
        dataset="lsun/bedroom",
        resolution=64,
        batch_size=128,
        latent_size=100,
        latent="symmetric",
        g_width=128,
        d_width=128,
        g_learning_rate=2e-4,
        d_learning_rate=2e-4,
        beta1=0.5,
        beta2=0.999,
        ema_decay=0.0,
        run=loop.Run(steps=118_000, sample_every=1_000),
    )
}


def build(config: Config, spec: Spec) -> System:
    """Assembles DCGAN's networks and the non-saturating loss."""
    game = Game(baseline.networks(config, spec, config.d_norm), losses.non_saturating(), baseline.latent(config))
    players = [baseline.discriminator(config, game), baseline.generator(config, game)]
    repeats = {"discriminator": config.d_steps, "generator": config.g_steps}
    return baseline.system(config, game, rules.alternating(players, repeats))


def main(config: Config) -> None:
    """Trains DCGAN."""
    baseline.train(build, config)


if __name__ == "__main__":
    cli(main, __doc__, presets=PRESETS)
