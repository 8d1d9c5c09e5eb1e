"""Terms made from other terms: evaluated less often, scheduled, or summed."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from gan_jax import rng
from gan_jax.devices import parallel
from gan_jax.errors import UserError
from gan_jax.types import Array, Context, PyTree, Term


def lazy(term: Term, every: int) -> Term:
    """Lazy regularisation: a term every `every` iterations, `every` times as strong (Karras et al., arXiv:1912.04958).

    Its slots change in these iterations only. It is added to the loss of the same step, so that Adam's constants stay
    as they are; the paper takes separate steps, as `game.regularisation` does.

    Args:
        term: Any term.
        every: Iterations between evaluations, at least 1; the first is iteration 0.
    """
    if every < 1:
        raise UserError(f"every={every}: give at least 1 iteration between evaluations")

    def value(context: Context) -> tuple[Array, dict[str, PyTree]]:
        def due() -> tuple[Array, dict[str, PyTree]]:
            values, extra = _evaluate(term, context)
            return every * values, extra

        values, extra = jax.eval_shape(due)
        return lax.cond(
            context.state.step % every == 0,
            due,
            lambda: (jnp.zeros(values.shape, values.dtype), {slot: context.state.extra[slot] for slot in extra}),
        )

    return term._replace(value=value)


def scheduled(term: Term, schedule: Callable[[Array], ArrayLike]) -> Term:
    """Multiplies a term by a schedule.

    Args:
        term: Any term.
        schedule: `(iteration) -> factor`, such as `optax.linear_schedule(0, 1, 10_000)`.
    """

    def value(context: Context) -> tuple[Array, dict[str, PyTree]]:
        values, extra = _evaluate(term, context)
        return jnp.asarray(schedule(context.state.step)) * values, extra

    return term._replace(value=value)


def combine(*terms: Term) -> Term:
    """Sums terms, to make them lazy or scheduled together.

    The value is the sum of the terms' batch means, and the metric is named by all of them, such as "r1+r2".

    Args:
        terms: At least one, of one player, with different names and slots.

    Raises:
        UserError: If there are no terms, two share a name or (by `init`) a slot, or they are of different players.
    """
    if not terms:
        raise UserError("terms=(): there is nothing to combine; give at least one term")

    names = [term.name for term in terms]
    if len(set(names)) < len(names):
        raise UserError(f"terms: two of {names} share a name; rename one with term._replace(name='another')")

    def value(context: Context) -> tuple[Array, dict[str, PyTree]]:
        total, joined = jnp.zeros(()), {}
        for term in terms:
            values, extra = _evaluate(term, context._replace(keys=rng.each(context.keys, term.name)))
            total += parallel.pmean(jnp.mean(values))
            joined |= extra
        return total, joined

    def slots(params: dict[str, PyTree]) -> dict[str, PyTree]:
        joined: dict[str, PyTree] = {}
        for first in (term.slots(params) for term in terms):
            if twice := set(first) & set(joined):
                raise UserError(f"two combined terms use the slot {sorted(twice)}; rename one of them")
            joined |= first
        return joined

    players = {term.player for term in terms} - {""}
    if len(players) > 1:
        raise UserError(f"terms: they belong to different players, {sorted(players)}; combine terms of one player")
    per_example = tuple({name for term in terms for name in term.per_example})
    return Term("+".join(names), value, per_example, slots, "".join(players))


def _evaluate(term: Term, context: Context) -> tuple[Array, dict[str, PyTree]]:
    """Evaluates a term as `(values, extra)`, with {} where it has no slots."""
    values = term.value(context)
    return values if isinstance(values, tuple) else (values, {})
