"""Flax's own layers that do not suit training here, and what replaces them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
from flax import linen as nn

from gan_jax.errors import listed


@contextmanager
def noticed() -> Iterator[dict[str, list[str]]]:
    """Context that looks for Flax's layers in networks that are initialised or evaluated within.

    Yields:
        Advice -> the layers that it is about, for `text`; filled as networks are traced.
    """
    layers: dict[str, list[str]] = {}

    def look(method: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        layer = context.module
        if context.method_name == "__call__" and (advice := _advice(layer)):
            places = layers.setdefault(f"Flax's nn.{type(layer).__name__}, {advice}", [])
            places += [place] if (place := _place(layer)) not in places else []
        return method(*args, **kwargs)

    with nn.intercept_methods(look):
        yield layers


def text(advice: str, layers: list[str]) -> str:
    """Returns advice, preceded by the first layers that it is about and the number of the others."""
    return f"{listed(layers)} {'is' if len(layers) == 1 else 'are'} {advice}"


def _advice(layer: nn.Module) -> str:
    if type(layer) is nn.BatchNorm and layer.axis_name is None:
        return (
            "which uses the statistics of one device's examples: results depend on the number of devices, and a run on "
            'several fails after its first call; use gan_jax.networks.layers.norm.normalise(x, "batch", train)'
        )
    if type(layer) is nn.Dropout:
        return "whose noise depends on the number of devices; use gan_jax.networks.layers.noise.Dropout(rate)(x, train)"
    if type(layer) in (nn.Conv, nn.ConvTranspose) and jax.default_backend() == "cpu":
        sizes, groups = getattr(layer, "kernel_size", ()), getattr(layer, "feature_group_count", 1)
        if not isinstance(sizes, int) and len(sizes) == 2 and groups == 1:  # others have no replacement
            name = f"gan_jax.networks.layers.conv.{type(layer).__name__}"
            return f"which trains slowly on CPUs; use {name}, with the same parameters"
    return ""


def _place(layer: nn.Module) -> str:
    """Returns the class of the network that holds a layer, and the layer's path there."""
    network = layer
    while isinstance(network.parent, nn.Module):
        network = network.parent
    return "/".join([type(network).__name__, *layer.path])
