from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax import losses, numerics
from gan_jax.devices import parallel
from gan_jax.losses import f_divergences, labels
from gan_jax.types import GanLoss, TrainState

REAL = jnp.array([-1.5, 0.0, 0.3, 2.0])
FAKE = jnp.array([0.7, -0.2, 0.0, -3.0])
SUMS = {  # D(x, y) = a(x) + b(y), with a(0) = b(0) where marked
    "non_saturating": losses.non_saturating(),
    "least_squares": losses.least_squares(-1.0, 1.0),
    "uneven least_squares": losses.least_squares(0.0, 1.0),
    "hinge": losses.hinge(),
    "wasserstein": losses.wasserstein(),
    "energy": losses.energy(1.0),
    "began": losses.began(0.3),
    "relativistic wasserstein": losses.relativistic(losses.wasserstein()),
    "relativistic_average wasserstein": losses.relativistic_average(losses.wasserstein()),
    **{
        name: f_divergences.f_gan(getattr(f_divergences, name)())
        for name in ("kl", "pearson", "neyman", "total_variation")
    },
}
COMPARING = {
    "relativistic": losses.relativistic(losses.non_saturating()),
    "relativistic hinge": losses.relativistic(losses.hinge()),
    "relativistic_average": losses.relativistic_average(losses.non_saturating()),
    "relativistic_average energy": losses.relativistic_average(losses.energy(20.0)),
    "relativistic_average least_squares": losses.relativistic_average(losses.least_squares()),
    "softmax": losses.softmax(),
}
STATE = TrainState(step=jnp.array(0), params={}, stats={}, opt_state={}, ema={}, extra={"balance": jnp.array(0.3)})
KEY = jax.random.key(5)


def fixed(loss):
    return losses.resolve(loss, STATE, KEY)


@pytest.mark.parametrize("real, fake", [(0.1, 0.0), (0.0, 0.2), (0.3, 0.1), (0.2, 0.2)])
def test_smoothed_cross_entropy_is_cross_entropy_with_soft_labels(real, fake):
    for base in (losses.minimax(), losses.non_saturating()):
        loss = fixed(labels.smooth(base, real, fake))
        expected = optax.sigmoid_binary_cross_entropy(REAL, jnp.full(4, 1 - real))
        expected += optax.sigmoid_binary_cross_entropy(FAKE, jnp.full(4, fake))
        np.testing.assert_allclose(loss.discriminator(REAL, FAKE), expected, rtol=1e-5)
        np.testing.assert_array_equal(loss.generator(REAL, FAKE), base.generator(REAL, FAKE))


def test_smoothed_best_discriminator():
    # Salimans et al. 2016, 3.4: with the labels alpha and beta, D* = (alpha p + beta q) / (p + q)
    p, q, alpha, beta = np.array([0.1, 0.2, 0.7]), np.array([0.5, 0.25, 0.25]), 0.9, 0.2
    best = (alpha * p + beta * q) / (p + q)
    loss = fixed(labels.smooth(losses.non_saturating(), 1 - alpha, beta)).discriminator

    def expected(logits):
        zero = jnp.zeros(3)  # whose part is a constant
        return jnp.sum(p * loss(logits, zero) + q * loss(zero, logits))

    np.testing.assert_allclose(jax.grad(expected)(jnp.asarray(np.log(best / (1 - best)))), 0, atol=1e-6)


