"""Refusing what cannot work, early: conditions on arguments, and slots that something must carry."""

from collections.abc import Callable
from typing import Any

import jax

from gan_jax.errors import UserError
from gan_jax.types import PyTree, TrainState


def require(holds: Callable[[], Any], message: str) -> None:
    """Raises where a condition does not hold; one on a traced value, as of a population, is left unchecked.

    Args:
        holds: The condition.
        message: Names the argument, the value and the mend.

    Raises:
        UserError: With the message.
    """
    try:
        held = bool(holds())
    except jax.errors.TracerBoolConversionError:
        return
    if not held:
        raise UserError(message)


def require_weight(name: str, value: float) -> None:
    """Refuses a term's weight that is not positive."""
    require(
        lambda: value > 0,
        f"{name}={value}: a term's weight must be positive; leave the term out to switch it off",
    )


def require_noise(name: str, value: float) -> None:
    """Refuses a deviation of noise that is not positive."""
    require(
        lambda: value > 0, f"{name}={value}: the deviation of noise must be positive; leave it out to switch it off"
    )


def require_decay(decay: float) -> None:
    """Refuses the decay of no average."""
    require(lambda: 0 <= decay < 1, f"decay={decay}: an average's decay lies in [0, 1)")


def carried(state: TrainState, slot: str, controller: str) -> PyTree:
    """Reads a slot that some controller carries.

    Raises:
        UserError: If there is none, naming the controller that is missing.
    """
    if slot not in state.extra:
        raise UserError(f"the state has no slot {slot!r}; add {controller} to the controllers")
    return state.extra[slot]
