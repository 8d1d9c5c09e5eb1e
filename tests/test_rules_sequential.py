from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy import BILINEAR, KEY, RATE, play, player, points, points_game, state_of

from gan_jax import data, latents, rng, rules
from gan_jax.game import Game, system
from gan_jax.networks import linen, mlp
from gan_jax.types import Aux, Player


def test_descend_makes_the_optimisers_step_on_its_own_networks_only():
    state, metrics = rules.descend(BILINEAR[0])(state_of(x=2.0, y=3.0), {}, KEY)
    assert float(state.params["x"]) == pytest.approx(2.0 - RATE * 3.0)
    assert float(state.params["y"]) == 3.0
    assert float(metrics["x/loss"]) == 6.0
    assert int(state.step) == 0


def test_simultaneous_descent_on_the_bilinear_game_spirals_out_at_the_known_rate():
    # the eigenvalues of the step are 1 +- i rate, so the squared radius grows by 1 + rate^2 a step
    state, _ = play(rules.simultaneous(BILINEAR), state_of(x=1.0, y=0.0), 50)
    radius = state.params["x"] ** 2 + state.params["y"] ** 2
    assert float(radius) == pytest.approx((1 + RATE**2) ** 50, rel=1e-4)


def test_alternating_descent_on_the_bilinear_game_stays_on_its_ellipse():
    # x' = x - r y, y' = y + r x' conserves x^2 + y^2 - r x y
    def energy(p):
        return float(p["x"] ** 2 + p["y"] ** 2 - RATE * p["x"] * p["y"])

    start = state_of(x=1.0, y=0.0)
    state, _ = play(rules.alternating(BILINEAR), start, 200)
    assert energy(state.params) == pytest.approx(energy(start.params), rel=1e-4)


def test_repeats_are_moves_on_one_batch_each():
    def chase(state, batch, key):
        return (state.params["x"] - jnp.mean(batch["image"])) ** 2 / 2, Aux()

    mover = Player("x", ("x",), chase, optax.sgd(RATE))
    batch = {"image": jnp.array([[1.0], [10.0], [100.0]])}
    both = rules.alternating((mover, BILINEAR[1]), repeats={"x": 3})
    state, _ = both(state_of(x=0.0, y=0.0), batch, KEY)
    x = 0.0
    for target in (1.0, 10.0, 100.0):
        x -= RATE * (x - target)
    assert float(state.params["x"]) == pytest.approx(x, rel=1e-6)
    assert float(state.params["y"]) == pytest.approx(RATE * x, rel=1e-6)


def test_accumulated_batches_make_one_move_by_their_mean_and_repeats_take_their_share_of_them():
    def chase(state, batch, key):
        target = jnp.mean(batch["image"]) + 0 * jax.random.normal(key)
        return (state.params["x"] - target) ** 2 / 2, Aux(metrics={"target": target}, extra={"seen": target})

    mover = Player("x", ("x",), chase, optax.sgd(RATE), batches=2)
    batch = {"image": jnp.array([[1.0], [3.0], [10.0], [30.0]])}
    start = replace(state_of(x=0.0, y=0.0), extra={"seen": jnp.zeros(())})
    state, metrics = rules.alternating((mover, BILINEAR[1]), repeats={"x": 2})(start, batch, KEY)
    x = RATE * 2.0
    x -= RATE * (x - 20.0)
    assert float(state.params["x"]) == pytest.approx(x, rel=1e-6)
    assert float(metrics["x/target"]) == pytest.approx(11.0) and float(state.extra["seen"]) == pytest.approx(20.0)
    once, _ = rules.simultaneous((mover, BILINEAR[1]._replace(batches=2)))(start, {"image": batch["image"][2:]}, KEY)
    assert float(once.params["x"]) == pytest.approx(RATE * 20.0)


def test_accumulating_a_game_is_the_move_by_the_mean_of_its_batches_gradients():
    # spectral norm, not batch norm: what sees a whole batch sees one of those that are accumulated
    game, one = (points_game("spectral", g_norm="none", accumulate=n) for n in (3, 1))
    state = game.init(KEY)
    batch = jax.tree.map(lambda x: x[:24].reshape(3, 8, 2), points())
    key = rng.named(jax.random.key(5), "discriminator")
    move = jax.jit(rules.descend(one.players[0]))
    moves = [move(state, {"image": batch["image"][i]}, jax.random.fold_in(key, i))[0] for i in range(3)]
    moved, _ = jax.jit(rules.descend(game.players[0]))(state, batch, key)
    mean = jax.tree.map(lambda *x: sum(x) / 3, *(move.params for move in moves))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), moved.params, mean)
    assert game.batches == 3 and points_game(accumulate=3, repeats={"discriminator": 2}).batches == 6
    with pytest.raises(ValueError, match="batches=0"):
        points_game(accumulate=0)


