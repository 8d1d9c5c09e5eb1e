from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from test_penalties import FAKE, REAL, check_gradients, compiled, context, linear, quadratic, state_at
from toy import points, points_game

from gan_jax import networks, penalties, rng, terms
from gan_jax.errors import UserError
from gan_jax.types import Array, Term

FEATURES = jnp.array([[1.0, 0.0, 2.0], [0.0, 3.0, -1.0], [2.0, 2.0, 0.0], [-1.0, 1.0, 1.0]])
PARAMS = {
    "discriminator": {"kernel": jnp.array([[1.0, 2.0], [0.5, -1.0]]), "bias": jnp.array([1.0, -2.0])},
    "generator": {"kernel": jnp.array([[3.0]])},
}

TERMS = {
    "lazy": lambda: terms.lazy(terms.combine(terms.mode_seeking(1.0), terms.path_length()), 2),
    "scheduled": lambda: terms.scheduled(terms.feature_matching(), optax.constant_schedule(0.5)),
    "combine": lambda: terms.combine(penalties.r1(1.0), penalties.max_gradient(1.0), penalties.lecam(1.0)),
    "feature_matching": lambda: terms.feature_matching(2.0),
    "pull_away": lambda: terms.pull_away(2.0),
    "mode_seeking": lambda: terms.mode_seeking(2.0),
    "latent_diversity": lambda: terms.latent_diversity(std=0.5),
    "path_length": lambda: terms.path_length(decay=0.5),
    "half the path length": lambda: terms.path_length(decay=0.5, name="half the path length", shrink=2),
    "orthogonal": lambda: terms.orthogonal(1.0, "discriminator"),
    "historical_averaging": lambda: terms.historical_averaging(1.0, "generator"),
}


def test_gradients_are_right_on_any_number_of_devices():
    check_gradients({name: make() for name, make in TERMS.items()})


def test_lazy_averages_to_the_term():
    lazy = terms.lazy(penalties.r1(10.0), every=4)
    each = [lazy.value(context(quadratic, step=step))[0] for step in range(8)]
    np.testing.assert_allclose(np.mean(each, axis=0), penalties.r1(10.0).value(context(quadratic)), rtol=1e-6)
    assert all((x == 0).all() == bool(step % 4) for step, x in enumerate(each))


def test_lazy_carries_its_slots_past_the_steps_between():
    term = penalties.lecam(1.0, decay=0.5)
    lazy, extra, eager = terms.lazy(term, every=2), term.slots({}), term.slots({})
    for step in range(5):
        values, moved = lazy.value(context(step=step, extra=extra))
        if step % 2:
            np.testing.assert_array_equal(values, 0)
            assert moved == extra
        else:
            expected, eager = term.value(context(extra=eager))
            np.testing.assert_allclose(values, 2 * expected, rtol=1e-6)
            jax.tree.map(np.testing.assert_array_equal, moved, eager)
        extra = moved


def test_scheduled_multiplies_by_a_function_of_the_step():
    term = penalties.lecam(1.0, decay=0.5)
    rising = terms.scheduled(term, optax.linear_schedule(0.0, 1.0, 4))
    expected, carried = term.value(context(extra=term.slots({})))
    for step, factor in ((0, 0.0), (1, 0.25), (9, 1.0)):
        values, moved = rising.value(context(step=step, extra=term.slots({})))
        np.testing.assert_allclose(values, factor * expected, rtol=1e-6)
        jax.tree.map(np.testing.assert_array_equal, moved, carried)
    assert terms.scheduled(penalties.r1(1.0), optax.constant_schedule(1.0)).per_example == ("discriminator",)


def test_combine_adds_means_and_joins_slots():
    parts = penalties.lecam(1.0, decay=0.5), penalties.r1(2.0), terms.historical_averaging(1.0, "discriminator")
    both = terms.combine(*parts)
    extra = both.slots(PARAMS)
    assert set(extra) == {"lecam", "historical_discriminator"} and both.per_example == ("discriminator",)
    params = jax.tree.map(lambda x: x + 1, PARAMS)
    move = context(quadratic, extra=extra, params=params)
    total, moved = both.value(move)
    (lecam, anchors), r1, (historical, mean) = (part.value(move) for part in parts)
    np.testing.assert_allclose(total, jnp.mean(lecam) + jnp.mean(r1) + historical, rtol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, moved, anchors | mean)
    assert terms.combine(penalties.lecam(1.0)).per_example == ()


