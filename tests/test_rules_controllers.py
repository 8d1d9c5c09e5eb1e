import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy import BILINEAR, KEY, RATE, points, points_game, state_of

from gan_jax import losses, optimizers, penalties, rules
from gan_jax.rules import controllers


def test_ema_is_the_running_mean_at_first_and_exponential_later():
    hook = controllers.ema("x", 0.9).hook
    state, values = state_of(x=1.0), [1.0, 4.0, -2.0]
    average = 1.0
    for step, x in enumerate(values):
        state = replace(state, params={"x": jnp.asarray(x)}, step=jnp.asarray(step))
        state, _ = hook(state, {}, KEY)
        decay = min(0.9, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * x
        assert float(state.ema["x"]["params"]) == pytest.approx(average, rel=1e-6)
    late, _ = hook(replace(state, step=jnp.asarray(10_000)), {}, KEY)
    assert float(late.ema["x"]["params"]) == pytest.approx(0.9 * average + 0.1 * -2.0, rel=1e-6)
    for step in (0, 10_000):  # a schedule is not ramped
        scheduled, _ = controllers.ema("x", lambda step: 0.5 + step / 40_000).hook(
            replace(state, step=jnp.asarray(step)), {}, KEY
        )
        decay = 0.5 + step / 40_000
        assert float(scheduled.ema["x"]["params"]) == pytest.approx(decay * average + (1 - decay) * -2.0, rel=1e-6)
    zero, _ = controllers.ema("x", 0.0).hook(state, {}, KEY)
    assert float(zero.ema["x"]["params"]) == -2.0


def test_ema_averages_statistics_with_their_parameters():
    game = points_game()
    state = game.init(KEY)
    moved = replace(state, stats=jax.tree.map(lambda x: x + 1, state.stats), step=jnp.asarray(10**6))
    after, _ = controllers.ema("generator", 0.75).hook(moved, {}, KEY)
    jax.tree.map(
        lambda before, now: np.testing.assert_allclose(now, before + 0.25, rtol=1e-6),
        state.ema["generator"]["stats"],
        after.ema["generator"]["stats"],
    )


def test_lookahead_draws_all_players_back_together():
    ahead = controllers.lookahead(("x", "y"), every=3, fraction=0.25)
    update = rules.then(rules.simultaneous(BILINEAR), ahead)
    state = state_of(x=1.0, y=2.0)
    state = replace(state, extra=ahead.slots(state.params))
    slow = w = np.array([1.0, 2.0])
    for step in range(7):
        state, _ = update(state, {}, KEY)
        state = replace(state, step=state.step + 1)
        w = w - RATE * np.array([w[1], -w[0]])
        if step in (2, 5):
            slow = w = slow + 0.25 * (w - slow)
        np.testing.assert_allclose([state.params["x"], state.params["y"]], w, rtol=1e-6)
    np.testing.assert_allclose(list(state.extra["lookahead"].values()), slow, rtol=1e-6)


def test_lookahead_makes_the_bilinear_game_converge():
    # one round is 1/2 + 1/2 (1 + i r)^20, inside the unit circle, while (1 + i r)^20 is outside
    ahead = controllers.lookahead(("x", "y"), every=20)
    assert abs(0.5 + 0.5 * (1 + 1j * RATE) ** 20) < 1
    state = state_of(x=1.0, y=0.0)
    update = jax.jit(rules.then(rules.simultaneous(BILINEAR), ahead))
    state = replace(state, extra=ahead.slots(state.params))
    for _ in range(200):
        state, _ = update(state, {}, KEY)
        state = replace(state, step=state.step + 1)
    expected = abs(0.5 + 0.5 * (1 + 1j * RATE) ** 20) ** 10
    assert float(jnp.hypot(state.params["x"], state.params["y"])) == pytest.approx(expected, rel=1e-3)


def metrics_of(real, fake, accuracy_real=0.5, accuracy_fake=0.5):
    values = {
        "logit_real": real,
        "logit_fake": fake,
        "accuracy_real": accuracy_real,
        "accuracy_fake": accuracy_fake,
    }
    return {f"discriminator/{name}": jnp.asarray(value) for name, value in values.items()}


def carrying(controller):
    return replace(state_of(x=1.0), extra=controller.slots({}))


def test_balance_follows_the_papers_proportional_control():
    control = controllers.balance(gamma=0.5, rate=0.1)
    state, k = carrying(control), 0.0
    for real, fake in ((2.0, 0.5), (1.0, 3.0), (30.0, 1.0), (0.2, 9.0)):  # reconstruction errors
        # the fakes that the discriminator judged in its own move have no say
        seen = metrics_of(-real, -7.0) | {"generator/loss": jnp.asarray(fake)}
        state, metrics = control.hook(state, seen, KEY)
        k = min(max(k + 0.1 * (0.5 * real - fake), 0), 1)
        assert float(state.extra["balance"]) == pytest.approx(k, rel=1e-6)
        assert float(metrics["balance/measure"]) == pytest.approx(real + abs(0.5 * real - fake), rel=1e-6)
        assert float(metrics["balance/ratio"]) == pytest.approx(fake / real, rel=1e-6)


def test_augmentation_grows_while_the_discriminator_is_sure_of_real_examples():
    # 64 images a step and 640 to go from 0 to 1: a tenth a step
    control = controllers.adaptive_augmentation(64, target=0.6, images=640, every=1)
    state = carrying(control)
    for accuracy, p in ((1.0, 0.1), (0.9, 0.2), (0.7, 0.1), (0.0, 0.0), (0.0, 0.0), (0.81, 0.1)):
        state, metrics = control.hook(state, metrics_of(0.0, 0.0, accuracy), KEY)
        assert float(state.extra["ada"]) == pytest.approx(p, abs=1e-6) == float(metrics["ada/probability"])


def test_augmentation_follows_the_mean_sign_of_four_iterations():
    # signs 1, 1, 0.2, 0.3: mean 0.625, above the target, although the median is 0.65 and half are below; then 0.575
    control = controllers.adaptive_augmentation(16, target=0.6, images=640)
    state, probabilities = carrying(control), []
    for step, sign in enumerate((1.0, 1.0, 0.2, 0.3, 0.7, 0.7, 0.7, 0.2)):
        state, _ = control.hook(replace(state, step=jnp.asarray(step)), metrics_of(0.0, 0.0, (1 + sign) / 2), KEY)
        probabilities.append(float(state.extra["ada"]))
    np.testing.assert_allclose(probabilities, [0, 0, 0, 0.1, 0.1, 0.1, 0.1, 0], atol=1e-6)


def test_the_discriminator_waits_while_it_is_too_good():
    control, active = controllers.accuracy(decay=0.5), controllers.below(0.8)
    state = carrying(control)
    assert float(state.extra["accuracy"]) == 0.5 and bool(active(state))
    state, _ = control.hook(state, metrics_of(0, 0, 1.0, 1.0), KEY)
    assert float(state.extra["accuracy"]) == 0.75 and bool(active(state))
    state, _ = control.hook(state, metrics_of(0, 0, 1.0, 0.9), KEY)
    assert float(state.extra["accuracy"]) == pytest.approx(0.85) and not bool(active(state))
    with pytest.raises(ValueError, match=r"no slot 'accuracy'; add controllers.accuracy\(\)"):
        active(state_of(x=1.0))


@pytest.mark.slow
@pytest.mark.parametrize("rule", [rules.alternating, pytest.param(rules.simultaneous, marks=pytest.mark.slow)])
def test_pre_training_moves_the_discriminator_alone(rule):
    game = points_game(
        "spectral", optax.adam(1e-2), rule=rule, active={"generator": controllers.after(2)}, ema_decay=0.0
    )
    update, batch = jax.jit(game.update), {"image": points()["image"][:8]}
    states = [game.init(KEY)]
    for step in range(3):
        states.append(replace(update(states[-1], batch, KEY)[0], step=jnp.asarray(step + 1)))
    for part in ("params", "opt_state", "stats"):
        first, *_ = generators = [getattr(state, part)["generator"] for state in states]
        for still in generators[1:3]:
            jax.tree.map(np.testing.assert_array_equal, first, still)
        moved = jax.tree.map(lambda a, b: np.any(np.asarray(a) != b), first, generators[3])
        assert any(jax.tree.leaves(moved))
        discriminators = [getattr(state, part)["discriminator"] for state in states]
        for before, after in itertools.pairwise(discriminators):
            assert any(jax.tree.leaves(jax.tree.map(lambda a, b: np.any(np.asarray(a) != b), before, after)))


def test_clipping_holds_after_every_move_and_lets_small_moves_pass():
    optimizer = optimizers.clipped(optimizers.sgd(1.0), 0.1)
    params, slopes = {"w": jnp.array([0.05, -0.05, 0.5, 0.1])}, {"w": jnp.array([0.02, 1.0, 0.0, -7.0])}
    moved, _ = optimizers.moved(optimizer, slopes, optimizer.init(params), params, 0)
    np.testing.assert_allclose(moved["w"], [0.03, -0.1, 0.1, 0.1], rtol=1e-6)
    game = points_game(optimizer=optimizers.clipped(optimizers.adam(1.0), 0.01), loss=losses.wasserstein())
    state, _ = game.update(game.init(KEY), {"image": points()["image"][:8]}, KEY)
    assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(state.params)) <= np.float32(0.01)


