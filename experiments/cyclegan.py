"""CycleGAN (Zhu et al. 2017, arXiv:1703.10593): translation between two domains, without pairs.

    for each iteration, with unpaired sources s and images x:
        the critics D of images and C of sources minimise ((D(x) - 1)^2 + D(G(s))^2 + (C(s) - 1)^2 + C(F(x))^2) / 2,
            with fakes from pools of 50 earlier ones
        the translators G and F minimise (D(G(s)) - 1)^2 + (C(F(x)) - 1)^2 + 10 (|F(G(s)) - s| + |G(F(x)) - x|)
            + 5 (|G(x) - x| + |F(s) - s|)

The factor 1/2 in the critics' loss is the paper's. Ablations: `--cycle 0 --identity 0` is the GAN loss alone,
`--adversarial 0` leaves it out. `--dataset`: unpaired:NAME, where NAME is recoloured:digits, edges:cifar10,
DIRECTORY:DIRECTORY or a set of TensorFlow Datasets such as cycle_gan/horse2zebra.

`--preset horse2zebra` has the paper's settings for horses and zebras: learning rates are constant for 100 epochs, then
fall linearly to 0 over 100 more. It lacks the random crops from side 286 and the mirror images. The paper uses the
identity loss for paintings alone (the authors' code uses it by default), and translates with the last weights, not
averaged ones. The authors' code updates the translators before the critics. Its PyTorch version has norms without scale
and shift; in its first version, in Lua, scales start as N(1, 0.02^2). Here they start at 1.

Translate a folder: `python -m gan_jax.translate RUN --input DIRECTORY --output DIRECTORY`, and `--backward`.

What to expect: 1,500 iterations on unpaired:recoloured:digits, 12.5 minutes on 1 CPU core: on 2,000 held-out pairs an
L1 error of 0.0368 and a feature distance of 0.141 (another pair's partner: 0.0783 and 0.872).
"""

from dataclasses import dataclass

import jax.numpy as jnp

from gan_jax import baseline, loop, losses, rng, rules
from gan_jax.cli import cli
from gan_jax.data import Spec
from gan_jax.game import Game, averaged_network
from gan_jax.methods import image_pool
from gan_jax.networks.patchgan import Field, PatchGAN
from gan_jax.networks.translator import Translator
from gan_jax.types import Array, Aux, Batch, Player, PyTree, System, TrainState

# translator: its input, its output, and the output's critic
WAYS = {"generator": ("source", "image", "discriminator"), "inverse": ("image", "source", "source_discriminator")}


@dataclass(frozen=True)
class Config(baseline.Adam, baseline.Widening, baseline.Common):
    """The baseline with two translators and two critics, for unpaired data."""

    dataset: str = "unpaired:recoloured:digits"
    cycle: float = 10.0
    """Weight of the cycle-consistency loss, the L1 error of a round trip; 0 for none."""
    identity: float = 5.0
    """Weight of the identity loss, the L1 change of images already in the target domain; 0 for none."""
    adversarial: float = 1.0
    """Weight of the adversarial loss; 0 for none."""
    blocks: int = 2
    """Residual blocks in each translator."""
    receptive_field: Field = 16
    """Side, in pixels, of the patches that the critics judge."""
    g_width: int = 16
    batch_size: int = 8
    g_learning_rate: float = 5e-4
    run: loop.Run = baseline.lasting(1_500)


PRESETS = {
    # section 4 and appendix 7; options.lua of junyanz/CycleGAN, options/train_options.py of its PyTorch version; 200
    # epochs of 1,334 zebras, the larger set in TensorFlow Datasets: the authors count 939 horses and 1,177 zebras
    "horse2zebra": Config(
        dataset="unpaired:cycle_gan/horse2zebra",
        resolution=256,
        batch_size=1,
        cycle=10.0,
        identity=0.0,
        blocks=9,
        receptive_field=70,
        g_width=64,
        d_width=64,
        g_learning_rate=2e-4,
        d_learning_rate=2e-4,
        beta1=0.5,
        beta2=0.999,
        decay_start=133_400,
        decay_steps=133_400,
        ema_decay=0.0,
        run=loop.Run(steps=266_800, sample_every=1_000),
    )
}


def build(config: Config, spec: Spec) -> System:
    """Assembles two translators and two critics: one player for each pair, with image pools for the critics."""
    networks, shapes = {}, {"image": spec.shape, "source": baseline.source_shape(spec)}
    for name, (start, end, critic) in WAYS.items():
        translator = Translator(shapes[end][-1], config.g_width, config.blocks, max_widening=config.max_widening)
        networks[name] = baseline.network(config, translator, shapes[start])
        patches = PatchGAN(config.d_width, config.receptive_field, max_widening=config.max_widening)
        networks[critic] = baseline.network(config, patches, shapes[end])

    def run(state: TrainState, name: str, images: Array) -> Array:
        return networks[name].apply(state.params[name], state.stats[name], images, train=True)[0]

    def d_objective(state: TrainState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        pools, metrics = dict(state.extra["pools"]), {"loss": jnp.zeros(())}
        for name, (start, end, critic) in WAYS.items():
            fake, pools[end] = image_pool.swap(pools[end], run(state, name, batch[start]), rng.named(key, end))
            value = losses.least_squares().discriminator(run(state, critic, batch[end]), run(state, critic, fake))
            metrics["loss"] += jnp.mean(value)
        return metrics["loss"], Aux(extra={"pools": pools}, metrics=metrics)

    def g_objective(state: TrainState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        fakes = {end: run(state, name, batch[start]) for name, (start, end, _) in WAYS.items()}
        metrics = {"loss": jnp.zeros(())}
        for name, (start, end, critic) in WAYS.items():
            logits = run(state, critic, fakes[end])
            parts = {"adversarial": 2 * jnp.mean(losses.least_squares().generator(logits, logits))}  # undoes its 1/2
            parts["cycle"] = jnp.mean(jnp.abs(run(state, name, fakes[start]) - batch[end]))
            if spec.shape == spec.source:
                parts["identity"] = jnp.mean(jnp.abs(run(state, name, batch[end]) - batch[end]))
            metrics |= {f"{part}_{end}": value for part, value in parts.items()}
            metrics["loss"] += sum(getattr(config, part) * value for part, value in parts.items())
        return metrics["loss"], Aux(metrics=metrics)

    def pools(params: dict[str, PyTree]) -> dict[str, PyTree]:
        return {"pools": {end: image_pool.empty(50, shape) for end, shape in shapes.items()}}

    critics, count = tuple(critic for _, _, critic in WAYS.values()), config.accumulate
    d_adam, g_adam = (baseline.adam(config, rate) for rate in (config.d_learning_rate, config.g_learning_rate))
    players = [
        Player("discriminator", critics, d_objective, d_adam, batches=count, slots=pools),
        Player("generator", tuple(WAYS), g_objective, g_adam, batches=count),
    ]
    game = Game(networks)
    return baseline.system(
        config,
        game,
        rules.alternating(players),
        averaged=tuple(WAYS),
        translate=averaged_network(networks, "generator"),
        translate_back=averaged_network(networks, "inverse"),
    )


def main(config: Config) -> None:
    """Trains CycleGAN."""
    baseline.train(build, config)


if __name__ == "__main__":
    cli(main, __doc__, presets=PRESETS)
