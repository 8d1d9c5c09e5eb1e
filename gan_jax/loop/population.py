"""Populations: many seeds and continuous hyper-parameters trained as one program, by `vmap` over the members.

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

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from gan_jax import rng, rules
from gan_jax.data import Dataset, batches
from gan_jax.devices.parallel import Devices
from gan_jax.errors import UserError
from gan_jax.loop.settings import Config, validated
from gan_jax.loop.swept_fields import columns, require_traced
from gan_jax.types import Array, Metrics, PyTree, System, TrainState

AXIS = "members"  # not `parallel.AXIS`: nothing is averaged over members
OWN: Any = 0  # axes of `vmap`
SHARED: Any = None
# a shared step keeps conditions on it conditions; a member's own would make both branches run
STATES = TrainState(step=SHARED, params=OWN, stats=OWN, opt_state=OWN, ema=OWN, extra=OWN)

Values = dict[str, Array]  # field's name -> its value
Watch = Callable[[System, TrainState], PyTree]


class Member(NamedTuple):
    """The result of one member's run; arrays are in host memory.

    Attributes:
        config: The member's config.
        state: Its last state; `state.step` is the step at which it ended or was dropped.
        stops: Steps at which it was watched, `[stops]`.
        metrics: Name -> means since the stop before, `[stops]`.
        watched: Results of `watch` at the stops, leaves `[stops, ...]`.
        score: The last score, lower is better; NaN without `score`.
    """

    config: Any
    state: TrainState
    stops: np.ndarray
    metrics: dict[str, np.ndarray]
    watched: PyTree
    score: float


class Programs(NamedTuple):
    """Compiled functions of all members at once; leaves are `[members, ...]`, except the shared step.

    Attributes:
        values: `(places) -> values`: the varying fields of the configs with these indices.
        begin: `(values) -> state`.
        advance: `(state, values, count) -> (state, sums)`: at most `run.steps_per_call` iterations, and the sums of
            their metrics; the state is donated.
        look: `(state, values) -> watched`.
    """

    values: Callable[[Sequence[int]], Values]
    begin: Callable[[Values], TrainState]
    advance: Callable[[TrainState, Values, int], tuple[TrainState, Metrics]]
    look: Callable[[TrainState, Values], PyTree]


def train(
    build: Callable[..., System],
    dataset: Dataset,
    configs: Sequence[Config],
    *,
    watch: Watch = lambda system, state: None,
    every: int | None = None,
    score: Callable[[PyTree], float] | None = None,
    halving: Sequence[float] = (),
    devices: Devices | None = None,
) -> list[Member]:
    """Trains all configs at once, each as `loop.run` would, up to rounding.

    Nothing is written, and a member that diverges continues with NaN, without effect on the others. With `halving`
    (Jamieson and Talwalkar 2016, arXiv:1502.07943), after each of some fractions of the run the half of the members
    with the worse scores is dropped, NaN first; the others go on as they would have, in a smaller program that is
    compiled then.

    Args:
        build: The experiment's `build`: `(config, spec) -> System`.
        dataset: The training data.
        configs: One per member. They may differ in `seed` and in fields of type float; of `run`, only `steps` and
            `steps_per_call` count.
        watch: `(system, state) -> pytree` of one member, traced; for example, samples.
        every: Iterations between stops, at which members are watched and metrics averaged. The last iteration and those
            of `halving` are stops too, and without `every` the only ones.
        score: `(watched) -> float`, the score of one member at one stop, on the host; lower is better.
        halving: Fractions of the run, ascending, such as `(0.25, 0.5)`.
        devices: Local devices over which members are spread, all by default. An uneven share is padded with repeated
            members, at no cost in time.

    Returns:
        The members, in the order of `configs`.

    Raises:
        UserError: If `build` refuses a config, configs differ in a field that changes the program, or arguments do not
            fit each other.
    """
    devices = list(devices or jax.local_devices())[: len(configs)]
    compiled = programs(build, dataset, configs, watch, devices)
    options = validated(configs[0].run)
    cuts = _cuts(options.steps, halving, score)
    every = options.steps if every is None else every
    if every < 1:
        raise UserError(f"every={every}: at least 1 iteration lies between stops")

    alive, scores = list(range(len(configs))), [math.nan] * len(configs)
    states: list[Any] = [None] * len(configs)
    histories: list[list[PyTree]] = [[] for _ in configs]
    for start, cut in itertools.pairwise((0, *cuts)):
        places = np.resize(alive, -(-len(alive) // len(devices)) * len(devices)).tolist()
        values = compiled.values(places)
        state = _joined([states[place] for place in places]) if start else compiled.begin(values)
        stops = sorted({*range(start - start % every + every, cut, every), cut})
        state, history = _advance(compiled, state, values, start, stops, options.steps_per_call)
        for row, member in enumerate(alive):
            states[member], new = jax.tree.map(lambda x, row=row: x[row, ...], (state, history))
            histories[member].append(new)
            if score:
                scores[member] = float(score(jax.tree.map(lambda x: x[-1], new[-1])))
        alive = sorted(alive, key=lambda member: (math.isnan(scores[member]), scores[member]))[: -(-len(alive) // 2)]
    joined = [jax.tree.map(lambda *parts: np.concatenate(parts), *history) for history in histories]
    rows = zip(configs, states, joined, scores, strict=True)
    return [
        Member(config, state, stops, metrics, watched, score)
        for config, state, (stops, metrics, watched), score in rows
    ]


def programs(
    build: Callable[..., System], dataset: Dataset, configs: Sequence[Config], watch: Watch, devices: Devices
) -> Programs:
    """Compiles the functions of a population, of which `train` is composed.

    Args:
        build: As in `train`.
        dataset: The training data, copied to every device.
        configs: One per member.
        watch: Computes the result of `look`.
        devices: Devices that share the members evenly: `values` takes a multiple of their number.

    Raises:
        UserError: If `build` refuses a config, or configs differ in a field that changes the program.
    """
    varied = columns(configs)
    numbers = [column for name, column in varied.items() if name != "seed"]
    distinct = {tuple(column[place] for column in numbers): config for place, config in enumerate(configs)}
    for config in distinct.values():
        build(config, dataset.spec)
    begin, advance, look = _alone(build, dataset, configs[0], watch)
    require_traced(lambda values, arrays: advance(begin(values), values, arrays, 1), varied, dataset.arrays)
    mesh = Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))

    def compiled(f: Callable, axes: tuple[Any, ...], out: Any, **options: Any) -> Callable:
        mapped = jax.vmap(f, in_axes=axes, out_axes=out)
        specs, out_specs = _specs(axes), _specs(out)
        spread = jax.shard_map(mapped, mesh=mesh, in_specs=specs, out_specs=out_specs, check_vma=False)
        return jax.jit(spread, in_shardings=jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs), **options)

    def values(places: Sequence[int]) -> Values:
        # from Python numbers: weakly typed, so that they take the dtype of the other operand
        rows = {name: jnp.stack([jnp.asarray(column[i]) for i in places]) for name, column in varied.items()}
        return jax.device_put(rows, NamedSharding(mesh, P(AXIS)))

    arrays = jax.device_put(dataset.arrays, NamedSharding(mesh, P()))
    step = compiled(advance, (STATES, OWN, SHARED, SHARED), (STATES, OWN), donate_argnums=0)
    return Programs(
        values,
        compiled(begin, (OWN,), STATES),
        lambda state, values, count: step(state, values, arrays, count),
        compiled(look, (STATES, OWN), OWN),
    )


def _alone(
    build: Callable[..., System], dataset: Dataset, config: Any, watch: Watch
) -> tuple[Callable, Callable, Callable]:
    """Returns `begin`, `advance` and `look` of one member: the config with fields replaced by values, perhaps
    traced."""

    def begin(values: Values) -> TrainState:
        own = replace(config, **values)
        return build(own, dataset.spec).init(rng.named(rng.key(own.seed), "init"))

    def advance(
        state: TrainState, values: Values, arrays: dict[str, Array], count: Array
    ) -> tuple[TrainState, Metrics]:
        own = replace(config, **values)
        system = build(own, dataset.spec)
        draw = batches(len(arrays["image"]), config.batch_size, system.batches, dataset.apart, dataset.spec.kind)
        many = rules.many(system.update, draw, validated(config.run).steps_per_call)
        state, metrics = many(state, arrays, rng.key(own.seed), count)
        return state, jax.tree.map(lambda x: jnp.sum(x, axis=0), metrics)

    def look(state: TrainState, values: Values) -> PyTree:
        return watch(build(replace(config, **values), dataset.spec), state)

    return begin, advance, look


def _advance(
    compiled: Programs, state: TrainState, values: Values, start: int, stops: Sequence[int], per_call: int
) -> tuple[TrainState, tuple[np.ndarray, dict[str, np.ndarray], PyTree]]:
    """Advances members to each stop; returns states, and stops, metrics and results of `look`, in host memory.

    States are `[members, ...]`, the others `[members, stops, ...]`.
    """
    seen = []
    for before, stop in itertools.pairwise((start, *stops)):
        sums = []
        for at in range(before, stop, per_call):
            state, added = compiled.advance(state, values, min(per_call, stop - at))
            sums.append(added)
        sums, watched = jax.device_get((sums, compiled.look(state, values)))
        means = jax.tree.map(lambda *parts, count=stop - before: sum(parts) / count, *sums)
        seen.append((means, watched))
    members = len(next(iter(values.values())))
    host = jax.device_get(state)
    joined = jax.tree.map(lambda *parts: np.stack(parts, axis=1), *seen)
    return replace(host, step=np.full(members, host.step)), (np.tile(stops, (members, 1)), *joined)


def _joined(states: Sequence[TrainState]) -> TrainState:
    """Stacks states of single members, whose step is shared."""
    return replace(jax.tree.map(lambda *leaves: np.stack(leaves), *states), step=states[0].step)


def _specs(axes: Any) -> Any:
    """Returns the sharding that corresponds to the axes of `vmap`."""
    return jax.tree.map(lambda axis: P() if axis is SHARED else P(AXIS), axes, is_leaf=lambda axis: axis is SHARED)


def _cuts(steps: int, halving: Sequence[float], score: Callable[[PyTree], float] | None) -> list[int]:
    """Returns the steps at which members are dropped, and the last one."""
    cuts = [round(fraction * steps) for fraction in halving] + [steps]
    if halving and score is None:
        raise UserError(f"halving={halving}: the worse half is dropped by its scores; give score")
    if any(a >= b for a, b in itertools.pairwise((0, *cuts))):
        raise UserError(f"halving={halving}: fractions of {steps} steps, in (0, 1) and ascending, make {cuts[:-1]}")
    return cuts
