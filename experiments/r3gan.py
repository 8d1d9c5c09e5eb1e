"""R3GAN (Huang et al. 2024, arXiv:2501.05441): relativistic pairing loss, R1 and R2, and no normalisation layers.

    for each iteration, with as many real images x as latents z:
        D minimises softplus(D(G(z)) - D(x)) + gamma / 2 (|grad D(x)|^2 + |grad D(G(z))|^2)
        G minimises softplus(D(x) - D(G(z)))
        a <- d a + (1 - d) G, d = 0.5^(batch / h): the average has a half-life of h images
    while gamma and the learning rate fall, and Adam's beta2, h and the probability p of augmentations rise, each along
    half a period of a cosine

The networks are ResNeXts with fix-up initialisation; see `gan_jax/networks/r3gan.py`. `--conditional` gives both
networks an embedding of the labels. These presets have the settings of the authors' code (github.com/brownvc/R3GAN),
and train for the length of its schedules: `--preset paper-cifar10`, `--preset paper-imagenet32` and
`--preset paper-imagenet64`, which are conditional; `--preset paper-ffhq64` and `--preset paper-ffhq256`, with
`--dataset FOLDER`, by default ffhq.
Two things differ from that code: both players see the same real images in an iteration, where the code draws others
for G; and R1 and R2 draw their own augmentations.

The defaults are for digits on a CPU. `--preset stacked-digits` counts modes as `experiments.stacked_mnist` does. The
paper has this benchmark, but its code has no settings for it; these are ours.
"""

from dataclasses import dataclass, replace

from gan_jax import baseline, game, latents, loop, losses, optimizers, penalties, rules, terms
from gan_jax.checks import require
from gan_jax.cli import cli
from gan_jax.data import Spec
from gan_jax.game import Game, given, labelled
from gan_jax.methods.mirroring import mirrored
from gan_jax.methods.scheduled_ada import scheduled_ada
from gan_jax.networks import linen, r3gan
from gan_jax.networks.wrappers.remat import rematerialised
from gan_jax.optimizers import Schedule
from gan_jax.rules import controllers
from gan_jax.types import System


@dataclass(frozen=True)
class Config(baseline.Latents, baseline.Essentials):
    """Residual networks without normalisation, and schedules over the images seen."""

    width: int = 32
    """Channels of maps up to side full_width_side; halved with each doubling of the side beyond it."""
    full_width_side: int = 8
    """Largest side, in pixels, of maps with all channels."""
    blocks: int = 1
    """Residual blocks per side."""
    expansion: int = 2
    """Channels within a block, in multiples of those between blocks."""
    group_width: int = 8
    """Channels of a group of the 3x3 convolutions; must divide the channels within a block, or exceed them."""
    conditional: bool = False
    """Whether both networks see the labels, which the data must have."""
    learning_rate: float = 1e-3
    """Learning rate of both players at first."""
    final_learning_rate: float = 1e-4
    """Learning rate at the end of the schedules."""
    gamma: float = 10.0
    """Weight of R1 and R2."""
    final_gamma: float = 1.0
    """Weight of R1 and R2 at the end of the schedules."""
    beta2: float = 0.9
    """Adam's beta2; beta1 is 0."""
    final_beta2: float = 0.99
    """Beta2 at the end of the schedules."""
    half_life: float = 2_000
    """Half-life h of the average of the generator's weights at the end of the schedules, in images; 0 at first."""
    augmentation: float = 0.0
    """Probability p of each augmentation at the end of the schedules, 0 at first; 0 for none."""
    mirror: bool = False
    """Flip real images at random, left to right."""
    schedule_images: float = 64_000
    """Length of the schedules, in real images."""
    batch_size: int = 16
    run: loop.Run = baseline.lasting(4_000)


