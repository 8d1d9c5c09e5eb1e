"""A network as pure functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

from gan_jax.errors import UserError
from gan_jax.types.state import Array, PyTree


def _opaque(*arguments: Any, **options: Any) -> Any:
    raise UserError("network: it was not built by `linen`, so its layers cannot be inspected; give it an `inspect`")


class Network(NamedTuple):
    """A neural network as pure functions.

    Attributes:
        init: `(key) -> (params, stats)`: initial parameters, and the running statistics of normalisation layers, {} if
            there are none.
        apply: `(params, stats, *inputs, train, key=None) -> (output, stats)`; with `train=False` the statistics are
            used and returned unchanged.
        batch_dependent: `() -> bool`: whether an example's output depends on the rest of its batch in training, as
            under batch normalisation. A function because the answer costs one evaluation, which few objectives need.
        inspect: `(params, stats, *inputs, edit=None) -> (output, layers)`: evaluates the network and returns every
            layer's output, keyed by path such as "ConvTranspose_0". `edit(path, value) -> value` replaces an output
            before the next layer sees it.
    """

    init: Callable[..., tuple[PyTree, PyTree]]
    apply: Callable[..., tuple[PyTree, PyTree]]
    batch_dependent: Callable[[], bool]
    inspect: Callable[..., tuple[PyTree, dict[str, Array]]] = _opaque
