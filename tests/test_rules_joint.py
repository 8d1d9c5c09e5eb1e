import functools
from dataclasses import replace

import jax
import numpy as np
import optax
import pytest
from toy import BILINEAR, KEY, RATE, play, player, state_of

from gan_jax import rules


def test_simultaneous_descent_on_the_bilinear_game_spirals_out_at_the_known_rate():
    # the eigenvalues of the step are 1 +- i rate, so the squared radius grows by 1 + rate^2 a step
    state, _ = play(rules.simultaneous(BILINEAR), state_of(x=1.0, y=0.0), 50)
    radius = state.params["x"] ** 2 + state.params["y"] ** 2
    assert float(radius) == pytest.approx((1 + RATE**2) ** 50, rel=1e-4)


def test_one_step_of_each_rule_on_the_bilinear_game():
    # v = (y, -x), J = [[0, 1], [-1, 0]], so grad |v|^2 / 2 = J^T v = (x, y) = -J v, and A^T v = (x, y)
    x, y, g = 2.0, 3.0, 0.4
    expected = {
        rules.simultaneous: (x - RATE * y, y + RATE * x),
        rules.extragradient: (x - RATE * (y + RATE * x), y + RATE * (x - RATE * y)),
        functools.partial(rules.consensus, strength=g): (x - RATE * (y + g * x), y - RATE * (-x + g * y)),
        functools.partial(rules.symplectic, strength=g): (x - RATE * (y + g * x), y - RATE * (-x + g * y)),
    }
    for rule, (new_x, new_y) in expected.items():
        state, metrics = rule(BILINEAR)(state_of(x=x, y=y), {}, KEY)
        assert float(state.params["x"]) == pytest.approx(new_x, rel=1e-6)
        assert float(state.params["y"]) == pytest.approx(new_y, rel=1e-6)
        assert set(metrics) == {f"{name}/{kind}" for name in "xy" for kind in ("loss", "gradient_norm")}
        assert int(state.step) == 0


def test_symplectic_adjustment_leaves_a_potential_game_alone_and_consensus_does_not():
    # both descend one function, so J is symmetric: J = [[2, 1], [1, 4]], v = (7, 14) at (2, 3)
    together = tuple(player(name, lambda p: p["x"] ** 2 + p["x"] * p["y"] + 2 * p["y"] ** 2) for name in "xy")
    start = state_of(x=2.0, y=3.0)
    plain, _ = rules.simultaneous(together)(start, {}, KEY)
    adjusted, _ = rules.symplectic(together)(start, {}, KEY)
    drawn, _ = rules.consensus(together, 1.0)(start, {}, KEY)
    for name, v, correction in (("x", 7.0, 28.0), ("y", 14.0, 63.0)):
        assert float(plain.params[name]) == pytest.approx(float(start.params[name]) - RATE * v, rel=1e-5)
        assert float(adjusted.params[name]) == pytest.approx(float(plain.params[name]), rel=1e-5)
        assert float(drawn.params[name]) == pytest.approx(float(plain.params[name]) - RATE * correction, rel=1e-5)


def test_alignment_turns_the_adjustment_away_from_an_unstable_point():
    # J = [[-1, 1], [-1, -1]] at (1, 0): v = (-1, -1), J^T v = (2, 0), A^T v = (1, -1): the product is -4 / 2 + 0.1 < 0
    unstable = (
        player("x", lambda p: -(p["x"] ** 2) / 2 + p["x"] * p["y"]),
        player("y", lambda p: -p["x"] * p["y"] - p["y"] ** 2 / 2),
    )
    aligned, _ = rules.symplectic(unstable)(state_of(x=1.0, y=0.0), {}, KEY)
    not_aligned, _ = rules.symplectic(unstable, align=False)(state_of(x=1.0, y=0.0), {}, KEY)
    np.testing.assert_allclose([aligned.params[n] for n in "xy"], [1 + 2 * RATE, 0], atol=1e-6)
    np.testing.assert_allclose([not_aligned.params[n] for n in "xy"], [1, 2 * RATE], atol=1e-6)


@pytest.mark.parametrize("strength", [0.0, -1.0])
@pytest.mark.parametrize("rule", [rules.consensus, rules.symplectic])
def test_strengths_that_are_not_positive_are_refused(rule, strength):
    with pytest.raises(ValueError, match=f"strength={strength}"):
        rule(BILINEAR, strength)


def test_players_of_one_network_cannot_move_at_once():
    for rule in (rules.simultaneous, rules.extragradient, rules.symplectic):
        with pytest.raises(ValueError, match="two of them move the same network"):
            rule([BILINEAR[0], BILINEAR[0]._replace(name="other")])


@pytest.mark.parametrize(
    "rule",
    [
        rules.simultaneous,
        rules.extragradient,
        functools.partial(rules.consensus, strength=1.0),
        rules.symplectic,
    ],
)
def test_players_that_move_at_once_take_equal_numbers_of_batches(rule):
    for counts, taken in (((1, 1), 1), ((3, 3), 3)):
        assert rule([each._replace(batches=n) for each, n in zip(BILINEAR, counts, strict=True)]).batches == taken
    for counts in ((1, 2), (3, 2), (0, 0)):
        with pytest.raises(ValueError, match=rf"batches: .*at once need equal numbers .*{sorted(set(counts))[-1]}\]"):
            rule([each._replace(batches=n) for each, n in zip(BILINEAR, counts, strict=True)])


def test_optimistic_gradients_are_an_optimiser_and_converge_where_plain_ones_do_not():
    # Daskalakis et al. 2018: x_{t+1} = x_t - 2 r g_t + r g_{t-1}; before the first gradient stands itself
    optimizer = optax.optimistic_gradient_descent(RATE)
    players = [each._replace(optimizer=optimizer) for each in BILINEAR]
    state = state_of(x=1.0, y=0.0)
    state = replace(state, opt_state={name: optimizer.init({name: x}) for name, x in state.params.items()})
    update = jax.jit(rules.simultaneous(players))
    third, _ = play(update, state, 3)
    w, before = np.array([1.0, 0.0]), np.array([0.0, -1.0])
    for _ in range(3):
        slope = np.array([w[1], -w[0]])
        w, before = w - 2 * RATE * slope + RATE * before, slope
    np.testing.assert_allclose([third.params["x"], third.params["y"]], w, rtol=1e-5)
    last, _ = play(update, state, 3000)
    assert last.params["x"] ** 2 + last.params["y"] ** 2 < 1e-6


@pytest.mark.parametrize(
    "rule", [rules.extragradient, functools.partial(rules.consensus, strength=1.0), rules.symplectic]
)
def test_rules_that_look_further_converge_on_the_bilinear_game(rule):
    state, _ = play(jax.jit(rule(BILINEAR)), state_of(x=1.0, y=0.0), 1500)
    assert state.params["x"] ** 2 + state.params["y"] ** 2 < 1e-5
