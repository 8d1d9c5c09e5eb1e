"""CycleGAN (Zhu et al. 2017, arXiv:1703.10593): two domains translated into each other without pairs.

    for each iteration, sources s and images x that have nothing to do with each other:
        the critics D of images and C of sources descend (D(x) - 1)^2 + D(G(s))^2 and (C(s) - 1)^2 + C(F(x))^2, fakes
            taken from pools of the last 50
        the translators G and F descend (D(G(s)) - 1)^2 + (C(F(x)) - 1)^2 + 10 (|F(G(s)) - s| + |G(F(x)) - x|)
            + 5 (|G(x) - x| + |F(s) - s|)

Ablations: `--cycle 0 --identity 0` is GAN alone, `--adversarial 0` cycles alone. `--dataset`: unpaired:NAME, where NAME
is recoloured:digits, edges:cifar10, DIRECTORY:DIRECTORY or a set of TensorFlow Datasets such as cycle_gan/horse2zebra.
The paper's networks are `--resolution 256 --g-width 64 --d-width 64 --blocks 9 --receptive-field 70`, at a batch of
1, both rates 2e-4.

Translate a folder: `python -m gan_jax.translate RUN --input DIRECTORY --output DIRECTORY`, and `--backward`.
"""

from dataclasses import dataclass

import jax.numpy as jnp

from gan_jax import baseline, latents, losses, pool, rng, rules
from gan_jax.cli import cli
from gan_jax.controllers import ema
from gan_jax.data import Spec
from gan_jax.networks.patchgan import Field, PatchGAN
from gan_jax.networks.translator import Translator
from gan_jax.system import averaged_network, system
from gan_jax.types import Array, Aux, Batch, Player, System, TrainState

WAYS = {  # translator: from, to, judged by
    "generator": ("source", "image", "discriminator"),
    "inverse": ("image", "source", "source_discriminator"),
}


@dataclass(frozen=True)
class Config(baseline.Baseline):
    """What defines a run."""

    dataset: str = "unpaired:recoloured:digits"
    cycle: float = 10.0
    """Weight of coming back to where one started; 0 for none."""
    identity: float = 5.0
    """Weight of leaving alone what is in the target's domain already; 0 for none."""
    adversarial: float = 1.0
    """Weight of the critics' opinion; 0 for none."""
    pool: int = 50
    """Fakes that a critic remembers; 0 for none."""
    blocks: int = 2
    """Residual blocks of a translator."""
    receptive_field: Field = 16
    """Side of the patches that are judged."""
    g_width: int = 16
    batch_size: int = 16
    g_learning_rate: float = 5e-4


def build(config: Config, spec: Spec) -> System:
    """Builds the game."""
    inputs = latents.source(spec.source)
    shapes = {"image": spec.shape, "source": spec.source or ()}
    networks = {}
    for name, (start, end, critic) in WAYS.items():
        translator = Translator(shapes[end][-1], config.g_width, config.blocks)
        networks[name] = baseline.network(config, translator, shapes[start])
        networks[critic] = baseline.network(config, PatchGAN(config.d_width, config.receptive_field), shapes[end])
    loss = losses.least_squares()

    def run(state: TrainState, name: str, images: Array) -> Array:
        return networks[name].apply(state.params[name], state.stats[name], images, train=True)[0]

    def translate(state: TrainState, batch: Batch) -> dict[str, Array]:
        return {end: run(state, name, batch[start]) for name, (start, end, _) in WAYS.items()}

    def judge(state: TrainState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        made, pools, metrics = translate(state, batch), {}, {}
        for _, end, critic in WAYS.values():
            fake, pools[f"pool {end}"] = pool.swap(state.extra[f"pool {end}"], made[end], rng.named(key, end))
            value = loss.discriminator(run(state, critic, batch[end]), run(state, critic, fake))
            metrics[f"loss_{end}"] = jnp.mean(value)
        total = sum(metrics.values(), start=jnp.zeros(()))
        return total, Aux(extra=pools, metrics=metrics | {"loss": total})

    def please(state: TrainState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        made, metrics = translate(state, batch), {}
        for name, (start, end, critic) in WAYS.items():
            said = run(state, critic, made[end])
            metrics[f"loss_{end}"] = jnp.mean(loss.generator(said, said))
            metrics[f"cycle_{end}"] = jnp.mean(jnp.abs(run(state, name, made[start]) - batch[end]))
            if config.identity and spec.shape == spec.source:
                metrics[f"identity_{end}"] = jnp.mean(jnp.abs(run(state, name, batch[end]) - batch[end]))
        weights = {"loss": config.adversarial, "cycle": config.cycle, "identity": config.identity}
        total = sum((weights[name.split("_")[0]] * x for name, x in metrics.items()), start=jnp.zeros(()))
        return total, Aux(metrics=metrics | {"loss": total})

    adam = baseline.adam(config)
    critics = tuple(critic for _, _, critic in WAYS.values())
    players = [
        Player("discriminator", critics, judge, adam["discriminator"], batches=config.accumulate),
        Player("generator", tuple(WAYS), please, adam["generator"], batches=config.accumulate),
    ]
    return system(
        networks,
        players,
        rules.then(rules.alternating(players), *(ema(name, config.ema_decay) for name in WAYS)),
        inputs,
        batches=config.accumulate,
        slots=[lambda params: {f"pool {end}": pool.empty(config.pool, shape) for end, shape in shapes.items()}],
        averaged=tuple(WAYS),
        encode=averaged_network(networks, "inverse"),
    )


def main(config: Config) -> None:
    """Trains it."""
    baseline.train(build, config)


if __name__ == "__main__":
    cli(main, __doc__)
