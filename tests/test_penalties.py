import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import images_game, points, points_game

from gan_jax import penalties, rng, terms
from gan_jax.devices import parallel
from gan_jax.networks.layers.batch import minibatch_deviation
from gan_jax.types import Context, TrainState

W = jnp.array([3.0, -4.0])  # norm 5
REAL = jnp.array([[1.0, 2.0], [0.5, -1.0], [0.0, 0.0], [2.0, 1.0]])
FAKE = jnp.array([[0.0, 1.0], [2.0, -1.0], [1.0, 1.0], [-1.0, 0.0]])


def linear(x):
    return x @ W


def quadratic(x):
    return jnp.sum(x**2, axis=1) / 2  # its gradient is x


def state_at(step=0, extra=None, params=None):
    return TrainState(jnp.asarray(step), params or {}, {}, {}, {}, extra or {})


def context(critic=linear, real=REAL, fake=FAKE, latents=None, generate=None, features=None, **state):
    """A move in which everything is given, and the rest does not matter."""
    real_output, fake_output = ({"logits": critic(x)} for x in (real, fake))
    if features:
        real_output["features"], fake_output["features"] = features
    keys = rng.per_example(jax.random.key(0), len(real))
    return Context(
        real,
        fake,
        fake if latents is None else latents,
        critic,
        critic,
        generate or (lambda latents: latents),
        real_output,
        fake_output,
        keys,
        state_at(**state),
    )


