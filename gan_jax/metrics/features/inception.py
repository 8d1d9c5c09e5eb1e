"""Inception-v3 of 2015-12-05, the network of published Frechet distances and Inception scores.

Inception-v3: Szegedy et al. 2015, arXiv:1512.00567. The graph used for scores differs from the paper's and from
torchvision's: average pooling excludes padding, and the last block uses max pooling where the paper averages. Batch
norm is folded into the preceding convolution.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util

from gan_jax import rng
from gan_jax.data.dataset import fingerprint
from gan_jax.errors import UserError
from gan_jax.metrics.features import resize as resizing
from gan_jax.metrics.features import weights
from gan_jax.metrics.features.extraction import Features
from gan_jax.networks.layers.conv import Conv, Padding, Pair
from gan_jax.types import Array, PyTree

URL = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"
SIDE = 299  # side of the network's input
SIZE = 2048  # number of features
CLASSES = 1008
EPSILON = 1e-3  # of batch norm
LIMIT = 400_000_000  # most bytes of weights: 24 million numbers, as doubles, and as much again that is not used
CHUNK = 32  # images at once on a CPU, where 256 would take gigabytes

Resize = Literal["reference", "clean", "tensorflow"]


def features(path: Path | str | None = None, resize: Resize = "reference") -> Features:
    """Returns Inception's 2048 features before the last layer, and its probabilities of 1008 classes.

    Probabilities are the softmax of the logits without bias, as in the original code of the Inception score (Salimans
    et al. 2016, arXiv:1606.03498). Images have 3 channels, or 1, which is repeated.

    Args:
        path: Weights under the names of pytorch-fid, in any format of `weights.read`; None uses pytorch-fid's own from
            the cache, downloaded on first use.
        resize: How images are resized to 299x299 and scaled to the network's range. "reference": as pytorch-fid does;
            "clean": as clean-fid; "tensorflow": as the original code of the distance (Heusel et al. 2017,
            arXiv:1706.08500) and torch-fidelity. Scores are comparable only with those of the same implementation.

    Raises:
        UserError: If `resize` is none of these, or the weights are damaged, lack a layer, or are another network's.
        Unreachable: If they cannot be downloaded.
    """
    if resize not in _PREPARE:
        raise UserError(f"resize={resize!r}: give one of {', '.join(_PREPARE)}")
    path = weights.downloaded(URL) if path is None else Path(path)
    if URL.endswith(f"/{path.name}"):
        weights.verify(path, path.name)
    params, mark = _params(weights.read(path, LIMIT), path)
    resize_name, prepare = _PREPARE[resize]
    return Features("Inception-v3", mark, resize_name, SIZE, CLASSES, params, partial(_apply, prepare))


# Name of the resize, and the function from images in [-1, 1] to the network's input. The original graph scales a byte v
# to (v - 128) / 128, and pytorch-fid to v / 127.5 - 1.
_PREPARE: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "reference": ("bilinear, as pytorch-fid", lambda x: resizing.bilinear(x, SIDE)),
    "clean": ("bicubic antialiased, as clean-fid", lambda x: (127.5 * resizing.clean(x, SIDE) - 0.5) / 128),
    "tensorflow": ("bilinear, as TensorFlow 1", lambda x: (127.5 * resizing.tensorflow(x, SIDE) - 0.5) / 128),
}


def _apply(prepare: Callable[[Array], Array], params: PyTree, images: Array) -> tuple[Array, Array]:
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise UserError(f"images has shape {images.shape}: Inception takes [b, H, W, C] of C = 1 or 3 channels")

    def judge(images: Array) -> tuple[Array, Array]:
        x = prepare(images)
        outputs: Any = Net().apply({"params": params}, jnp.broadcast_to(x, (*x.shape[:3], 3)))
        return outputs[0], nn.softmax(outputs[1])

    # TPUs and recent GPUs multiply at 8 to 11 bits unless told otherwise.
    with jax.default_matmul_precision("float32"):
        if jax.default_backend() != "cpu" or len(images) % CHUNK:
            return judge(images)
        # A chunk is every 8th of 256 images, not 32 in a row, so that every chunk is split over the devices.
        chunks = images.reshape(CHUNK, -1, *images.shape[1:]).swapaxes(0, 1)
        found = jax.lax.map(judge, chunks)
        return jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(len(images), -1), found)


class Net(nn.Module):
    """Inception-v3: images to features and logits; layers have the names of PyTorch's weights."""

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Maps `[b, 299, 299, 3]` in [-1, 1] to features `[b, 2048]` and logits without bias `[b, 1008]`."""
        x = _unit(x, "Conv2d_1a_3x3", 32, 3, 2)
        x = _unit(x, "Conv2d_2a_3x3", 32, 3, padding="VALID")
        x = _unit(x, "Conv2d_2b_3x3", 64, 3)
        x = _unit(_halved(x), "Conv2d_3b_1x1", 80)
        x = _halved(_unit(x, "Conv2d_4a_3x3", 192, 3, padding="VALID"))
        for name, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
            x = Mixed(partial(_a, pooled=pooled), name=name)(x)
        x = Mixed(_b, name="Mixed_6a")(x)
        for name, width in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
            x = Mixed(partial(_c, width=width), name=name)(x)
        x = Mixed(_d, name="Mixed_7a")(x)
        x = Mixed(partial(_e, pool=average), name="Mixed_7b")(x)
        x = Mixed(partial(_e, pool=maximum), name="Mixed_7c")(x)
        x = x.mean((1, 2))
        return x, nn.Dense(CLASSES, use_bias=False, name="fc")(x)


class Mixed(nn.Module):
    """Inception block: concatenates the outputs of several branches."""

    branches: Callable[[Array], list[Array]]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps `[b, H, W, C]` to `[b, H', W', C']`."""
        return jnp.concatenate(self.branches(x), -1)