@pytest.mark.parametrize(
    ("x", "y", "repeats", "batches"),
    [(1, 1, {}, 1), (1, 1, {"x": 3}, 3), (2, 1, {}, 2), (2, 1, {"x": 3}, 6), (2, 5, {"x": 2}, 5), (2, 5, {"x": 3}, 6)],
)
def test_an_iteration_takes_the_batches_of_the_player_that_takes_most(x, y, repeats, batches):
    players = [each._replace(batches=count) for each, count in zip(BILINEAR, (x, y), strict=True)]
    assert rules.alternating(players, repeats).batches == batches
    assert rules.unrolled(players, 2, "x", "y", repeats).batches == batches


def test_repeats_and_players_draw_different_randomness():
    def note(state, batch, key):
        return state.params["x"] * jax.random.normal(key), Aux()

    players = [Player(name, ("x",), note, optax.sgd(1.0)) for name in ("x", "y")]
    state = state_of(x=0.0, y=0.0)
    one, _ = rules.descend(players[0])(state, {}, KEY)
    x, _ = rules.alternating(players[:1])(state, {}, KEY)
    y, _ = rules.alternating(players[1:])(state, {}, KEY)
    twice, _ = rules.alternating(players[:1], repeats={"x": 2})(state, {"image": jnp.zeros(2)}, KEY)
    values = [float(s.params["x"]) for s in (one, x, y, twice)]
    assert len(set(values)) == 4 and values[3] != pytest.approx(2 * values[1])


@pytest.mark.slow
def test_three_players_over_three_networks_cover_a_mixture():
    # MAD-GAN (Ghosh et al. 2018, arXiv:1704.02906): a discriminator that tells real from each of two generators, and
    # two generators that want to pass for real; to be told apart makes them share the modes between them
    latent, modes = latents.normal(2), jnp.array([[-2.0, 0.0], [2.0, 0.0]])
    networks = {
        name: linen(mlp.Generator((2,), (32, 32), norm="none", bounded=False), (latent.size,))
        for name in ("one", "two")
    } | {"judge": linen(mlp.Generator((3,), (32, 32), norm="none", bounded=False), (2,))}

    def apply(state, name, x, key=None):
        return networks[name].apply(state.params[name], state.stats[name], x, train=True, key=key)[0]

    def fake(state, name, key):
        return apply(state, name, latent.draw(rng.per_example(rng.named(key, name), 64)))

    def judge(state, batch, key):
        groups = (batch["image"], fake(state, "one", key), fake(state, "two", key))
        labels = jnp.repeat(jnp.arange(3), 64)
        logits = apply(state, "judge", jnp.concatenate(groups))
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels)), Aux()

    def passes(name):
        return lambda state, batch, key: (
            -jnp.mean(jax.nn.log_softmax(apply(state, "judge", fake(state, name, key)))[:, 0]),
            Aux(),
        )

    adam = optax.adam(1e-3, 0.5)
    players = [Player("judge", ("judge",), judge, adam)]
    players += [Player(name, (name,), passes(name), adam) for name in ("one", "two")]
    game = system(Game(networks), rules.alternating(players))
    centre = jax.random.bernoulli(jax.random.key(1), shape=(4096,)).astype(int)
    mixture = {"image": modes[centre] + 0.2 * jax.random.normal(jax.random.key(2), (4096, 2))}
    step = jax.jit(rules.many(game.update, data.batches(4096, 64), 2000))
    state, _ = step(jax.jit(game.init)(KEY), mixture, KEY, 2000)
    points = jnp.concatenate([fake(state, name, jax.random.key(3)) for name in ("one", "two")])
    distance = jnp.linalg.norm(points[:, None] - modes, axis=-1)
    near = (distance < 0.8).mean(0)  # four standard deviations
    assert (near > 0.25).all() and near.sum() > 0.85, near


def test_an_update_split_into_calls_gives_the_same_bits():
    game = points_game(optimizer=optax.adam(1e-2), repeats={"discriminator": 2})
    step = jax.jit(rules.many(game.update, data.batches(256, 16, game.batches), 8))
    start = game.init(KEY)
    whole, log = step(start, points(), KEY, 7)
    state, parts = start, []
    for count in (1, 4, 0, 2):
        state, metrics = step(state, points(), KEY, count)
        parts.append(metrics["generator/loss"][:count])
    assert int(whole.step) == 7
    jax.tree.map(np.testing.assert_array_equal, whole, state)
    np.testing.assert_array_equal(log["generator/loss"][:7], np.concatenate(parts))


