"""Small games that several tests play."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import optax
import pytest

from gan_jax import baseline, data, latents, losses, rules
from gan_jax.data import Spec
from gan_jax.game import Game, discriminator, generator, system
from gan_jax.networks import dcgan, linen, mlp
from gan_jax.networks.layers.norm import Norm
from gan_jax.rules.controllers import ema
from gan_jax.runs import checkpoint, records
from gan_jax.types import Aux, Player, TrainState

KEY = jax.random.key(0)
RATE = 0.1


def gan(
    networks,
    loss,
    latent,
    optimizers,
    *,
    terms=None,
    rule=rules.alternating,
    repeats=None,
    accumulate=1,
    active=None,
    trains=None,
    controllers=(),
    ema_decay=0.999,
    **options,
):
    """The game of a discriminator and a generator, from arguments that tests vary one at a time."""
    game = Game(networks, loss, latent, **options)
    players = []
    for name, player in (("discriminator", discriminator), ("generator", generator)):
        optimizer = optimizers[name] if isinstance(optimizers, dict) else optimizers
        own = {"trains": (trains or {}).get(name, ()), "active": (active or {}).get(name), "batches": accumulate}
        players.append(player(game, optimizer, (terms or {}).get(name, ()), **own))
    rule = functools.partial(rule, repeats=repeats) if repeats else rule
    built = system(game, rule(players), [*controllers, ema("generator", ema_decay)])
    # compiled, as a test that calls them would compile each of their operations apart
    return built._replace(init=jax.jit(built.init), update=jax.jit(built.update))


def untrained(experiment, workdir, steps=(0,), **settings):
    """The directory of a run whose checkpoints, at these steps, hold its initial state: all but training compiles."""
    widths = {"g_width": 4, "d_width": 4} if issubclass(experiment.Config, baseline.Widths) else {}
    config = experiment.Config(**{"batch_size": 4} | widths | settings)
    dataset = data.load(config.dataset)
    record = records.describe(experiment.build, dataset, config)
    state = jax.jit(experiment.build(config, dataset.spec).init)(KEY)
    with checkpoint.writer(workdir / "checkpoints", len(steps)) as save:
        for step in steps:
            save(dataclasses.replace(state, step=jnp.int32(step)), record)
    records.write(record, workdir, 0)
    return workdir


def few(cases, *kept):
    """The cases of a test, those that are not kept marked as slow."""
    return [case if case in kept else pytest.param(case, marks=pytest.mark.slow) for case in cases]


def points_game(d_norm: Norm = "none", optimizer=None, features=False, g_norm: Norm = "batch", **options):
    """A GAN of small fully connected networks on points in the plane."""
    networks = {
        "generator": linen(mlp.Generator((2,), (16, 16), g_norm, bounded=False), (4,)),
        "discriminator": linen(mlp.Discriminator((16, 16), d_norm, with_features=features), (2,)),
    }
    loss = options.pop("loss", losses.non_saturating())
    return gan(networks, loss, latents.normal(4), optimizer or optax.sgd(0.1), **options)


def images_game(d_norm: Norm = "batch", **options):
    """A DCGAN four channels wide on 28 x 28 images."""
    spec = Spec((28, 28, 1), 10)
    networks = {
        "generator": linen(dcgan.Generator(spec.shape, 4), (8,)),
        "discriminator": linen(dcgan.Discriminator(spec.shape, 4, d_norm), spec.shape),
    }
    loss = options.pop("loss", losses.non_saturating())
    return gan(networks, loss, latents.normal(8), optax.sgd(0.05), **options)


def points(count=256, seed=1):
    return {"image": jax.random.normal(jax.random.key(seed), (count, 2)) + jnp.array([2.0, -1.0])}


def images(count=64):
    return {"image": jnp.asarray(data.load("digits").arrays["image"][:count])}


def double(tree):
    """Casts floating leaves to float64, in which equal formulas agree to 1e-12 and a wrong mean cannot hide."""
    return jax.tree.map(lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


def state_of(**params):
    """Scalars for networks, each moved by a player of its name that descends at RATE."""
    params = {name: jnp.asarray(x) for name, x in params.items()}
    players = {name: optax.sgd(RATE).init({name: x}) for name, x in params.items()}
    stats = {name: {} for name in params}
    ema = {name: {"params": x, "stats": {}} for name, x in params.items()}
    return TrainState(jnp.zeros((), jnp.int32), params, stats, players, ema, {})


def player(name, loss):
    return Player(
        name, (name,), lambda s, b, k: (loss(s.params), Aux(metrics={"loss": loss(s.params)})), optax.sgd(RATE)
    )


BILINEAR = (player("x", lambda p: p["x"] * p["y"]), player("y", lambda p: -p["x"] * p["y"]))


def play(update, state, steps, batch=None):
    for _ in range(steps):
        state, metrics = update(state, batch or {}, KEY)
    return state, metrics