def _a(x: Array, pooled: int) -> list[Array]:
    """Branches of a block at 35x35: windows of 1x1, 5x5, two 3x3, and pooling."""
    return [
        _unit(x, "branch1x1", 64),
        _chain(x, "branch5x5", (48, 1), (64, 5)),
        _chain(x, "branch3x3dbl", (64, 1), (96, 3), (96, 3)),
        _unit(average(x), "branch_pool", pooled),
    ]


def _b(x: Array) -> list[Array]:
    """Branches of the block that halves 35x35."""
    return [
        _unit(x, "branch3x3", 384, 3, 2),
        _chain(x, "branch3x3dbl", (64, 1), (96, 3), (96, 3, 2)),
        _halved(x),
    ]


def _c(x: Array, width: int) -> list[Array]:
    """Branches of a block at 17x17: windows of 1x1, 7x7 factorised into 1x7 and 7x1, and pooling."""
    row, column = (1, 7), (7, 1)
    return [
        _unit(x, "branch1x1", 192),
        _chain(x, "branch7x7", (width, 1), (width, row), (192, column)),
        _chain(x, "branch7x7dbl", (width, 1), (width, column), (width, row), (width, column), (192, row)),
        _unit(average(x), "branch_pool", 192),
    ]


def _d(x: Array) -> list[Array]:
    """Branches of the block that halves 17x17."""
    return [
        _chain(x, "branch3x3", (192, 1), (320, 3, 2)),
        _chain(x, "branch7x7x3", (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2)),
        _halved(x),
    ]


def _e(x: Array, pool: Callable[[Array], Array]) -> list[Array]:
    """Branches of a block at 8x8: windows of 1x1, 3x3 (the last as parallel 1x3 and 3x1), and pooling."""
    once, twice = _unit(x, "branch3x3_1", 384), _chain(x, "branch3x3dbl", (448, 1), (384, 3))
    return [
        _unit(x, "branch1x1", 320),
        _unit(once, "branch3x3_2a", 384, (1, 3)),
        _unit(once, "branch3x3_2b", 384, (3, 1)),
        _unit(twice, "branch3x3dbl_3a", 384, (1, 3)),
        _unit(twice, "branch3x3dbl_3b", 384, (3, 1)),
        _unit(pool(x), "branch_pool", 192),
    ]


def average(x: Array) -> Array:
    """Average-pools 3x3 windows of images `[b, H, W, C]` at stride 1, without padding values at the border."""
    return nn.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False)


def maximum(x: Array) -> Array:
    """Max-pools 3x3 windows of images `[b, H, W, C]` at stride 1, without padding values at the border."""
    return nn.max_pool(x, (3, 3), (1, 1), "SAME")


def _halved(x: Array) -> Array:
    return nn.max_pool(x, (3, 3), (2, 2))


def _chain(x: Array, name: str, *steps: tuple[Any, ...]) -> Array:
    """Applies a sequence of units, each given by its features, size and stride."""
    for number, step in enumerate(steps, 1):
        x = _unit(x, f"{name}_{number}", *step)
    return x


def _unit(
    x: Array, name: str, features: int, size: int | Pair = 1, stride: int = 1, padding: Padding | None = None
) -> Array:
    """Convolution with folded batch norm, and ReLU; by default "SAME" padding at stride 1, else "VALID"."""
    padding = padding or ("SAME" if stride == 1 else "VALID")
    return nn.relu(Conv(features, size, stride, padding, name=name)(x))


def _params(arrays: dict[str, np.ndarray], path: Path) -> tuple[PyTree, str]:
    """Returns the parameters of `Net`, with batch norm folded in, and a fingerprint of the weights used."""
    used: dict[str, np.ndarray] = {}

    def take(name: str, *shape: int) -> np.ndarray:
        values = arrays.get(name)
        if values is None or values.shape != shape or not np.isfinite(values).all():
            fault = "is missing" if values is None else f"is {values.shape}, to be {shape} and finite"
            raise UserError(
                f"weights {str(path)!r}: {name} {fault}; give pytorch-fid's weights of 2015-12-05, whole "
                "(torchvision's are another network's)"
            )
        used[name] = np.asarray(values, np.float32)
        return used[name].astype(np.float64)

    image = jax.ShapeDtypeStruct((1, SIDE, SIDE, 3), jnp.float32)
    shapes: Any = jax.eval_shape(Net().init, rng.key(0), image)["params"]
    leaves: dict[tuple[str, ...], Any] = traverse_util.flatten_dict(shapes)
    kernels = {place[:-1]: leaf.shape for place, leaf in leaves.items() if place[-1] == "kernel"}
    params = {("fc", "kernel"): take("fc.weight", *kernels.pop(("fc",))[::-1]).T}
    for layer, (height, width, inputs, outputs) in kernels.items():
        name = ".".join(layer)
        kernel = take(f"{name}.conv.weight", outputs, inputs, height, width).transpose(2, 3, 1, 0)
        statistics = ("weight", "bias", "running_mean", "running_var")
        scale, shift, mean, variance = (take(f"{name}.bn.{statistic}", outputs) for statistic in statistics)
        scale = scale / np.sqrt(variance + EPSILON)
        params |= {(*layer, "kernel"): kernel * scale, (*layer, "bias"): shift - mean * scale}
    return jax.tree.map(np.float32, traverse_util.unflatten_dict(params)), fingerprint(used)
