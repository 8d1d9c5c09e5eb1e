"""pix2pix (Isola et al. 2017, arXiv:1611.07004): image translation from pairs.

    for each iteration, with pairs (s, x) of source and target:
        D minimises -log D(x, s) - log(1 - D(G(s), s))
        G minimises -log D(G(s), s) + 100 |x - G(s)|, the mean over pixels and channels

G is a U-Net, and D judges patches. The paper halves D's loss, which does not change Adam's steps. Ablations: `--l1 0`
is cGAN, `--no-conditional` hides the source from D, `--adversarial 0` is L1 alone. `--dataset`: edges:NAME, grey:NAME,
inverted:NAME of any image set, or pairs:DIRECTORY:DIRECTORY with the same file names in both.

`--preset facades256` (with a `--dataset` of your own) has the paper's networks, optimisers and iterations for its
facades (200 epochs of 400 pairs). The paper also takes random crops and mirror images at side 286, keeps dropout, its
noise, at test time, and tries a discriminator with a receptive field of 286 pixels. None of that is here: dropout acts
in training alone, and norms use each image's own moments, so that a translation is a function of its source. In the
authors' code, the scales of norms start as N(1, 0.02^2), here at 1, and convolutions before norms have biases, which
start at 0 and have no effect. Translations use averaged weights; `--ema-decay 0` uses the last ones.

Translate a folder: `python -m gan_jax.translate RUN --input DIRECTORY --output DIRECTORY`.

What to expect: 3,000 iterations on edges:digits, 3.4 minutes on 1 CPU core: on 2,000 held-out pairs an L1 error of
0.0206 and a feature distance of 0.112 (another pair's partner: 0.1686 and 0.862).
"""

from dataclasses import dataclass

from gan_jax import baseline, loop, losses, rules, terms
from gan_jax.cli import cli
from gan_jax.data import Spec
from gan_jax.errors import UserError
from gan_jax.game import Game, averaged_network, from_batch, given
from gan_jax.networks.patchgan import Field, PatchGAN
from gan_jax.networks.unet import UNet
from gan_jax.types import GanLoss, System


@dataclass(frozen=True)
class Config(baseline.Adam, baseline.Widening, baseline.Common):
    """The baseline with a U-Net and a patch discriminator, for paired data."""

    dataset: str = "edges:digits"
    l1: float = 100.0
    """Weight of the L1 loss |x - G(s)|; 0 for none."""
    adversarial: float = 1.0
    """Weight of the adversarial loss; 0 for none."""
    conditional: bool = True
    """Give the discriminator the source as a further input."""
    receptive_field: Field = 16
    """Side, in pixels, of the patches that the discriminator judges."""
    depth: int = 2
    """Number of times that the U-Net halves the image."""
    dropout: float = 0.0
    """Dropout rate of the first blocks of the U-Net's decoder, in training."""
    g_width: int = 24
    g_learning_rate: float = 1e-3
    run: loop.Run = baseline.lasting(3_000)


PRESETS = {
    # section 3.3 and appendix 6.1 and 6.2; train.lua and models.lua of phillipi/pix2pix
    "facades256": Config(
        resolution=256,
        batch_size=1,
        l1=100.0,
        depth=8,
        dropout=0.5,
        receptive_field=70,
        g_width=64,
        d_width=64,
        g_learning_rate=2e-4,
        d_learning_rate=2e-4,
        beta1=0.5,
        beta2=0.999,
        ema_decay=0.0,
        run=loop.Run(steps=80_000, sample_every=1_000),
    )
}


def build(config: Config, spec: Spec) -> System:
    """Assembles a U-Net and a patch discriminator, with the adversarial and L1 losses."""
    if spec.unpaired:
        raise UserError(f"dataset={config.dataset}: pix2pix learns from pairs; leave out unpaired:, or use cyclegan")
    source = baseline.source_shape(spec)
    cap = config.max_widening
    unet = UNet(spec.shape[-1], config.g_width, config.depth, dropout=config.dropout, max_widening=cap)
    patches = PatchGAN(config.d_width, config.receptive_field, max_widening=cap)
    shapes = (spec.shape, source) if config.conditional else (spec.shape,)
    critic = baseline.network(config, patches, *shapes)
    networks = {"generator": baseline.network(config, unet, source), "discriminator": critic}
    base = losses.non_saturating()
    loss = GanLoss(base.discriminator, lambda real, fake: config.adversarial * base.generator(real, fake))
    condition = given("source") if config.conditional else None
    game = Game(networks, loss, inputs=from_batch("source"), condition=condition)
    players = [
        baseline.discriminator(config, game),
        baseline.generator(config, game, [terms.absolute_error(config.l1)] if config.l1 else []),
    ]
    translate = averaged_network(networks, "generator")
    return baseline.system(config, game, rules.alternating(players), translate=translate)


def main(config: Config) -> None:
    """Trains pix2pix."""
    baseline.train(build, config)


if __name__ == "__main__":
    cli(main, __doc__, presets=PRESETS)
