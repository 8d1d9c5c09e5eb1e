"""Latents that mean something, conditions, bodies and heads, and the evidence lower bound."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax.scipy.stats import multivariate_normal
from toy import gan

from gan_jax import latents, losses, penalties, rng
from gan_jax.game import Game, drawn_labels, given, objectives
from gan_jax.latents import codes
from gan_jax.methods import elbo
from gan_jax.networks import linen
from gan_jax.networks.heads import Body, Head, WithLabel
from gan_jax.terms import auxiliary
from gan_jax.types import Network, TrainState

KEYS = jax.random.split(jax.random.key(0), 500)
LATENT = latents.joined(latents.normal(3), digit=latents.categorical(4), style=latents.uniform(2))


def test_parts_are_independent_of_one_another_and_each_of_its_own_law():
    drawn = LATENT.draw(KEYS)
    assert drawn.shape == (500, 9) and LATENT.size == 9
    digit, style = (codes.read(LATENT, drawn, name) for name in ("digit", "style"))
    np.testing.assert_array_equal(digit.sum(axis=1), 1)
    assert set(np.unique(digit)) == {0, 1}
    assert np.all(np.abs(np.mean(digit, axis=0) - 1 / 4) < 4 * math.sqrt(3 / 16 / 500))
    assert np.all(np.abs(style) <= 1) and abs(np.var(style) - 1 / 3) < 0.05
    correlations = np.corrcoef(np.concatenate([drawn[:, :3], style], axis=1).T) - np.eye(5)
    assert np.max(np.abs(correlations)) < 4 / math.sqrt(500)
    np.testing.assert_array_equal(LATENT.draw(KEYS[7:9]), drawn[7:9])
    more = latents.joined(
        latents.normal(3), digit=latents.categorical(4), style=latents.uniform(2), more=latents.normal(1)
    )
    np.testing.assert_array_equal(more.draw(KEYS)[:, :9], drawn)  # a further code leaves the others as they are


def test_labels_are_put_where_they_belong_and_others_are_refused():
    drawn = LATENT.draw(KEYS[:3])
    changed = codes.with_labels(LATENT, drawn, jnp.array([3, 0, 1]), "digit")
    np.testing.assert_array_equal(jnp.argmax(codes.read(LATENT, changed, "digit"), axis=1), [3, 0, 1])
    np.testing.assert_array_equal(
        jnp.delete(changed, jnp.arange(3, 7), axis=1), jnp.delete(drawn, jnp.arange(3, 7), axis=1)
    )
    with pytest.raises(ValueError, match="digit 4 does not exist; give a class from 0 to 3"):
        codes.with_labels(LATENT, drawn, jnp.array([3, 4, 1]), "digit")
    with pytest.raises(ValueError, match="'label': this generator has no such code; it has digit, style"):
        codes.with_labels(LATENT, drawn, jnp.array([3, 0, 1]))
    with pytest.raises(ValueError, match="style is a code of 2 continuous values"):
        codes.with_labels(LATENT, drawn, jnp.array([0, 0, 1]), "style")
    with pytest.raises(ValueError, match="classes=0: the data have no labels; give a labelled data set"):
        latents.labelled(latents.normal(3), 0)


def test_a_table_has_a_row_for_each_noise_and_a_column_for_each_class():
    drawn = LATENT.draw(KEYS[:5])
    table = codes.by_class(LATENT, drawn, rows=2)
    assert table is not None and table.shape == (8, 9)
    np.testing.assert_array_equal(table[:, :3], jnp.repeat(drawn[:2, :3], 4, axis=0))
    np.testing.assert_array_equal(jnp.argmax(table[:, 3:7], axis=1), [0, 1, 2, 3] * 2)
    assert codes.by_class(latents.normal(3), drawn[:, :3], rows=2) is None


def test_a_traversal_moves_one_code_and_holds_the_rest():
    value = LATENT.draw(KEYS[:1])[0]
    moved = codes.traversals(LATENT, value, steps=6, low=-2, high=2).reshape(3, 6, 9)
    np.testing.assert_array_equal(jnp.argmax(moved[0, :, 3:7], axis=1), [0, 1, 2, 3, 0, 1])
    np.testing.assert_allclose(moved[2, :, 8], np.linspace(-2, 2, 6), rtol=1e-6)
    np.testing.assert_array_equal(jnp.delete(moved[2], 8, axis=1), jnp.tile(value[:8], (6, 1)))


def test_surprise_is_minus_the_log_likelihood_and_its_bound_is_tight_for_a_perfect_head():
    drawn = LATENT.draw(KEYS)
    digit, style = (codes.read(LATENT, drawn, name) for name in ("digit", "style"))
    output = jax.random.normal(jax.random.key(1), (500, 6))
    found = auxiliary.surprise(LATENT, output, drawn, spread=0.5)
    says = jnp.sum(jax.nn.log_softmax(output[:, :4]) * digit, axis=1)
    says += jnp.sum(jax.scipy.stats.norm.logpdf(style, output[:, 4:], 0.5), axis=1)
    np.testing.assert_allclose(found, -says, rtol=1e-5)
    only = latents.joined(latents.normal(1), digit=latents.categorical(4))
    sure = only.draw(KEYS)
    np.testing.assert_allclose(auxiliary.surprise(only, 100 * sure[:, 1:], sure), 0, atol=1e-6)  # I = H(c) = ln 4
    np.testing.assert_allclose(auxiliary.surprise(only, 0 * sure[:, 1:], sure), math.log(4), rtol=1e-6)  # I >= 0


class Whole(nn.Module):
    """Body and head in one module."""

    @nn.compact
    def __call__(self, x, train):
        features = Body(2, "none")(x, train)
        return {"logits": Head()(features, train), "features": features}


def play(networks, condition=None, batch=None, **options):
    system = gan(networks, losses.non_saturating(), latents.normal(2), optax.sgd(0.1), condition=condition, **options)
    batch = {"image": jax.random.normal(jax.random.key(2), (6, 2))} | (batch or {})
    state = system.init(jax.random.key(0))
    return state, lambda state: jax.jit(system.update)(state, batch, jax.random.key(1))


@pytest.mark.slow
def test_a_discriminator_on_a_body_is_the_discriminator_of_both():
    generator = linen(nn_generator(), (2,))
    codes = {"generator": generator, "body": linen(Body(2), (2,)), "discriminator": linen(Head(), (8,))}
    state, update = play(codes)
    whole, update_whole = play({"generator": generator, "discriminator": linen(Whole(), (2,))})
    same = {"Body_0": state.params["body"], "Head_0": state.params["discriminator"]}
    whole.params["discriminator"], whole.params["generator"] = same, state.params["generator"]
    for _ in range(3):
        (state, metrics), (whole, expected) = update(state), update_whole(whole)
    same = {"Body_0": state.params["body"], "Head_0": state.params["discriminator"]}
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), same, whole.params["discriminator"]
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
        state.params["generator"],
        whole.params["generator"],
    )
    assert metrics.keys() == expected.keys()


def nn_generator():
    class Generator(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return nn.Dense(2)(nn.relu(nn.Dense(5)(x)))

    return Generator()


def test_real_and_fake_are_judged_beside_the_condition():
    seen = []

    def apply(params, stats, images, *beside, train, key=None):
        seen.append(beside)
        return jnp.sum(images, axis=1) * params, stats

    judge = Network(lambda key: (jnp.ones(()), {}), apply, lambda: False)
    labels = jnp.arange(6) % 3
    networks = {"generator": linen(nn_generator(), (2,)), "discriminator": judge}
    state, _ = play(networks, given("label"))
    game = Game(networks, losses.non_saturating(), latents.normal(2), condition=given("label"))
    batch = {"image": jnp.zeros((6, 2)), "label": labels}
    objectives.discriminator(game)(state, batch, jax.random.key(0))
    assert len(seen) == 2 and all(each[0] is labels for each in seen)
    with pytest.raises(ValueError, match=r"no 'label', only \['image'\]"):
        objectives.discriminator(game)(state, {"image": batch["image"]}, jax.random.key(0))


def test_fakes_are_judged_with_the_labels_in_their_latents():
    latent = latents.labelled(latents.normal(2), 3)
    drawn = latent.draw(KEYS[:6])
    batch = {"image": jnp.zeros((6, 2)), "label": jnp.array([2, 2, 2, 0, 0, 1])}
    (real,), (fake,) = drawn_labels(latent)(None, batch, drawn)  # pyright: ignore[reportArgumentType]  no state
    np.testing.assert_array_equal(real, batch["label"])
    np.testing.assert_array_equal(jax.nn.one_hot(fake, 3), drawn[:, 2:])
    assert fake.dtype == real.dtype
    with pytest.raises(ValueError, match="latent has no part 'label'"):
        drawn_labels(latents.normal(2))
    with pytest.raises(ValueError, match=r"no 'label', only \['image'\]"):
        drawn_labels(latent)(None, {"image": batch["image"]}, drawn)  # pyright: ignore[reportArgumentType]


def test_penalties_evaluate_real_and_fake_examples_with_labels_of_their_own():
    # D(x, y) = y |x|^2 / 2: the penalties are the means of (y |x|)^2 / 2 over real and over fake examples
    class Weighted(nn.Module):
        @nn.compact
        def __call__(self, x, label, train):
            return label * jnp.sum(x**2, axis=1) / 2

    class Noise(nn.Module):
        @nn.compact
        def __call__(self, latents, train):
            return latents[:, :2] + 1

    latent = latents.labelled(latents.normal(2), 3)
    networks = {"generator": linen(Noise(), (5,)), "discriminator": linen(Weighted(), (2,), ())}
    game = Game(networks, losses.wasserstein(), latent, condition=drawn_labels(latent))
    batch = {"image": jnp.arange(12.0).reshape(6, 2), "label": jnp.array([2, 2, 2, 0, 0, 1])}
    key = jax.random.key(0)
    drawn = latent.draw(rng.per_example(rng.named(key, "latent"), 6))
    objective = objectives.discriminator(game, [penalties.r1(1.0), penalties.r2(1.0)])
    empty = {"generator": {}, "discriminator": {}}
    state = TrainState(jnp.zeros((), jnp.int32), empty, empty, {}, {}, {})
    metrics = jax.jit(objective)(state, batch, key)[1].metrics
    sides = {"r1": (batch["image"], batch["label"]), "r2": (drawn[:, :2] + 1, jnp.argmax(drawn[:, 2:], axis=1))}
    for name, (x, label) in sides.items():
        np.testing.assert_allclose(metrics[name], jnp.mean(label**2 * jnp.sum(x**2, axis=1)) / 2, rtol=1e-5)


@pytest.mark.parametrize("shape", [(2,), (4, 4, 1)])
def test_a_label_reaches_every_place_and_changes_what_is_said(shape):
    class Sum(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return jnp.sum(x * jnp.arange(x.shape[-1]), axis=tuple(range(1, x.ndim)))

    network, labels = linen(WithLabel(Sum(), 3), shape, ()), jnp.array([0, 1, 2])
    said, _ = network.apply({}, {}, jnp.zeros((3, *shape)), labels, train=True)
    places, channels = math.prod(shape[:-1]), shape[-1]
    np.testing.assert_allclose(said, places * (channels + labels))


def test_exchanged_sides_make_the_generator_descend_what_the_discriminator_climbs():
    loss = losses.exchanged(losses.non_saturating())
    real, fake = jnp.array([0.5, -1.0]), jnp.array([2.0, 0.1])
    np.testing.assert_allclose(loss.generator(real, fake), jax.nn.softplus(real) + jax.nn.softplus(-fake), rtol=1e-6)


def test_the_elbo_of_a_linear_model_is_the_evidence_where_q_is_the_posterior_and_less_elsewhere():
    # x = W z + b + deviation e: z | x is normal with precision I + W^T W / deviation^2, and
    # x has covariance W^T W + deviation^2 I. One latent dimension, so that the posterior is diagonal, as q is
    weights, bias, deviation = jnp.array([[0.7, -1.2, 0.4]]), jnp.array([0.1, 0.2, -0.3]), 0.6
    x = jax.random.normal(jax.random.key(3), (4, 3))
    precision = 1 + jnp.sum(weights**2) / deviation**2
    mean = (x - bias) @ weights.T / deviation**2 / precision
    noise = jax.random.normal(jax.random.key(4), (20_000, 1))
    evidence = multivariate_normal.logpdf(x, bias, weights.T @ weights + deviation**2 * jnp.eye(3))

    def bound(mean, log_variance):
        inferred = jnp.concatenate([mean, jnp.full_like(mean, log_variance)], axis=1)

        def of(x, inferred):
            many, often = (jnp.tile(each, (len(noise), 1)) for each in (x, inferred))
            codes = elbo.negative_elbo(many, often, noise, lambda z: z @ weights + bias, deviation)
            return -(codes[0] + codes[1])

        return jax.vmap(of)(x, inferred)

    exact = bound(mean, -jnp.log(precision))
    error = 4 * jnp.std(exact, axis=1) / math.sqrt(len(noise))
    assert np.all(np.abs(exact.mean(1) - evidence) < error)
    gap = 0.5 * precision * 0.3**2  # KL(q | posterior), means 0.3 apart
    np.testing.assert_allclose(evidence - bound(mean + 0.3, -jnp.log(precision)).mean(1), gap, atol=0.05)


def test_a_posterior_that_is_the_prior_costs_nothing():
    codes = elbo.negative_elbo(
        jnp.zeros((2, 3)), jnp.zeros((2, 4)), jnp.zeros((2, 2)), lambda z: jnp.zeros((2, 3)), 1.0
    )
    np.testing.assert_allclose(codes[0], 1.5 * math.log(2 * math.pi), rtol=1e-6)
    np.testing.assert_array_equal(codes[1], 0)


def test_keys_of_codes_are_named():
    drawn = LATENT.draw(KEYS[:2])
    np.testing.assert_array_equal(drawn[:, :3], latents.normal(3).draw(rng.each(KEYS[:2], "noise")))
