"""Kinds that are no pictures: points, vectors, tokens and text."""

from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from gan_jax import plots
from gan_jax.data.kinds import drawing
from gan_jax.data.kinds.kind import Kind
from gan_jax.errors import UserError
from gan_jax.files import atomic
from gan_jax.types import Array


def _float32(x: Array) -> Array:
    return jnp.asarray(x).astype(jnp.float32)


def _scatter(examples: np.ndarray, columns: int | None = None, real: np.ndarray | None = None) -> np.ndarray:
    return plots.scatter(examples, real)


points = Kind(
    "points",
    "points",
    "float32 [2]",
    lambda shape, dtype: shape == (2,) and dtype == np.float32,
    _float32,
    _float32,
    _scatter,
    shown=1024,
    overlaid=True,
)
"""Points in the plane, float32 `[2]`, as they are. A sheet is a scatter plot, over real points; files are .npy."""

vector = Kind(
    "vector",
    "vectors",
    "float32 [D]",
    lambda shape, dtype: len(shape) == 1 and dtype == np.float32,
    _float32,
    _float32,
)
"""Vectors, float32 `[D]`, as they are. A sheet draws each as a line; files are .npy."""


def _tokens(name: str, noun: str, form: str, read: Callable[[np.ndarray], str]) -> Kind:
    def write(path: Path, example: np.ndarray) -> Path:
        target = path.with_name(f"{path.name}.txt")
        with atomic(target, ".txt") as stream:
            stream.write(f"{read(example)}\n".encode())
        return target

    return Kind(
        name,
        noun,
        form,
        lambda shape, dtype: len(shape) == 1 and dtype == np.int32,
        jnp.asarray,
        lambda logits: jnp.argmax(logits, axis=-1).astype(jnp.int32),
        lambda examples, columns=None, real=None: drawing.text([read(row) for row in examples], columns),
        write,
        shown=16,
    )


tokens = _tokens("tokens", "sequences of tokens", "int32 [L]", lambda row: " ".join(map(str, row.tolist())))
"""Sequences of tokens, int32 `[L]`. Networks see the integers; a generator returns logits `[L, V]`. Files are text."""


def text(name: str, alphabet: str) -> Kind:
    """Returns a kind of texts: `tokens` that are written as characters.

    Args:
        name: "module:attribute", where the result is kept.
        alphabet: The character of each token.

    Raises:
        UserError: If a character is there twice.
    """
    if len(set(alphabet)) < len(alphabet):
        raise UserError(f"alphabet={alphabet!r} has a character twice; give each token a different one")
    return _tokens(name, "texts", "int32 [L]", lambda row: "".join(alphabet[token] for token in row))
