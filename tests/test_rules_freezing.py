"""Frozen parameters stay to the bit under every rule, and the rest moves as if they were constants of the game."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from toy import BILINEAR, KEY, play, player, state_of

from gan_jax import optimizers, rules
from gan_jax.networks import dcgan, linen, mlp, order, packed
from gan_jax.networks.layers.norm import layer, normalise
from gan_jax.rules import freezing
from gan_jax.types import Aux, Player

RULES = {
    "alternating": rules.alternating,
    "repeated": functools.partial(rules.alternating, repeats={"x": 2}),
    "simultaneous": rules.simultaneous,
    "extragradient": rules.extragradient,
    "consensus": functools.partial(rules.consensus, strength=0.1),
    "symplectic": rules.symplectic,
    "unrolled": functools.partial(rules.unrolled, steps=2, player="y", opponent="x"),
}


def pair(name, sign):
    """A player of two parameters that multiplies their sum by the other player's, with weight decay."""

    def objective(state, batch, key):
        x, y = (sum(jnp.sin(value) for value in state.params[each].values()) for each in "xy")
        return sign * x * y, Aux()

    decayed = optax.adamw(0.1, eps_root=1e-8, weight_decay=0.1)
    return Player(name, (name,), objective, decayed)


@pytest.mark.parametrize("rule", RULES)
def test_under_every_rule_frozen_parameters_stay_to_the_bit_and_others_move_by_a_game_of_constants(rule):
    players = [pair("x", 1.0), pair("y", -1.0)]
    params = {"x": {"held": jnp.float32(0.3), "free": jnp.float32(1.1)}, "y": {"a": jnp.float32(0.7)}}
    start = state_of(**dict.fromkeys("xy", 0.0))
    start = replace(
        start, params=params, opt_state={p.name: p.optimizer.init({p.name: params[p.name]}) for p in players}
    )
    frozen = freezing.frozen(RULES[rule](players), {"x/held"})
    state, metrics = play(jax.jit(frozen), start, 3, {"image": jnp.zeros((2, 1))})
    assert state.params["x"]["held"] == params["x"]["held"]
    assert state.params["x"]["free"] != params["x"]["free"] and state.params["y"]["a"] != params["y"]["a"]
    (moments, *_) = state.opt_state["x"]
    assert moments.mu["x"]["held"] == 0 and moments.mu["x"]["free"] != 0  # no gradient has reached it
    assert np.all(np.isfinite(list(metrics.values())))


def test_a_frozen_player_is_a_constant_of_the_others_game():
    # of x y with y frozen, x descends y alone, and what consensus adds, grad |v|^2 / 2 with v = (y, 0), is 0 in x
    for rule in (rules.simultaneous, functools.partial(rules.consensus, strength=0.4), rules.extragradient):
        state, metrics = freezing.frozen(rule(BILINEAR), {"y"})(state_of(x=2.0, y=3.0), {}, KEY)
        assert float(state.params["y"]) == 3.0 and float(metrics["y/gradient_norm"]) == 0
        assert float(state.params["x"]) == pytest.approx(2.0 - 0.1 * 3.0, rel=1e-6)


def test_an_update_that_was_compiled_before_is_traced_again_where_it_is_frozen():
    compiled = jax.jit(rules.simultaneous(BILINEAR))
    free, _ = compiled(state_of(x=2.0, y=3.0), {}, KEY)
    held, _ = freezing.frozen(compiled, {"y"})(state_of(x=2.0, y=3.0), {}, KEY)
    again, _ = compiled(state_of(x=2.0, y=3.0), {}, KEY)
    assert float(held.params["y"]) == 3.0 != float(free.params["y"]) == float(again.params["y"])


def test_projections_leave_frozen_parameters_alone():
    clipped = player("x", lambda p: p["x"] ** 2)._replace(optimizer=optimizers.clipped(optimizers.sgd(0.1), 0.5))
    update = freezing.frozen(rules.simultaneous([clipped]), {"x"})
    assert float(update(state_of(x=2.0), {}, KEY)[0].params["x"]) == 2.0


def test_layers_are_in_the_order_of_the_forward_pass_whatever_their_names():
    found = order.modules(linen(dcgan.Discriminator((28, 28, 1), 4, "batch"), (28, 28, 1)))
    assert list(found) == [("Conv_0",), ("Conv_1",), ("BatchNorm_0",), ("Conv_2",), ("BatchNorm_1",), ("Dense_0",)]
    assert [path for path, weighted in found.items() if not weighted] == [("BatchNorm_0",), ("BatchNorm_1",)]
    generator = order.modules(linen(mlp.Generator((2,), (16, 16), "batch", bounded=False), (4,)))
    assert next(iter(generator)) == ("Dense_0",)


def test_the_first_layers_come_with_their_normalisation():
    network = linen(dcgan.Discriminator((28, 28, 1), 4, "batch"), (28, 28, 1))
    assert order.first(network, 1) == [("Conv_0",)]
    assert order.first(network, 2) == [("Conv_0",), ("Conv_1",), ("BatchNorm_0",)]
    assert order.first(network, 2) == order.first(network, 2)  # nothing is cached that would hide the layers
    assert order.first(packed(network, 1), 2) == order.first(network, 2)


class _Block(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return x + nn.Dense(x.shape[-1], name="b")(normalise(nn.Dense(x.shape[-1], name="c")(x), "layer", train))


class _Named(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = _Block(name="z")(layer(nn.Dense(4, name="last"), "spectral", x, train), train)
        return layer(nn.Dense(1, name="a"), "spectral", x, train)[:, 0] * self.param("gain", nn.initializers.ones, ())


def test_layers_in_blocks_and_under_spectral_norm_are_found():
    network = linen(_Named(), (2,))
    found = order.modules(network)
    weighted = [("last",), ("z", "c"), ("z", "b"), ("a",)]
    assert [path for path in found if found[path]] == weighted
    assert {path for path in found if not found[path]} == {(), ("z", "LayerNorm_0")}
    params = jax.eval_shape(network.init, KEY)[0]
    layers = {"last": ("bias", "kernel"), "z/c": ("bias", "kernel"), "z/LayerNorm_0": ("bias", "scale")}
    paths = {f"{layer}/{name}" for layer, names in layers.items() for name in names} | {"gain"}
    assert set(order.parameters(params, order.first(network, 2))) == paths
