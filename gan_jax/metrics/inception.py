"""Inception-v3 as of 2015-12-05, the network of published Frechet distances and Inception scores.

Inception-v3: Szegedy et al. 2015, arXiv:1512.00567. The graph that scores are computed with is not quite the paper's,
nor torchvision's: averages over a window leave out what lies outside the image, and the last block takes a maximum
where the paper takes an average. Batch norm is folded into the convolutions before it.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util

from gan_jax.data.source import fingerprint
from gan_jax.metrics import resize as resizing
from gan_jax.metrics import weights
from gan_jax.metrics.features import Features
from gan_jax.networks.conv import Conv, Pair
from gan_jax.types import Array, PyTree

URL = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"
SIDE = 299  # of the images that the network takes
CLASSES = 1008
EPSILON = 1e-3  # of batch norm
CHUNK = 32  # images at once on a CPU, where 256 would take gigabytes

Resize = Literal["reference", "clean", "tensorflow"]
Step = tuple[int, int | Pair] | tuple[int, int | Pair, int]  # features, kernel size, stride


def features(path: Path | str | None = None, resize: Resize = "reference") -> Features:
    """Returns the features before the last layer, 2048 of them, and the probabilities of 1008 classes.

    Probabilities are of the logits without their bias, as in the first code of the Inception score (Salimans et al.
    2016, arXiv:1606.03498). Images have 1 channel, which is repeated, or 3.

    Args:
        path: Weights, with the names of pytorch-fid: .pth, .npz or .safetensors; see `weights.read`. None takes
            pytorch-fid's own from the cache, and downloads them the first time.
        resize: Whose scores to be comparable with, from the images' size to the network's 299 and its range:
            "reference", pytorch-fid's; "clean", clean-fid's; "tensorflow", those of the first code of the distance
            (Heusel et al. 2017, arXiv:1706.08500), which torch-fidelity follows too.

    Raises:
        ValueError: If `resize` is none of these, or the file is damaged, or lacks a layer, or is of another network.
        ConnectionError: If the weights cannot be downloaded.
    """
    if resize not in get_args(Resize):
        raise ValueError(f"resize={resize!r}: give one of {', '.join(get_args(Resize))}")
    path = weights.downloaded(URL) if path is None else Path(path)
    params, mark = _params(weights.read(path), path)
    prepare = {"reference": _reference, "clean": _clean, "tensorflow": _tensorflow}[resize]

    def apply(params: PyTree, images: Array) -> tuple[Array, Array]:
        if images.ndim != 4 or images.shape[3] not in (1, 3):
            raise ValueError(f"images has shape {images.shape}: Inception takes [b, H, W, C] of C = 1 or 3 channels")

        def judge(images: Array) -> tuple[Array, Array]:
            x = prepare(images)
            found, logits = Net().apply({"params": params}, jnp.broadcast_to(x, (*x.shape[:3], 3)))
            return found, nn.softmax(logits)

        # TPUs and recent GPUs multiply at 8 to 11 bits unless told otherwise
        with jax.default_matmul_precision("float32"):
            if jax.default_backend() != "cpu" or len(images) % CHUNK:
                return judge(images)
            # a chunk is every eighth of 256 images, not 32 in a row: each device then has its share of every chunk
            chunks = images.reshape(CHUNK, -1, *images.shape[1:]).swapaxes(0, 1)
            found = jax.lax.map(judge, chunks)
            return jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(len(images), -1), found)

    return Features(f"Inception-v3 of {path.name}", mark, resize, 2048, CLASSES, params, apply)


def _reference(images: Array) -> Array:
    return resizing.bilinear(images, SIDE)


def _clean(images: Array) -> Array:
    return _from_bytes(resizing.clean(images, SIDE))


def _tensorflow(images: Array) -> Array:
    return _from_bytes(resizing.tensorflow(images, SIDE))


def _from_bytes(images: Array) -> Array:
    """Maps [-1, 1] to the range that the graph makes of bytes, (v - 128) / 128, which is not quite the same."""
    return (127.5 * images - 0.5) / 128


class Net(nn.Module):
    """From images to features and logits."""

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Maps `[b, 299, 299, 3]` in [-1, 1] to features `[b, 2048]` and logits without bias `[b, 1008]`."""
        x = _unit(x, "Conv2d_1a_3x3", 32, 3, 2)
        x = _unit(x, "Conv2d_2a_3x3", 32, 3, padding="VALID")
        x = _unit(x, "Conv2d_2b_3x3", 64, 3)
        x = _unit(_reduced(x), "Conv2d_3b_1x1", 80)
        x = _unit(x, "Conv2d_4a_3x3", 192, 3, padding="VALID")
        x = _reduced(x)
        for name, pool in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
            x = A(pool, name=name)(x)
        x = B(name="Mixed_6a")(x)
        for name, width in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
            x = C(width, name=name)(x)
        x = D(name="Mixed_7a")(x)
        x = E(averages=True, name="Mixed_7b")(x)
        x = E(averages=False, name="Mixed_7c")(x)
        x = x.mean((1, 2))
        return x, nn.Dense(CLASSES, use_bias=False, name="fc")(x)


