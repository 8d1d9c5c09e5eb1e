import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toy

from gan_jax import baseline, losses, optimizers, rules
from gan_jax.data import Spec, kinds
from gan_jax.game import Game, sampler

CONFIG = baseline.Baseline(g_width=4, d_width=4, latent_size=3, g_learning_rate=0.1, d_learning_rate=0.2)
IMAGES, POINTS = Spec((28, 28, 1), 10), Spec((2,), 8, kind=kinds.points)


def lengths(optimizer, moves):
    """Returns how far a parameter under a constant gradient goes in each move; Adam goes its rate."""
    params = {"x": jnp.zeros(())}
    state, found = optimizer.init(params), []
    for i in range(moves):
        after, state = optimizers.moved(optimizer, {"x": jnp.ones(())}, state, params, i)
        found.append(float(params["x"] - after["x"]))
        params = after
    return found


@pytest.mark.parametrize(
    ("settings", "shares"),
    [
        ({}, [1, 1, 1, 1, 1, 1]),
        ({"decay_steps": 4}, [1, 3 / 4, 2 / 4, 1 / 4, 0, 0]),
        ({"decay_steps": 2, "decay_start": 2}, [1, 1, 1, 1 / 2, 0, 0]),  # as CycleGAN's paper: kept, then a line
        ({"decay_steps": 4, "decay": "cosine"}, [1, (2 + 2**0.5) / 4, 1 / 2, (2 - 2**0.5) / 4, 0, 0]),
        ({"warm_up": 4}, [1 / 4, 2 / 4, 3 / 4, 1, 1, 1]),
        ({"warm_up": 2, "decay_steps": 4}, [1 / 2, 3 / 4, 2 / 4, 1 / 4, 0, 0]),
    ],
)
def test_learning_rates_follow_their_schedule(settings, shares):
    config = dataclasses.replace(CONFIG, **settings)
    game = Game(baseline.networks(config, POINTS), losses.hinge(), baseline.latent(config))
    for player, rate in ((baseline.generator(config, game), 0.1), (baseline.discriminator(config, game), 0.2)):
        np.testing.assert_allclose(lengths(player.optimizer, 6), rate * np.array(shares), atol=1e-6)


@pytest.mark.parametrize(
    ("rule", "moves"),
    [
        (functools.partial(rules.alternating, repeats={"x": 3}), 3),
        (rules.extragradient, 1),  # a look ahead from where it stands, and one move
    ],
)
def test_schedules_count_iterations_under_any_rule_and_are_logged(rule, moves):
    rate = optimizers.linear(0.4, 4)
    one = toy.player("x", lambda params: params["x"])._replace(optimizer=optimizers.sgd(rate))
    state = toy.state_of(x=0.0)
    state = dataclasses.replace(state, step=jnp.asarray(1), opt_state={"x": one.optimizer.init({"x": jnp.zeros(())})})
    after, metrics = rule([one])(state, {"image": jnp.zeros((3, 1))}, jax.random.key(0))
    np.testing.assert_allclose(after.params["x"], -moves * 0.3, rtol=1e-6)
    np.testing.assert_allclose(metrics["x/learning_rate"], 0.3, rtol=1e-6)


def test_adam_is_optaxs_and_its_betas_may_be_schedules():
    slopes = [{"x": jnp.array([1.0, -2.0])}, {"x": jnp.array([0.5, 3.0])}, {"x": jnp.array([-1.0, 0.1])}]

    def path(optimizer, update):
        params = {"x": jnp.zeros(2)}
        state = optimizer.init(params)
        for i, slope in enumerate(slopes):
            params, state = update(optimizer, slope, state, params, i)
        return params["x"], state

    ours, state = path(optimizers.adam(0.1, 0.5, 0.9), optimizers.moved)
    theirs, other = path(optax.adam(0.1, 0.5, 0.9), optimizers.moved)
    np.testing.assert_array_equal(ours, theirs)
    assert jax.tree_util.tree_structure(state) == jax.tree_util.tree_structure(other)  # checkpoints fit either
    same, _ = path(optimizers.adam(0.1, lambda i: 0.5 + 0 * i, lambda i: 0.9 + 0 * i), optimizers.moved)
    np.testing.assert_allclose(same, ours, rtol=1e-6)
    late, _ = path(optimizers.adam(0.1, lambda i: jnp.where(i < 2, 0.5, 0.0), 0.9), optimizers.moved)
    moments = 0.9 * (0.9 * 1.0 + 0.25) + 1.0  # of x[0], times 1 - 0.9
    last = -1.0 / np.sqrt(0.1 * moments / (1 - 0.9**3))  # with b1 = 0 a step is g / sqrt(v)
    before, _ = path(
        optimizers.adam(0.1, 0.5, 0.9), lambda o, g, s, p, i: optimizers.moved(o, g, s, p, i) if i < 2 else (p, s)
    )
    np.testing.assert_allclose(late[0] - before[0], -0.1 * last, rtol=1e-5)


