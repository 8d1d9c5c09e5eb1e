"""Checks of arguments and of slots, which raise UserError."""

from collections.abc import Callable
from typing import Any

import jax

from gan_jax.errors import UserError
from gan_jax.types import PyTree, TrainState


def require(holds: Callable[[], Any], message: str) -> None:
    """Raises UserError if a condition does not hold; conditions on traced values, as in populations, are not checked.

    Args:
        holds: The condition.
        message: Names the argument, its value and what to change.

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
    """Checks that a term's weight is positive."""
    require(
        lambda: value > 0,
        f"{name}={value}: a term's weight must be positive; leave the term out to switch it off",
    )


def require_noise(name: str, value: float) -> None:
    """Checks that a standard deviation of noise is positive."""
    require(
        lambda: value > 0,
        f"{name}={value}: the standard deviation of noise must be positive; leave the noise out to switch it off",
    )


def require_decay(decay: float) -> None:
    """Checks that the decay of a moving average is in [0, 1)."""
    require(lambda: 0 <= decay < 1, f"decay={decay}: the decay of a moving average must be in [0, 1)")


def carried(state: TrainState, slot: str, controller: str) -> PyTree:
    """Returns the value of a slot that a controller carries.

    Args:
        state: The state.
        slot: Name of the slot.
        controller: The controller's call, for the message, such as "controllers.balance()".

    Raises:
        UserError: If the state has no such slot; names the missing controller.
    """
    if slot not in state.extra:
        raise UserError(f"the state has no slot {slot!r}; add {controller} to the controllers")
    return state.extra[slot]