def mlp_context(params, term, rows, pack=1):
    """A move of small smooth networks on images of 2 x 2, on rows of a batch."""
    rows, keys = parallel.local(rows), rng.per_example(jax.random.key(1), 8 // parallel.size())
    d, g = params["discriminator"], params["generator"]

    def judge(images):
        hidden = jnp.tanh(images.reshape(-1, 4 * pack) @ jnp.tile(d["in"], (pack, 1)) + d["bias"])
        return {"logits": jnp.tanh(hidden @ d["out"]), "features": hidden}

    def generate(latents):
        return jnp.tanh(latents @ g["in"] + g["bias"]).reshape(-1, 2, 2, 1)

    fake = generate(rows["latents"])
    extra = term.slots(jax.tree.map(lambda x: x - 0.3, mlp_params()))  # from before, so constant
    said = judge(rows["real"]), judge(fake)
    return Context(
        rows["real"],
        fake,
        rows["latents"],
        lambda images: judge(images)["logits"],
        lambda images: judge(images)["logits"],
        generate,
        *said,
        keys,
        state_at(extra=extra, params=params),
    )


def mlp_params():
    shapes = {
        "discriminator": {"in": (4, 5), "bias": (5,), "out": (5,)},
        "generator": {"in": (3, 4), "bias": (4,)},
    }
    random = np.random.default_rng(0)
    return jax.tree.map(lambda s: jnp.asarray(random.normal(size=s)), shapes, is_leaf=lambda s: isinstance(s, tuple))


def compiled(f):
    """Compiles without optimisation, for what runs but a few times."""
    return jax.jit(f, compiler_options={"xla_backend_optimization_level": 0})


def check_gradients(terms, pack=1):
    """Gradients are limits of differences, and neither they nor what is carried depend on the number of devices."""
    with jax.enable_x64(True):
        random = np.random.default_rng(1)
        rows = {"real": random.normal(size=(8, 2, 2, 1)), "latents": random.normal(size=(8, 3))}
        rows = jax.tree.map(jnp.asarray, rows)
        params = mlp_params()
        where = jax.tree.map(lambda x: jnp.asarray(random.normal(size=x.shape)), params)

        def step(params):
            found = {}
            for name, term in terms.items():

                def value(params, term=term):
                    said = term.value(mlp_context(params, term, rows, pack))
                    values, extra = said if isinstance(said, tuple) else (said, {})
                    return jnp.mean(values), extra

                (total, extra), slope = jax.value_and_grad(value, has_aux=True)(params)
                found[name] = *parallel.pmean((slope, total)), extra
            return params, found

        alone = compiled(step)
        found = alone(params)[1]
        h = 1e-5  # truncation is of the order h^2 = 1e-10, and rounding 1e-16 / h = 1e-11
        up, down = (alone(jax.tree.map(lambda x, d, s=s: x + s * h * d, params, where))[1] for s in (1, -1))
        for name, (slope, _, _) in found.items():
            along = sum(jax.tree.leaves(jax.tree.map(lambda g, d: jnp.sum(g * d), slope, where)))
            assert abs(along) > 1e-3, name  # or there would be nothing to compare
            difference = (up[name][1] - down[name][1]) / (2 * h)
            np.testing.assert_allclose(difference, along, rtol=1e-6, atol=1e-8, err_msg=name)

        spread = compiled(parallel.simulated(step, 4))(params)[1]
        for name in terms:
            close = functools.partial(np.testing.assert_allclose, rtol=1e-11, atol=1e-12, err_msg=name)
            jax.tree.map(close, found[name], spread[name])


def noisy(images, keys, state):
    return images + 0.3 * jax.vmap(lambda key: jax.random.normal(key, images.shape[1:], images.dtype))(keys)


TERMS = {
    "r1": lambda: penalties.r1(2.0),
    "r2": lambda: penalties.r2(2.0),
    "wgan-gp": penalties.gradient_penalty,
    "wgan-lp": lambda: penalties.gradient_penalty(target=0.2, one_sided=True),
    "zero-centred": lambda: penalties.gradient_penalty(target=0.0),
    "dragan": penalties.dragan,
    "max_gradient": lambda: penalties.max_gradient(2.0),
    "lecam": lambda: penalties.lecam(2.0, decay=0.5),
    "consistency": lambda: terms.consistency(noisy, fake=10.0),
    "latent_consistency": lambda: terms.latent_consistency(std=0.5),
}


@pytest.mark.slow
def test_gradients_are_right_on_any_number_of_devices():
    check_gradients({name: make() for name, make in TERMS.items()})


@pytest.mark.slow
def test_gradients_of_packs_are_right_on_any_number_of_devices():
    pair = terms.combine(penalties.gradient_penalty(), terms.consistency(noisy), penalties.lecam(1.0))
    check_gradients({"pair": pair}, pack=2)


def test_r1_and_r2_are_half_their_weight_times_the_squared_gradient():
    for make, where in ((penalties.r1, REAL), (penalties.r2, FAKE)):
        np.testing.assert_allclose(make(10.0).value(context(linear)), [125.0] * 4, rtol=1e-6)
        np.testing.assert_allclose(make(10.0).value(context(quadratic)), 5 * jnp.sum(where**2, axis=1), rtol=1e-6)


def test_gradient_penalty_of_a_linear_critic_is_known_wherever_it_is_taken():
    def value(*arguments, **options):
        return penalties.gradient_penalty(*arguments, **options).value(context(linear))

    np.testing.assert_allclose(value(10.0), [160.0] * 4, rtol=1e-6)
    np.testing.assert_allclose(value(2.0, target=5.0), 0, atol=1e-6)
    np.testing.assert_allclose(value(2.0, target=0.0), [50.0] * 4, rtol=1e-6)
    np.testing.assert_allclose(value(2.0, target=7.0), [8.0] * 4, rtol=1e-6)
    np.testing.assert_array_equal(value(2.0, target=7.0, one_sided=True), 0)  # below the target
    np.testing.assert_allclose(value(2.0, target=3.0, one_sided=True), [8.0] * 4, rtol=1e-6)  # above it


def test_the_drift_term_squares_the_real_logits():
    np.testing.assert_allclose(penalties.drift(0.5).value(context(linear)), linear(REAL) ** 2 / 2, rtol=1e-6)


def with_deviation(weights):
    """A critic whose logits depend on the batch."""
    return lambda x: jnp.tanh(minibatch_deviation(jnp.tanh(x @ weights["in"])) @ weights["out"])


def test_the_gradient_of_the_sum_of_logits_exists_where_that_of_each_logit_does_not():
    draw = np.random.default_rng(0)
    rows = [draw.normal(size=(8, 2)) for _ in range(2)]
    weights = {"in": draw.normal(size=(2, 5)), "out": draw.normal(size=6)}
    with jax.enable_x64(True):
        rows, weights = jax.tree.map(jnp.asarray, (rows, weights))
        term = penalties.gradient_penalty(2.0, 0.7, of_sum=True)

        def value(weights):
            real, fake = parallel.local(rows)
            keys = rng.per_example(jax.random.key(1), len(real))
            seen = context(with_deviation(weights), real, fake)._replace(keys=keys)
            return jnp.mean(term.value(seen))

        def step(weights):
            return weights, parallel.pmean(jax.value_and_grad(value)(weights))

        alone, spread = (compiled(run)(weights)[1] for run in (step, parallel.simulated(step, 4)))
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-12), alone, spread)

        # by its definition: the gradient, at points between the pairs, of the sum of all logits
        keys = rng.each(rng.per_example(jax.random.key(1), 8), "mix")
        mix = jax.vmap(lambda key: jax.random.uniform(key, dtype=jnp.float64))(keys)[:, None]
        between = mix * rows[0] + (1 - mix) * rows[1]
        slopes = jax.grad(lambda x: jnp.sum(with_deviation(weights)(x)))(between)
        expected = 2 * np.mean((np.linalg.norm(slopes, axis=1) - 0.7) ** 2)
        np.testing.assert_allclose(alone[0], expected, rtol=1e-10)
    # where a logit depends on its example alone, the two are the same, and only the latter is refused for such critics
    each, summed = (penalties.gradient_penalty(of_sum=flag) for flag in (False, True))
    np.testing.assert_array_equal(each.value(context(quadratic)), summed.value(context(quadratic)))
    assert each.per_example == ("discriminator",) and summed.per_example == ()


