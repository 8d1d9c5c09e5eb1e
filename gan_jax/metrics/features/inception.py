"""Features of Inception-v3, those of published Frechet distances and Inception scores: its inputs and its weights."""

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
from gan_jax.metrics.features import download, weights
from gan_jax.metrics.features import resize as resizing
from gan_jax.metrics.features.extraction import Features
from gan_jax.metrics.features.inception_network import CLASSES, Net
from gan_jax.types import Array, PyTree

URL = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"
NAME = "Inception-v3"
SIDE = 299  # side of the network's input
SIZE = 2048  # number of features
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
    path = download.downloaded(URL) if path is None else Path(path)
    if URL.endswith(f"/{path.name}"):
        download.verify(path, path.name)
    params, mark = _params(weights.read(path, LIMIT), path)
    resize_name, prepare = _PREPARE[resize]
    return Features(NAME, mark, resize_name, SIZE, CLASSES, params, partial(_apply, prepare))


# Name of the resize, and the function from images in [-1, 1] to the network's input. The original graph scales a byte v
# to (v - 128) / 128, and pytorch-fid to v / 127.5 - 1.
_PREPARE: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "reference": ("bilinear, as pytorch-fid", lambda x: resizing.bilinear(x, SIDE)),
    "clean": ("bicubic antialiased, as clean-fid", lambda x: (127.5 * resizing.clean(x, SIDE) - 0.5) / 128),
    "tensorflow": ("bilinear, as TensorFlow 1", lambda x: (127.5 * resizing.tensorflow(x, SIDE) - 0.5) / 128),
}


def _apply(prepare: Callable[[Array], Array], params: PyTree, images: Array) -> tuple[Array, Array]:
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise UserError(f"images has shape {images.shape}: Inception takes [b, H, W, C] with C = 1 or 3 channels")

    def judge(images: Array) -> tuple[Array, Array]:
        x = prepare(images)
        outputs: Any = Net().apply({"params": params}, jnp.broadcast_to(x, (*x.shape[:3], 3)))
        return outputs[0], nn.softmax(outputs[1])

    # TPUs and recent GPUs multiply at 8 to 11 bits by default.
    with jax.default_matmul_precision("float32"):
        if jax.default_backend() != "cpu" or len(images) % CHUNK:
            return judge(images)
        # A chunk is every 8th of 256 images, not 32 in a row, so that every chunk is split over the devices.
        chunks = images.reshape(CHUNK, -1, *images.shape[1:]).swapaxes(0, 1)
        parts = jax.lax.map(judge, chunks)
        return jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(len(images), -1), parts)


def _params(arrays: dict[str, np.ndarray], path: Path) -> tuple[PyTree, str]:
    """Returns the parameters of `Net`, with batch norm folded in, and a fingerprint of the weights used."""
    used: dict[str, np.ndarray] = {}

    def take(name: str, *shape: int) -> np.ndarray:
        values = arrays.get(name)
        if values is None or values.shape != shape or not np.isfinite(values).all():
            fault = (
                "is missing"
                if values is None
                else f"has shape {values.shape}; it must have shape {shape} and finite values"
            )
            raise UserError(
                f"weights {str(path)!r}: {name} {fault}; give the complete pytorch-fid weights of 2015-12-05 "
                "(torchvision's are of another network)"
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
