"""The duality gap and the distance from 50/50, where both are known in closed form or bounded by a divergence."""

import math
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy import KEY, RATE, gan, player, points, points_game, state_of

from gan_jax import data, latents, losses, penalties, rules, terms
from gan_jax.data.sources import toys
from gan_jax.game import Game, system
from gan_jax.metrics.duality_gap import duality_gap
from gan_jax.metrics.equilibrium import equilibrium
from gan_jax.networks import linen, mlp
from gan_jax.rules import controllers
from gan_jax.types import Network, PyTree


def plain(output, start: PyTree = 0.0):
    """The network `output(params, inputs)`, without statistics."""

    def apply(params, stats, inputs, train, key=None):
        return output(params, inputs), stats

    return Network(lambda key: (jax.tree.map(jnp.asarray, start), {}), apply, lambda: False)


def first(game):
    return jax.jit(game.init)(KEY)


def at(game, **params):
    """The first state of a game but for some networks' parameters."""
    state = first(game)
    return replace(state, params=state.params | jax.tree.map(jnp.asarray, params))


def numbers(*values):
    return {"image": np.asarray(values, np.float32)[:, None]}


ONES = numbers(*np.ones(8))


# --- the duality gap


def free(value):
    """The zero-sum game of V(x, y) over two numbers, the generator's x and the discriminator's y."""
    players = (
        player("discriminator", lambda p: -value(p["generator"], p["discriminator"])),
        player("generator", lambda p: value(p["generator"], p["discriminator"])),
    )
    return system(Game({each.name: plain(lambda p, x: p) for each in players}), rules.alternating(players))


def free_gap(game, x, y, moves):
    state = state_of(generator=x, discriminator=y)
    return duality_gap(game, state, ONES, ONES, batch_size=4, moves=moves, batches=2)


def dirac(loss=None, optimizer=None, **options):
    """The game of a generator of one point theta and the critic psi x."""
    networks = {
        "generator": plain(lambda theta, z: jnp.broadcast_to(theta, z.shape)),
        "discriminator": plain(lambda psi, x: psi * x),
    }
    return gan(networks, loss or losses.wasserstein(), latents.normal(1), optimizer or optax.sgd(RATE), **options)


THETA, PSI = 0.5, -0.8
START = {"generator": THETA, "discriminator": PSI}


def test_gap_of_the_bilinear_game():
    # V = b x y: y_k = y + k h b x and x_k = x - k h b y, so that the gap is k h b^2 (x^2 + y^2)
    b, x, y, moves = 1.5, 0.7, -1.2, 7
    found = free_gap(free(lambda x, y: b * x * y), x, y, moves)
    gain = moves * RATE * b**2
    np.testing.assert_allclose(found.gap, gain * (x**2 + y**2), rtol=1e-5)
    np.testing.assert_allclose(found.worst_discriminator, b * x * y + gain * x**2, rtol=1e-5)
    np.testing.assert_allclose(found.worst_generator, b * x * y - gain * y**2, rtol=1e-5)
    np.testing.assert_allclose(found.value, b * x * y, rtol=1e-6)
    assert found.standard_error == 0  # nothing is drawn


def test_gap_of_the_quadratic_game_grows_to_that_of_best_responses():
    # V = a x^2 / 2 + b x y - c y^2 / 2: a move shrinks errors by 1 - h a and 1 - h c, so that k of them gain
    # 1 - (1 - h a)^2k of what the best response does
    a, b, c = 0.8, 1.5, 2.0
    game = free(lambda x, y: a * x**2 / 2 + b * x * y - c * y**2 / 2)
    for x, y in ((0.7, -1.2), (-0.3, 0.4), (0.0, 1.0), (2.0, 1.5)):
        best = {c: c / 2 * (y - b * x / c) ** 2, a: a / 2 * (x + b * y / a) ** 2}
        gaps = [free_gap(game, x, y, moves).gap for moves in (3, 300)]
        expected = [sum(best[r] * (1 - (1 - RATE * r) ** (2 * moves)) for r in best) for moves in (3, 300)]
        np.testing.assert_allclose(gaps, expected, rtol=1e-5)
        assert 0 < gaps[0] < gaps[1] == pytest.approx(sum(best.values()), rel=1e-5)
    assert free_gap(game, 0.0, 0.0, 300).gap == 0