def test_the_scan_equals_a_plain_loop():
    game = points_game()
    draw = jax.jit(data.batches(256, 16))
    step = jax.jit(rules.many(game.update, draw, 5))
    state, log = step(game.init(KEY), points(), KEY, 5)
    plain, losses = game.init(KEY), []
    for i in range(5):
        batch = draw(points(), rng.named(KEY, "data"), jnp.asarray(i))
        plain, metrics = game.update(plain, batch, jax.random.fold_in(rng.named(KEY, "step"), i))
        plain = replace(plain, step=plain.step + 1)
        losses.append(metrics["generator/loss"])
    np.testing.assert_allclose(log["generator/loss"], losses, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), state, plain)


def test_unrolling_differentiates_through_the_opponents_moves():
    # x sees x y_k with y_k = y + k r x, whose slope is y + 2 k r x; without the way through y it would be y + k r x
    for steps in (1, 3):
        update = rules.unrolled(BILINEAR, steps, player="x", opponent="y")
        state, _ = update(state_of(x=2.0, y=3.0), {}, KEY)
        x = 2.0 - RATE * (3.0 + 2 * steps * RATE * 2.0)
        assert float(state.params["x"]) == pytest.approx(x, rel=1e-6)
        assert float(state.params["y"]) == pytest.approx(3.0 + RATE * x, rel=1e-6)  # what was foreseen is forgotten


def test_unrolling_goes_through_the_optimisers_own_state():
    adam = optax.adam(0.1, eps_root=1e-6)
    mover = player("x", lambda p: p["x"] * p["y"] + p["x"] ** 2 / 2)
    other = player("y", lambda p: -p["x"] * p["y"] + p["y"] ** 2)._replace(optimizer=adam)

    def foreseen(x):
        y: Any = jnp.asarray(3.0)
        opt_state = adam.init(y)
        for _ in range(2):
            updates, opt_state = adam.update(-x + 2 * y, opt_state)
            y = optax.apply_updates(y, updates)
        return float(x * y + x**2 / 2)

    with jax.enable_x64(True):
        state = state_of(x=2.0, y=3.0)
        state = replace(state, opt_state={"x": state.opt_state["x"], "y": adam.init({"y": jnp.asarray(3.0)})})
        new, _ = rules.unrolled((mover, other), 2, player="x", opponent="y")(state, {}, KEY)
        slope = (foreseen(2.0 + 1e-5) - foreseen(2.0 - 1e-5)) / 2e-5
        assert float(new.params["x"]) == pytest.approx(2.0 - RATE * slope, rel=1e-6)


def test_unrolling_takes_optimisers_that_clip():
    clipped = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(RATE))
    rules.unrolled((BILINEAR[0], BILINEAR[1]._replace(optimizer=clipped)), 1, player="x", opponent="y")


def test_unrolling_makes_the_bilinear_game_converge():
    state, _ = play(jax.jit(rules.unrolled(BILINEAR, 5, player="x", opponent="y")), state_of(x=1.0, y=0.0), 200)
    assert state.params["x"] ** 2 + state.params["y"] ** 2 < 1e-6


@pytest.mark.parametrize(("momentum", "converges"), [(-0.5, True), (0.0, None), (0.5, False)])
def test_negative_momentum_makes_alternating_players_converge(momentum, converges):
    # Gidel et al. 2019 (arXiv:1807.04740), theorem 6: on the bilinear game alternating steps contract with momentum
    # -1/2 (by 0.9625 a step, by the eigenvalues), stay on an ellipse with none, and leave it with positive momentum
    optimizer = optax.sgd(0.5, momentum=momentum)
    players = [each._replace(optimizer=optimizer) for each in BILINEAR]
    state = state_of(x=1.0, y=0.0)
    state = replace(state, opt_state={name: optimizer.init({name: x}) for name, x in state.params.items()})
    state, _ = play(jax.jit(rules.alternating(players)), state, 200)
    radius = float(state.params["x"] ** 2 + state.params["y"] ** 2)
    assert radius < 1e-4 if converges else radius > 100 if converges is False else 0.7 < radius < 1.4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rules.alternating(BILINEAR, {"z": 2}), "no player is named 'z'"),
        (lambda: rules.alternating(BILINEAR, {"x": 0}), r"repeats\['x'\]=0"),
        (lambda: rules.alternating(BILINEAR[:1] * 2), "differ"),
        (lambda: rules.alternating([BILINEAR[0]._replace(batches=0)]), "batches=0: 'x' needs at least 1"),
        (lambda: rules.unrolled(BILINEAR, 0, "x", "y"), "steps=0"),
        (lambda: rules.unrolled(BILINEAR, 1, "x", "x"), "opponent='x': a player cannot unroll itself"),
        (lambda: rules.unrolled(BILINEAR, 1, "x", "z"), "opponent: no player is named 'z'"),
        (
            lambda: rules.unrolled((BILINEAR[0], BILINEAR[1]._replace(optimizer=optax.adam(0.1))), 1, "x", "y"),
            "eps_root=1e-8",
        ),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