def test_gradient_penalty_is_taken_between_the_pairs():
    # the gradient of |x|^2 / 2 is x, so on pairs on one ray the norm tells the mixing weight
    ray = context(quadratic, jnp.full((4, 1), 1.0), jnp.full((4, 1), 3.0))
    places = jnp.sqrt(penalties.gradient_penalty(1.0, target=0.0).value(ray))
    assert ((places > 1) & (places < 3)).all() and len(np.unique(places)) == 4
    # the steepest of the same places
    np.testing.assert_allclose(penalties.max_gradient(2.0).value(ray), 2 * np.max(places) ** 2, rtol=1e-6)


@pytest.mark.parametrize("make", [penalties.gradient_penalty, penalties.dragan])
def test_norms_have_a_derivative_at_a_flat_critic(make):
    slope = jax.grad(lambda w: make().value(context(lambda x: x @ w)).sum())(jnp.zeros(2))
    np.testing.assert_array_equal(slope, 0)


def test_dragan_looks_beside_the_data_as_far_as_the_authors_code_does():
    np.testing.assert_allclose(penalties.dragan(2.0).value(context(linear)), [32.0] * 4, rtol=1e-6)
    # rows of 8 entries, 2 and -2 in turns: the deviation is 2, so that x + u d has d uniform on [0, 1]
    real = jnp.tile(jnp.array([2.0, -2.0]), (4000, 4))

    def mean(critic, real):
        return jnp.mean(penalties.dragan(1.0, noise=0.5, target=0.0).value(context(critic, real, real)))

    # at a gradient of x: E|x + u d|^2 = |x|^2 + 2 E u x.d + 8 E u^2 E d^2, where E x.d = 0
    np.testing.assert_allclose(mean(quadratic, real), 8 * 4 + 8 / 3 / 3, atol=0.1)  # x.d has a deviation of 1.6
    # at a gradient of (sum of x) in each entry, as x sums to 0: 8 E (u sum d)^2 = 8 E u^2 (8 / 3 + 8 * 7 / 4);
    # noise of mean 0 would give 8 / 9, and u that differs between entries 8 / 9 + 56 / 16, instead of 50 / 9
    sums = mean(lambda x: jnp.sum(x, axis=1) ** 2 / 2, real) / 8
    np.testing.assert_allclose(sums, 50 / 9, atol=0.4)  # each of deviation 5.6, the mean of 4000 of 0.09
    # and it scales with the data: at twice the data everything is twice as far out
    np.testing.assert_allclose(mean(quadratic, 2 * real), 4 * mean(quadratic, real), rtol=1e-4)


