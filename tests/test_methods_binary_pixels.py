import functools
import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy import KEY, double, gan

from experiments import bgan
from gan_jax import baseline, data, latents, losses, rng, rules
from gan_jax.data import Spec, kinds
from gan_jax.devices import parallel
from gan_jax.game import sampler
from gan_jax.methods import binary_pixels
from gan_jax.networks import linen, mlp
from gan_jax.rules import gradients as moves
from gan_jax.types import Network

PIXELS, SIZE = 3, 2
STATES = np.stack(np.meshgrid(*[[-1.0, 1.0]] * PIXELS, indexing="ij"), -1).reshape(-1, PIXELS)  # all 8 images
PLACES = 2 ** np.arange(PIXELS)[::-1]
WEIGHTS = np.array([[0.8, -0.5, 0.3], [-0.2, 0.6, 1.0]])
LOGITS = np.array([2.0, -1.0, 0.5, 0.0, -2.0, 1.0, -0.5, 1.5])  # of the discriminator, image by image


def agree_on_devices(game, arrays, steps=2, batch_size=8):
    """Checks that 1 and 4 devices move a game alike, in float64, where only rounding is below 1e-9; give it SGD."""
    key = jax.random.key(3)
    state, arrays = double((jax.jit(game.init)(key), arrays))
    many = rules.many(game.update, data.batches(len(arrays["image"]), batch_size, game.batches), steps)

    def run(way, devices):
        return way(many)(*parallel.replicate((state, arrays, key), devices), steps)

    devices = jax.devices()[:4]
    expected = run(parallel.single, devices[:1])
    found = run(lambda f: parallel.pmapped(f, devices), devices)
    parallel.assert_replicated(found)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(expected))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), expected, found)


def means(weights, z):
    return jnp.tanh(z @ weights).reshape(-1, 1, PIXELS, 1)


def plain(output, start):
    def apply(params, stats, inputs, train, key=None):
        return output(params, inputs), stats

    def init(key):
        return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), start), {}

    return Network(init, apply, lambda: False)


def tables(logits):
    return {
        "generator": plain(means, WEIGHTS),
        "discriminator": plain(lambda table, x: table[((x.reshape(-1, PIXELS) > 0) @ PLACES).astype(int)], logits),
    }


def tiny(logits, samples):
    """Images of 3 pixels, of which everything can be enumerated: G's means are tanh(z W), D is a table."""
    networks = tables(logits)
    networks["generator"] = binary_pixels.sampler(networks["generator"], SIZE)
    latent = binary_pixels.latent(latents.normal(SIZE), (1, PIXELS, 1))
    term = binary_pixels.boundary_seeking(SIZE, samples)
    shown = [binary_pixels.effective_samples()]
    options = {"terms": {"generator": [term]}, "augment": binary_pixels.binarised, "controllers": shown}
    return gan(networks, losses.non_saturating(), latent, optax.sgd(0.1), **options)


def divergence(weights, z, logits):
    """KL(p || g) averaged over z, p = g D / (1 - D) normalised and held constant, by enumeration."""
    likelihood = jnp.prod((1 + STATES * means(weights, z).reshape(-1, 1, PIXELS)) / 2, axis=2)
    target = jax.lax.stop_gradient(likelihood) * jnp.exp(logits)
    target /= jnp.sum(target, axis=1, keepdims=True)
    return jnp.mean(jnp.sum(target * (jnp.log(target) - jnp.log(likelihood)), axis=1))


@functools.cache
def compiled(samples):
    """The term's gradient, that of the divergence at the same z, and the effective number, of a table of logits."""
    game, batch = tiny(LOGITS, samples), 8
    real = {"image": jnp.ones((batch, 1, PIXELS, 1))}

    def found(logits, key):
        state = game.init(KEY)
        state = replace(state, params=state.params | {"discriminator": logits})
        slope, aux, _ = moves.gradient(game.players[1], state, real, key)
        z = sampler(game)[0].draw(rng.per_example(rng.named(key, "latent"), batch))[:, :SIZE]
        exact = jax.grad(divergence)(state.params["generator"], z, logits)
        return slope["generator"].ravel(), exact.ravel(), aux.extra["effective_samples"]

    return jax.jit(jax.vmap(found, in_axes=(None, 0)))


def gradients(logits, samples, repeats):
    each = compiled(samples)(jnp.asarray(logits, jnp.float32), jax.random.split(KEY, repeats))
    return jax.tree.map(np.asarray, each)


def test_the_gradient_becomes_that_of_the_divergence_as_samples_grow():
    found, exact, _ = gradients(LOGITS, 2048, 16)
    difference = found - exact
    error = difference.std(axis=0, ddof=1) / math.sqrt(len(difference))
    assert (np.abs(difference.mean(axis=0)) < 4 * error).all()  # weights normalised by M samples leave a bias, O(1 / M)
    assert np.abs(exact.mean(axis=0)).max() > 20 * error.max()  # so that the errors tell something


def test_of_few_samples_the_gradient_lies_along_that_of_the_divergence_and_is_shorter():
    found, exact, _ = (x.mean(axis=0) for x in gradients(LOGITS, 4, 256))
    assert 0.3 < found @ exact / (exact @ exact) < 0.95  # one sample would weigh 1, whatever D says
    assert found @ exact > 0.9 * math.sqrt((found @ found) * (exact @ exact))


def test_effective_samples_are_all_where_the_discriminator_tells_nothing_and_few_where_it_is_sure():
    assert (gradients(np.zeros(8), 4, 256)[2] == 4).all()
    # each image has a share of all weight, so that only equal ones share it
    sure = gradients(100.0 * np.arange(8), 4, 256)[2]
    assert sure.min() >= 1 and sure.mean() < 3


