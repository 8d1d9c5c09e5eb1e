"""Normalisation by argument."""

import math
from typing import Any, Literal

from flax import linen as nn

from gan_jax.devices import parallel
from gan_jax.errors import UserError
from gan_jax.networks.layers.batch import VirtualBatchNorm
from gan_jax.types import Array

Norm = Literal["batch", "spectral", "layer", "none"]
ImageNorm = Literal[Norm, "instance"]  # which would erase points, so that only command lines of images offer it
AnyNorm = ImageNorm | Literal["virtual"]  # which needs a reference batch too, so that a command line does not offer it

INIT = nn.initializers.normal(0.02)  # of DCGAN, for layers whose scale a normalisation sets


def initialiser(norm: AnyNorm, share: int = 1) -> nn.initializers.Initializer:
    """Returns DCGAN's initialiser, or without any normalisation He's, as signals would die out under DCGAN's.

    Args:
        norm: Of the layer.
        share: One in so many of the window's inputs reaches an output: 4 where a 4x4 window doubles sides.
    """
    return INIT if norm != "none" else nn.initializers.variance_scaling(2.0 * share, "fan_in", "normal")


def keeps_bias(norm: AnyNorm) -> bool:
    """Returns whether a bias before the normalisation survives it."""
    return norm not in ("batch", "virtual", "instance")


def layer(module: nn.Module, norm: AnyNorm, x: Array, train: bool) -> Array:
    """Applies a layer with weights, under spectral norm (Miyato et al. 2018, arXiv:1802.05957) if that is the kind.

    Call it inside `nn.compact`.
    """
    if norm == "spectral":
        return SpectralNorm(module)(x, update_stats=train)
    return module(x)


class SpectralNorm(nn.SpectralNorm):
    """Flax's, but weights keep their type: divided by a float32 norm, bfloat16 ones would become float32."""

    def _spectral_normalize(self, path: Any, vs: Array, update_stats: bool) -> Array:
        return super()._spectral_normalize(path, vs, update_stats).astype(vs.dtype)


def normalise(x: Array, norm: AnyNorm, train: bool, momentum: float = 0.9) -> Array:
    """Normalises activations `[b, ..., features]`, if that is the kind; call it inside `nn.compact`.

    Args:
        x: Activations.
        norm: "batch": by the moments of the global batch (Ioffe and Szegedy 2015, arXiv:1502.03167). "layer": by those
            of each example (Ba et al. 2016, arXiv:1607.06450). "instance": by those of each example's each channel
            over places, of which there must be several (Ulyanov et al. 2016, arXiv:1607.08022). "virtual": by those of
            a reference batch, see `batch.with_reference`. "spectral" and "none": not at all.
        train: Whether to use the batch's moments, and move the running ones.
        momentum: The weight of the old value in batch norm's running moments.
    """
    if norm == "batch":
        batch_norm = nn.BatchNorm(
            use_running_average=not train, momentum=momentum, epsilon=1e-5, axis_name=parallel.axis()
        )
        return batch_norm(x)
    if norm == "layer":
        return nn.LayerNorm(reduction_axes=tuple(range(1, x.ndim)))(x)
    if norm == "instance":
        if math.prod(x.shape[1:-1]) < 2:
            raise UserError(f"norm='instance': it erases activations {x.shape} of one place; give 'layer' or 'none'")
        return nn.InstanceNorm(epsilon=1e-5, use_fast_variance=False)(x)
    if norm == "virtual":
        return VirtualBatchNorm()(x)
    if norm not in ("spectral", "none"):
        raise UserError(f"norm={norm!r}: give 'batch', 'virtual', 'instance', 'spectral', 'layer' or 'none'")
    return x
