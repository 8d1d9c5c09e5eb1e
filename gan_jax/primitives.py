"""Makes JAX primitives from functions of arrays."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import mlir

from gan_jax.types import Array


def primitive(name: str, operator: Callable[..., Array], on_cpu: Callable[..., Array] | None = None) -> Primitive:
    """Makes a JAX primitive from a function, without rules for derivatives and batching; register those on the result.

    Args:
        name: Name in jaxprs.
        operator: `(*arrays, **settings) -> array` for every platform; the settings are hashable.
        on_cpu: The same function for CPUs, if it has a formulation of its own there.
    """
    result = Primitive(name)

    @result.def_abstract_eval
    def _(*avals: Any, **settings: Any) -> Any:
        shapes = (jax.ShapeDtypeStruct(each.shape, each.dtype) for each in avals)
        output = jax.eval_shape(functools.partial(operator, **settings), *shapes)
        return ShapedArray(output.shape, output.dtype)

    @functools.partial(jax.jit, static_argnums=0)
    def compiled(settings: tuple[tuple[str, Any], ...], *arrays: Array) -> Array:
        return result.bind(*arrays, **dict(settings))

    @result.def_impl
    def _(*arrays: Array, **settings: Any) -> Array:
        with jax.disable_jit(False):  # with JAX_DISABLE_JIT it would call itself forever
            return compiled(tuple(sorted(settings.items())), *arrays)

    mlir.register_lowering(result, mlir.lower_fun(operator, multiple_results=False))
    if on_cpu is not None:
        mlir.register_lowering(result, mlir.lower_fun(on_cpu, multiple_results=False), platform="cpu")
    return result