def test_patch_critics_are_averaged():
    def patches(x):
        return jnp.stack([linear(x), 3 * linear(x)], 1)  # mean gradient 2 w

    np.testing.assert_allclose(penalties.r1(2.0).value(context(patches)), [100.0] * 4, rtol=1e-6)
    move = terms.consistency(lambda x, keys, state: x + 1)  # patches move by -1 and -3, mean square 5
    np.testing.assert_allclose(move.value(context(patches)), [50.0] * 4, rtol=1e-5)


def test_packs_are_one_example():
    weights = jnp.array([[1.0, 2.0], [2.0, 4.0]])  # of the first and the second of a pack; |weights| = 5

    def packed(x):
        return jnp.sum(x.reshape(-1, 4) * weights.reshape(4), axis=1)

    np.testing.assert_allclose(penalties.r1(2.0).value(context(packed)), [25.0] * 2, rtol=1e-6)
    np.testing.assert_allclose(penalties.gradient_penalty(1.0).value(context(packed)), [16.0] * 2, rtol=1e-6)
    np.testing.assert_allclose(penalties.input_gradient(packed, REAL), jnp.tile(weights, (2, 1)), rtol=1e-6)
    move = terms.consistency(lambda x, keys, state: x + 1, real=1.0)
    np.testing.assert_allclose(move.value(context(packed)), [81.0] * 2, rtol=1e-5)


def test_both_of_a_pack_are_mixed_alike():
    # real (1, 2), fake (3, 6): alike mixed they stay on the ray where 2 x_1 = x_2, and there this critic is flat
    def off_the_ray(x):
        return (x.reshape(-1, 2) @ jnp.array([2.0, -1.0])) ** 2

    def along_the_ray(x):
        return jnp.sum(x.reshape(-1, 2) ** 2, axis=1) / 2

    real, centred = jnp.array([[1.0], [2.0]] * 2), penalties.gradient_penalty(1.0, target=0.0)
    np.testing.assert_allclose(centred.value(context(off_the_ray, real, 3 * real)), [0, 0], atol=1e-10)
    places = np.sqrt(centred.value(context(along_the_ray, real, 3 * real)) / 5)
    assert ((places > 1) & (places < 3)).all() and places[0] != places[1]


def test_consistency_sees_what_the_augmentation_changes():
    def shift(x, keys, state):
        return x + jnp.array([1.0, 0.5])

    def turn(x, keys, state):
        return x[:, ::-1]

    np.testing.assert_allclose(terms.consistency(shift, 2.0).value(context(linear)), [2.0] * 4, rtol=1e-4)
    both = terms.consistency(shift, 2.0, 3.0)
    np.testing.assert_allclose(both.value(context(linear)), [5.0] * 4, rtol=1e-4)
    np.testing.assert_array_equal(terms.consistency(turn, 2.0, 3.0).value(context(quadratic)), 0)
    mixed = jnp.square(linear(REAL[:, ::-1]) - linear(REAL)) + 3 * jnp.square(linear(FAKE[:, ::-1]) - linear(FAKE))
    np.testing.assert_allclose(terms.consistency(turn, 1.0, 3.0).value(context(linear)), mixed, rtol=1e-5)