def test_players_move_on_training_examples_and_are_judged_on_held_out_ones():
    # V = psi (mean x - theta): psi_k = psi + k h (m - theta) by the training mean m, theta_k = theta + k h psi
    moves, mean, held_out = 5, 2.0, -1.0
    # how often they move in training, and whether, is of training alone
    game = dirac(repeats={"discriminator": 3}, active={"generator": controllers.after(1000)})
    train, test = numbers(*[mean] * 8), numbers(*[held_out] * 6)
    found = duality_gap(game, at(game, **START), train, test, batch_size=4, moves=moves, batches=3)
    np.testing.assert_allclose(found.value, PSI * (held_out - THETA), rtol=1e-6)
    gap = moves * RATE * ((mean - THETA) * (held_out - THETA) + PSI**2)
    np.testing.assert_allclose(found.gap, gap, rtol=1e-5)
    np.testing.assert_allclose(found.worst_generator, found.value - moves * RATE * PSI**2, rtol=1e-5)
    assert gap < 0  # what is learnt of these examples is wrong of those


def test_terms_count_in_moves_as_often_as_they_are_due_and_never_in_values():
    # R1 of psi x is gamma psi^2 / 2; this one is due at steps divisible by 4, four times as strong
    moves, gamma, start = 10, 0.3, 2
    game = dirac(terms={"discriminator": [terms.lazy(penalties.r1(gamma), every=4)]})
    state = replace(at(game, **START), step=jnp.asarray(start, jnp.int32))
    found = duality_gap(game, state, ONES, ONES, batch_size=4, moves=moves)
    psi = PSI
    for step in range(start, start + moves):
        psi += RATE * (1 - THETA - (4 * gamma * psi if step % 4 == 0 else 0))
    np.testing.assert_allclose(found.value, PSI * (1 - THETA), rtol=1e-6)
    np.testing.assert_allclose(found.worst_discriminator, psi * (1 - THETA), rtol=1e-5)


def test_optimisers_go_on_from_their_state():
    moves, momentum, trace = 6, 0.9, 3.0
    game = dirac(optimizer=optax.sgd(RATE, momentum))
    state = at(game, **START)
    memory = jax.tree.map(lambda x: jnp.full_like(x, trace), state.opt_state)
    found = duality_gap(game, replace(state, opt_state=memory), ONES, ONES, batch_size=4, moves=moves)
    psi = PSI
    for _ in range(moves):
        trace = momentum * trace - (1 - THETA)
        psi -= RATE * trace
    np.testing.assert_allclose(found.worst_discriminator, psi * (1 - THETA), rtol=1e-5)


@pytest.mark.parametrize("loss", [losses.non_saturating(), losses.least_squares(a=-1)])
def test_at_the_equilibrium_neither_gains_and_beside_it_both_do_though_the_game_is_not_zero_sum(loss):
    game = dirac(loss)
    found, beside = (
        duality_gap(game, at(game, generator=theta, discriminator=psi), ONES, ONES, batch_size=4, moves=9, batches=2)
        for theta, psi in ((1.0, 0.0), (0.6, 0.3))
    )
    assert found.gap == 0 and found.worst_discriminator == found.value == found.worst_generator
    assert beside.worst_generator < beside.value < beside.worst_discriminator