@pytest.mark.parametrize("name", SUMS)
def test_smoothing_mixes_both_treatments_up_to_a_constant(name):
    # the slopes are those of (1 - r) a + r b and (1 - s) b + s a, where a' and b' are taken apart by jax.grad
    loss, real, fake = SUMS[name], 0.3, 0.1
    total = lambda x, y: loss.discriminator(x, y).sum()  # noqa: E731
    a, b = (jax.grad(total, place) for place in (0, 1))
    smoothed = fixed(labels.smooth(loss, real, fake)).discriminator
    for_real, for_fake = jax.grad(lambda x, y: smoothed(x, y).sum(), (0, 1))(REAL, FAKE)
    x, y = REAL, FAKE
    np.testing.assert_allclose(for_real, (1 - real) * a(x, y) + real * b(y, x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(for_fake, (1 - fake) * b(x, y) + fake * a(y, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SUMS)
def test_equal_rates_of_both_formulas_agree(name):
    # rates a hair apart go the way of unequal ones
    alike = fixed(labels.smooth(SUMS[name], 0.2, 0.2)).discriminator(REAL, FAKE)
    apart = fixed(labels.smooth(SUMS[name], 0.2, 0.2 + 1e-9)).discriminator(REAL, FAKE)
    np.testing.assert_allclose(alike, apart, rtol=1e-5, atol=3e-6)


def test_smoothed_least_squares_has_targets_between():
    # least squares with mixed targets is least squares to the mean target, up to a constant
    loss = fixed(labels.smooth(losses.least_squares(-1.0, 1.0), 0.25)).discriminator
    target = 0.75 * 1 + 0.25 * -1
    difference = loss(REAL, FAKE) - ((REAL - target) ** 2 / 2 + (FAKE + 1) ** 2 / 2)
    np.testing.assert_allclose(difference, difference[0], rtol=1e-5)


@pytest.mark.parametrize("name", COMPARING)
def test_losses_that_compare_are_smoothed_by_exchange_alone(name):
    loss = COMPARING[name]
    smoothed = fixed(labels.smooth(loss, 0.2, 0.2))
    expected = 0.8 * loss.discriminator(REAL, FAKE) + 0.2 * loss.discriminator(FAKE, REAL)
    np.testing.assert_allclose(smoothed.discriminator(REAL, FAKE), expected, rtol=1e-6)
    np.testing.assert_array_equal(smoothed.generator(REAL, FAKE), loss.generator(REAL, FAKE))
    with pytest.raises(ValueError, match=r"smooth\(loss, real=0.1, fake=0.1\)"):
        labels.smooth(loss, 0.1)
    with pytest.raises(ValueError, match=r"smooth\(loss, real=0.1, fake=0.1\)"):  # while tracing too
        jax.jit(lambda x, y: fixed(labels.smooth(lambda state, key: loss, 0.1)).discriminator(x, y))(REAL, FAKE)


def test_losses_of_the_state_are_smoothed_too():
    made = labels.smooth(lambda state, key: losses.began(state.extra["balance"]), 0.1)
    value = jax.jit(lambda state: losses.resolve(made, state, KEY).discriminator(REAL, FAKE))(STATE)
    expected = fixed(labels.smooth(losses.began(0.3), 0.1)).discriminator(REAL, FAKE)
    np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["hinge", "relativistic", "relativistic hinge", "uneven least_squares"])
def test_flipping_is_two_sided_smoothing_in_expectation(name, monkeypatch):
    # by going through all 16 ways to exchange four pairs, each with its probability
    loss, probability = (SUMS | COMPARING)[name], 0.3
    total, certain = np.zeros(4), 0.0
    for exchanged in product([True, False], repeat=4):
        monkeypatch.setattr(jax.random, "bernoulli", lambda *_, exchanged=exchanged: jnp.array(exchanged))
        weight = np.prod(np.where(exchanged, probability, 1 - probability))
        total += weight * np.asarray(fixed(labels.flip(loss, probability)).discriminator(REAL, FAKE))
        certain += weight
    assert certain == pytest.approx(1)
    smoothed = fixed(labels.smooth(loss, probability, probability))
    np.testing.assert_allclose(total, smoothed.discriminator(REAL, FAKE), rtol=1e-5, atol=1e-6)


def test_flips_come_with_their_probability_anew_for_each_key():
    real, fake = jnp.ones((4096, 2, 1)), jnp.zeros((4096, 2, 1))
    seen = GanLoss(lambda x, y: numerics.average(x) + 10 * numerics.average(y), lambda x, y: numerics.average(y))
    loss = labels.flip(seen, 0.2)
    first, second = (losses.resolve(loss, STATE, jax.random.key(i)) for i in (0, 1))
    values = np.asarray(first.discriminator(real, fake))
    assert set(values) == {1.0, 10.0}  # whole examples, pair by pair: all places, and both of a pair
    assert np.mean(values == 10) == pytest.approx(0.2, abs=4 * np.sqrt(0.2 * 0.8 / 4096))  # four standard errors
    other = np.asarray(second.discriminator(real, fake))
    both = np.mean((values == 10) & (other == 10))
    assert both == pytest.approx(0.04, abs=4 * np.sqrt(0.04 * 0.96 / 4096))  # independent
    np.testing.assert_array_equal(values, first.discriminator(real, fake))
    np.testing.assert_array_equal(first.generator(real, fake), seen.generator(real, fake))


def test_flips_do_not_undo_each_other():
    # twice with 0.3 is once with 2 * 0.3 * 0.7, as the inner draw is another
    real, fake = jnp.ones(4096), jnp.zeros(4096)
    loss = losses.resolve(labels.flip(labels.flip(losses.wasserstein(), 0.3), 0.3), STATE, KEY)
    rate = np.mean(np.asarray(loss.discriminator(real, fake)) == 1)
    assert rate == pytest.approx(0.42, abs=4 * np.sqrt(0.42 * 0.58 / 4096))


def test_the_number_of_devices_changes_no_flip_and_no_rank():
    loss = labels.flip(losses.top_k(COMPARING["relativistic_average"], 0.5), 0.5)
    real, fake = jax.random.normal(KEY, (2, 8))

    def value(key):
        rows = parallel.local((real, fake))
        judged, (all_real, all_fake) = losses.resolve(loss, STATE, key), parallel.gather(rows)
        return judged.discriminator(all_real, all_fake), judged.generator(all_real, all_fake)

    expected = value(KEY)
    _, found = parallel.simulated(lambda key: (key, parallel.pmean(value(key))), 4)(jax.random.clone(KEY))
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: labels.smooth(losses.hinge(), 0.6), "real=0.6: .*reversed"),
        (lambda: labels.smooth(losses.hinge(), 0.1, -0.1), "fake=-0.1: "),
        (lambda: labels.flip(losses.hinge(), 0.0), "probability=0.0: .*leave flip out"),
        (lambda: labels.flip(losses.hinge(), 0.7), "probability=0.7: "),
    ],
)
def test_values_without_meaning_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
