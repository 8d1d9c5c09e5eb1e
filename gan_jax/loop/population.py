"""Populations: many seeds and continuous hyper-parameters trained in one compiled call, by `vmap` over the members.

    configs = [Config(seed=seed, weight=weight) for seed in range(4) for weight in (1.0, 3.0, 10.0)]
    members = population.train(build, data.load("ring"), configs)

`build` is the experiment's own. It first runs on every config's concrete values, so that each is checked as in a single
run, and then inside the program, where each field that differs between configs is a traced number: what depends on it
(a learning rate, a weight, a decay) has one value per member, and all else is constant. This works as long as `build`
and what it returns only calculate with the field; if they branch on it in Python (`if`, `int()`), an error names it.

Cost: the arithmetic of all members is done, so a population pays where one member leaves the device idle, as small
networks do on an accelerator. On a device that one member keeps busy, as it mostly does a CPU, it can take longer than
the members in turn, and saves only compilations: one for all, instead of one per new value. Dense layers become batched
matrix products; convolutions, as each member has its own kernels, become grouped ones, which some devices run slowly.
Memory holds all members' states and activations, and the data once per device. A `lax.cond` on a value that differs
between members computes both branches and saves nothing. Lazy terms depend on the step, which all members share, and
still save.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from gan_jax import rng, rules
from gan_jax.data import Dataset, batches
from gan_jax.devices.parallel import Devices
from gan_jax.errors import UserError
from gan_jax.loop import fine_tuning
from gan_jax.loop.settings import Config, Run, validated
from gan_jax.loop.swept_fields import columns, require_traced
from gan_jax.runs import require_none_opening
from gan_jax.types import Array, PyTree, System, TrainState

AXIS = "members"  # not `parallel.AXIS`: nothing is averaged over members

Watch = Callable[[System, TrainState], PyTree]


@dataclass(frozen=True)
class Seed:
    """The config of a member that has nothing but a seed of its own, as `build` needs no other settings."""

    batch_size: int
    seed: int
    run: Run


class Members(NamedTuple):
    """The results of all members; leaves are `[members, ...]`.

    Attributes:
        states: The last states.
        metrics: Name -> means between stops, `[members, stops]`.
        watched: Results of `watch` at the first step and at the stops, `[members, 1 + stops, ...]`.
    """

    states: TrainState
    metrics: dict[str, Array]
    watched: PyTree


def train(
    build: Callable[..., System],
    dataset: Dataset,
    configs: Sequence[Config],
    watch: Watch = lambda system, state: None,
    every: int | None = None,
    devices: Devices | None = None,
    start: TrainState | None = None,
) -> Members:
    """Trains all configs at once, each as `loop.run` would, up to rounding.

    Nothing is written, and a member that diverges continues with NaN, without effect on the others.

    Args:
        build: The experiment's `build`: `(config, spec) -> System`.
        dataset: The training data.
        configs: One per member. They may differ in `seed` and in fields of type float; of `run`, only `steps` and
            `freeze` are used, and all configs must agree on them.
        watch: `(system, state) -> pytree` of one member, traced; for example, samples.
        every: Iterations between stops, at which members are watched and metrics averaged; it divides the steps, and is
            all of them by default.
        devices: Local devices over which members are spread, all by default. An uneven share is padded with repeated
            members, at no cost in time.
        start: States to continue from, `states` of a shorter run of these configs; by default initial ones.

    Returns:
        The members in the order of `configs`, in host memory.

    Raises:
        UserError: If `build` refuses a config, configs differ in a field that changes the program, `every` does not
            divide the steps, or `init_from` is given.
    """
    run = program(build, dataset, configs, watch, every, devices, start)
    return jax.tree.map(lambda x: x[: len(configs)], jax.device_get(run()))


def program(
    build: Callable[..., System],
    dataset: Dataset,
    configs: Sequence[Any],
    watch: Watch = lambda system, state: None,
    every: int | None = None,
    devices: Devices | None = None,
    start: TrainState | None = None,
) -> Callable[..., Members]:
    """Returns the program that `train` runs; arguments and errors are those of `train`.

    Returns:
        `(count=every) -> members`: compiled at its first call; the members, then repeated ones up to a multiple of the
        devices, after `count` iterations to each stop, at most `every`.
    """
    require_none_opening()
    varied = columns(configs)
    begin = 0 if start is None else int(np.max(start.step))
    steps, freeze = validated(configs[0].run).steps - begin, configs[0].run.freeze
    every = steps if every is None else every
    if every < 1 or steps < 1 or steps % every:
        raise UserError(f"steps={begin + steps}: {steps} from step {begin} is not a positive multiple of every={every}")
    numbers = [column for name, column in varied.items() if name != "seed"]
    distinct = {tuple(column[place] for column in numbers): config for place, config in enumerate(configs)}
    for config in distinct.values():
        build(config, dataset.spec)

    def alone(values: dict[str, Array], state: TrainState | None, arrays: dict[str, Array], count: int) -> Members:
        config = replace(configs[0], **values)
        system, key = build(config, dataset.spec), rng.key(config.seed)
        if freeze:
            system, _ = fine_tuning.frozen(system, jax.eval_shape(system.init, key), freeze)
        draw = batches(dataset.count, config.batch_size, system.batches, dataset.apart, dataset.spec.kind)
        many = rules.many(system.update, draw, every)

        def stretch(state: TrainState, _: None) -> tuple[TrainState, tuple[dict[str, Array], PyTree]]:
            state, metrics = many(state, arrays, key, count)
            return state, (jax.tree.map(lambda x: jnp.sum(x, axis=0) / count, metrics), watch(system, state))

        # the step is a constant, so that all members share it, and conditions on it stay conditions
        first = system.init(rng.named(key, "init")) if state is None else replace(state, step=jnp.int32(begin))
        last, (means, later) = lax.scan(stretch, first, length=steps // every)
        watched = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), watch(system, first), later)
        return Members(last, means, watched)

    require_traced(lambda values, arrays: alone(values, None, arrays, 1), varied, dataset.arrays)
    devices = list(devices or jax.local_devices())[: len(configs)]
    mesh = Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))
    by_member, shared = NamedSharding(mesh, P(AXIS)), NamedSharding(mesh, P())
    places = np.resize(np.arange(len(configs)), -(-len(configs) // len(devices)) * len(devices))
    # from Python numbers: weakly typed, so that they take the dtype of the other operand
    rows = {name: jnp.stack([jnp.asarray(column[place]) for place in places]) for name, column in varied.items()}
    values, arrays = jax.device_put(rows, by_member), jax.device_put(dataset.arrays, shared)
    states = jax.device_put(jax.tree.map(lambda x: x[places], start), by_member)
    mapped = jax.vmap(alone, in_axes=(0, 0, None, None))
    specs = (P(AXIS), P(AXIS), P(), P())
    run = jax.jit(jax.shard_map(mapped, mesh=mesh, in_specs=specs, out_specs=P(AXIS), check_vma=False))
    return lambda count=every: run(values, states, arrays, count)