@pytest.mark.slow
def test_the_gap_is_what_the_jensen_shannon_divergence_leaves_to_gain():
    # Against a constant D, max V(D', G) = 2 JSD - log 4, and no G' changes V = -log 4. The generator has some of the
    # ring's 8 modes, exactly, so that the JSD is that of the shares.
    def divergence(modes):
        p, q = np.full(8, 1 / 8), np.where(np.arange(8) < modes, 1 / modes, 0)
        return sum(np.sum(a[a > 0] * np.log(2 * a[a > 0] / (p + q)[a > 0])) for a in (p, q))

    mixture = toys.ring()

    def generate(params, z):
        mode = (jax.scipy.stats.norm.cdf(z[:, 2]) * params["modes"]).astype(int)
        return jnp.asarray(mixture.centers)[mode] + mixture.std * z[:, :2] + params["shift"]

    networks = {
        "generator": plain(generate, {"modes": 8.0, "shift": np.zeros(2)}),
        "discriminator": linen(mlp.Discriminator((64,)), (2,)),
    }
    game = gan(networks, losses.minimax(), latents.normal(3), optax.adam(0.02))
    weights = first(game).params["discriminator"]
    silent = weights | {"Dense_1": jax.tree.map(jnp.zeros_like, weights["Dense_1"])}
    train, test = (data.load("ring", split).arrays for split in ("train", "test"))
    for modes in (1.0, 4.0, 8.0):
        state = at(game, discriminator=silent, generator={"modes": modes, "shift": np.zeros(2, np.float32)})
        found = duality_gap(game, state, train, test, batch_size=128, moves=200, batches=20)
        np.testing.assert_allclose([found.value, found.worst_generator], -math.log(4), rtol=1e-6)
        noise = 4 * found.standard_error
        # D' of a perfect generator learns noise alone
        assert 0.9 * divergence(modes) - noise - 0.01 < found.gap < divergence(modes) + noise


@pytest.mark.slow
def test_the_standard_error_is_the_deviation_between_repetitions():
    game, random, moves, times = dirac(), np.random.RandomState(0), 5, 60
    state, scores = at(game, **START), []
    for seed in range(times):
        test = numbers(*(1 + random.randn(512)))
        found = duality_gap(game, state, ONES, test, batch_size=8, moves=moves, batches=64, seed=seed)
        scores.append((found.gap - moves * RATE * ((1 - THETA) ** 2 + PSI**2)) / found.standard_error)
    assert abs(np.mean(scores)) < 4 / math.sqrt(times)
    assert abs(np.std(scores) - 1) < 4 / math.sqrt(2 * times)
    assert np.isnan(duality_gap(game, state, ONES, ONES, batch_size=8, moves=moves, batches=1).standard_error)


@pytest.mark.slow
def test_equal_seeds_give_equal_gaps_and_the_state_stays_as_it_is():
    game = points_game(d_norm="batch", g_norm="none")
    state, arrays = first(game), points()
    before = jax.tree.map(np.array, state)
    one, same, other = (
        duality_gap(game, state, arrays, arrays, batch_size=16, moves=5, batches=2, seed=seed) for seed in (0, 0, 1)
    )
    assert one == same != other and all(np.isfinite(x) for x in (*one, *other))
    jax.tree.map(np.testing.assert_array_equal, before, jax.tree.map(np.array, state))


# --- equilibrium


def features(x):
    return jnp.stack([jnp.ones(len(x)), x[:, 0], x[:, 0] ** 2, jnp.sin(5 * x[:, 0])])


# data is N(0, 1) and samples are N(shift, 1); the logit is any sum of features
LINE = gan(
    {"generator": plain(lambda m, z: z + m), "discriminator": plain(lambda w, x: w @ features(x), np.zeros(4))},
    losses.non_saturating(),
    latents.normal(1),
    optax.sgd(RATE),
)
COUNT, BATCH = 8192, 64
NORMAL = np.random.RandomState(0).randn(COUNT)


def judged(shift, *weights):
    state = at(LINE, generator=shift, discriminator=np.asarray(weights, np.float32))
    return equilibrium(LINE, state, numbers(*NORMAL), batch_size=BATCH)


def test_a_constant_logit_is_at_50_50_by_real_right_and_fake_wrong():
    found = judged(1.0, 2, 0, 0, 0)
    assert found[:5] == (0, 0.5, 0, 1, 0)
    np.testing.assert_allclose(found[5:], 1 / (1 + math.exp(-2)), rtol=1e-6)


def test_perfect_separation_is_as_far_as_can_be_either_way():
    assert judged(20.0, 10, -1, 0, 0)[:5] == (0.5, 1, 0, 1, 1)
    assert judged(20.0, -10, 1, 0, 0)[:5] == (0.5, 0, 0, 0, 0)


