"""The type of a kind of examples."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from gan_jax.data.kinds import drawing
from gan_jax.errors import UserError
from gan_jax.types import Array


class Sheet(Protocol):
    """Draws examples."""

    def __call__(self, examples: np.ndarray, columns: int | None = None, real: np.ndarray | None = None) -> np.ndarray:
        """Returns a picture, uint8 `[H, W, 3]`, or frames `[T, H, W, 3]` where examples move.

        Args:
            examples: `[n, ...]`, as stored.
            columns: Examples per row; by default ceil(sqrt(n)).
            real: Real examples `[m, ...]` for reference, where the kind can use them.
        """
        ...


class Kind(NamedTuple):
    """A kind of examples: what everything outside networks needs to know about the arrays of a data set.

    Attributes:
        name: "image", or "module:attribute" for a kind of your own, by which a run's record finds it again.
        noun: Plural for messages, such as "images".
        form: Type and shape of one stored example, for messages, such as "uint8 [H, W, 1 or 3]".
        fits: `(shape, dtype) -> bool`: whether stored examples of this shape `(...)` and type are of the kind.
        to_network: `(stored [n, ...]) -> what networks take`, by default float32; jit-able.
        from_network: `(what a generator returns [n, ...]) -> stored form`; jit-able. For stored x and a generator that
            returns `to_network(x)`, or for logits the one-hot form of it, it is x.
        sheet: Draws examples, see `Sheet`; by default one line for each.
        write: `(path without suffix, one stored example) -> path`: writes a file, by default .npy; returns its path.
        shown: Number of examples on a sheet of samples.
        overlaid: Whether a sheet draws all examples in one plot, so that `columns` has no meaning.
        moving: Whether a sheet is frames, which are written as a GIF.
        is_image: Whether stored examples are uint8 `[H, W, 1 or 3]`, scaled as `image`, so that convolutions,
            classifiers, Inception and views of filters apply.
    """

    name: str
    noun: str
    form: str
    fits: Callable[[tuple[int, ...], np.dtype[Any]], bool]
    to_network: Callable[[Any], Array]
    from_network: Callable[[Any], Array]
    sheet: Sheet = drawing.lines
    write: Callable[[Path, np.ndarray], Path] = drawing.write_npy
    shown: int = 64
    overlaid: bool = False
    moving: bool = False
    is_image: bool = False

    def require(self, name: str, examples: np.ndarray) -> None:
        """Checks stored examples `[n, ...]`; raises UserError, with `name`, if they are not of this kind."""
        if not self.fits(examples.shape[1:], examples.dtype):
            raise UserError(
                f"{name}: the examples are {examples.dtype} {list(examples.shape[1:])}, but {self.noun} must be "
                f"{self.form}; give another kind, from data.kinds or your own"
            )
