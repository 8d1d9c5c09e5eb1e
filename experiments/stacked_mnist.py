"""Stacked digits, a benchmark of mode coverage: how many of 1,000 modes a generator reaches, and how evenly.

An image has a digit in each of its three colour channels; a mode is a triple of digits. The benchmark is from Metz et
al. 2017, "Unrolled GANs" (arXiv:1611.02163), where a discriminator of half or a quarter of the generator's size leaves
most modes out. Srivastava et al. 2017, "VEEGAN" (arXiv:1705.07761), and Lin et al. 2018, "PacGAN" (arXiv:1712.04086)
use it too; in PacGAN a discriminator of packs, here `--pack 2`, lets the same generator reach more modes.

At the end of training, and during it with `--eval-every 1000`, the digit classifier judges 26,000 samples, channel by
channel: `classes` is the number of modes with at least one sample, `uniform_kl` the KL divergence of the modes' shares
from uniform, in nats. Two references for a perfect generator follow: training images scored as samples, and the values
expected by theory.

The defaults are for a CPU: 50,000 images stacked from the package's digits, and a discriminator that is half as wide as
the generator and has no batch norm, through which even a small one sees some of the variety of a batch. The papers
stack MNIST by two protocols, given here as in PacGAN's code. VEEGAN's: 128,000 images, DCGAN's networks with batch norm
in both, two generator updates per discriminator update, 26,000 samples; `--preset veegan` comes close, with one
generator update and 4x4 kernels. Its batch has 64 packs (`--batch-size 128` for packs of 2). Unrolled GAN's: images
stacked anew for every batch of 128, normal latents of 256, a generator of 64 to 8 channels against a discriminator of 4
to 16 or of 2 to 8, 3x3 kernels, batch norm in both, 500,000 updates, 25,600 samples. Samples come from an average of
the generator's weights, which none of these papers uses; `--ema-decay 0` turns it off.

What to expect, of three seeds each (`experiments/results/stacked_mnist.json`): 64 modes (52 to 560) where the
discriminator judges single images, 962 (956 to 968) where it judges packs of 2; about two minutes on 2 CPU cores.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from experiments import pacgan
from gan_jax import baseline, evaluate, loop
from gan_jax.cli import cli
from gan_jax.data import Spec
from gan_jax.data.sources import stacked
from gan_jax.errors import UserError
from gan_jax.metrics.classes import perfect
from gan_jax.metrics.menu import Name
from gan_jax.networks.layers.norm import Norm
from gan_jax.types import System

METRICS: tuple[Name, ...] = ("classes", "uniform_kl")


@dataclass(frozen=True)
class Config(pacgan.Config):
    """PacGAN's config for stacked digits, with defaults for a CPU."""

    dataset: str = "stacked_digits"
    """stacked_digits (in the package) or stacked_mnist."""
    pack: int = 1
    """Images per pack that the discriminator judges at once; the batch size must be a multiple of it."""
    batch_size: int = 48
    g_width: int = 16
    d_width: int = 8
    d_norm: Norm = "none"
    """Normalisation of the discriminator."""
    run: loop.Run = field(
        default_factory=lambda: loop.Run(steps=8_000, log_every=100, eval_metrics=METRICS, eval_count=26_000)
    )


PRESETS = {
    # fjxmlzn/PacGAN, stacked_MNIST_experiments/VEEGAN_experiment/config.py: 50 epochs
    "veegan": Config(
        dataset="stacked_mnist",
        d_norm="batch",
        batch_size=64,
        latent_size=100,
        latent="symmetric",
        g_width=64,
        d_width=64,
        g_learning_rate=2e-4,
        d_learning_rate=2e-4,
        beta1=0.5,
        beta2=0.999,
        ema_decay=0.0,
        run=replace(Config().run, steps=100_000),
    )
}


def build(config: Config, spec: Spec) -> System:
    """Assembles PacGAN's game."""
    return pacgan.build(config, spec)


def score(run: Path, count: int = 26_000, seed: int = 0) -> None:
    """Scores a run's newest checkpoint and training images into scores.jsonl; prints a perfect sampler's scores."""
    evaluate.samples(run, evaluate.Shared(seed=seed), evaluate.Request(METRICS, count=count))
    best = perfect(1_000, count)
    print(f"perfect samples, by theory:  classes {best.covered:.4g},  uniform_kl {best.uniform_kl:.4g}")


def main(config: Config) -> None:
    """Trains on stacked digits, then counts the modes."""
    if config.dataset not in stacked.SOURCES:
        raise UserError(
            f"dataset={config.dataset!r}: modes can be counted only on {' or '.join(stacked.SOURCES)}; give one of them"
        )
    workdir = config.run.workdir or Path("runs") / f"stacked_mnist-{config.dataset}"
    baseline.train(build, replace(config, run=replace(config.run, workdir=workdir)))
    score(workdir, config.run.eval_count)


if __name__ == "__main__":
    cli(main, __doc__, presets=PRESETS)
