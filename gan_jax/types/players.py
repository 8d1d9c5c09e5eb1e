"""Players, the rules by which they move, and controllers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from gan_jax.types.state import Array, Batch, Hook, Metrics, Objective, Slots, TrainState, Update, no_slots


class Player(NamedTuple):
    """A player of the game: the networks it moves, the objective it minimises, and its optimiser.

    Attributes:
        name: Names the player's optimiser state, metrics and keys.
        networks: Names of the networks whose parameters it moves.
        objective: `(state, batch, key) -> (loss [], Aux)`; everything but the player's parameters is held constant.
        optimizer: One of `optimizers`, with its learning rate, or any optax gradient transformation.
        active: `(state) -> bool []`: whether the player moves in this state; None means always. An inactive player's
            gradient and metrics are still computed, and still enter rules that combine the players' gradients.
        batches: Number of batches whose mean gradient makes a move (gradient accumulation); above 1 the leaves of the
            player's batch are `[batches, B, ...]`. Batch norm and other batch-wide operations see one at a time.
        slots: `(params) -> initial values` of the slots of `TrainState.extra` that its objective reads or writes.
        every: It moves in every `every`-th iteration, from the first on, and is not evaluated in the others. Its
            metrics are 0 there and multiplied by `every` where it moves, so that their mean is that over its moves.
        shares: Name of the player whose optimiser state it uses and updates, "" for its own; see `game.regularisation`.
    """

    name: str
    networks: tuple[str, ...]
    objective: Objective
    optimizer: Any  # an `optimizers.Optimizer`, or an optax.GradientTransformation
    active: Callable[[TrainState], Array] | None = None
    batches: int = 1
    slots: Slots = no_slots
    every: int = 1
    shares: str = ""


@dataclass(frozen=True, eq=False)  # not a NamedTuple: JAX's transformations take weak references to functions
class Rule:
    """An update rule applied to players: one iteration of a game, and a function of `(state, batch, key)` itself.

    Attributes:
        players: All players that move.
        update: `(state, batch, key) -> (state, metrics)`: one iteration.
        batches: Batches that an iteration takes, the leading axis of the update's batch, `[batches, B, ...]`; 1 means
            no such axis.
    """

    players: tuple[Player, ...]
    update: Update
    batches: int = 1

    def __call__(self, state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        """Makes one iteration."""
        return self.update(state, batch, key)


class Controller(NamedTuple):
    """A hook that runs after the moves of an iteration, with the slots of `TrainState.extra` that it carries.

    Attributes:
        name: Names its randomness; unique among the controllers of a game.
        hook: `(state, metrics, key) -> (state, metrics)`.
        slots: `(params) -> initial values` of its slots.
        averages: Names of the networks whose average it keeps in `TrainState.ema`.
        users: What must read its slots, in words for an error, such as "augment.ada()"; "" if nothing has to.
    """

    name: str
    hook: Hook
    slots: Slots = no_slots
    averages: tuple[str, ...] = ()
    users: str = ""
