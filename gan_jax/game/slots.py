"""Slots of `TrainState.extra`: the initial values of what terms and controllers carry between iterations."""

from collections.abc import Sequence

import jax
from jax import lax

from gan_jax.errors import UserError
from gan_jax.types import PyTree, Slots


def joined(each: Sequence[Slots]) -> Slots:
    """Returns `(params) -> initial values` of several terms', players' or controllers' slots together.

    Raises:
        UserError: When called, if two carry the same slot.
    """

    def slots(params: dict[str, PyTree]) -> dict[str, PyTree]:
        values: dict[str, PyTree] = {}
        for some in each:
            new = some(params)
            if twice := set(new) & set(values):
                raise UserError(f"two terms or controllers use the slot {sorted(twice)}; rename one of them")
            values |= jax.tree.map(lambda x: lax.convert_element_type(x, x.dtype), new)  # weak types compile twice
        return values

    return slots
