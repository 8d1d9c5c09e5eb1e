"""BigGAN (Brock et al. 2019, arXiv:1809.11096): SAGAN scaled up, with latent and class as inputs of each block of G.

    for each iteration:
        2 times: D minimises max(0, 1 - D(x, y)) + max(0, 1 + D(G(z, y'), y')), with y' uniform
        G minimises -D(G(z, y'), y') + beta sum over weights W of |W^T W * (1 - I)|^2
    where block i of G has batch norms whose scale and shift are linear in (embedding of y', chunk i of z)

Weights start orthogonal. `--deep` is BigGAN-deep: bottleneck blocks, two at each resolution, which see all of z.
`--preset imagenet128` and `--preset imagenet128-deep` have the paper's settings for ImageNet at 128 pixels, except for
the number of iterations, as the paper trains until collapse; here it is that of the authors' PyTorch code, whose other
settings for ImageNet differ. `--preset cifar10` has the settings of that code, except that there weights start as
N(0, 0.02^2), and averaging starts after 1,000 iterations. Truncated samples, with batch norm's moments re-estimated for
the averaged weights over 100 batches of latents (the paper's standing statistics): `python -m gan_jax.sample RUN grid
--truncation 0.5 --standing 100`; a grid has one column per class.
"""

from dataclasses import dataclass, replace

from gan_jax import baseline, latents, loop, losses, rules, terms
from gan_jax.cli import cli
from gan_jax.data import Spec
from gan_jax.game import Game, drawn_labels
from gan_jax.networks import biggan
from gan_jax.types import System


@dataclass(frozen=True)
class Config(baseline.Adam, baseline.ConditionalNetworks):
    """The baseline with BigGAN's networks, and the paper's betas and ratio of learning rates."""

    deep: bool = False
    """Use BigGAN-deep's networks."""
    embedding: int = 32
    """Size of the class embedding that all blocks of the generator share; 0 gives each batch norm its own embedding,
    and the latent to the first layer alone."""
    attention: int = 2
    """Self-attention acts on the maps whose side is that of the images divided by this number: 2, 4, ...; 0 for
    none."""
    orthogonal: float = 1e-4
    """beta, the weight of the generator's orthogonal regularisation; 0 for none."""
    d_steps: int = 2
    """Discriminator updates per iteration."""
    g_learning_rate: float = 5e-4
    d_learning_rate: float = 2e-3
    beta1: float = 0.0
    beta2: float = 0.999


IMAGENET = Config(  # section 3 and appendix C; iterations: README.md of ajbrock/BigGAN-PyTorch
    dataset="imagenet2012",
    resolution=128,
    batch_size=2048,
    latent_size=120,
    latent="normal",
    g_width=96,
    d_width=96,
    embedding=128,
    attention=2,
    orthogonal=1e-4,
    d_steps=2,
    g_learning_rate=5e-5,
    d_learning_rate=2e-4,
    beta1=0.0,
    beta2=0.999,
    ema_decay=0.9999,
    run=loop.Run(steps=150_000, sample_every=1_000),
)
PRESETS = {
    "imagenet128": IMAGENET,
    # appendix B; the orthogonal weight is that of the plain form, and 0 in launch_BigGAN_deep.sh
    "imagenet128-deep": replace(IMAGENET, deep=True, latent_size=128, g_width=128, d_width=128),
    "cifar10": replace(  # ajbrock/BigGAN-PyTorch, scripts/launch_cifar_ema.sh: 500 epochs
        IMAGENET,
        dataset="cifar10",
        resolution=None,
        batch_size=50,
        latent_size=128,
        g_width=64,
        d_width=64,
        embedding=0,
        attention=0,
        orthogonal=0.0,
        d_steps=4,
        g_learning_rate=2e-4,
        d_learning_rate=2e-4,
        run=loop.Run(steps=125_000, sample_every=1_000),
    ),
}


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
    cli(main, __doc__, presets=PRESETS)
