"""The state of training, and the types of functions that read and change it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

Array = jax.Array
PyTree = Any
Batch = dict[str, Array]
Metrics = dict[str, Array]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """Everything that changes during training; arrays only.

    Attributes:
        step: Number of iterations made, i32[]; only `rules.many` increments it.
        params: Network name -> parameters.
        stats: Network name -> running statistics (batch norm's moments, spectral norm's vectors).
        opt_state: Player name -> optax state.
        ema: Network name -> averaged `{"params", "stats"}`.
        extra: Slot name -> what a term or controller carries from one iteration to the next.
    """

    step: Array
    params: dict[str, PyTree]
    stats: dict[str, PyTree]
    opt_state: dict[str, PyTree]
    ema: dict[str, PyTree]
    extra: dict[str, PyTree]


class Aux(NamedTuple):
    """An objective's second output: changes to the state, never a whole state.

    Attributes:
        stats: Network name -> new running statistics; the rule stores those of the networks that the player moves.
        extra: Slot name -> new value, which must be the same on every device.
        metrics: Scalars that are linear in the batch, as the rule averages them over devices.
    """

    stats: dict[str, PyTree] = {}  # noqa: RUF012  a NamedTuple's default, never written to
    extra: dict[str, PyTree] = {}  # noqa: RUF012
    metrics: Metrics = {}  # noqa: RUF012


Objective = Callable[[TrainState, Batch, Array], tuple[Array, Aux]]
Update = Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]
Hook = Callable[[TrainState, Metrics, Array], tuple[TrainState, Metrics]]
Slots = Callable[[dict[str, PyTree]], dict[str, PyTree]]  # {network name: parameters} -> {slot name: initial value}


def no_slots(params: dict[str, PyTree]) -> dict[str, PyTree]:
    """Returns no slots: the default of terms and controllers that carry nothing."""
    return {}
