"""ProGAN (Karras et al. 2018, arXiv:1710.10196): both networks grow from small images to large ones as they train.

    for each iteration, at the level of detail l of its schedule:
        x keeps its full side, but is halved and enlarged again to have the detail of l; between levels, both are mixed
        D minimises D(G(z)) - D(x) + w (|grad D(u)| - target)^2 / target^2 + 0.001 D(x)^2, u between x and G(z)
        G minimises -D(G(z))
    whenever new layers begin or finish fading in, Adam's moments are reset

Weights have equalised learning rates, G normalises its maps by pixel norm, and D sees the standard deviation of each
group of examples. The penalty takes the gradient of the sum of a batch's logits, as each of D's logits depends on the
whole batch. Each stage computes only the sides that it needs; all stages are compiled at the start of a run.

`--preset paper-cifar10` has the settings of the authors' Theano code for the paper's section on CIFAR-10, and
`--preset paper-lsun128` those for table 1 (g), LSUN bedrooms of side 128, in the folder that `--dataset` names. There
is no preset for CelebA-HQ, whose batches have 16 images up to 128 pixels, and 14, 6 and 3 from 256 on. Two things
differ from that code: each player draws its own latents when both move at once, and the decay of G's average is ramped
up in the first iterations.

The networks are those of the authors' TensorFlow code, which averages D's maps before the activation; the paper and its
Theano code average after it: `--no-pool-first`. The defaults, for CPUs, have narrower networks and short stages, and
G's learning rate is half of D's, which was more stable in short trials.
"""

from dataclasses import dataclass, replace

from gan_jax import baseline, loop, losses, penalties, rules
from gan_jax.checks import require
from gan_jax.cli import cli
from gan_jax.data import Spec
from gan_jax.game import Game
from gan_jax.methods.progressive_growing import growing, growth
from gan_jax.networks import progan
from gan_jax.types import System


@dataclass(frozen=True)
class Config(baseline.Baseline):
    """The baseline with growing networks and the paper's betas."""

    stable_images: int = 40_000
    """Real images shown at each side before the next side fades in."""
    fading_images: int = 40_000
    """Real images shown while a side fades in; 0 for none. If stable_images is also 0, only the full side trains."""
    weight: float = 10.0
    """Weight of the gradient penalty."""
    target: float = 1.0
    """Gradient norm at which the penalty is 0."""
    drift: float = 0.001
    """Weight of the drift term; 0 for none."""
    group: int = 4
    """Examples in a group of the minibatch standard deviation; must divide the batch."""
    pool_first: bool = True
    """Average-pool D's maps before the activation, which is faster than after it."""
    at_once: bool = False
    """Update both players at once, instead of in turns."""
    latent_size: int = 64
    g_width: int = 16
    d_width: int = 16
    g_learning_rate: float = 5e-4
    d_learning_rate: float = 1e-3
    beta1: float = 0.0


# config.py and network.py of the branch original-theano-version of tkarras/progressive_growing_of_gans, here and below
THEANO = Config(
    batch_size=16,  # minibatch_default
    g_learning_rate=0.001,  # G_learning_rate_max
    d_learning_rate=0.001,  # D_learning_rate_max
    beta1=0.0,  # adam_beta1
    beta2=0.99,  # adam_beta2
    ema_decay=0.999,  # G_smoothing
    weight=10.0,  # iwass_lambda
    drift=0.001,  # iwass_epsilon
    group=16,  # mbstat_avg="all"
    pool_first=False,  # Downscale2DLayer in D_paper
)
PRESETS: dict[str, Config] = {
    "paper-cifar10": replace(  # "Section 6.5"
        THEANO,
        dataset="cifar10",
        stable_images=400_000,  # lod_training_kimg
        fading_images=400_000,  # lod_transition_kimg
        target=750.0,  # iwass_target
        at_once=True,  # separate_funcs=False
        latent_size=128,  # latent_size
        g_width=128,  # fmap_base=4096 in maps of side 32, capped by fmap_max=128
        d_width=128,
        max_widening=1,
        run=loop.Run(steps=20_000_000 // 16, sample_every=5_000),  # total_kimg=20000
    ),
    "paper-lsun128": replace(  # "Section 6.1", bedroom128, pixelwise-normalization: table 1 (g)
        THEANO,
        dataset="lsun-bedroom",
        resolution=128,
        stable_images=800_000,  # lod_training_kimg
        fading_images=800_000,  # lod_transition_kimg
        latent_size=512,  # latent_size
        g_width=32,  # fmap_base=2048 in maps of side 128
        d_width=32,
        max_widening=16,  # fmap_max=512
        run=loop.Run(steps=10_000_000 // 16, sample_every=5_000),  # total_kimg=10000
    ),
}


def build(config: Config, spec: Spec) -> System:
    """Assembles the growing system from that of each stage."""
    require(
        lambda: config.target > 0, f"target={config.target}: the penalty is divided by its square; give more than 0"
    )
    levels, size = progan.levels(spec.shape), config.batch_size
    schedule = growth(levels, config.stable_images // size, config.fading_images // size)
    return growing(lambda stage: _at(config, spec, stage), levels, schedule)


def _at(config: Config, spec: Spec, stage: int | None) -> System:
    """Assembles the Wasserstein game of one stage."""
    sizes = {"max_widening": config.max_widening, "stage": stage}
    maker = progan.Generator(spec.shape, config.g_width, **sizes)
    critic = progan.Discriminator(spec.shape, config.d_width, group=config.group, pool_first=config.pool_first, **sizes)
    networks = {
        "generator": baseline.network(config, maker, (config.latent_size,)),
        "discriminator": baseline.network(config, critic, spec.shape),
    }
    game = Game(networks, losses.wasserstein(), baseline.latent(config))
    terms = [penalties.gradient_penalty(config.weight / config.target**2, config.target, of_sum=True)]
    terms += [penalties.drift(config.drift)] if config.drift else []
    players = [baseline.discriminator(config, game, terms), baseline.generator(config, game)]
    return baseline.system(config, game, (rules.simultaneous if config.at_once else rules.alternating)(players))


def main(config: Config) -> None:
    """Trains ProGAN."""
    baseline.train(build, config)


if __name__ == "__main__":
    cli(main, __doc__, presets=PRESETS)
