"""Discriminators on frozen features: projected GANs (Sauer et al. 2021, arXiv:2111.01007)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from gan_jax import rng
from gan_jax.errors import UserError
from gan_jax.networks.layers.conv import Conv
from gan_jax.networks.layers.norm import AnyNorm, keeps_bias, layer, normalise
from gan_jax.networks.wrappers.linen import linen
from gan_jax.types import Array, Network, PyTree


class Backbone(NamedTuple):
    """A feature network with fixed weights.

    Attributes:
        weights: Its weights.
        maps: `(weights, images [b, H, W, C]) -> feature maps [b, h, w, c]`, largest first; a pure function in which the
            maps of image i depend on image i alone.
    """

    weights: PyTree
    maps: Callable[[PyTree, Array], tuple[Array, ...]]


def projected(backbone: Backbone, shape: tuple[int, ...], width: int = 64, critic: nn.Module | None = None) -> Network:
    """Returns a discriminator on frozen feature maps of images at several scales, mixed at random.

    The maps pass through random 1x1 convolutions to width, 2 width, 4 width, ... channels (cross-channel mixing). From
    the smallest on, each map is enlarged to the size of the next, passed through a random 1x1 convolution and added to
    that map (cross-scale mixing). Weights of features and mixing are statistics of the network, not parameters: they
    are saved but never trained, while gradients pass through to the generator. Unlike in the authors' code
    (pg_modules of autonomousvision/projected_gan), maps are enlarged to the next one's size by half-pixel bilinear
    interpolation, and the random convolutions have biases of 0. That code takes the features of EfficientNet-lite0 from
    images of side 224, and trains with the hinge loss and DiffAugment.

    Args:
        backbone: The features; see `metrics.features.maps`.
        shape: Shape of an image.
        width: Channels of the largest mixed map.
        critic: Module of all mixed maps, largest first, to logits `[b, ...]`; by default `Critics()`.

    Raises:
        UserError: If `width` is less than 1, or the features are not maps.
    """
    if width < 1:
        raise UserError(f"width={width}: give at least 1")
    image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    maps = jax.eval_shape(backbone.maps, backbone.weights, image)
    if not isinstance(maps, tuple) or any(x.ndim != 4 for x in maps):
        shapes = [x.shape for x in jax.tree.leaves(maps)]
        raise UserError(f"backbone: its features have shapes {shapes}; give a tuple of maps [b, h, w, c]")
    mixer = linen(Mixer(width), *(x.shape[1:] for x in maps))
    mixed = jax.eval_shape(lambda key, maps: mixer.apply(*mixer.init(key), *maps, train=False)[0], rng.key(0), maps)
    judge = linen(Critics() if critic is None else critic, *(x.shape[1:] for x in mixed))

    def init(key: Array) -> tuple[PyTree, PyTree]:
        params, stats = judge.init(key)
        fixed = mixer.init(rng.named(key, "mixer"))[0]
        return params, {"critic": stats, "mixer": fixed, "backbone": jax.tree.map(jnp.asarray, backbone.weights)}

    def apply(
        params: PyTree, stats: PyTree, images: Array, *others: Array, train: bool, key: Array | None = None
    ) -> tuple[PyTree, PyTree]:
        maps = mixer.apply(stats["mixer"], {}, *backbone.maps(stats["backbone"], images), train=False)[0]
        output, new = judge.apply(params, stats["critic"], *maps, *others, train=train, key=key)
        return output, stats | {"critic": new}

    return Network(init, apply, judge.batch_dependent)


class Mixer(nn.Module):
    """Random mixing of channels and scales.

    Attributes:
        width: Channels of the largest mixed map; the others have 1, 2, 4, ... times as many, smallest last.
    """

    width: int

    @nn.compact
    def __call__(self, *maps: Array, train: bool) -> tuple[Array, ...]:
        """Mixes maps `[b, h, w, c]`, largest first.

        Each is enlarged to the sides of the next larger map, and the largest to twice its own.
        """
        init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")  # PyTorch's, as in the authors' code
        last = len(maps) - 1
        channels = [Conv(self.width * 2**depth, 1, kernel_init=init)(x) for depth, x in enumerate(maps)]
        sides = [(2 * maps[0].shape[1], 2 * maps[0].shape[2]), *(x.shape[1:3] for x in maps)]
        mixed, below = [], jnp.zeros(())
        for depth in range(last, -1, -1):
            x = channels[depth] + below
            x = jax.image.resize(x, (len(x), *sides[depth], x.shape[-1]), "linear", antialias=False)
            below = Conv(self.width * 2 ** max(depth - 1, 0), 1, kernel_init=init)(x)
            mixed.append(below)
        return tuple(reversed(mixed))


class Critics(nn.Module):
    """A discriminator for each map; their patch logits are concatenated to `[b, all patches]`.

    Each halves its map by convolutions with spectral norm while a side is above `last`, then convolves it to logits. In
    the authors' code maps of side 64, 32, 16 and 8 have 64, 128, 256 and 512 channels, and the last convolution is not
    padded.

    Attributes:
        width: Channels of the maps after the first convolution.
        norm: Further normalisation of the convolutions: "batch" as in the authors' code, or "none".
        last: Largest side of the map that is convolved to logits.
    """

    width: int = 64
    norm: AnyNorm = "batch"
    last: int = 8

    @nn.compact
    def __call__(self, *maps: Array, train: bool) -> Array:
        """Maps `[b, h, w, c]` to logits `[b, n]`."""
        logits = []
        for x in maps:
            while max(x.shape[1:3]) > self.last:
                x = layer(Conv(self.width, 4, 2, use_bias=keeps_bias(self.norm)), "spectral", x, train)
                x = nn.leaky_relu(normalise(x, self.norm, train), 0.2)
            x = layer(Conv(1, 4, use_bias=False), "spectral", x, train)
            logits.append(x.reshape(len(x), -1))
        return jnp.concatenate(logits, axis=1)
