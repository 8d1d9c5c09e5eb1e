"""MIX+GAN (Arora et al. 2017, arXiv:1703.00573): a mixture of generators plays against a mixture of discriminators.

    u = softmax(a) are the weights of T generators, v = softmax(b) those of T discriminators
    for each iteration:
        all D_j and b minimise  sum_ij u_i v_j (-log D_j(x) - log(1 - D_j(G_i(z)))) - c / T sum_j log v_j
        all G_i and a minimise  sum_ij u_i v_j (-log D_j(G_i(z))) - c / T sum_i log u_i
    a sample comes from G_i with probability u_i

Mixtures have an approximate equilibrium where single networks may have none. The last terms keep the weights from
collapsing before the networks have learnt. The paper takes T as large as memory allows, at most 5, with the networks
and settings of DCGAN and of WGAN. An iteration evaluates T^2 batches of samples; `--components 1` is the plain game.
With batch norm, a discriminator's moments are those of all generators' samples together. `--loss wasserstein` uses
spectral norm, where the paper clips weights. Samples come from an average of the generators' weights, which the paper
does not use; `--ema-decay 0` turns it off.

What to expect: 3 runs of 2,000 iterations on fashion_mnist (`--g-width 16 --d-width 12`): FID 6.69 (5.43 to 6.81) by
its classifier's features, precision 0.69, recall 0.45; an iteration takes 6.08 times as long as one of dcgan.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jax.scipy.special import entr

from gan_jax import baseline, loop, losses, rules
from gan_jax.checks import require
from gan_jax.cli import cli
from gan_jax.data import Spec
from gan_jax.game import Game
from gan_jax.methods import mixture
from gan_jax.networks.layers.norm import Norm
from gan_jax.types import Array, Controller, GanLoss, Loss, Metrics, System, Term, TrainState


@dataclass(frozen=True)
class Config(baseline.Baseline):
    """The baseline with mixtures of generators and discriminators."""

    components: int = 3
    """T, the number of generators and of discriminators."""
    entropy: float = 0.1
    """c, the weight of the terms that keep mixture weights away from 0; 0 for none."""
    loss: Literal["non_saturating", "wasserstein"] = "non_saturating"
    """Loss of each pair; wasserstein needs --d-norm spectral, which bounds the slopes of the critics."""
    d_norm: Norm = "batch"
    """Normalisation of the discriminators."""
    run: loop.Run = baseline.lasting(5_000)


def payoff(base: GanLoss) -> Loss:
    """Returns the loss sum_ij u_i v_j base(D_j, G_i), of real logits `[B, T]` and fake logits `[B T, T]`."""

    def mixed(state: TrainState, key: Array) -> GanLoss:
        u, v = (mixture.weights(state.params[name]) for name in ("generator", "discriminator"))

        def mean(judge: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
            pairs = jax.vmap(jax.vmap(judge, (None, 1), 1), (1, 2), 2)  # [B, j], [B, i, j] -> [B, i, j]
            return lambda real, fake: jnp.sum(pairs(real, fake.reshape(-1, len(u), len(v))) * u[:, None] * v, (1, 2))

        return GanLoss(mean(base.discriminator), mean(base.generator))

    return mixed


def uneven(c: float, player: str) -> Term:
    """Returns the term -c / T sum_i log w_i of a player's mixture weights w."""
    return Term("uneven", lambda at: -c * jnp.mean(jnp.log(mixture.weights(at.state.params[player]))), player=player)


def logged(state: TrainState, metrics: Metrics, key: Array) -> tuple[TrainState, Metrics]:
    """Logs the generators' weights, and each mixture's effective number of components, exp(entropy of its weights)."""
    every = {name: mixture.weights(state.params[name]) for name in ("discriminator", "generator")}
    effective = {f"mixture/{name}s": jnp.exp(jnp.sum(entr(weights))) for name, weights in every.items()}
    return state, metrics | effective | {f"mixture/weight_{i}": weight for i, weight in enumerate(every["generator"])}


def build(config: Config, spec: Spec) -> System:
    """Assembles two mixtures of networks, the loss over all pairs, and the terms on the mixture weights."""
    require(
        lambda: config.entropy >= 0, f"entropy={config.entropy}: give 0 to leave the terms out, or a positive number"
    )
    bounded = f"loss='wasserstein', d_norm={config.d_norm!r}: critics must have bounded slopes; give --d-norm spectral"
    require(lambda: config.loss != "wasserstein" or config.d_norm == "spectral", bounded)
    networks = baseline.networks(config, spec, config.d_norm)
    networks["generator"] = mixture.generators(networks["generator"], config.components)
    networks["discriminator"] = mixture.discriminators(networks["discriminator"], config.components)
    game = Game(networks, payoff(getattr(losses, config.loss)()), mixture.latent(baseline.latent(config)))
    players = [
        baseline.discriminator(config, game, [uneven(config.entropy, "discriminator")]),
        baseline.generator(config, game, [uneven(config.entropy, "generator")]),
    ]
    return baseline.system(config, game, rules.alternating(players), [Controller("weights", logged)])


def main(config: Config) -> None:
    """Trains MIX+GAN."""
    baseline.train(build, config)


if __name__ == "__main__":
    cli(main, __doc__)
