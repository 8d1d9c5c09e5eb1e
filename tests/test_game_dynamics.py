import functools
import itertools
import math
import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy import KEY, RATE, few, state_of

from experiments.laboratory import LOSSES, RULES
from gan_jax import losses, penalties, rules
from gan_jax.errors import UserError
from gan_jax.game import dynamics
from gan_jax.game.dynamics import dirac, quadratic, repeated, simulate, stability
from gan_jax.rules import controllers
from gan_jax.types import Aux, Player, Term


@pytest.fixture(autouse=True, scope="module")
def _compile_quickly():
    """Everything here is compiled to run once."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


H = 0.5
SGD = optax.sgd(H)
AT_ONCE = rules.simultaneous
R1, R2 = penalties.r1(0.5), penalties.r2(0.5)
CROSS, CRITIC = losses.non_saturating(), losses.wasserstein()
UNROLLED = functools.partial(rules.unrolled, steps=5)


def noise(std):
    """Noise of two values: in the mean over an even batch exactly what normal noise of that deviation is on average."""
    return lambda images, keys, state: images + std * jnp.resize(jnp.array([1.0, -1.0]), images.shape)


def look_ahead(start):
    ahead = controllers.lookahead(("generator", "discriminator"), every=5)
    update, state, batch = dirac(CROSS, SGD, start, rule=AT_ONCE, controllers=[ahead])
    return repeated(update, 5), state, batch


def unregularised(loss, rule, optimizer=SGD, **options):
    return lambda start: dirac(loss, optimizer, start, rule=rule, **options)


def regularised(rule, *terms, loss=CROSS, optimizer=SGD):
    return lambda start: dirac(loss, optimizer, start, rule=rule, discriminator_terms=terms)


def momentum(decay):
    return optax.sgd(H, momentum=decay)


# Directions: Mescheder et al. 2018 for the plain rules, penalties and noise, else the paper of the rule. The second
# entry is a number of iterations in which the radius halves or doubles the distance, with room for a spiral's turns.
GAMES = {
    "simultaneous, non-saturating": (unregularised(CROSS, AT_ONCE), 60),
    "simultaneous, wasserstein": (unregularised(CRITIC, AT_ONCE), 60),
    "simultaneous, hinge": (unregularised(losses.hinge(), AT_ONCE), 60),
    "simultaneous, positive momentum": (unregularised(CROSS, AT_ONCE, momentum(0.3)), 60),
    "alternating, positive momentum": (unregularised(CROSS, rules.alternating, momentum(0.3)), 60),
    "simultaneous, R1": (regularised(AT_ONCE, R1), 60),
    "alternating, R1": (regularised(rules.alternating, R1), 60),
    "simultaneous, R2": (regularised(AT_ONCE, R2), 60),
    "simultaneous, relativistic, R1 and R2": (regularised(AT_ONCE, R1, R2, loss=losses.relativistic(CROSS)), 60),
    "simultaneous, instance noise": (unregularised(CROSS, AT_ONCE, augment=noise(1.0), examples=2), 60),
    "extragradient": (unregularised(CROSS, rules.extragradient), 60),
    "optimistic gradient": (unregularised(CROSS, AT_ONCE, optax.optimistic_gradient_descent(H)), 60),
    "consensus": (unregularised(CROSS, functools.partial(rules.consensus, strength=1.0)), 60),
    "symplectic": (unregularised(CROSS, rules.symplectic), 60),
    "unrolled, zero-sum, 5 steps": (unregularised(losses.zero_sum(CROSS), UNROLLED), 60),
    "alternating, negative momentum": (unregularised(CROSS, rules.alternating, momentum(-0.3)), 150),
    "simultaneous, look-ahead of 5": (look_ahead, 12),
    "alternating, non-saturating": (unregularised(CROSS, rules.alternating), 60),
    "alternating, wasserstein": (unregularised(CRITIC, rules.alternating), 60),
    "alternating, wasserstein, gradient penalty": (
        regularised(rules.alternating, penalties.gradient_penalty(1.0), loss=CRITIC),
        60,
    ),
    "alternating, R1, Adam": (regularised(rules.alternating, R1, optimizer=optax.adam(0.01)), 60),
}
TABLE = dict(re.findall(r"^    (\S.*?)  +(converges|diverges|undecided)$", str(dynamics.__doc__), re.MULTILINE))

UNLIKE = (
    "simultaneous, non-saturating",
    "alternating, R1",
    "consensus",
    "alternating, wasserstein",
    "alternating, R1, Adam",
)


def test_the_documented_table_is_about_these_games():
    assert list(TABLE) == list(GAMES)


@functools.cache
def found(name):
    return stability(*GAMES[name][0]((0.0, 0.0)))


@pytest.mark.parametrize("name", few(GAMES, *UNLIKE))
def test_the_verdict_is_the_documented_one(name):
    assert found(name).verdict == TABLE[name]


@pytest.mark.parametrize("name", few([name for name in GAMES if TABLE[name] != "undecided"], *UNLIKE))
def test_the_verdict_comes_true(name):
    game, steps = GAMES[name]
    distances = simulate(*game((1e-3, 2e-3)), steps=steps)
    assert (distances[-1] > 2 * distances[0]) if TABLE[name] == "diverges" else (distances[-1] < distances[0] / 2)


def test_undecided_means_on_the_circle_or_no_derivative():
    np.testing.assert_allclose(np.abs(found("alternating, wasserstein").eigenvalues), 1, atol=1e-12)
    for name in ("alternating, wasserstein, gradient penalty", "alternating, R1, Adam"):
        assert np.isnan(found(name).eigenvalues).all() and np.isnan(found(name).radius)


def roots(slope, weight):
    """1 + h times the eigenvalues of Mescheder et al. 2018, -gamma / 2 +- sqrt(gamma^2 / 4 - f'(0)^2)."""
    turn = np.emath.sqrt(weight**2 / 4 - slope**2 + 0j)
    return 1 + H * np.array([-weight / 2 + turn, -weight / 2 - turn])


@pytest.mark.parametrize(
    "name, slope, weight",
    [
        ("simultaneous, non-saturating", 0.5, 0.0),
        ("simultaneous, wasserstein", 1.0, 0.0),
        ("simultaneous, hinge", 1.0, 0.0),
        ("simultaneous, R1", 0.5, 0.5),
        ("simultaneous, R2", 0.5, 0.5),
        ("simultaneous, instance noise", 0.5, 0.5),  # 2 f''(0) std^2 = -1/2 stands where R1 has -gamma
    ],
)
def test_eigenvalues_of_the_dirac_gan_are_those_of_the_paper(name, slope, weight):
    same(found(name).eigenvalues, roots(slope, weight))


@pytest.mark.parametrize("loss, slope, curvature", [(CROSS, 0.5, -0.25), (CRITIC, 1.0, 0.0)])
def test_data_off_the_origin_act_as_r1_does_where_the_loss_is_curved(loss, slope, curvature):
    same(stability(*dirac(loss, SGD, data=1.5, rule=AT_ONCE)).eigenvalues, roots(slope, -2 * curvature * 1.5**2))


MENU = {name: loss for name, loss in LOSSES.items() if name not in ("flipped", "began")}  # random; k never rests
RESTING = {"least_squares": 0.5, "kl": 1.0, "smoothed": math.log(9 / 11)}  # logits of real = fake; 0 elsewhere
WHOLE = ("zero_sum", "relativistic", "relativistic_hinge", "relativistic_average", "softmax")  # G's part sees real
EACH = [*((loss, "simultaneous") for loss in MENU), *(("zero_sum", rule) for rule in RULES if rule != "simultaneous")]


@pytest.mark.parametrize(
    ("loss", "rule"),
    [
        *EACH,
        *(pytest.param(*both, marks=pytest.mark.slow) for both in itertools.product(MENU, RULES) if both not in EACH),
    ],
)
def test_every_rule_rests_with_every_loss_at_an_equilibrium_off_the_origin(loss, rule):
    game = losses.zero_sum(MENU[loss]) if rule == "unrolled" and loss not in WHOLE else MENU[loss]
    update, state, batch = dirac(game, SGD, data=1.0, bias=RESTING.get(loss, 0.0), rule=RULES[rule])
    new, _ = update(state, batch, KEY)
    np.testing.assert_allclose([new.params["generator"], new.params["discriminator"]], 0, atol=1e-6)


@pytest.mark.parametrize("name", ["non_saturating", "wasserstein", "top_k"])
def test_unrolling_refuses_a_loss_that_ignores_what_the_foreseen_moves_see(name):
    terms = [Term("own", lambda context: context.real)]  # sees the data, but is not the loss
    update, state, batch = dirac(LOSSES[name], SGD, data=1.0, rule=UNROLLED, generator_terms=terms)
    with pytest.raises(UserError, match=r"loss: .*'image'.*losses\.zero_sum"):
        update(state, batch, KEY)


@pytest.mark.parametrize("steps", [1, 5])
def test_unrolling_finds_data_off_the_origin(steps):
    # the real term's gradient through the foreseen moves is half of the method: without it theta leaves the data
    def distance(start, rate, iterations):
        rule = functools.partial(rules.unrolled, steps=steps)
        game = dirac(losses.zero_sum(CROSS), optax.sgd(rate), (start, 0.0), data=1.0, rule=rule)
        return simulate(*game, steps=iterations)[-1]

    assert distance(0.0, 0.5, 1) == 0
    assert distance(0.2, 0.2, 400) < 1e-3


def test_a_zero_centred_penalty_has_a_derivative_at_the_equilibrium():
    # weight psi^2 is R1 of twice that weight
    terms = [penalties.gradient_penalty(0.25, target=0.0)]
    same(stability(*dirac(CROSS, SGD, rule=AT_ONCE, discriminator_terms=terms)).eigenvalues, roots(0.5, 0.5))


def test_a_strong_r1_no_longer_turns():
    strong = stability(*regularised(AT_ONCE, penalties.r1(2.0))((0.0, 0.0)))
    same(strong.eigenvalues, roots(0.5, 2.0))
    assert np.isreal(strong.eigenvalues).all()


def test_the_first_step_of_an_optimistic_optimiser_does_not_count():
    # x' = x - 2 h v(x) + h v(x_before), v = +- i / 2: l^2 - (1 - 2 h v) l - h v = 0; the first step is plain descent
    expected = [np.roots([1, -(1 - 2 * H * v), -H * v]) for v in (0.5j, -0.5j)]
    same(found("optimistic gradient").eigenvalues, np.concatenate(expected))


RANDOM = np.random.default_rng(0)
A, B, C = (RANDOM.normal(size=shape) for shape in ((2, 2), (2, 3), (3, 3)))
A, C = A @ A.T, C @ C.T  # convex-concave
FIELD = np.block([[A, B], [-B.T, C]])
ONE = np.eye(5)
X, Y = np.diag([1.0, 1, 0, 0, 0]), np.diag([0, 0, 1.0, 1, 1])  # who moves
BALLS = np.block([[ONE - 0.1 * FIELD, -0.1 * 0.7 * ONE], [FIELD, 0.7 * ONE]])  # of (x, trace)
MATRICES = {
    AT_ONCE: ONE - 0.1 * FIELD,
    rules.alternating: (ONE - 0.1 * Y @ FIELD) @ (ONE - 0.1 * X @ FIELD),
    rules.extragradient: ONE - 0.1 * FIELD @ (ONE - 0.1 * FIELD),
    functools.partial(rules.consensus, strength=0.2): ONE - 0.1 * (FIELD + 0.2 * FIELD.T @ FIELD),
}


@pytest.mark.parametrize("rule", MATRICES)
def test_eigenvalues_of_the_quadratic_game_are_those_of_its_matrix(rule):
    same(stability(*quadratic(A, B, C, optax.sgd(0.1), rule)).eigenvalues, np.linalg.eigvals(MATRICES[rule]))


def test_what_an_optimiser_remembers_belongs_to_the_state():
    heavy = stability(*quadratic(A, B, C, optax.sgd(0.1, momentum=0.7)))
    same(heavy.eigenvalues, np.linalg.eigvals(BALLS))


def test_a_simulation_is_the_power_of_the_matrix():
    start = np.array([1.0, -2.0, 0.5, 0.25, 3.0])
    distances = simulate(*quadratic(A, B, C, optax.sgd(0.1), start=(start[:2], start[2:])), steps=8)
    powers = [np.linalg.matrix_power(MATRICES[AT_ONCE], t) @ start for t in range(1, 9)]
    np.testing.assert_allclose(distances, np.linalg.norm(powers, axis=1), rtol=1e-12)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\[n, n\], \[n, m\], \[m, m\]"):
        quadratic(A, B, A, SGD)


def test_a_period_is_the_product_of_its_steps():
    # the weight of x's square is 1 + step, so from step 3 on three steps shrink x by (1 - 4h)(1 - 5h)(1 - 6h)
    def objective(state, batch, key):
        return (1 + state.step) * state.params["x"] ** 2 / 2, Aux(metrics={"seen": state.step})

    update = rules.descend(Player("x", ("x",), objective, optax.sgd(RATE)))
    start = replace(state_of(x=0.0), step=jnp.array(3, jnp.int32))
    period = stability(repeated(update, 3), start)
    assert period.radius == pytest.approx(np.prod([1 - 4 * RATE, 1 - 5 * RATE, 1 - 6 * RATE]), rel=1e-9)
    played = simulate(update, replace(start, params={"x": jnp.ones(())}), steps=3)
    assert played[-1] == pytest.approx(period.radius, rel=1e-12)
    after, metrics = repeated(update, 3)(start, {}, KEY)
    assert int(after.step) == 3 and int(metrics["x/seen"]) == 5


def moved(map):
    """The update that sends (x, y) to whatever the map says."""

    def update(state, batch, key):
        x, y = map(state.params["x"], state.params["y"])
        return replace(state, params={"x": x, "y": y}), {}

    return update


MAPS = {
    "smooth": (lambda x, y: (0.5 * x + y**2, 0.2 * jnp.sin(y) + 3 * x * y), "converges"),
    "once differentiable": (lambda x, y: (0.5 * x + jnp.abs(x) ** 1.5, 0.2 * y), "converges"),
    "repelling": (lambda x, y: (0.5 * x, y - 1.1 * jnp.expm1(y) + 3.2 * y), "diverges"),
    "kink": (lambda x, y: (0.5 * x, 0.2 * y + 0.1 * jnp.abs(y)), "undecided"),
    "kink across the axes": (lambda x, y: (0.5 * x, 0.2 * y + 0.01 * jnp.abs(x - y)), "undecided"),
    "flat along the axes": (lambda x, y: (0.5 * x, 0.2 * y + x * y / (1e-99 + abs(x) + abs(y))), "undecided"),
    "jump": (lambda x, y: (0.5 * x, 0.2 * y + 1e-3 * jnp.sign(x)), "undecided"),
    "smoothed within 1e-8": (lambda x, y: (0.5 * x, 0.2 * y + 0.1 * x / jnp.sqrt(x**2 + 1e-16)), "undecided"),
    "hidden derivative": (lambda x, y: (0.5 * x, 0.2 * y + 2 * jax.lax.stop_gradient(y)), "undecided"),
    "frozen number": (lambda x, y: (x, 0.2 * y), "undecided"),
}


@pytest.mark.parametrize("name", few(MAPS, "smooth", "repelling", "kink", "flat along the axes", "frozen number"))
def test_what_has_a_derivative_is_judged_and_nothing_else(name):
    map, verdict = MAPS[name]
    assert stability(moved(map), state_of(x=0.0, y=0.0)).verdict == verdict


def test_a_fixed_point_may_lie_anywhere():
    # Newton's map for the square root of 2 is flat there; the other number halves its distance from 7
    state = state_of(x=np.sqrt(2.0), y=7.0)
    with jax.enable_x64(True):
        state = replace(state, params={"x": jnp.sqrt(jnp.float64(2)), "y": jnp.float64(7)})
    same(stability(moved(lambda x, y: (x / 2 + 1 / x, 3.5 + y / 2)), state).eigenvalues, [0.5, 0])


def test_a_point_that_moves_is_refused_and_told_how_far():
    with pytest.raises(ValueError, match=r"moves it by 0\.25, so it is not a fixed point"):
        stability(moved(lambda x, y: (x + 0.25, y)), state_of(x=1.0, y=2.0))


def same(actual, expected):
    """Compares as sets: the order of eigenvalues of equal modulus means nothing."""
    assert len(actual) == len(expected)
    # a double eigenvalue carries the square root of float64's rounding
    np.testing.assert_allclose(_ordered(actual), _ordered(expected), atol=1e-7)


def _ordered(values):
    return sorted(np.asarray(values, complex), key=lambda z: (round(z.real, 6), round(z.imag, 6)))