@pytest.mark.parametrize("weights", [(-0.3, 1, 0, 0), (1, 0, -1, 0), (0, 0, 0, 1), (0.5, 1, -1, 2)])
def test_samples_like_the_data_leave_any_discriminator_at_50_50(weights):
    found = judged(0.0, *weights)
    assert found.distance < 4 * found.standard_error
    assert abs(found.probability_real - found.probability_fake) < 4 * math.sqrt(0.25 * 2 / COUNT)
    variance = sum(p * (1 - p) for p in (found.accuracy_real, found.accuracy_fake)) / 4 / COUNT
    # of n batches, the error is known to 1 / sqrt(2 n) of itself
    assert found.standard_error == pytest.approx(math.sqrt(variance), rel=4 / math.sqrt(2 * COUNT / BATCH))


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_the_best_discriminator_is_half_the_total_variation_away_and_no_other_is_farther(shift):
    # of N(0, 1) and N(m, 1) the total variation is erf(m / sqrt(8)), and the best logit m^2 / 2 - m x
    variation = math.erf(shift / math.sqrt(8))
    best = judged(shift, shift**2 / 2, -shift, 0, 0)
    assert abs(2 * best.distance - variation) < 8 * best.standard_error
    for other in (judged(shift, 0.1, -1, 0, 0), judged(shift, 0.5, 1, -1, 2)):
        assert 2 * other.distance < variation + 8 * other.standard_error


def test_each_held_out_example_is_seen_once_an_epoch():
    real = numbers(*np.where(np.arange(COUNT) < 1000, 1.0, -1.0))
    state = at(LINE, generator=0.0, discriminator=np.array([0, 1, 0, 0], np.float32))
    for batches in (None, 2 * COUNT // BATCH):
        found = equilibrium(LINE, state, real, batch_size=BATCH, batches=batches)
        np.testing.assert_allclose(found.accuracy_real, 1000 / COUNT, rtol=1e-6)


def test_a_discriminator_trained_alone_leaves_50_50_for_what_bayes_allows():
    # of N(0, 1) and N(3, 1) the best one is right with probability Phi(3 / 2)
    real = numbers(*np.random.RandomState(1).randn(COUNT))
    state = at(LINE, generator=3.0, discriminator=np.array([0.1, 0, 0, 0], np.float32))
    many = rules.many(rules.descend(LINE.players[0]), data.batches(COUNT, BATCH), 300)
    trained, _ = jax.jit(many, static_argnums=3)(state, real, KEY, 300)
    before, after = (equilibrium(LINE, each, numbers(*NORMAL), batch_size=BATCH) for each in (state, trained))
    assert before.distance == 0
    best = (1 + math.erf(1.5 / math.sqrt(2))) / 2
    assert best - 0.02 < after.accuracy < best + 4 * after.standard_error
    assert after.probability_fake < 0.2 < 0.8 < after.probability_real


def test_what_cannot_be_scored_is_refused():
    game, few = dirac(), numbers(1, 1)
    state = at(game, **START)
    for train, test, name in ((few, ONES, "train"), (ONES, few, "held_out")):
        with pytest.raises(ValueError, match=f"{name}: 2 examples .* batch_size=4"):
            duality_gap(game, state, train, test, batch_size=4)
    with pytest.raises(ValueError, match=r"held_out: 2 examples .* batch_size=4"):
        equilibrium(game, state, few, batch_size=4)
    with pytest.raises(ValueError, match="batches=0"):
        equilibrium(game, state, ONES, batch_size=4, batches=0)
    for name in ("moves", "batches", "batch_size"):
        with pytest.raises(ValueError, match=f"{name}=0"):
            sizes: Any = {"batch_size": 4, name: 0}
            duality_gap(game, state, ONES, ONES, **sizes)
    discriminator, generator = game.players
    renamed = game._replace(players=(discriminator._replace(name="critic"), generator))
    with pytest.raises(ValueError, match=r"\['critic', 'generator'\].*'discriminator'"):
        duality_gap(renamed, state, ONES, ONES, batch_size=4)
    with pytest.raises(ValueError, match=r"\['critic', 'generator'\].*'discriminator'"):
        equilibrium(renamed, state, ONES, batch_size=4)
    with pytest.raises(ValueError, match=r"'discriminator' has the metrics \['loss'\].*'accuracy_fake'"):
        equilibrium(free(lambda x, y: x * y), state_of(generator=0.0, discriminator=0.0), ONES, batch_size=4)