CODE = Config(  # train.py; FP16Stages of the code are the stages of bfloat16
    latent_size=64,  # NoiseDimension
    width=3 * 1024 // 4,  # WidthPerStage
    full_width_side=32,
    blocks=2,  # BlocksPerStage
    expansion=2,  # ExpansionFactor
    group_width=16,  # 2 * WidthPerStage / CardinalityPerStage
    learning_rate=2e-4,  # lr_scheduler, base_value
    final_learning_rate=5e-5,  # lr_scheduler, final_value
    beta2=0.9,  # beta2_scheduler, base_value
    final_beta2=0.99,  # beta2_scheduler, final_value
    schedule_images=2e7,  # decay_nimg
    mirror=True,  # --mirror=1 in the commands of README.md
    precision="bfloat16",  # FP16Stages
)
IMAGENET = replace(
    CODE,
    batch_size=4096,
    conditional=True,
    width=6 * 1024 // 4,
    full_width_side=64,
    group_width=32,
    half_life=5e7,
    schedule_images=2e8,
    run=loop.Run(steps=48_829, sample_every=1_000),
)
FFHQ = replace(CODE, batch_size=256, augmentation=0.3, half_life=5e5, run=loop.Run(steps=78_125, sample_every=1_000))
PRESETS = {
    "paper-cifar10": replace(  # --preset=CIFAR10 --batch=512 --cond=1
        CODE,
        dataset="cifar10",
        batch_size=512,
        conditional=True,
        gamma=0.05,
        final_gamma=0.005,
        half_life=5e6,  # ema_nimg
        augmentation=0.55,  # aug_scheduler, final_value
        run=loop.Run(steps=39_063, sample_every=1_000),
    ),
    "paper-ffhq64": replace(FFHQ, dataset="ffhq", resolution=64, gamma=2.0, final_gamma=0.2),  # --preset=FFHQ-64
    "paper-ffhq256": replace(FFHQ, dataset="ffhq", resolution=256, gamma=150.0, final_gamma=15.0),  # FFHQ-256
    "paper-imagenet32": replace(  # --preset=ImageNet-32
        IMAGENET, dataset="imagenet_resized/32x32", resolution=32, gamma=0.5, final_gamma=0.05, augmentation=0.5
    ),
    "paper-imagenet64": replace(  # --preset=ImageNet-64
        IMAGENET, dataset="imagenet_resized/64x64", resolution=64, gamma=1.0, final_gamma=0.1, augmentation=0.4
    ),
    "stacked-digits": Config(
        dataset="stacked_digits",
        run=loop.Run(4_000, log_every=100, eval_every=2_000, eval_metrics=("classes", "uniform_kl"), eval_count=26_000),
    ),
}


def build(config: Config, spec: Spec) -> System:
    """Assembles the relativistic game with its schedules."""
    short = f"schedule_images={config.schedule_images}: give at least batch_size={config.batch_size}"
    require(lambda: config.schedule_images >= config.batch_size, short)
    steps = config.schedule_images / config.batch_size

    def between(first: float, last: float) -> Schedule:
        return optimizers.cosine(first, steps, final=last)

    noise = baseline.latent(config)
    latent = latents.labelled(noise, spec.classes) if config.conditional else noise
    classes = spec.classes if config.conditional else 0
    layout = r3gan.Layout(
        spec.shape, config.width, config.full_width_side, config.blocks, config.expansion, config.group_width, classes
    )
    dtype = None if config.precision == "float32" else config.precision
    networks = {
        "generator": linen(r3gan.Generator(layout, dtype), (latent.size,)),
        "discriminator": linen(r3gan.Discriminator(layout, dtype), spec.shape, *[()] * bool(classes)),
    }
    networks = {
        # no output depends on the rest of the batch; finding this out by a trial takes long for the presets' networks
        name: rematerialised(network, config.activations)._replace(batch_dependent=lambda: False)
        for name, network in networks.items()
    }
    inputs, condition = (labelled(latent), given("label")) if classes else (None, None)
    changed = scheduled_ada(between(0.0, config.augmentation)) if config.augmentation else None
    played = Game(networks, losses.relativistic(losses.non_saturating()), latent, inputs, changed, condition)
    adam = optimizers.adam(
        between(config.learning_rate, config.final_learning_rate), 0.0, between(config.beta2, config.final_beta2)
    )
    gamma = between(config.gamma, config.final_gamma)
    held = [terms.scheduled(penalty(1.0), gamma) for penalty in (penalties.r1, penalties.r2)]
    players = [
        baseline.discriminator(config, played, held, adam),
        baseline.generator(config, played, optimizer=adam),
    ]
    decay = controllers.half_life(between(0.0, config.half_life), config.batch_size)
    average = controllers.ema("generator", decay)
    system = game.system(played, rules.alternating(players), [average])
    return mirrored(system) if config.mirror else system


def main(config: Config) -> None:
    """Trains R3GAN."""
    baseline.train(build, config)


if __name__ == "__main__":
    cli(main, __doc__, presets=PRESETS)
