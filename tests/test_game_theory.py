"""What theory says that training must show, on games small enough to train here."""

import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy import gan

from gan_jax import data, latents, losses, penalties, rules
from gan_jax.game import Game, objectives
from gan_jax.networks import linen, mlp
from gan_jax.rules import controllers
from gan_jax.types import Network, Player, TrainState

KEY = jax.random.key(0)


@pytest.mark.slow
def test_the_wasserstein_critics_gap_follows_the_distance_between_gaussians():
    # W1 of N(0, 1) and N(m, s^2) is E|m + (s - 1) z|, a folded normal's mean
    def distance(m, s):
        d = abs(s - 1)
        if d == 0:
            return abs(m)
        return d * math.sqrt(2 / math.pi) * math.exp(-((m / d) ** 2) / 2) + m * math.erf(m / d / math.sqrt(2))

    def affine(params, stats, z, train, key=None):
        return params["m"] + params["s"] * z, stats

    steps, real = 1500, jax.random.normal(jax.random.key(5), (20_000, 1))
    networks = {
        "generator": Network(lambda key: ({}, {}), affine, lambda: False),
        "discriminator": linen(mlp.Discriminator((64, 64)), (1,)),
    }
    game = Game(networks, losses.wasserstein(), latents.normal(1))
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, steps), 0.0, 0.9)
    objective = objectives.discriminator(game, [penalties.gradient_penalty(10.0)])
    update = rules.alternating([Player("discriminator", ("discriminator",), objective, optimizer)])
    many = rules.many(update, data.batches(len(real), 256), steps)

    def gap(m, s):
        params = networks["discriminator"].init(KEY)[0]
        state = TrainState(
            step=jnp.zeros((), jnp.int32),
            params={"generator": {"m": m, "s": s}, "discriminator": params},
            stats={"generator": {}, "discriminator": {}},
            opt_state={"discriminator": optimizer.init({"discriminator": params})},
            ema={},
            extra={},
        )
        last, _ = many(state, {"image": real}, KEY, steps)
        fake = m + s * jax.random.normal(jax.random.key(7), real.shape)
        scores = [
            networks["discriminator"].apply(last.params["discriminator"], {}, x, train=False)[0] for x in (real, fake)
        ]
        return scores[0].mean() - scores[1].mean()

    # with equal means the critic may stay monotone, where the gap is the difference of means, a lower bound
    cases = [(0, 1), (0.5, 1), (1, 1), (2, 1), (3, 0.5), (1, 2.5), (1, 0.25), (-2, 2)]
    found = jax.jit(jax.vmap(gap))(*jnp.asarray(cases, jnp.float32).T)
    true = [distance(*case) for case in cases]
    assert np.corrcoef(found, true)[0, 1] > 0.95
    # the penalty is soft: where it is paid on the whole way its slope is 1 + distance / 20
    np.testing.assert_allclose(found, true, atol=0.1, rtol=0.2)


def trained(loss, steps, batch_size=64, order: Literal[1, 2] = 2, **options):
    """The metrics of an autoencoder against a generator, on digits."""
    digits = {"image": jnp.asarray(data.load("digits").arrays["image"])}
    latent = latents.normal(16)
    networks = {
        "generator": linen(mlp.Generator((28, 28, 1), (128, 128), norm="none"), (16,)),
        "discriminator": linen(mlp.Autoencoder((128, 128), 32, order), (28, 28, 1)),
    }
    adam = options.pop("adam")
    game = gan(networks, loss, latent, adam, **options)
    step = jax.jit(rules.many(game.update, data.batches(len(digits["image"]), batch_size), steps))
    return step(game.init(KEY), digits, KEY, steps)[1]


@pytest.mark.slow
def test_began_settles_at_its_diversity_ratio():
    # Berthelot et al. 2017: k is steered so that L(G(z)) = gamma L(x)
    gamma = 0.5
    seen = trained(
        losses.balanced(),
        2000,
        order=1,
        adam=optax.adam(3e-4, 0.5),
        controllers=[controllers.balance(gamma, rate=0.01)],
    )
    last = {name: float(np.mean(values[-600:])) for name, values in seen.items()}
    ratio = last["generator/loss"] / -last["discriminator/logit_real"]
    assert abs(ratio / gamma - 1) < 0.1
    assert last["balance/measure"] < 0.75 * float(
        np.mean(seen["balance/measure"][:200])
    )  # it falls as the game converges
    assert 0 < last["balance/k"] < 0.5


@pytest.mark.slow
def test_ebgan_energies_stand_in_order():
    # Zhao et al. 2017, theorem 1: real ones are pulled down, fake ones pushed up to the margin and no further
    margin = 1.0
    seen = trained(losses.energy(margin), 2000, adam=optax.adam(1e-3, 0.5))
    real, fake = (-np.mean(seen[f"discriminator/logit_{kind}"][-600:]) for kind in ("real", "fake"))
    assert 0 < 1.2 * real < fake < 1.05 * margin  # above the margin nothing pushes, but a move may overshoot
