"""Shape errors of layers, which name the network that fails and the shapes of its inputs.

`linen` raises `Unfit` in place of errors of Flax and JAX; a game, which knows the network's name, adds it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
from flax import linen as nn
from flax.errors import FlaxError

from gan_jax.errors import UserError


class Unfit(UserError):
    """The layers of a network do not fit its inputs, or each other."""


@contextmanager
def explained(module: nn.Module, shapes: Iterable[tuple[int, ...]]) -> Iterator[None]:
    """Turns errors of a module's layers into `Unfit`, which names the module and the shapes of its inputs.

    Errors about tracers keep their type, as do all but Flax's own and the two that JAX raises for shapes, TypeError and
    ValueError.
    """
    try:
        yield
    except (UserError, jax.errors.JAXTypeError):
        raise
    except (FlaxError, TypeError, ValueError) as error:
        described = ", ".join(str(tuple(shape)) for shape in shapes)
        raise Unfit(f"{type(module).__name__} fails for inputs of shape {described}: {error}") from error


@contextmanager
def named(name: str) -> Iterator[None]:
    """Adds the name of a network to `Unfit`."""
    try:
        yield
    except Unfit as error:
        raise UserError(f"the network {name!r}, {error}") from error.__cause__


@contextmanager
def noted() -> Iterator[list[str]]:
    """Context that notes which networks are evaluated within.

    Yields:
        The classes of their modules, in the order of evaluation; filled as networks are traced.
    """
    classes: list[str] = []

    def note(method: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if context.method_name == "__call__" and not isinstance(context.module.parent, nn.Module):
            classes.append(type(context.module).__name__)
        return method(*args, **kwargs)

    with nn.intercept_methods(note):
        yield classes
