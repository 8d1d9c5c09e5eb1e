"""Shifts of a layer's output inside a network, to differentiate with respect to that output."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
from flax import linen as nn

from gan_jax.errors import UserError
from gan_jax.types import Array, PyTree


@contextmanager
def shifted(layer: str, delta: Array) -> Iterator[None]:
    """Context in which a value is added to the output of a layer, in every network that has a layer of this path.

    It acts while a network is traced, so enter it inside the function to be compiled. At `delta` 0, the gradient with
    respect to `delta` is that with respect to the layer's output:

        def value(delta):
            with shifted("styles", delta):
                return jnp.sum(context.generate(latents))

    Args:
        layer: The layer's path in its network, such as "styles" or "synthesis/block_8".
        delta: The value to add, of the output's shape.
    """
    with _changed(layer, lambda value: value + delta):
        yield


def shape(layer: str, function: Callable[[], PyTree]) -> jax.ShapeDtypeStruct:
    """Returns the shape and type of a layer's output in a function that evaluates a network; nothing is computed.

    Raises:
        UserError: If no layer of that path is evaluated.
    """

    def stop(value: Array) -> Array:
        raise _Reached(jax.ShapeDtypeStruct(value.shape, value.dtype))

    try:
        with _changed(layer, stop):
            jax.eval_shape(function)
    except _Reached as reached:
        return reached.args[0]
    raise UserError(f"layer={layer!r}: the network has no layer of this path")


class _Reached(Exception):
    """Ends the evaluation once the layer is reached; carries its output's shape."""


@contextmanager
def _changed(layer: str, change: Callable[[Array], Array]) -> Iterator[None]:
    def call(method: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        value = method(*args, **kwargs)
        return change(value) if context.method_name == "__call__" and "/".join(context.module.path) == layer else value

    with nn.intercept_methods(call):
        yield