class A(nn.Module):
    """Windows of 5x5, and of 3x3 twice."""

    pool: int  # channels of the averages

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps `[b, 35, 35, c]` to `[b, 35, 35, 224 + pool]`."""
        parts = [
            _unit(x, "branch1x1", 64),
            _chain(x, "branch5x5", (48, 1), (64, 5)),
            _chain(x, "branch3x3dbl", (64, 1), (96, 3), (96, 3)),
            _unit(average(x), "branch_pool", self.pool),
        ]
        return jnp.concatenate(parts, -1)


class B(nn.Module):
    """Halves height and width."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps `[b, 35, 35, c]` to `[b, 17, 17, 480 + c]`."""
        parts = [
            _unit(x, "branch3x3", 384, 3, 2),
            _chain(x, "branch3x3dbl", (64, 1), (96, 3), (96, 3, 2)),
            _reduced(x),
        ]
        return jnp.concatenate(parts, -1)


class C(nn.Module):
    """Windows of 7x7, as 1x7 and 7x1."""

    width: int  # channels between the convolutions

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps `[b, 17, 17, c]` to `[b, 17, 17, 768]`."""
        row, column, width = (1, 7), (7, 1), self.width
        parts = [
            _unit(x, "branch1x1", 192),
            _chain(x, "branch7x7", (width, 1), (width, row), (192, column)),
            _chain(x, "branch7x7dbl", (width, 1), (width, column), (width, row), (width, column), (192, row)),
            _unit(average(x), "branch_pool", 192),
        ]
        return jnp.concatenate(parts, -1)


class D(nn.Module):
    """Halves height and width."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps `[b, 17, 17, c]` to `[b, 8, 8, 512 + c]`."""
        parts = [
            _chain(x, "branch3x3", (192, 1), (320, 3, 2)),
            _chain(x, "branch7x7x3", (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2)),
            _reduced(x),
        ]
        return jnp.concatenate(parts, -1)


class E(nn.Module):
    """Windows of 3x3, which end in 1x3 beside 3x1."""

    averages: bool  # or takes maxima, as the graph does in its last block

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps `[b, 8, 8, c]` to `[b, 8, 8, 2048]`."""
        once = _unit(x, "branch3x3_1", 384)
        twice = _chain(x, "branch3x3dbl", (448, 1), (384, 3))
        pooled = average(x) if self.averages else nn.max_pool(x, (3, 3), (1, 1), "SAME")
        parts = [
            _unit(x, "branch1x1", 320),
            _unit(once, "branch3x3_2a", 384, (1, 3)),
            _unit(once, "branch3x3_2b", 384, (3, 1)),
            _unit(twice, "branch3x3dbl_3a", 384, (1, 3)),
            _unit(twice, "branch3x3dbl_3b", 384, (3, 1)),
            _unit(pooled, "branch_pool", 192),
        ]
        return jnp.concatenate(parts, -1)


def average(x: Array) -> Array:
    """Averages windows of 3x3 of images `[b, H, W, C]`; a window at the border has fewer pixels, not zeros."""
    return nn.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False)


def _reduced(x: Array) -> Array:
    return nn.max_pool(x, (3, 3), (2, 2))


def _chain(x: Array, name: str, *steps: Step) -> Array:
    for number, step in enumerate(steps, 1):
        x = _unit(x, f"{name}_{number}", *step)
    return x


def _unit(x: Array, name: str, features: int, size: int | Pair = 1, stride: int = 1, padding: str = "") -> Array:
    """Convolves, batch norm folded in, and rectifies; what halves the image is not padded, other windows are."""
    padding = padding or ("SAME" if stride == 1 else "VALID")
    return nn.relu(Conv(features, size, stride, padding, name=name)(x, formulation="native"))


def _params(arrays: dict[str, np.ndarray], path: Path) -> tuple[PyTree, str]:
    """Returns the parameters of `Net`, batch norm folded into them, and a fingerprint of what they were made of."""
    used: dict[str, np.ndarray] = {}

    def take(name: str, *shape: int) -> np.ndarray:
        mend = "give pytorch-fid's weights, of the graph of 2015-12-05; those of torchvision are another network's"
        if name not in arrays:
            raise ValueError(f"path={str(path)!r}: layer {name} is missing; {mend}")
        if arrays[name].shape != shape:
            raise ValueError(f"path={str(path)!r}: layer {name} has shape {arrays[name].shape} for {shape}; {mend}")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"path={str(path)!r}: layer {name} is not finite; {mend}")
        used[name] = np.asarray(arrays[name], np.float32)
        return used[name].astype(np.float64)

    params: dict[str, np.ndarray] = {}
    image = jax.ShapeDtypeStruct((1, SIDE, SIDE, 3), jnp.float32)
    expected = traverse_util.flatten_dict(jax.eval_shape(Net().init, jax.random.key(0), image)["params"], sep=".")
    for layer, shape in ((name.removesuffix(".kernel"), leaf.shape) for name, leaf in expected.items()):
        if layer == "fc.kernel":
            ...
    return traverse_util.unflatten_dict(params, sep="."), fingerprint(used)