def test_the_discriminator_learns_from_all_samples_of_each_latent(monkeypatch):
    # its gradient by the logit of image x is -p(x) (1 - D(x)) + E_z g(x | z) D(x), by enumeration
    monkeypatch.setattr(baseline, "networks", lambda config, spec, norm: tables(LOGITS))
    samples, batch = 2048, 8
    game = bgan.build(bgan.Config(latent_size=SIZE, samples=samples), Spec((1, PIXELS, 1), 0))
    state, real = game.init(KEY), {"image": jnp.ones((batch, 1, PIXELS, 1))}
    slope, _, _ = jax.jit(lambda state: moves.gradient(game.players[0], state, real, KEY))(state)
    z = sampler(game)[0].draw(rng.per_example(rng.named(KEY, "latent"), batch))[:, :SIZE]
    share = np.prod((1 + STATES * means(state.params["generator"], z).reshape(-1, 1, PIXELS)) / 2, axis=2).mean(axis=0)
    probability = 1 / (1 + np.exp(-LOGITS))
    expected = share * probability - (STATES > 0).all(axis=1) * (1 - probability)
    error = probability * np.sqrt(share * (1 - share) / (samples * batch))
    assert (np.abs(slope["discriminator"] - expected) < 4 * error).all()


def test_nothing_but_the_term_moves_the_generator():
    game = tiny(LOGITS, 8)
    state, real = game.init(KEY), {"image": jnp.ones((8, 1, PIXELS, 1))}
    usual = gan(game.networks, losses.non_saturating(), sampler(game)[0], optax.sgd(0.1)).players[1]
    slope, _, metrics = moves.gradient(usual, state, real, KEY)
    np.testing.assert_array_equal(slope["generator"], 0)  # no gradient passes a sample
    assert metrics["generator/loss"] > 0


def test_samples_are_binary_functions_of_their_latents_and_as_often_white_as_the_means_say():
    game = tiny(LOGITS, 2)
    latent, generate = sampler(game)
    state, z, count = game.init(KEY), jnp.array([0.3, -1.0]), 4000
    drawn = latent.draw(jax.random.split(KEY, count)).at[:, :SIZE].set(z)
    assert drawn.shape == (count, latent.size) == (count, SIZE + PIXELS)
    white = np.asarray(generate(state.ema, drawn))
    assert white.shape == (count, 1, PIXELS, 1) and set(np.unique(white)) == {-1, 1}
    mean = generate(state.ema, z[None])[0]
    np.testing.assert_array_equal(mean, means(state.params["generator"], z)[0])
    assert (np.abs(white.mean(axis=0) - mean) < 4 * np.sqrt((1 - mean**2) / count)).all()
    np.testing.assert_array_equal(white[:2], generate(state.ema, drawn[:2]))


def test_truncation_leaves_the_pixels_numbers_alone():
    latent = binary_pixels.latent(latents.normal(SIZE), (5, 5, 1))
    keys = jax.random.split(KEY, 50)
    whole, cut = latent.draw(keys), latent.draw(keys, 0.3)
    np.testing.assert_array_equal(whole[:, SIZE:], cut[:, SIZE:])
    assert jnp.abs(cut[:, :SIZE]).max() <= 0.3 < jnp.abs(whole[:, :SIZE]).max()
    assert whole[:, SIZE:].min() >= 0 and whole[:, SIZE:].max() < 1


def test_real_images_are_binarised_by_their_greys_and_binary_ones_stay():
    state, keys = tiny(LOGITS, 2).init(KEY), jax.random.split(KEY, 4000)
    greys = jnp.broadcast_to(jnp.linspace(-1, 1, 6).reshape(1, 6, 1), (4000, 1, 6, 1))
    drawn = binary_pixels.binarised(greys, keys, state)
    assert set(np.unique(drawn)) == {-1, 1}
    error = np.sqrt((1 - greys[0] ** 2) / 4000)
    assert (np.abs(drawn.mean(axis=0) - greys[0]) <= 4 * error).all()  # exactly so for black and white
    np.testing.assert_array_equal(binary_pixels.binarised(drawn, keys[::-1], state), drawn)


@pytest.mark.slow
def test_the_number_of_devices_changes_nothing():
    with jax.enable_x64(True):
        real = {"image": jax.random.uniform(KEY, (32, 1, PIXELS, 1), minval=-1, maxval=1)}
        agree_on_devices(tiny(LOGITS, 3), real, steps=3)


def test_layers_of_the_sampler_are_those_of_the_means():
    network = linen(mlp.Generator((2, 2, 1), (4,), norm="none"), (SIZE,))
    params, stats = network.init(KEY)
    drawn = binary_pixels.latent(latents.normal(SIZE), (2, 2, 1)).draw(jax.random.split(KEY, 3))
    game = binary_pixels.sampler(network, SIZE)
    found, layers = game.inspect(params, stats, drawn)
    np.testing.assert_array_equal(found, game.apply(params, stats, drawn, train=False)[0])
    output, expected = network.inspect(params, stats, drawn[:, :SIZE])
    jax.tree.map(np.testing.assert_array_equal, layers, expected)
    np.testing.assert_array_equal(found, jnp.where(drawn[:, SIZE:].reshape(3, 2, 2, 1) < (1 + output) / 2, 1, -1))


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"shape=\(2,\): only images have"):
        bgan.build(bgan.Config(), Spec((2,), 8, kind=kinds.points))
    with pytest.raises(ValueError, match="samples=1"):
        binary_pixels.boundary_seeking(2, 1)
