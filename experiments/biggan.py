"""BigGAN (Brock et al. 2019, arXiv:1809.11096): SAGAN enlarged, each block of G seeing latent and class.

    for each iteration:
        2 times: D minimises max(0, 1 - D(x, y)) + max(0, 1 + D(G(z, y'), y')), with y' uniform
        G minimises -D(G(z, y'), y') + beta sum over weights W of |W^T W * (1 - I)|^2
    where block i of G has batch norms whose scale and shift are linear in (embedding of y', chunk i of z)

Weights start orthogonal. With `--deep`, BigGAN-deep: bottleneck blocks, two at each resolution, which see all of z. The
paper's settings for ImageNet at 128 pixels are `--resolution 128 --g-width 96 --d-width 96 --embedding 128
--latent-size 120 --batch-size 2048 --g-learning-rate 5e-5 --d-learning-rate 2e-4 --ema-decay 0.9999`; for the deep form
`--deep --g-width 128 --d-width 128 --latent-size 128`; at 256 pixels `--attention 4`. Those of the authors' PyTorch
code for CIFAR-10 are `--dataset cifar10 --embedding 0 --attention 0 --orthogonal 0 --d-steps 4 --g-width 64 --d-width
64 --latent-size 128 --batch-size 50 --g-learning-rate 2e-4 --d-learning-rate 2e-4 --ema-decay 0.9999 --steps 125000`,
with weights that start as N(0, 0.02^2). Truncated samples, with batch statistics estimated anew for the averaged
weights: `python -m gan_jax.sample RUN grid --truncation 0.5 --standing 100`; a grid has one column per class.
"""

from dataclasses import dataclass

from gan_jax import baseline, latents, losses, rules, terms
from gan_jax.cli import cli
from gan_jax.data import Spec
from gan_jax.game import Game, drawn_labels
from gan_jax.networks import biggan
from gan_jax.types import System


@dataclass(frozen=True)
class Config(baseline.Adam, baseline.ConditionalNetworks):
    """The baseline with BigGAN's networks, and the paper's betas and ratio of learning rates."""

    deep: bool = False
    """BigGAN-deep's networks."""
    embedding: int = 32
    """Size of the class embedding that all blocks of the generator share; with 0 each batch norm has its own, and only
    the first layer sees the latent."""
    attention: int = 2
    """Self-attention acts on maps whose side is the images' divided by this, 2, 4, ...; 0 for none."""
    orthogonal: float = 1e-4
    """beta, the weight of the generator's orthogonal regularisation; 0 for none."""
    d_steps: int = 2
    """Discriminator updates per iteration."""
    g_learning_rate: float = 5e-4
    d_learning_rate: float = 2e-3
    beta1: float = 0.0
    beta2: float = 0.999


def build(config: Config, spec: Spec) -> System:
    """Assembles a generator with hierarchical latents, a projection discriminator, and the hinge loss."""
    latent = latents.labelled(baseline.latent(config), spec.classes)
    shared = {"attention": config.attention, "deep": config.deep}
    g = biggan.Generator(spec.shape, spec.classes, config.g_width, embedding=config.embedding, **shared)
    d = biggan.Discriminator(spec.shape, spec.classes, config.d_width, **shared)
    networks = {
        "generator": baseline.network(config, g, (latent.size,)),
        "discriminator": baseline.network(config, d, spec.shape, ()),
    }
    game = Game(networks, losses.hinge(), latent, condition=drawn_labels(latent))
    spread = [terms.orthogonal(config.orthogonal, "generator", without=["embedding"])] if config.orthogonal else []
    players = [baseline.discriminator(config, game), baseline.generator(config, game, spread)]
    return baseline.system(config, game, rules.alternating(players, {"discriminator": config.d_steps}))


def main(config: Config) -> None:
    """Trains BigGAN."""
    baseline.train(build, config)


if __name__ == "__main__":
    cli(main, __doc__)
