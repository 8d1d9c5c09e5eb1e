"""A member of a population is a run of its own."""

import dataclasses
import functools
import typing
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy import points_game

from gan_jax import data, loop, penalties, terms
from gan_jax.game import sampler
from gan_jax.loop import halving, population
from gan_jax.runs import log
from gan_jax.types import Term


@dataclasses.dataclass(frozen=True)
class Config:
    batch_size: int = 16
    learning_rate: float = 0.05
    r1: float = 1.0
    ema_decay: float = 0.9
    width: int = 16
    seed: int = 0
    run: loop.Run = loop.Run(steps=30, steps_per_call=8, devices=1)


RING = data.load("ring")
CONFIGS = [
    Config(),
    Config(seed=5),
    Config(learning_rate=0.02),
    Config(r1=3.0),
    Config(ema_decay=0.5),
    Config(seed=5, learning_rate=0.01, r1=0.3, ema_decay=0.2),
]
ONE = jax.devices()[:1]


def build(config, spec):
    return points_game(
        optimizer=optax.sgd(config.learning_rate),
        g_norm="none",
        terms={"discriminator": [penalties.r1(config.r1)]},
        ema_decay=config.ema_decay,
    )


def samples(system, state):
    keys = jax.vmap(functools.partial(jax.random.fold_in, jax.random.key(0)))(jnp.arange(8))
    latent, generate = sampler(system)
    return generate(state.ema, latent.draw(keys))


def same(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), a, b)


@functools.cache
def whole():
    """The population that others are compared with, on one device."""
    return population.train(build, RING, CONFIGS, samples, every=10, devices=ONE)


def test_a_member_is_the_run_of_its_config(tmp_path):
    config = CONFIGS[-1]  # all that varies is its own
    run = dataclasses.replace(config.run, workdir=tmp_path, log_every=10)
    state, metrics, watched = jax.tree.map(lambda x: x[-1], whole())
    same(state, loop.run(build, RING, dataclasses.replace(config, run=run)))
    logged = [line for line in log.read(tmp_path) if "discriminator/loss" in line]
    same(metrics, {name: np.array([line[name] for line in logged]) for name in metrics})
    same(watched[-1], samples(build(config, RING.spec), state))
    others = np.abs(whole().watched[1:] - whole().watched[0])
    assert (others.max(axis=(1, 2, 3)) > 1e-3).all()  # each that varies matters


@pytest.mark.slow
def test_neither_company_nor_devices_change_a_member():
    # on four devices, with one more that diverges
    company = population.train(build, RING, [*CONFIGS, Config(learning_rate=1e30)], samples, every=10)
    same(jax.tree.map(lambda x: x[:-1], company), whole())
    assert np.isnan(company.watched[-1, -1]).any()


def score(watched):
    return float(np.abs(watched).mean())


@pytest.mark.slow
def test_halving_drops_the_worse_and_those_that_stay_continue_exactly():
    configs = [*CONFIGS, Config(learning_rate=1e30)]
    found = halving.train(build, RING, configs, samples, score, (1 / 3, 2 / 3))
    assert np.isnan(found.scores[-1]) and found.steps[-1] == 10  # the one that diverges
    alive = list(range(len(CONFIGS)))
    for stop, count in enumerate((4, 2), 1):
        scores = {place: score(whole().watched[place, stop]) for place in alive}
        staying = sorted(alive, key=scores.__getitem__)[:count]
        for place in set(alive) - set(staying):
            assert found.scores[place] == pytest.approx(scores[place], rel=1e-5) and found.steps[place] == 10 * stop
        alive = staying
    assert found.survivors == sorted(alive)
    same(found.members.states, jax.tree.map(lambda x: x[np.array(found.survivors)], whole().states))


