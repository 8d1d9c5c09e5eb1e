"""Normalisation layers, chosen by name, and the initialiser and bias that go with each."""

import math
from typing import Any, Literal

from flax import linen as nn

from gan_jax.devices import parallel
from gan_jax.errors import UserError
from gan_jax.networks.layers.batch import VirtualBatchNorm
from gan_jax.types import Array

Norm = Literal["batch", "spectral", "layer", "none"]
ImageNorm = Literal[Norm, "instance"]  # instance norm would erase points: only command lines for images offer it
AnyNorm = ImageNorm | Literal["virtual"]  # virtual batch norm needs a reference batch: no command line offers it

INIT = nn.initializers.normal(0.02)  # DCGAN's, for layers whose scale a normalisation sets


def initialiser(norm: AnyNorm, share: int = 1) -> nn.initializers.Initializer:
    """Returns DCGAN's initialiser, or He's without normalisation, where DCGAN's would make signals vanish.

    Args:
        norm: Normalisation of the layer.
        share: Fraction of the window's inputs that reach an output, as 1 / share: 4 where a 4x4 window doubles sides.
    """
    return INIT if norm != "none" else nn.initializers.variance_scaling(2.0 * share, "fan_in", "normal")


def keeps_bias(norm: AnyNorm) -> bool:
    """Returns whether a bias before the normalisation has any effect after it."""
    return norm not in ("batch", "virtual", "instance")


def layer(module: nn.Module, norm: AnyNorm, x: Array, train: bool) -> Array:
    """Applies a layer with weights, with spectral norm (Miyato et al. 2018, arXiv:1802.05957) if `norm` is "spectral".

    Call it inside `nn.compact`.
    """
    if norm == "spectral":
        return SpectralNorm(module)(x, update_stats=train)
    return module(x)


class SpectralNorm(nn.SpectralNorm):
    """Flax's spectral norm, except that weights keep their type; Flax would turn bfloat16 into float32."""

    def _spectral_normalize(self, path: Any, vs: Array, update_stats: bool) -> Array:
        return super()._spectral_normalize(path, vs, update_stats).astype(vs.dtype)


class BatchNorm(nn.BatchNorm):
    """Flax's batch norm; a subclass, so that a user's `nn.BatchNorm` can be told from that of `normalise`."""


def batch_norm(x: Array, train: bool, momentum: float = 0.9, affine: bool = True) -> Array:
    """Normalises by the moments of the global batch (Ioffe and Szegedy 2015, arXiv:1502.03167).

    Call it inside `nn.compact`.

    Args:
        x: Activations `[b, ..., features]`.
        train: Whether to use the batch's moments and update the running ones.
        momentum: Weight of the old value in the running moments.
        affine: Whether the layer has a scale and a bias.
    """
    axis = parallel.axis()
    options = {"epsilon": 1e-5, "use_scale": affine, "use_bias": affine}
    return BatchNorm(use_running_average=not train, momentum=momentum, axis_name=axis, **options)(x)


def normalise(x: Array, norm: AnyNorm, train: bool, momentum: float = 0.9) -> Array:
    """Normalises activations; call it inside `nn.compact`.

    Args:
        x: Activations `[b, ..., features]`.
        norm: "batch": by the moments of the global batch, see `batch_norm`. "layer": of each example (Ba et al. 2016,
            arXiv:1607.06450). "instance": of each channel of each example, over at least two positions (Ulyanov et al.
            2016, arXiv:1607.08022). "virtual": of a reference batch, see `wrappers.reference_batch`. "spectral" and
            "none": no normalisation here.
        train: Whether batch norm uses the batch's moments and updates the running ones.
        momentum: Weight of the old value in batch norm's running moments.

    Raises:
        UserError: If `norm` is unknown, or "instance" on activations of a single position.
    """
    if norm == "batch":
        return batch_norm(x, train, momentum)
    if norm == "layer":
        return nn.LayerNorm(reduction_axes=tuple(range(1, x.ndim)))(x)
    if norm == "instance":
        if math.prod(x.shape[1:-1]) < 2:
            raise UserError(
                f"norm='instance' sets activations of a single position, {x.shape}, to 0; give 'layer' or 'none'"
            )
        return nn.InstanceNorm(epsilon=1e-5, use_fast_variance=False)(x)
    if norm == "virtual":
        return VirtualBatchNorm()(x)
    if norm not in ("spectral", "none"):
        raise UserError(f"norm={norm!r}: give 'batch', 'virtual', 'instance', 'spectral', 'layer' or 'none'")
    return x