def test_slots_begin_as_they_go_on():
    # a slot of weak type would come back strong, and the step would compile twice
    parts = (controllers.accuracy(), controllers.balance(), controllers.adaptive_augmentation(8))
    game = points_game(controllers=parts, terms={"discriminator": [penalties.lecam(1.0)]})
    state = jax.eval_shape(game.init, KEY)
    assert len(jax.tree.leaves(state.extra)) == 6
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(state))


def test_weights_may_be_traced_and_are_then_not_checked():
    # as by a population, whose members differ in a weight
    def build(weight):
        terms = (penalties.gradient_penalty(weight), penalties.lecam(weight, decay=weight))
        game = points_game(terms={"discriminator": terms}, controllers=[controllers.balance(weight, weight)])
        batch = {"image": points()["image"][:8]}
        return game.update(game.init(KEY), batch, KEY)[1]["discriminator/gradient_penalty"]

    found = jax.jit(jax.vmap(build))(jnp.array([0.25, 0.5]))
    assert float(found[1]) == pytest.approx(2 * float(found[0]), rel=1e-5)


@pytest.mark.parametrize(
    ("controller", "remedy"),
    [
        (controllers.adaptive_augmentation(8), r"slot 'ada'; add Game\(augment=...\) with augment.ada"),
        (controllers.adaptive_augmentation(8, name="p"), r"slot 'p'; add"),
        (controllers.accuracy(), r"slot 'accuracy'; add a player with active=controllers.below"),
    ],
)
def test_a_controller_whose_slot_nothing_reads_is_refused(controller, remedy):
    batch = {"image": points()["image"][:8]}
    game = points_game(controllers=[controller])
    with pytest.raises(ValueError, match=remedy):
        jax.eval_shape(game.update, jax.eval_shape(game.init, KEY), batch, KEY)

    def augment(images, keys, state):
        return images * (1 + state.extra[controller.name])

    game = points_game(controllers=[controller], augment=augment)  # one's own reads it as well
    jax.eval_shape(game.update, jax.eval_shape(game.init, KEY), batch, KEY)


