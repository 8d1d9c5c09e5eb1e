"""Lazy regularisation in separate steps of a shared optimiser."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from toy import BILINEAR, KEY, RATE, points, state_of

from gan_jax import latents, losses, optimizers, penalties, rules
from gan_jax.game import Game, discriminator, generator, given, regularisation, system
from gan_jax.networks import linen, mlp
from gan_jax.rules import gradients
from gan_jax.rules.controllers import ema
from gan_jax.types import Aux, Player, Term


def held(every, optimizer, target=7.0):
    """A player at x that minimises x^2 / 2, and its regularisation towards a target."""

    def pull(state, batch, key):
        distance = (state.params["x"] - target) ** 2 / 2
        return every * distance, Aux(metrics={"distance": distance})

    main = Player("x", ("x",), lambda state, batch, key: (state.params["x"] ** 2 / 2, Aux()), optimizer)
    return main, main._replace(name="x_regularisation", objective=pull, every=every, shares="x")


@pytest.mark.parametrize("every", [1, 3])
def test_regularisation_steps_share_the_optimiser_and_come_every_few_iterations(every):
    momentum = optax.sgd(RATE, momentum=0.5)
    players = held(every, momentum)
    state = replace(state_of(x=2.0), opt_state={"x": momentum.init({"x": jnp.asarray(2.0)})})
    update, seen = jax.jit(rules.alternating(players)), []
    x, speed = 2.0, 0.0
    for step in range(7):
        slopes = [lambda x: x] + [lambda x: every * (x - 7.0)] * (step % every == 0)
        before = []
        for slope in slopes:
            before.append(x)
            speed = 0.5 * speed + slope(x)
            x -= RATE * speed
        state, metrics = update(replace(state, step=jnp.asarray(step)), {}, KEY)
        np.testing.assert_allclose(state.params["x"], x, rtol=1e-5)
        distance = every * (before[-1] - 7.0) ** 2 / 2 if step % every == 0 else 0.0
        np.testing.assert_allclose(metrics["x_regularisation/distance"], distance, rtol=1e-5)
        seen.append(float(metrics["x_regularisation/distance"]))
    assert sum(value > 0 for value in seen) == len(range(0, 7, every)) and set(state.opt_state) == {"x"}


def test_nothing_of_a_regularisation_is_computed_between_its_steps():
    calls = []
    main, second = held(3, optax.sgd(RATE))

    def counted(state, batch, key):
        jax.debug.callback(lambda: calls.append(None))
        return second.objective(state, batch, key)

    update = jax.jit(rules.alternating((main, second._replace(objective=counted))))
    state = state_of(x=2.0)
    for step in range(7):
        state, _ = update(replace(state, step=jnp.asarray(step)), {}, KEY)
    jax.effects_barrier()
    assert len(calls) == 3


def test_adams_constants_are_those_of_the_paper():
    share = 16 / 17
    expected = optax.adam(0.002 * share, b1=0.3**share, b2=0.99**share)
    corrected = optimizers.adam(0.002, b1=0.3, b2=0.99, lazy=16)
    params = {"x": jnp.array([1.0, -2.0])}
    ours: Any = params
    theirs: Any = params
    state, other = corrected.init(params), expected.init(params)
    for step in range(4):
        slopes = {"x": jnp.array([0.3, -1.0]) * (step + 1)}
        ours, state = optimizers.moved(corrected, slopes, state, ours, step)
        updates, other = expected.update(slopes, other)
        theirs = optax.apply_updates(theirs, updates)
    np.testing.assert_allclose(ours["x"], theirs["x"], rtol=1e-6)
    assert float(optimizers.learning_rate(corrected, 0)) == pytest.approx(0.002 * share)


def test_a_games_regularisation_descends_its_terms_alone():
    drift = Term("drift", lambda context: jnp.mean(context.real_output["logits"] ** 2), player="discriminator")
    networks = {
        "generator": linen(mlp.Generator((2,), (4,), norm="none", bounded=False), (4,)),
        "discriminator": linen(mlp.Discriminator((4,)), (2,)),
    }
    game = Game(networks, losses.hinge(), latents.normal(4))
    critic = discriminator(game, optax.sgd(RATE))
    lazy = regularisation(game, critic, [drift], 4)
    built = system(game, rules.alternating([critic, lazy, generator(game, optax.sgd(RATE))]), [ema("generator", 0.9)])
    state, batch = jax.jit(built.init)(KEY), jax.tree.map(lambda x: x[:8], points())

    def value(params):
        logits = networks["discriminator"].apply(params, {}, batch["image"], train=True)[0]
        return 4 * jnp.mean(logits**2)

    ours = jax.jit(lambda state: gradients.gradient(lazy, state, batch, KEY)[0])(state)["discriminator"]
    expected = jax.jit(jax.grad(value))(state.params["discriminator"])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), ours, expected)
    assert "discriminator_regularisation" not in state.opt_state


class Chosen(nn.Module):
    """A linear critic for each class."""

    @nn.compact
    def __call__(self, points, labels, train):
        weights = self.param("weights", nn.initializers.normal(1.0), (3, 2))
        return jnp.sum(points * weights[labels.astype(int)], axis=1)


def test_r1_of_a_conditional_critic_is_that_of_each_examples_class():
    networks = {
        "generator": linen(mlp.Generator((2,), (4,), norm="none", bounded=False), (4,)),
        "discriminator": linen(Chosen(), (2,), ()),
    }
    game = Game(networks, losses.hinge(), latents.normal(4), condition=given("label"))
    critic = discriminator(game, optax.sgd(RATE))
    lazy = regularisation(game, critic, [penalties.r1(3.0, of_sum=True)], 16)
    built = system(game, rules.alternating([critic, lazy]), [ema("generator", 0.9)])
    state, labels = jax.jit(built.init)(KEY), jnp.array([0, 2, 2, 1])
    batch = {"image": points()["image"][:4], "label": labels}
    value, aux = jax.jit(lazy.objective)(state, batch, KEY)
    squares = jnp.sum(state.params["discriminator"]["weights"] ** 2, axis=1)
    np.testing.assert_allclose(aux.metrics["r1"], 3 / 2 * jnp.mean(squares[labels]), rtol=1e-6)
    np.testing.assert_allclose(value, 16 * aux.metrics["r1"], rtol=1e-6)


def test_what_cannot_be_regularised_lazily_is_refused():
    main, second = held(3, optax.sgd(RATE))
    with pytest.raises(ValueError, match=r"x_regularisation.*every iteration"):
        rules.simultaneous([second._replace(shares="")])
    with pytest.raises(ValueError, match="same network"):
        rules.simultaneous([main, second])
    with pytest.raises(ValueError, match="every=0"):
        rules.alternating([main, second._replace(every=0)])(state_of(x=1.0), {}, KEY)
    with pytest.raises(ValueError, match="lazy=-1"):
        optimizers.adam(0.1, lazy=-1)
    networks = {name: linen(mlp.Discriminator((2,)), (2,)) for name in ("x", "y")}
    with pytest.raises(ValueError, match=r"shares the optimiser of 'x'.*\['y'\]"):
        system(Game(networks), rules.alternating([second, BILINEAR[1]]))
    game = Game(networks | {"generator": networks["x"]}, losses.hinge(), latents.normal(2))
    with pytest.raises(ValueError, match="discriminator"):
        regularisation(game, main._replace(name="generator"), [penalties.r1(1.0)], 16)