@pytest.mark.parametrize(("spec", "kind"), [(IMAGES, "dcgan"), (IMAGES, "resnet"), (POINTS, "dcgan")])
def test_networks_have_the_size_of_the_data(spec, kind):
    networks = baseline.networks(CONFIG, spec, "layer", kind, with_features=True)
    game = Game(networks, losses.hinge(), baseline.latent(CONFIG))
    players = [baseline.discriminator(CONFIG, game), baseline.generator(CONFIG, game)]
    system = baseline.system(CONFIG, game, rules.alternating(players))
    state = jax.eval_shape(system.init, jax.random.key(0))
    samples = jax.eval_shape(sampler(system)[1], state.ema, jax.ShapeDtypeStruct((5, 3), "float32"))
    assert samples.shape == (5, *spec.shape)
    batch = {"image": samples}
    after, metrics = jax.eval_shape(system.update, state, batch, jax.random.key(0))
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    assert metrics["generator/loss"].shape == ()


def test_points_are_not_bounded_and_images_are():
    images, points = (baseline.networks(CONFIG, spec)["generator"] for spec in (IMAGES, POINTS))
    for network, bounded in ((images, True), (points, False)):
        params, stats = jax.jit(network.init)(jax.random.key(0))
        made = jax.jit(lambda p, s, z, n=network: n.apply(p, s, z, train=False)[0])
        largest = jnp.max(jnp.abs(made(jax.tree.map(lambda x: 10 * x, params), stats, 100 * jnp.ones((2, 3)))))
        assert (largest <= 1) == bounded


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"g_learning_rate": 0.0}, "learning rate 0.0: give --g-learning-rate"),
        ({"beta1": 1.0}, r"beta1, beta2 = \(1.0, 0.99\)"),
        ({"decay_steps": -1}, "decay_steps=-1"),
        ({"decay_start": 3}, "decay_start=3 has no effect without --decay-steps"),
        ({"warm_up": -1}, "warm_up=-1"),
        ({"g_width": 0}, "g_width=0: give at least 1"),
        ({"d_width": -2}, "d_width=-2: give at least 1"),
        ({"latent_size": 0}, "size=0"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    config = dataclasses.replace(CONFIG, **settings)
    with pytest.raises(ValueError, match=message):
        game = Game(baseline.networks(config, POINTS), losses.hinge(), baseline.latent(config))
        baseline.generator(config, game)


def test_the_cap_of_widths_reaches_both_networks_and_is_at_least_1():
    spec = Spec((512, 512, 3), 0)
    for networks in (baseline.networks, lambda config, spec: baseline.headed(config, spec, baseline.latent(config))):
        made = networks(dataclasses.replace(CONFIG, max_widening=3), spec)
        for name in ("generator", "body" if "body" in made else "discriminator"):
            params = jax.eval_shape(made[name].init, jax.random.key(0))[0]
            assert max(x.shape[-1] for x in jax.tree.leaves(params) if x.ndim == 4) == 3 * 4
        with pytest.raises(ValueError, match="max_widening=0: give at least 1"):
            networks(dataclasses.replace(CONFIG, max_widening=0), spec)


def test_a_config_without_settings_of_adam_needs_an_optimiser():
    config = baseline.Networks()
    game = Game(baseline.networks(config, POINTS), losses.hinge(), baseline.latent(config))
    for player in (baseline.discriminator, baseline.generator):
        with pytest.raises(ValueError, match="optimizer: give one"):
            player(config, game)
        assert player(config, game, optimizer=optimizers.sgd(0.1)).optimizer.init({"x": jnp.zeros(2)}) is not None