def test_two_parts_cannot_carry_one_slot():
    twice = (controllers.accuracy(), controllers.accuracy(decay=0.5))
    with pytest.raises(ValueError, match="two are named 'accuracy'"):
        points_game(controllers=twice)
    points_game(controllers=(controllers.accuracy(), controllers.accuracy(0.5, name="slow"))).init(KEY)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: controllers.ema("x", 1.0), "decay=1.0"),
        (lambda: controllers.lookahead(("x",), every=0), "every=0"),
        (lambda: controllers.lookahead(("x",), fraction=0.0), "fraction=0.0"),
        (
            lambda: controllers.lookahead(("critic",)).slots({"x": 1.0}),
            r"\['critic'\] do not exist; choose from \['x'\]",
        ),
        (lambda: controllers.balance(gamma=1.5), "gamma=1.5"),
        (lambda: controllers.balance(rate=0.0), "rate=0.0"),
        (lambda: controllers.adaptive_augmentation(64, target=1.0), "target=1.0"),
        (lambda: controllers.adaptive_augmentation(0), "batch_size=0"),
        (lambda: controllers.accuracy(decay=-0.1), "decay=-0.1"),
        (lambda: controllers.after(-1), "steps=-1"),
        (lambda: optimizers.clipped(optimizers.sgd(1.0), 0.0), "limit=0.0"),
        (lambda: losses.resolve(losses.balanced(), state_of(x=1.0), KEY), r"add controllers.balance\(\)"),
        (lambda: controllers.ema("y", 0.9).hook(state_of(x=1.0), {}, KEY), r"network='y'.*only of \['x'\]"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_average_forgets_half_in_its_half_life():
    decay = controllers.half_life(lambda step: jnp.where(step < 5, 0.0, 480.0), batch_size=32)
    np.testing.assert_allclose(decay(jnp.asarray(9)) ** (480 / 32), 0.5, rtol=1e-6)
    assert decay(jnp.asarray(0)) == 0