def test_combined_terms_draw_apart():
    ray = context(quadratic, jnp.full((4, 1), 1.0), jnp.full((4, 1), 3.0))
    one = penalties.gradient_penalty(1.0, target=0.0)
    both = [one, one._replace(name="again")]
    twice = [np.float32(terms.combine(*both[:count]).value(ray)[0]) for count in (1, 2)]
    assert abs(twice[1] - 2 * twice[0]) > 1e-3


def test_feature_matching_is_the_squared_distance_of_means():
    move = context(features=(FEATURES, FEATURES[::-1] * 2 + 1))
    distance = np.mean(np.asarray(FEATURES), axis=0) * (1 - 2) - 1
    np.testing.assert_allclose(terms.feature_matching(3.0).value(move), 3 * np.sum(distance**2), rtol=1e-6)
    shuffled = context(features=(FEATURES, FEATURES[::-1]))  # other samples, the same mean
    np.testing.assert_allclose(terms.feature_matching().value(shuffled), 0, atol=1e-12)


def test_pull_away_is_the_mean_squared_cosine_of_pairs():
    f = np.asarray(FEATURES, float)
    cosines = [(a @ b) ** 2 / (a @ a) / (b @ b) for i, a in enumerate(f) for j, b in enumerate(f) if i != j]
    found = terms.pull_away(0.5).value(context(features=(FEATURES, FEATURES)))
    np.testing.assert_allclose(found, 0.5 * np.mean(cosines), rtol=1e-5)
    for features, value in ((jnp.eye(4), 0.0), (jnp.ones((4, 2)), 1.0)):
        np.testing.assert_allclose(terms.pull_away(1.0).value(context(features=(features, features))), value, atol=1e-6)


def test_mode_seeking_compares_each_with_the_next():
    latents = REAL[:, :1] * 2 + jnp.arange(4.0)[:, None] ** 2 + 1
    found = terms.mode_seeking(3.0).value(context(latents=latents))
    for i in range(4):
        j = (i + 1) % 4
        images = np.mean([abs(FAKE[i, k] - FAKE[j, k]) for k in range(2)])
        np.testing.assert_allclose(found[i], 3 / (images / abs(latents[i, 0] - latents[j, 0]) + 1e-5), rtol=1e-5)
    # of G(z) = c z it is 1 / c for any latents; of a collapsed generator it is as large as can be
    scaled = terms.mode_seeking(1.0).value(context(fake=4 * REAL, latents=REAL))
    np.testing.assert_allclose(scaled, 1 / (4 + 1e-5), rtol=1e-5)
    collapsed = terms.mode_seeking(1.0).value(context(fake=jnp.ones((4, 2)), latents=REAL))
    np.testing.assert_allclose(collapsed, 1e5, rtol=1e-5)


def test_latent_diversity_of_a_linear_generator_is_that_of_its_noise():
    # |W s n|^2, averaged over two coordinates: s^2 |W|_F^2 / 2
    matrix, z = jnp.array([[1.0, 2.0], [0.0, 3.0]]), jnp.ones((20_000, 2))
    move = context(fake=z @ matrix, latents=z, generate=lambda z: z @ matrix, real=z)
    found = jnp.mean(terms.latent_diversity(2.0, std=0.1).value(move))
    np.testing.assert_allclose(found, -2 * 0.01 * 14 / 2, rtol=0.04)  # 4 standard errors, at most sqrt(2 / 20000) each


def test_path_length_of_a_linear_generator_is_its_frobenius_norm():
    # J^T y = W y, E |W y|^2 = |W|_F^2 for points, |W|_F^2 / (H W) for images; with decay 0 the average is that of the
    # batch, so that E l^2 = a^2 + E (l - a)^2
    matrix = jnp.arange(12.0).reshape(2, 6) / 4
    z = jnp.ones((20_000, 2))
    for shape, pixels in (((6,), 1), ((3, 2, 1), 6), ((1, 3, 2), 3)):

        def generate(z, shape=shape):
            return (z @ matrix).reshape(-1, *shape)

        def length(decay, carried, generate=generate):
            move = context(
                lambda x: x[:, 0], z, generate(z), latents=z, generate=generate, extra={"path_length": carried}
            )
            values, extra = terms.path_length(3.0, decay=decay).value(move)
            return jnp.mean(values) / 3, extra["path_length"]

        variance, mean = length(0.0, jnp.zeros(()))
        # l^2 / E l^2 has variance at most 2: 4 standard errors of sqrt(2 / 20000)
        np.testing.assert_allclose(variance + mean**2, jnp.sum(matrix**2) / pixels, rtol=0.04)
        spread, average = length(0.9, jnp.asarray(2.0))
        np.testing.assert_allclose(average, 2 + 0.1 * (mean - 2), rtol=1e-5)
        np.testing.assert_allclose(spread, variance + (mean - average) ** 2, rtol=1e-4)  # to the new average


