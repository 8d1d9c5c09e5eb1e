"""Fields that vary between a population's configs: the seed and floats, which one program can take as arguments."""

import typing
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import jax

from gan_jax.errors import UserError

Columns = dict[str, list[Any]]  # field's name -> its value in every config


def columns(configs: Sequence[Any]) -> Columns:
    """Returns the values of `seed`, and of every field that differs.

    Args:
        configs: Dataclasses of one experiment; of their field `run` only `steps`, `freeze` and `init_from` are
            checked.

    Raises:
        UserError: If a field that is no float differs, there is no config, the configs are of several types, or one
            starts from another run.
    """
    kinds = {type(config) for config in configs}
    if len(kinds) != 1:
        raise UserError(
            f"configs have the types {[kind.__name__ for kind in kinds]}; give at least one, all of one experiment"
        )
    (kind,) = kinds
    hints = typing.get_type_hints(kind)
    varied: Columns = {"seed": [config.seed for config in configs]}
    if any(not -(2**31) <= seed < 2**31 for seed in varied["seed"]):
        raise UserError(f"seed: {varied['seed']} do not all fit in signed 32-bit integers; give seeds below 2**31")
    for name in (field.name for field in fields(kind) if field.name not in ("seed", "run")):
        column = [getattr(config, name) for config in configs]
        if all(value == column[0] for value in column):
            continue
        if not is_float(hints[name]) or not all(isinstance(value, int | float) for value in column):
            raise UserError(_refusal(name, column, "it is not a float, and may change the program"))
        varied[name] = [float(value) for value in column]
    for name, why in (("steps", "all members run the same number of steps"), ("freeze", "it changes the program")):
        column = [getattr(config.run, name) for config in configs]
        if len(set(column)) > 1:
            raise UserError(_refusal(f"run.{name}", column, why))
    if parent := next((config.run.init_from for config in configs if config.run.init_from), None):
        raise UserError(
            f"run.init_from={parent}: a population starts from fresh networks; leave it out, or give states with start="
        )
    return varied


def is_float(hint: Any) -> bool:
    """Returns whether a field of this type may hold a float."""
    return float in (hint, *typing.get_args(hint))


def require_traced(f: Callable[..., Any], varied: Columns, *arguments: Any) -> None:
    """Refuses fields on whose values Python code branches, which a traced number does not allow.

    Args:
        f: `(values, *arguments)`: the function to trace, with values of any of the fields, by name.
        varied: As from `columns`.
        arguments: Further traced arguments.

    Raises:
        UserError: Naming the field.
    """

    def trace(*names: str) -> None:
        jax.eval_shape(f, {name: varied[name][0] for name in names}, *arguments)

    try:
        trace(*varied)
    except TypeError as error:  # the base of JAX's errors about tracers
        for name, column in varied.items():
            try:
                trace(name)
            except TypeError:
                why = f"Python code depends on its value ({str(error).splitlines()[0]})"
                raise UserError(_refusal(name, column, why)) from error
        raise


def _refusal(name: str, column: Sequence[Any], why: str) -> str:
    values = [value for place, value in enumerate(column) if value not in column[:place]]
    return f"{name} differs between configs, {values}, but {why}; train a population for each of its values"
