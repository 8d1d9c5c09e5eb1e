"""StyleGAN2 (Karras et al. 2020, arXiv:1912.04958), with adaptive augmentation (ADA, arXiv:2006.06676).

    for each iteration:
        G minimises softplus(-D(G(z))); every 4th, in a step of its own, 4 * 2 (|J^T y| - a)^2, the path length in W
        D minimises softplus(D(G(z))) + softplus(-D(x)); every 16th, in a step of its own, 16 * gamma / 2 |grad D(x)|^2
    where G maps latents to styles w, which modulate its convolutions, and J is the Jacobian of the image in w

As regularisation takes further steps, Adam has c times its learning rate and its betas to the power of c, c = 4 / 5 for
G and 16 / 17 for D. `--conditional` gives both networks the labels. Truncated samples, closer to the mean style:
`python -m gan_jax.sample RUN --truncation 0.7`.

The presets are the configurations of the authors' stylegan2-ada-pytorch (`train.py`): `--preset paper-cifar10` (cifar
there), `--preset paper-256`, `--preset paper-512`, `--preset paper-1024`, and `--preset stylegan2`, the original
StyleGAN2 without ADA; all but the first with `--dataset FOLDER`. What differs from that code: the crossover of style
mixing is drawn for each example, not for each batch; fake images have the labels of the batch's real ones; ADA's
probability is at most 1; the mean style is averaged along with the generator's weights, not copied; gradients that are
not finite are not replaced; bfloat16 takes the place of float16. The defaults are narrow, for CPUs.
"""

from dataclasses import dataclass, replace

import jax.numpy as jnp

from gan_jax import augment, baseline, latents, loop, losses, optimizers, penalties, rules, terms
from gan_jax.cli import cli
from gan_jax.data import Spec
from gan_jax.game import Game, averaged_network, given, labelled, regularisation, system
from gan_jax.methods.mirroring import mirrored
from gan_jax.networks import linen, rematerialised, stylegan2
from gan_jax.rules.controllers import adaptive_augmentation, ema, half_life
from gan_jax.types import Network, System


@dataclass(frozen=True)
class Config(baseline.Essentials):
    """Data, precision and run, and the settings that depend on the resolution."""

    conditional: bool = False
    """Whether both networks see the labels, which the data must have."""
    latent_size: int = 64
    """Dimensions of latents, without the label."""
    style_size: int = 64
    """Dimensions of styles, and of the mapping network's layers."""
    mapping_depth: int = 2
    """Layers of the mapping network."""
    channel_base: int = 512
    """Channels of a map of side s are channel_base / s, up to channel_max, in both networks."""
    channel_max: int = 64
    """Most channels of a map."""
    residual: bool = True
    """Skip connections in the discriminator's blocks."""
    group: int = 4
    """Examples in a group of the minibatch standard deviation; must divide the batch size."""
    learning_rate: float = 0.0025
    """Learning rate of both players, before the factor c for lazy regularisation."""
    r1: float = 0.1
    """Gamma, the weight of R1."""
    path_length: float = 2.0
    """Weight of the path length regularisation; 0 for none."""
    mixing: float = 0.9
    """Probability of style mixing."""
    ada: float = 0.0
    """ADA's target for the mean sign of D's logits of real images, 0.6 in the paper; 0 for no augmentation."""
    half_life: float = 10_000
    """Half-life of the average of the generator's weights, in images; the average draws the samples."""
    ramp_up: float = 0.05
    """Cap on that half-life, as a fraction of the images seen so far; 0 for none."""
    mirror: bool = False
    """Flip real images at random, left to right."""
    run: loop.Run = baseline.lasting(5_000)