class Styled(nn.Module):
    """A layer "styles", which repeats latents, and a linear image of all of them."""

    matrix: Array

    @nn.compact
    def __call__(self, latents, train):
        styles = Repeat(len(self.matrix), name="styles")(latents)
        return jnp.einsum("bld,ldp->bp", styles, self.matrix).reshape(-1, 2, 3, 1)


class Repeat(nn.Module):
    count: int

    @nn.compact
    def __call__(self, x):
        return jnp.repeat(nn.Dense(4)(x)[:, None], self.count, axis=1)


@pytest.mark.parametrize("keep", ["everything", "nothing"])
def test_path_lengths_of_a_layer_are_those_of_the_network_after_it(keep):
    # of y = A_l^T applied to the direction: l^2 is the mean over layers of |y|^2
    matrix = jax.random.normal(jax.random.key(2), (3, 4, 6))
    network = networks.rematerialised(networks.linen(Styled(matrix), (2,)), keep)
    params, _ = network.init(jax.random.key(0))

    def generate(params, latents):
        return network.apply(params, {}, latents, train=True, key=jax.random.key(1))[0]

    @jax.jit
    def value(params):
        z = jnp.ones((8, 2))
        move = context(linear, z, z, latents=z, generate=partial(generate, params))
        move = move._replace(fake=generate(params, z), state=state_at(extra={"path_length": jnp.zeros(())}))
        values, extra = terms.path_length(3.0, decay=0.0, layer="styles", shrink=2).value(move)
        direction = rng.normal(rng.each(move.keys, "direction"), move.fake)[:4].reshape(4, 6) / 6**0.5
        return jnp.mean(values), values, extra["path_length"], direction

    _, values, mean, direction = value(params)
    lengths = jnp.sqrt(jnp.mean(jnp.sum(jnp.einsum("ldp,bp->bld", matrix, direction) ** 2, axis=2), axis=1))
    np.testing.assert_allclose(mean, jnp.mean(lengths), rtol=1e-5)
    np.testing.assert_allclose(values, 3 * (lengths - mean) ** 2, rtol=1e-4, atol=1e-6)
    with pytest.raises(UserError, match="layer='style': the network has no layer"):
        terms.path_length(layer="style").value(context(latents=REAL))


def test_orthogonal_sees_the_angles_between_columns_alone():
    def value(**leaves):
        return terms.orthogonal(2.0, "discriminator").value(context(params={"discriminator": leaves}))

    turn = jnp.array([[0.6, -0.8], [0.8, 0.6]])
    np.testing.assert_allclose(value(kernel=turn * jnp.array([2.0, 5.0])), 0, atol=1e-9)
    np.testing.assert_allclose(value(kernel=PARAMS["discriminator"]["kernel"], bias=jnp.ones(3)), 2 * 2 * 1.5**2)
    convolution = jax.random.normal(jax.random.key(0), (3, 3, 2, 4))
    columns = np.asarray(convolution, float).reshape(18, 4)
    products = [(columns[:, i] @ columns[:, j]) ** 2 for i in range(4) for j in range(4) if i != j]
    np.testing.assert_allclose(value(kernel=convolution), 2 * np.sum(products), rtol=1e-5)


def test_historical_averaging_by_hand():
    term = terms.historical_averaging(2.0, "generator")
    extra = term.slots({"generator": {"w": jnp.array([1.0, 0.0])}})
    for now, distance in (
        ([1.0, 0.0], 0.0),  # there is no past
        ([3.0, 2.0], 8.0),  # from (1, 0)
        ([2.0, 4.0], 9.0),  # from (2, 1), the mean of both
        ([2.0, 2.0], 0.0),  # from (2, 2), the mean of three
    ):
        values, extra = term.value(context(extra=extra, params={"generator": {"w": jnp.array(now)}}))
        np.testing.assert_allclose(values, 2 * distance, rtol=1e-6)
    assert extra["historical_generator"]["count"] == 4