def test_latent_consistency_of_a_linear_game_is_that_of_its_noise():
    # D(G(z + s n)) - D(G(z)) = s w.n: 2 s^2 |w|^2 on average
    z = jnp.zeros((20_000, 2))
    values = terms.latent_consistency(2.0, std=0.1).value(context(linear, z, z, z))
    np.testing.assert_allclose(jnp.mean(values), 2 * 0.01 * 25, rtol=0.04)  # 4 standard errors, sqrt(2 / 20000) each
    indifferent = context(lambda x: 0 * x[:, 0] + 1)
    np.testing.assert_array_equal(terms.latent_consistency().value(indifferent), 0)


def test_lecam_by_hand():
    # the anchors are 0 at first and then move by half
    term = penalties.lecam(2.0, decay=0.5)
    extra = term.slots({})
    for real, fake, anchor_real, anchor_fake in (
        (np.array([1.0, 3.0]), np.array([-1.0, -2.0]), 0.0, 0.0),
        (np.array([2.0, 6.0]), np.array([0.0, -4.0]), 1.0, -0.75),  # halfway to the means 2 and -1.5
        (np.array([0.0, 0.0]), np.array([0.0, 0.0]), 2.5, -1.375),  # and to 4 and -2
    ):
        move = context(lambda x: x[:, 0], jnp.asarray(real)[:, None], jnp.asarray(fake)[:, None], extra=extra)
        values, extra = term.value(move)
        expected = 2 * ((real - anchor_fake) ** 2 + (fake - anchor_real) ** 2)
        np.testing.assert_allclose(values, expected, rtol=1e-6)
    np.testing.assert_allclose((extra["lecam"]["real"], extra["lecam"]["fake"]), (1.25, -0.6875))


def test_a_game_carries_the_anchors():
    game = points_game(terms={"discriminator": (penalties.lecam(1.0, decay=0.0),)})
    state = game.init(jax.random.key(0))
    state, metrics = compiled(game.update)(state, points(16), jax.random.key(1))
    for kind, anchor in state.extra["lecam"].items():  # nothing of the old value: the mean logit itself
        np.testing.assert_allclose(anchor, metrics[f"discriminator/logit_{kind}"], rtol=1e-6)
    squares = metrics["discriminator/lecam"]  # to anchors at 0
    assert squares >= metrics["discriminator/logit_real"] ** 2 + metrics["discriminator/logit_fake"] ** 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: penalties.r1(0.0), "weight=0.0.*leave the term out"),
        (lambda: penalties.r2(-1.0), "weight=-1.0"),
        (lambda: penalties.gradient_penalty(0.0), "weight=0"),
        (lambda: penalties.gradient_penalty(target=-1.0), "target=-1.0"),
        (lambda: penalties.dragan(noise=0.0), "noise=0.0"),
        (lambda: penalties.max_gradient(0), "weight=0"),
        (lambda: penalties.drift(0.0), "weight=0.0"),
        (lambda: penalties.lecam(1.0, decay=1.0), r"decay=1.0.*\[0, 1\)"),
        (lambda: terms.consistency(noisy, real=0.0), "real=0.0"),
        (lambda: terms.consistency(noisy, fake=-1.0), "fake=-1.0"),
        (lambda: terms.latent_consistency(std=0.0), "std=0.0"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("norm", ["layer", "spectral", "none"])
def test_per_example_penalties_go_with_critics_that_judge_each_example(norm):
    points_game(norm, terms={"discriminator": (terms.lazy(penalties.r1(1.0), 2), penalties.gradient_penalty())})


def test_r1_of_the_sum_of_logits_sees_how_examples_depend_on_each_other():
    # by hand, on the whole batch: the gradient in each example of the sum of all logits, on any number of devices
    def critic(params, images):
        hidden = jnp.tanh(images.reshape(-1, 4) @ params["in"])
        return minibatch_deviation(hidden, group=4) @ params["out"]

    with jax.enable_x64(True):
        random = np.random.default_rng(3)
        images = jnp.asarray(random.normal(size=(8, 2, 2, 1)))
        params = {"in": jnp.asarray(random.normal(size=(4, 5))), "out": jnp.asarray(random.normal(size=6))}

        def step(params, rows):
            def value(params):
                move = context(lambda x: critic(params, x), *[parallel.local(rows)] * 2)
                return jnp.mean(penalties.r1(3.0, of_sum=True).value(move))

            return parallel.pmean(jax.value_and_grad(value)(params))

        def directly(params):
            slopes = jax.grad(lambda x: jnp.sum(critic(params, x)))(images)
            return 3 / 2 * jnp.sum(slopes**2) / 8

        expected = compiled(jax.value_and_grad(directly))(params)
        alone = jax.grad(lambda x: jnp.sum(jax.vmap(lambda x: critic(params, x[None])[0])(x)))(images)
        assert abs(float(expected[0]) - 3 / 2 * float(jnp.sum(alone**2)) / 8) > 1e-2  # the dependence matters
        for found in (
            compiled(step)(params, images),
            parallel.simulated(step, 4)(jax.tree.map(jnp.copy, params), images),
        ):
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), found, expected)