CODE = Config(  # what all configurations of train.py have in common
    latent_size=512,  # z_dim
    style_size=512,  # w_dim
    mapping_depth=8,  # map
    channel_base=32768,  # fmaps * 32768
    channel_max=512,
    learning_rate=0.0025,  # lrate
    ada=0.6,  # ada_target
    ramp_up=0.0,  # ramp=None
    precision="bfloat16",  # num_fp16_res=4
)
LARGE = replace(CODE, dataset="ffhq", resolution=1024, batch_size=32, learning_rate=0.002, half_life=10_000, group=4)
LONG = loop.Run(steps=25_000_000 // 64, sample_every=1_000)  # kimg=25000, mb=64
PRESETS = {
    "paper-cifar10": replace(  # --cfg=cifar, "tuned configuration"
        CODE,
        dataset="cifar10",
        resolution=32,
        batch_size=64,  # mb
        group=32,  # mbstd
        r1=0.01,  # gamma
        half_life=500_000,  # ema=500
        ramp_up=0.05,
        mapping_depth=2,
        path_length=0.0,  # pl_weight
        mixing=0.0,  # style_mixing_prob
        residual=False,  # architecture="orig"
        run=loop.Run(steps=100_000_000 // 64, sample_every=1_000),  # kimg=100000
    ),
    "paper-256": replace(  # --cfg=paper256
        CODE,
        dataset="ffhq",
        resolution=256,
        batch_size=64,
        group=8,
        r1=1.0,
        half_life=20_000,
        channel_base=16384,
        run=LONG,
    ),
    "paper-512": replace(  # --cfg=paper512
        CODE, dataset="ffhq", resolution=512, batch_size=64, group=8, r1=0.5, half_life=20_000, run=LONG
    ),
    "paper-1024": replace(LARGE, r1=2.0, run=replace(LONG, steps=25_000_000 // 32)),  # --cfg=paper1024
    "stylegan2": replace(  # --cfg=stylegan2 --mirror=1 --aug=noaug
        LARGE, r1=10.0, ada=0.0, mirror=True, run=replace(LONG, steps=25_000_000 // 32)
    ),
}


def average_decay(config: Config) -> optimizers.Schedule:
    """Returns the decay of the generator's average, by iteration; with `ramp_up`, the half-life grows with training."""
    longest, per_step = config.half_life, config.ramp_up * config.batch_size
    return half_life(lambda step: jnp.minimum(longest, per_step * step if per_step else longest), config.batch_size)


def build(config: Config, spec: Spec) -> System:
    """Assembles both networks, their players with lazy regularisation, ADA, and truncation in W."""
    latent, classes, taken = latents.normal(config.latent_size), 0, []
    if config.conditional:
        latent, classes, taken = latents.labelled(latent, spec.classes), spec.classes, [()]
    dtype = jnp.bfloat16 if config.precision == "bfloat16" else None
    sizes = {"base": config.channel_base, "most": config.channel_max, "classes": classes, "dtype": dtype}
    mapping = {"width": config.style_size, "depth": config.mapping_depth, "mixing": config.mixing}

    def generator(psi: float = 1.0) -> Network:
        module = stylegan2.Generator(spec.shape, psi=psi, **mapping, **sizes)
        network = rematerialised(linen(module, (latent.size,)), config.activations)
        return network._replace(batch_dependent=lambda: False)  # this is known, so no trial is needed

    judge = stylegan2.Discriminator(spec.shape, residual=config.residual, group=config.group, **sizes)
    discriminator = rematerialised(linen(judge, spec.shape, *taken), config.activations)
    networks = {"generator": generator(), "discriminator": discriminator}
    game = Game(networks, losses.non_saturating(), latent, augment=augment.ada() if config.ada else None)
    if config.conditional:
        game = game._replace(inputs=labelled(latent), condition=given("label"))
    g_adam, d_adam = (optimizers.adam(config.learning_rate, 0.0, 0.99, lazy=every) for every in (4, 16))
    g, d = baseline.generator(config, game, (), g_adam), baseline.discriminator(config, game, (), d_adam)
    players = [g, d, regularisation(game, d, [penalties.r1(config.r1, of_sum=True)], 16)]
    if config.path_length:
        paths = terms.path_length(config.path_length, layer="styles", shrink=2)
        players.insert(1, regularisation(game, g, [paths], 4))
    controllers = [adaptive_augmentation(config.batch_size, config.ada)] if config.ada else []
    built = system(
        game,
        rules.alternating(players),
        [*controllers, ema("generator", average_decay(config))],
        truncate=lambda psi: averaged_network({"generator": generator(psi)}, "generator"),
    )
    return mirrored(built) if config.mirror else built


def main(config: Config) -> None:
    """Trains StyleGAN2."""
    baseline.train(build, config)


if __name__ == "__main__":
    cli(main, __doc__, presets=PRESETS)