def test_a_game_carries_what_its_terms_do():
    game = points_game(terms={"generator": (terms.lazy(terms.historical_averaging(1.0, "generator"), 2),)})
    update = compiled(game.update)
    start = game.init(jax.random.key(0))
    batch = {"image": jnp.tile(REAL, (4, 1))}
    moved, metrics = update(start, batch, jax.random.key(1))
    history = moved.extra["historical_generator"]
    assert metrics["generator/historical_averaging"] == 0 and history["count"] == 1
    jax.tree.map(np.testing.assert_array_equal, history["mean"], start.params["generator"])
    between, _ = update(replace(moved, step=jnp.ones_like(moved.step)), batch, jax.random.key(2))
    jax.tree.map(np.testing.assert_array_equal, between.extra["historical_generator"], history)
    _, metrics = update(replace(between, step=between.step + 1), batch, jax.random.key(3))
    squares = jax.tree.map(lambda a, b: jnp.sum((a - b) ** 2), between.params, start.params)["generator"]
    np.testing.assert_allclose(metrics["generator/historical_averaging"], 2 * sum(jax.tree.leaves(squares)), rtol=1e-5)


def test_another_term_changes_no_terms_randomness_or_name():
    critic = [penalties.gradient_penalty(1.0), penalties.dragan(1.0)]
    batch, key = points(16), jax.random.key(1)
    seen = []
    for added in (critic, [penalties.r1(1.0), critic[1], critic[0]]):
        game = points_game("spectral", terms={"discriminator": added})
        judged = jax.jit(lambda state, game=game: game.players[0].objective(state, batch, key)[1].metrics)
        seen.append(judged(game.init(jax.random.key(0))))
    assert set(seen[1]) - set(seen[0]) == {"r1"}
    for name in ("gradient_penalty", "dragan"):  # both draw where they look
        assert seen[0][name] == seen[1][name]
    with pytest.raises(UserError, match="terms: two are named 'r1'"):
        points_game(terms={"discriminator": [penalties.r1(1.0), penalties.r1(2.0)]})


def test_a_term_applies_any_network_of_the_game_and_no_other():
    def scores(name):
        term = Term("scores", lambda context: context.apply(name, context.real)["logits"], player="discriminator")
        game = points_game("spectral", features=True, terms={"discriminator": [term]})
        return game.players[0].objective(game.init(jax.random.key(0)), points(16), jax.random.key(1))[1].metrics

    metrics = scores("discriminator")
    np.testing.assert_allclose(metrics["scores"], metrics["logit_real"], rtol=1e-6)
    with pytest.raises(UserError, match=r"'encoder', but the game has only \['discriminator', 'generator'\]"):
        scores("encoder")


def test_a_path_length_is_refused_for_generators_with_batch_norm():
    with pytest.raises(ValueError, match=r"the output of the generator for each example.*batch norm or"):
        points_game(terms={"generator": [terms.path_length()]})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: terms.lazy(penalties.r1(1.0), 0), "every=0"),
        (lambda: terms.combine(), "nothing to combine"),
        (lambda: terms.combine(penalties.r1(1.0), terms.mode_seeking()), r"different players, \['disc"),
        (lambda: terms.combine(penalties.lecam(1.0), penalties.lecam(2.0)), "share a name"),
        (lambda: terms.feature_matching(0.0), "weight=0.0"),
        (lambda: terms.pull_away(-1.0), "weight=-1.0"),
        (lambda: terms.mode_seeking(0.0), "weight=0.0"),
        (lambda: terms.latent_diversity(std=0.0), "std=0.0"),
        (lambda: terms.path_length(decay=1.0), "decay=1.0"),
        (lambda: terms.orthogonal(0.0, "discriminator"), "weight=0.0"),
        (lambda: terms.historical_averaging(0.0, "generator"), "weight=0.0"),
        (lambda: terms.historical_averaging(1.0, "critic").slots(PARAMS), "network='critic'.*'discriminator'"),
        (lambda: terms.orthogonal(1.0, "critic").value(context(params=PARAMS)), "network='critic'.*'generator'"),
        (lambda: terms.feature_matching().value(context()), "with_features=True"),
        (lambda: terms.pull_away().value(context()), "with_features=True"),
        (lambda: terms.mode_seeking().value(context(linear, REAL[:1], FAKE[:1])), "mode_seeking.*raise the batch size"),
        (
            lambda: terms.pull_away().value(context(features=(FEATURES[:1], FEATURES[:1]))),
            "pull_away.*raise the batch size",
        ),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
