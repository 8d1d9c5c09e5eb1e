"""What is refused before anything is compiled."""

import importlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import errors
from flax import linen as nn
from test_loop import config
from toy import gan, points_game

from gan_jax import data, latents, loop, losses
from gan_jax.data import Spec, kinds
from gan_jax.devices import memory, parallel
from gan_jax.errors import UserError
from gan_jax.loop import rehearsal
from gan_jax.loop import train as training
from gan_jax.loop.settings import Run, validated
from gan_jax.networks import linen, mlp
from gan_jax.networks.layers.conv import Conv
from gan_jax.networks.layers.noise import Dropout
from gan_jax.networks.layers.norm import normalise

DIGITS = Spec((28, 28, 1), 10)


def build(name, spec=DIGITS, **settings):
    experiment = importlib.import_module(f"experiments.{name}")
    return experiment.build(experiment.Config(**settings), spec)


@pytest.mark.parametrize("name", ["dcgan", "wgan_gp", "pacgan", "mix_gan"])
def test_a_generator_of_other_examples_than_the_datas_is_refused(name):
    rehearsal.state(build(name, g_width=4, d_width=4), DIGITS)
    message = r"the generator, \w*Generator, makes examples of shape \(32, 32, 1\), but the data have \(28, 28, 1\)"
    with pytest.raises(UserError, match=f"{message}.*--resolution"):
        rehearsal.state(build(name, Spec((32, 32, 1), 10), g_width=4, d_width=4), DIGITS)
    with pytest.raises(UserError, match=r"\(2,\), but the data have \(28, 28, 1\)"):
        rehearsal.state(points_game(), DIGITS)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda x: jnp.mean(x), r"logits of shape \(\) for examples of shape \(8, 2\)"),
        (lambda x: x.reshape(-1), None),
        (lambda x: jnp.tile(x, (3, 1)), r"logits of shape \(24, 2\) for examples of shape \(8, 2\)"),
        (lambda x: {"logit": x}, r"returns \['logit'\]"),
    ],
)
def test_a_discriminator_that_gives_no_logits_of_its_examples_is_refused(module, message):
    class Judge(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return module(nn.Dense(2)(x))

    networks = {
        "generator": linen(mlp.Generator((2,), (4,), "none", bounded=False), (4,)),
        "discriminator": linen(Judge(), (2,)),
    }
    game = gan(networks, losses.non_saturating(), latents.normal(4), optax.sgd(0.1))
    state = rehearsal.state(game, Spec((2,), 0, kind=kinds.points))
    batch = {"image": jax.ShapeDtypeStruct((8, 2), "float32")}
    if message:
        with pytest.raises(UserError, match=message):
            jax.eval_shape(game.update, state, batch, jax.random.key(0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"g_width": 10**10}, r"--g-width 10000000000: give a number below 2\*\*31"),
        ({"latent_size": 10**10}, "--latent-size"),
        ({"g_width": 10**6}, "the state .* and the data .*: .*GB is needed, but this machine has"),
        ({"g_width": 10**9}, "the state|too large for JAX"),
        ({"latent_size": 10**9}, "the state|too large for JAX"),
        ({"run": Run(steps=2**31)}, "--steps 2147483648"),
    ],
)
def test_what_no_memory_holds_is_refused_before_it_is_allocated(settings, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = importlib.import_module("experiments.dcgan")
    before = memory.peak()
    with pytest.raises(UserError, match=message):
        loop.run(experiment.build, data.load("digits"), experiment.Config(**settings))
    assert memory.peak() - before < 1e9


def test_a_trial_of_what_no_memory_holds_is_refused_too():
    with pytest.raises(UserError, match=r"the parameters of a network: at least .*GB"):
        linen(mlp.Discriminator((10**6, 10**6)), (2,)).batch_dependent()


def test_a_call_holds_the_metrics_of_so_many_iterations_at_most():
    assert validated(Run(steps_per_call=10**9)).steps_per_call == 10_000


class Critic(nn.Module):
    """A critic of points, with a layer to try."""

    layer: Callable

    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(1)(self.layer(x, train))[:, 0]


def points_gan(layer, size=2):
    """A game whose critic is built for points of a size."""
    networks = {
        "generator": linen(mlp.Generator((2,), (4,), "none", bounded=False), (4,)),
        "discriminator": linen(Critic(layer), (size,)),
    }
    return gan(networks, losses.non_saturating(), latents.normal(4), optax.sgd(0.1))


POINTS = Spec((2,), 0, kind=kinds.points)


def test_a_critic_of_other_examples_than_the_datas_is_named_with_its_inputs_before_anything_is_compiled(tmp_path):
    game = points_gan(lambda x, train: nn.Dense(4)(x), size=3)
    state, ring = rehearsal.state(game, POINTS), data.load("ring")
    message = r"the network 'discriminator', Critic fails for inputs of shape \(8, 2\): .*kernel.*\(2, 4\).*\(3, 4\)"
    with pytest.raises(UserError, match=message) as raised:
        rehearsal.update(game, state, ring, 8)
    assert isinstance(raised.value.__cause__, errors.ScopeParamShapeError)
    with pytest.raises(UserError, match=message.replace("8", "16")):
        loop.run(lambda config, spec: game, ring, config(tmp_path, devices=1))
    assert not (tmp_path / "checkpoints").exists()


def test_layers_that_do_not_fit_each_other_are_named_when_they_are_initialised():
    game = points_gan(lambda x, train: x.reshape(-1, 5))
    with pytest.raises(UserError, match=r"the network 'discriminator', Critic fails for inputs of shape \(1, 2\): "):
        rehearsal.state(game, POINTS)


def absent(x, train):
    return x.absent


def branch(x, train):
    return x if x.sum() > 0 else -x


@pytest.mark.parametrize(("layer", "kind"), [(absent, AttributeError), (branch, jax.errors.TracerBoolConversionError)])
def test_errors_that_are_not_of_shapes_keep_their_type(layer, kind):
    with pytest.raises(kind):
        rehearsal.state(points_gan(layer), POINTS)


@pytest.mark.parametrize(
    ("layer", "advice"),
    [
        (
            lambda x, train: nn.BatchNorm(use_running_average=not train)(x),
            r"^Critic/BatchNorm_0 is Flax's nn.BatchNorm, .*number of devices.*layers.norm.normalise",
        ),
        (
            lambda x, train: nn.Dropout(0.5, deterministic=not train, rng_collection="noise")(x),
            r"^Critic/Dropout_0 is Flax's nn.Dropout, .*number of devices; use .*layers.noise.Dropout",
        ),
        (
            lambda x, train: nn.Conv(2, (1, 1))(nn.Conv(2, (1, 1))(x[:, None, None]))[:, 0, 0],  # the inner is 1
            r"^Critic/Conv_1, Critic/Conv_0 are Flax's nn.Conv, .*slowly on CPUs; use .*layers.conv.Conv",
        ),
        (
            lambda x, train: nn.ConvTranspose(2, (1, 1))(x[:, None, None])[:, 0, 0],
            r"^Critic/ConvTranspose_0 is .*layers.conv.ConvTranspose",
        ),
    ],
)
def test_flaxs_layers_that_do_not_suit_are_told_once_with_what_replaces_them(layer, advice):
    with pytest.warns(UserWarning, match=advice) as told:
        rehearsal.state(points_gan(layer), POINTS)
    assert len(told) == 1


def test_of_many_layers_of_a_type_the_first_are_named_and_the_others_counted():
    def layer(x, train):
        for _ in range(6):
            x = nn.BatchNorm(use_running_average=not train)(x)
        return x

    first = ", ".join(f"Critic/BatchNorm_{place}" for place in range(4))
    with pytest.warns(UserWarning, match=f"^{first} and 2 more are Flax's nn.BatchNorm, "):
        rehearsal.state(points_gan(layer), POINTS)


def test_flaxs_dropout_with_a_stream_of_its_own_is_told_before_it_fails():
    game = points_gan(lambda x, train: nn.Dropout(0.5, deterministic=not train)(x))
    with pytest.warns(UserWarning, match="layers.noise.Dropout"):
        state = rehearsal.state(game, POINTS)
    with pytest.raises(UserError, match=r'Critic fails for inputs of shape .*PRNG for "dropout"'):
        rehearsal.update(game, state, data.load("ring"), 8)


@pytest.mark.parametrize(
    "layer",
    [
        lambda x, train: normalise(nn.Dense(3)(x), "batch", train),
        lambda x, train: Dropout(0.5)(x, train),
        lambda x, train: Conv(2, 1)(x[:, None, None])[:, 0, 0],
        lambda x, train: nn.Conv(2, (1,))(x[:, None])[:, 0],  # of sequences: nothing replaces it
    ],
)
def test_of_other_layers_nothing_is_said(layer):
    game = points_gan(layer)
    rehearsal.update(game, rehearsal.state(game, POINTS), data.load("ring"), 8)  # warnings are errors


def test_devices_that_disagree_are_told_how_to_agree():
    state = parallel.pmapped(lambda x: x + parallel.index(), jax.devices()[:2])(jnp.zeros(()))
    with pytest.raises(UserError, match=r"a mean over the axis is missing.*nn\.BatchNorm.*normalise"):
        training._require_replicated(state)


@pytest.mark.slow
def test_stock_batch_norm_on_two_devices_is_refused_after_the_first_call(tmp_path):
    class Stock(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return nn.Dense(1)(nn.BatchNorm(use_running_average=not train)(nn.Dense(4)(x)))[:, 0]

    def build(config, spec):
        networks = {
            "generator": linen(mlp.Generator((2,), (4,), "none", bounded=False), (4,)),
            "discriminator": linen(Stock(), (2,)),
        }
        return gan(networks, losses.non_saturating(), latents.normal(4), optax.sgd(0.1))

    missing = pytest.raises(UserError, match=r"BatchNorm_0.*a mean over the axis is missing")
    with missing, pytest.warns(UserWarning, match="nn.BatchNorm"):
        loop.run(build, data.load("ring"), config(tmp_path, steps=1000, save_every=1000, devices=2))