@pytest.mark.slow
def test_a_lazy_term_is_evaluated_when_it_is_due_and_not_between():
    evaluated = []

    def value(context):
        jax.debug.callback(lambda step: evaluated.append(int(step)), context.state.step)
        return jnp.mean(context.real_output["logits"] ** 2)

    def lazily(config, spec):
        lazy = terms.scheduled(terms.lazy(Term("own", value), 4), lambda step: config.r1)
        return points_game(g_norm="none", terms={"discriminator": [lazy]})

    configs = [Config(r1=r1, run=loop.Run(steps=9, steps_per_call=5)) for r1 in (0.1, 0.2)]
    population.train(lazily, RING, configs, devices=ONE)
    jax.effects_barrier()
    assert sorted(evaluated) == [0, 4, 8]  # once for both members, whose step is one


@pytest.mark.slow
def test_frozen_layers_stay_as_they_began_in_every_member():
    configs = [Config(seed=seed, run=loop.Run(steps=3, freeze=("generator=first:1",))) for seed in range(2)]
    members = population.train(build, RING, configs, lambda _, state: state.params["generator"], devices=ONE)
    for name, layer in members.watched.items():
        kept = np.array_equal(layer["kernel"][:, 0], layer["kernel"][:, 1])  # at the beginning and at the end
        assert kept == (name == "Dense_0"), name


def test_values_promote_as_pythons_numbers_do():
    kinds = []

    def spied(config, spec):
        kinds.append((config.r1 * jnp.ones((), jnp.bfloat16)).dtype)
        return build(config, spec)

    jax.eval_shape(population.program(spied, RING, CONFIGS[:2] + CONFIGS[3:4], devices=jax.devices()[:2]))
    assert set(kinds) == {jnp.dtype(jnp.bfloat16)}


def decides(config, spec):
    return points_game(g_norm="none", terms={"discriminator": [penalties.r1(1.0)] if config.r1 > 1 else []})


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"width": 8}, {}, r"width differs between configs, \[16, 8\], but it is not a float"),
        ({"run": loop.Run(steps=31)}, {}, r"run.steps differs between configs, \[30, 31\]"),
        ({"run": loop.Run(steps=30, freeze=("generator",))}, {}, r"run.freeze differs between configs"),
        ({"run": loop.Run(steps=30, init_from=Path("runs/a"))}, {}, r"run.init_from=runs/a: a population starts from"),
        ({"r1": -1.0}, {}, "weight=-1.0: a term's weight must be positive"),
        ({"seed": 2**31}, {}, r"seed: \[0, 2147483648\] do not all fit in signed 32-bit integers"),
        ({"r1": None}, {}, r"r1 differs between configs, \[1.0, None\], but it is not a float"),
        ({"r1": 2.0}, {"build": decides}, r"r1 differs between configs, \[1.0, 2.0\], but .* depends on its"),
        ({}, {"every": 0}, "steps=30: 30 from step 0 is not a positive multiple of every=0"),
        ({}, {"every": 7}, "steps=30: 30 from step 0 is not a positive multiple of every=7"),
    ],
)
def test_what_makes_no_population_is_refused(changes, options, message):
    configs = [Config(), dataclasses.replace(Config(), **changes)]
    with pytest.raises(ValueError, match=message):
        population.train(options.pop("build", build), RING, configs, **options)


def test_configs_are_of_one_experiment():
    with pytest.raises(ValueError, match=r"configs have the types \[\]; give at least one"):
        population.train(build, RING, [])


@pytest.mark.slow
def test_every_number_of_an_experiment_may_vary_but_those_that_switch_something():
    from test_experiments import NAMES, small

    refused = {}
    for name in NAMES:
        experiment, config = small(name)
        kinds = typing.get_type_hints(type(config))
        numbers = {name: getattr(config, name) for name, kind in kinds.items() if kind is float}
        other = dataclasses.replace(config, **{name: 0.9 * value for name, value in numbers.items()})
        dataset = data.load(getattr(config, "dataset", "digits"))
        try:
            population.program(experiment.build, dataset, [config, other])
        except ValueError as error:
            refused[name] = str(error).partition(" differs between configs")[0]
    assert refused == {  # the first of those where 0 leaves something out
        "biggan": "orthogonal",
        "improved_gan": "smoothing",
        "infogan": "weight",
        "pix2pix": "l1",
        "progan": "drift",
        "stylegan2": "path_length",
    }
