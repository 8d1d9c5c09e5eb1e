"""Labels and codes in latents (`latents.joined`): reading, setting, class tables and traversals."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gan_jax.errors import UserError
from gan_jax.types import Array, Latent, Part


def read(latent: Latent, values: Array, name: str) -> Array:
    """Returns a part `[n, part size]` of latents `[n, size]`.

    Args:
        latent: Distribution of the latents.
        values: The latents.
        name: Name of the part.

    Raises:
        UserError: If there is no such part.
    """
    part = _part(latent, name)
    return values[..., part.start : part.start + part.size]


def put(latent: Latent, values: Array, name: str, new: Array) -> Array:
    """Returns latents with one part replaced by `new`, `[n, part size]`; the other arguments are those of `read`."""
    part = _part(latent, name)
    return values.at[..., part.start : part.start + part.size].set(new)


def with_labels(latent: Latent, values: Array, labels: ArrayLike, name: str = "label") -> Array:
    """Returns latents with a categorical part set to given classes.

    Args:
        latent: Distribution of the latents.
        values: Latents `[n, size]`.
        labels: Classes, integers `[n]`.
        name: Name of the part.

    Raises:
        UserError: If there is no such part or class, or the part is not categorical.
    """
    part = _part(latent, name)
    if not part.categorical:
        raise UserError(f"{name} is a code of {part.size} continuous values, not of classes; give values")
    if wrong := sorted({int(i) for i in np.asarray(labels) if not 0 <= i < part.size}):
        raise UserError(f"{name} {wrong[0]} does not exist; give a class from 0 to {part.size - 1}")
    return put(latent, values, name, jax.nn.one_hot(jnp.asarray(labels), part.size))


def with_codes(latent: Latent, values: Array, codes: Sequence[str]) -> Array:
    """Returns latents with parts set as text says: "name=number", "name=number,number", or "name=class"."""
    for code in codes:
        name, _, text = code.partition("=")
        try:
            numbers = [float(number) for number in text.split(",")]
        except ValueError:
            raise UserError(f"--codes {code}: give name=number or name=number,number") from None
        if not all(map(math.isfinite, numbers)):
            raise UserError(f"--codes {code}: give finite numbers")
        size = read(latent, values, name).shape[-1]
        if len(numbers) == size:
            values = put(latent, values, name, jnp.asarray(numbers))
        elif len(numbers) == 1 and numbers[0].is_integer():
            values = with_labels(latent, values, np.full(len(values), int(numbers[0])), name)
        else:
            takes = f"{size} values" if size > 1 else "1 value"
            raise UserError(
                f"--codes {code} gives {len(numbers)} values; {name} takes {takes}, or the number of a class"
            )
    return values


def classes(latent: Latent) -> Part | None:
    """Returns the first categorical part of at most 16 classes, by which tables of samples are arranged, if any."""
    return next((part for part in latent.parts if part.categorical and part.size <= 16), None)


def by_class(latent: Latent, values: Array, rows: int) -> Array | None:
    """Returns latents for a table of samples: one row per latent, one column per class.

    The classes are those of `classes`.

    Args:
        latent: Distribution of the latents.
        values: Latents `[n, size]`, n at least `rows`; they give everything but the class.
        rows: Number of rows.

    Returns:
        `[rows * classes, size]`, row by row; None if there is no such part.
    """
    if (part := classes(latent)) is None:
        return None
    columns = jnp.tile(jnp.eye(part.size), (rows, 1))
    return put(latent, jnp.repeat(values[:rows], part.size, axis=0), part.name, columns)


def captions(latent: Latent, class_names: Sequence[str]) -> Sequence[str]:
    """Returns the captions of the columns of `by_class`: the names of the classes, if its columns are those classes.

    Args:
        latent: Distribution of the latents.
        class_names: Names of the data's classes, empty if not known.
    """
    part = classes(latent)
    of_data = part is not None and part.name == "label" and part.size == len(class_names)
    return class_names if of_data else ()


def traversals(latent: Latent, value: Array, steps: int, low: float = -1.0, high: float = 1.0) -> Array:
    """Returns latent traversals: each row varies one code of a latent and holds everything else.

    Args:
        latent: Distribution of the latent.
        value: The latent to vary, `[size]`.
        steps: Latents per row.
        low: First value of a continuous code.
        high: Last value of a continuous code.

    Returns:
        `[rows * steps, size]`: one row per categorical part, through its classes and then again from the first, and
        one row per dimension of every other part, evenly spaced from `low` to `high`.
    """
    rows = []
    for part in latent.parts:
        base = jnp.tile(value, (steps, 1))
        if part.categorical:
            rows.append(put(latent, base, part.name, jnp.eye(part.size)[jnp.arange(steps) % part.size]))
        else:
            line = jnp.linspace(low, high, steps)
            rows += [base.at[:, part.start + i].set(line) for i in range(part.size)]
    return jnp.concatenate(rows)


def _part(latent: Latent, name: str) -> Part:
    for part in latent.parts:
        if part.name == name:
            return part
    known = ", ".join(part.name for part in latent.parts)
    raise UserError(f"{name!r}: this generator {f'has no such code; it has {known}' if known else 'has no codes'}")