def test_r1_of_the_sum_of_logits_is_allowed_where_that_of_each_logit_is_not_defined():
    with pytest.raises(ValueError, match="depends on the whole batch"):
        points_game("batch", terms={"discriminator": [penalties.r1(1.0)]})
    points_game("batch", terms={"discriminator": [terms.lazy(penalties.r1(1.0, of_sum=True), 2)]})


@pytest.mark.parametrize("game", [images_game, points_game])
def test_per_example_penalties_are_refused_for_critics_with_batch_norm(game):
    for term in (penalties.r1(1.0), terms.combine(penalties.lecam(1.0), penalties.max_gradient(1.0))):
        with pytest.raises(ValueError, match=r"batch norm .*spectral, layer or none"):
            game("batch", terms={"discriminator": (term,)})
    game("batch", terms={"discriminator": (penalties.lecam(1.0), terms.consistency(noisy))})


@pytest.mark.parametrize(
    "term",
    [
        penalties.gradient_penalty(0.3, target=0.0),
        penalties.gradient_penalty(0.3, 0.0, True),
        penalties.dragan(0.3, target=0.0),
    ],
)
def test_a_zero_centred_penalty_is_curved_where_the_critic_is_flat(term):
    # 0.3 |s w|^2 at s = 0: the square of a guarded root would be flat to second order
    def value(scale):
        return jnp.mean(term.value(context(lambda x: scale * linear(x))))

    assert value(2.0) == pytest.approx(0.3 * 4 * 25, rel=1e-6)
    assert jax.grad(jax.grad(value))(0.0) == pytest.approx(2 * 0.3 * 25, rel=1e-6)


def test_every_guarded_root_has_finite_derivatives_of_second_order_at_zero():
    def slopes(term):
        return lambda scale: jnp.mean(term.value(context(lambda x: scale * linear(x))))

    def pulled(scale):
        return terms.pull_away(1.0).value(context(features=(REAL, scale * FAKE)))

    def lengthened(scale):
        moved = context(generate=lambda latents: scale * latents, extra={"path_length": jnp.zeros(())})
        return jnp.mean(terms.path_length(1.0).value(moved)[0])

    penalised = [slopes(term) for term in (penalties.gradient_penalty(1.0), penalties.dragan(1.0))]
    for function in (*penalised, pulled, lengthened):
        assert np.isfinite(jax.grad(function)(0.0)) and np.isfinite(jax.grad(jax.grad(function))(0.0))
