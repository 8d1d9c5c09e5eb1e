"""Successive halving: the worse half of a population is dropped, again and again, and the rest trained on."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from gan_jax.data import Dataset
from gan_jax.devices.parallel import Devices
from gan_jax.errors import UserError
from gan_jax.loop import population
from gan_jax.loop.population import Members, Watch
from gan_jax.types import PyTree, System


class Halved(NamedTuple):
    """The result of successive halving.

    Attributes:
        survivors: Places, in the list of configs, of those trained to the end.
        members: Their results since the last cut.
        scores: Last score of every config, `[configs]`.
        steps: Steps made with every config, `[configs]`.
    """

    survivors: list[int]
    members: Members
    scores: np.ndarray
    steps: np.ndarray


def train(
    build: Callable[..., System],
    dataset: Dataset,
    configs: Sequence[Any],
    watch: Watch,
    score: Callable[[PyTree], float],
    fractions: Sequence[float],
    devices: Devices | None = None,
) -> Halved:
    """Trains a population, and drops the half with the worse scores after each of some fractions of the run.

    Jamieson and Talwalkar 2016, arXiv:1502.07943. Those that stay continue exactly, in a smaller program that is
    compiled then.

    Args:
        build: The experiment's `build`: `(config, spec) -> System`.
        dataset: The training data.
        configs: One per member; see `population.train`.
        watch: `(system, state) -> pytree` of one member, traced; for example, samples.
        score: `(watched) -> float` of one member, on the host; lower is better, NaN the worst.
        fractions: Fractions of the run, in (0, 1) and ascending, such as `(0.25, 0.5)`.
        devices: Local devices over which members are spread, all by default.

    Raises:
        UserError: If the fractions make no such steps; also as `population.train`.
    """
    steps = configs[0].run.steps if configs else 0
    cuts = [round(fraction * steps) for fraction in fractions] + [steps]
    if configs and any(a >= b for a, b in itertools.pairwise((0, *cuts))):
        raise UserError(
            f"fractions={tuple(fractions)} of {steps} steps are steps {cuts[:-1]}; give ascending fractions in (0, 1), "
            "at least one step apart"
        )
    alive, states = list(range(len(configs))), None
    scores, trained_steps = np.full(len(configs), np.nan), np.zeros(len(configs), int)
    while True:
        cut = cuts.pop(0)
        members = [replace(configs[place], run=replace(configs[place].run, steps=cut)) for place in alive]
        trained = population.train(build, dataset, members, watch, devices=devices, start=states)
        scores[alive] = [score(jax.tree.map(lambda x, i=i: x[i, -1], trained.watched)) for i in range(len(alive))]
        trained_steps[alive] = cut
        if not cuts:
            return Halved(alive, trained, scores, trained_steps)
        order = np.argsort(scores[alive], kind="stable")  # NaN last
        staying = np.sort(order[: -(-len(alive) // 2)])
        alive, states = [alive[i] for i in staying], jax.tree.map(lambda x, s=staying: x[s], trained.states)
