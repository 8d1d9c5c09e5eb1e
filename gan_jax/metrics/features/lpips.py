"""LPIPS, a learned perceptual distance, by features of VGG16 (Zhang et al. 2018, arXiv:1801.03924)."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from gan_jax.data.dataset import fingerprint
from gan_jax.errors import UserError
from gan_jax.metrics.features import resize, weights
from gan_jax.metrics.features.distance import Distance
from gan_jax.networks import linen
from gan_jax.networks.layers.conv import Conv
from gan_jax.networks.published import filled
from gan_jax.types import Array, PyTree

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and number of VGG16's convolutions, by stage
LEAST = 16  # least side of images: maps are halved after every stage but the last
SIDE = 256  # images of at least twice this side are averaged over blocks, which leaves 256 to 511 pixels
EPSILON = 1e-10


def distance(path: Path | str) -> Distance:
    """Returns LPIPS with VGG16, version 0.1 of the authors' package, as a distance between images in [-1, 1].

    d(x, y) = sum_l mean_p sum_c w_lc (f_lpc(x) - f_lpc(y))^2, f_l the activations of stage l at position p, scaled to
    norm 1 over channels c. Grey images get three equal channels. Images are first averaged over blocks of
    side // 256 pixels, as in StyleGAN's path length (Karras et al. 2019, arXiv:1812.04948), so that those of
    512 pixels and more have 256 to 511.

    Args:
        path: Weights under the names of the authors' package, in any format of `weights.read`; README.md in the folder
            above has a recipe for the file.

    Raises:
        FileNotFoundError: If there is no such file.
        UserError: If it cannot be read, or tensors are missing, superfluous or of the wrong shape; it names them. From
            `apply`: if the images are too small, or have neither 1 nor 3 channels.
    """
    tensors, sides = weights.read(path), (LEAST, LEAST, 3)
    network = linen(Net(), sides, sides)
    try:
        params, _ = filled("", tensors, network, _name, _arranged)
    except UserError as error:
        raise UserError(
            f"weights {str(path)!r}: {error}; make the file of LPIPS's weights as in gan_jax/metrics/README.md"
        ) from error

    def apply(params: PyTree, first: Array, second: Array) -> Array:
        x, y = _prepared(first), _prepared(second)
        with jax.default_matmul_precision("float32"):  # else TPUs and recent GPUs multiply at 8 to 11 bits
            return network.apply(params, {}, x, y, train=False)[0]

    shrink = f"by averages of blocks, from {2 * SIDE} pixels"
    return Distance("LPIPS of VGG16", fingerprint(tensors), shrink, "LPIPS", "lpips_", params, apply)


class Net(nn.Module):
    """VGG16 up to its last convolution, and LPIPS's weights of its channels; `_name` maps the names of its layers."""

    @nn.compact
    def __call__(self, first: Array, second: Array, train: bool) -> Array:
        """Maps two batches `[b, H, W, 3]` in [-1, 1] to distances `[b]`."""
        shift = self.param("shift", nn.initializers.zeros_init(), (3,))
        scale = self.param("scale", nn.initializers.ones_init(), (3,))
        x = (jnp.concatenate([first, second]) - shift) / scale
        index, distances = 0, jnp.zeros(len(first))
        for stage, (channels, depth) in enumerate(STAGES):
            if stage:
                x = nn.max_pool(x, (2, 2), (2, 2))
                index += 1
            for _ in range(depth):
                x = nn.relu(Conv(channels, 3, name=f"slice{stage + 1}_{index}")(x))
                index += 2  # PyTorch's number of the layer: each convolution, ReLU and pooling counts
            unit = x / (jnp.linalg.norm(x, axis=-1, keepdims=True) + EPSILON)
            differences = (unit[: len(first)] - unit[len(first) :]) ** 2
            distances += Conv(1, 1, use_bias=False, name=f"lin{stage}")(differences).mean((1, 2, 3))
        return distances


def _prepared(images: Array) -> Array:
    if images.ndim != 4 or images.shape[3] not in (1, 3) or min(images.shape[1:3]) < LEAST:
        raise UserError(
            f"images has shape {images.shape}: LPIPS takes [b, H, W, C] with H and W at least {LEAST}, and C = 1 or 3 "
            "channels"
        )
    x = resize.averaged(images, SIDE)
    return jnp.broadcast_to(x, (*x.shape[:3], 3))


def _name(path: str) -> str:
    """Returns the tensor's name for a leaf's path, such as "net.slice1.0.weight" for "slice1_0/kernel"."""
    layer, _, kind = path.partition("/")
    if layer in ("shift", "scale"):
        return f"scaling_layer.{layer}"
    if layer.startswith("lin"):
        return f"{layer}.model.1.weight"
    return f"net.{layer.replace('_', '.')}.{'weight' if kind == 'kernel' else kind}"


def _arranged(path: str, value: np.ndarray) -> np.ndarray:
    """Moves axes from PyTorch's order to that of a leaf."""
    if path in ("shift", "scale"):
        return value.reshape(-1)
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
