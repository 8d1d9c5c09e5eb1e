"""Parts of latents that mean something, of distributions made by `latents.joined`: read, set, laid out, moved."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gan_jax.errors import UserError
from gan_jax.types import Array, Latent, Part


def read(latent: Latent, values: Array, name: str) -> Array:
    """Returns a part `[n, part size]` of latents `[n, size]`.

    Args:
        latent: Their distribution.
        values: The latents.
        name: Of the part.

    Raises:
        UserError: If there is no such part.
    """
    found = _part(latent, name)
    return values[..., found.start : found.start + found.size]


def put(latent: Latent, values: Array, name: str, new: Array) -> Array:
    """Returns latents with one part, `[n, part size]`, replaced; arguments as in `part`."""
    found = _part(latent, name)
    return values.at[..., found.start : found.start + found.size].set(new)


def with_labels(latent: Latent, values: Array, labels: ArrayLike, name: str = "label") -> Array:
    """Returns latents with a categorical part set.

    Args:
        latent: Their distribution.
        values: Latents `[n, size]`.
        labels: Classes, integers `[n]`.
        name: Of the part.

    Raises:
        UserError: If there is no such part, or no such class.
    """
    found = _part(latent, name)
    if not found.categorical:
        raise UserError(f"{name}: it is a code of {found.size} values, not of classes; give it values")
    if wrong := sorted({int(i) for i in np.asarray(labels) if not 0 <= i < found.size}):
        raise UserError(f"{name} {wrong[0]}: there are the classes 0 to {found.size - 1}; give one of them")
    return put(latent, values, name, jax.nn.one_hot(jnp.asarray(labels), found.size))


def by_class(latent: Latent, values: Array, rows: int) -> Array | None:
    """Lays latents out as a table: a row for each latent's noise, a column for each class of the first that has some.

    Args:
        latent: Their distribution.
        values: Latents `[n, size]`, n at least `rows`.
        rows: Of the table.

    Returns:
        `[rows * classes, size]`, row by row; None where no part is of at most 16 classes.
    """
    found = next((p for p in latent.parts if p.categorical and p.size <= 16), None)
    if found is None:
        return None
    columns = jnp.tile(jnp.eye(found.size), (rows, 1))
    return put(latent, jnp.repeat(values[:rows], found.size, axis=0), found.name, columns)


def traversals(latent: Latent, value: Array, steps: int, low: float = -1.0, high: float = 1.0) -> Array:
    """Moves one code after another, all else held: a row through a categorical one's classes, else from low to high.

    Args:
        latent: Distribution of the latent.
        value: Where to stand, `[size]`.
        steps: Images a row; a row of fewer classes begins again.
        low: First value of a code.
        high: Last value.

    Returns:
        `[rows * steps, size]`; a categorical part is one row, and any other a row for each of its values.
    """
    rows = []
    for found in latent.parts:
        base = jnp.tile(value, (steps, 1))
        if found.categorical:
            rows.append(put(latent, base, found.name, jnp.eye(found.size)[jnp.arange(steps) % found.size]))
        else:
            line = jnp.linspace(low, high, steps)
            rows += [base.at[:, found.start + i].set(line) for i in range(found.size)]
    return jnp.concatenate(rows)


def _part(latent: Latent, name: str) -> Part:
    for found in latent.parts:
        if found.name == name:
            return found
    known = ", ".join(found.name for found in latent.parts)
    raise UserError(f"{name!r}: this generator {f'has no such code; it has {known}' if known else 'has no codes'}")
