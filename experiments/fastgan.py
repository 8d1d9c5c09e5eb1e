"""FastGAN (Liu et al. 2021, arXiv:2101.04775): for small data sets; D also reconstructs real images from its maps.

    for each iteration:
        D minimises max(0, u - D(x)) + max(0, v + D(G(z))) + w (|x - whole(x)| + |part of x - part(x)|)
        G minimises -D(G(z))
    with augmentations of x and G(z) by colour and translation, and margins u, v uniform on [0.8, 1]

D judges patches. One decoder reconstructs the whole image from D's last map; another reconstructs a random quarter of
the image from the same quarter of the map before. In G, small maps gate the channels of maps with 16 times their side
(skip-layer excitation).

The settings of the authors' code (train.py, commit e2cc786, read in the copy HCA97/FastGAN-pytorch, as the original
repository is gone) are `--mirror --batch-size 8 --latent-size 256 --g-width 64 --d-width 64 --g-learning-rate 2e-4
--d-learning-rate 2e-4 --beta2 0.999 --steps 50000`, with `--resolution` 256, 512 or 1024, its default. The defaults
here have the margins of that code, and w = 8, because it sums the error over a batch of 8. It measures reconstructions
by LPIPS; here the error is the mean absolute one, at up to 128 pixels. The code's second output of G and second branch
of D, at 128 pixels, are not in the paper, nor here. The code draws one quarter for each batch, while here each image
draws its own; and the code's G adds noise in sampling too.
"""

from dataclasses import dataclass

from gan_jax import augment, baseline, losses, rules
from gan_jax.checks import require
from gan_jax.cli import cli
from gan_jax.data import Spec
from gan_jax.game import Game
from gan_jax.methods.mirroring import mirrored
from gan_jax.networks import fastgan
from gan_jax.types import System, Term


@dataclass(frozen=True)
class Config(baseline.Adam, baseline.Widths, baseline.Latents, baseline.Common):
    """The paper's networks, narrower for CPUs."""

    reconstruction: float = 8.0
    """Weight w of the reconstruction of real images."""
    mirror: bool = False
    """Flip real images at random, left to right."""
    g_width: int = 4
    """Channels of the generator's map of side 128; maps of side 4, 8, 16, 32, 64 have 16, 8, 4, 2, 2 times as many."""
    d_width: int = 4
    """An eighth of the channels of the discriminator's last map; each map has half as many as the next smaller one."""
    batch_size: int = 16
    g_learning_rate: float = 5e-4
    d_learning_rate: float = 5e-4
    beta2: float = 0.999


def build(config: Config, spec: Spec) -> System:
    """Assembles FastGAN's networks, the hinge loss with random margins and the reconstruction of real images."""
    weight = config.reconstruction
    require(lambda: weight >= 0, f"reconstruction={weight}: give a weight of at least 0")
    networks = {
        "generator": baseline.network(config, fastgan.Generator(spec.shape, config.g_width), (config.latent_size,)),
        "discriminator": baseline.network(config, fastgan.Discriminator(spec.shape, config.d_width), spec.shape),
    }
    changed = augment.chain(augment.color(), augment.translation())
    game = Game(networks, losses.noisy_hinge(), baseline.latent(config), augment=changed)
    reconstructed = Term("reconstruction", lambda context: weight * context.real_output["reconstruction"])
    players = [baseline.discriminator(config, game, [reconstructed]), baseline.generator(config, game)]
    system = baseline.system(config, game, rules.alternating(players))
    return mirrored(system) if config.mirror else system


def main(config: Config) -> None:
    """Trains FastGAN."""
    baseline.train(build, config)


if __name__ == "__main__":
    cli(main, __doc__)
