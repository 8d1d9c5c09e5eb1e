"""The class-conditional residual networks of projection GAN, SAGAN, BigGAN and BigGAN-deep, for square images.

They differ in a few attributes; see the experiments of these names. Projection GAN: Miyato and Koyama 2018,
arXiv:1802.05637. SAGAN: Zhang et al. 2019, arXiv:1805.08318. BigGAN: Brock et al. 2019, arXiv:1809.11096, appendix B.

For images of side 128, 256 and 512, channels are those of BigGAN's tables, which the other papers share; for side 64,
those of its authors' PyTorch code, where projection GAN has others; for smaller images, 4 times `width` throughout, as
in all networks for CIFAR-10. Any other side has the channels of the power of 2 with as many levels.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from gan_jax.errors import UserError
from gan_jax.networks.layers.attention import SelfAttention
from gan_jax.networks.layers.conditional import ConditionalBatchNorm, Projection, chunks
from gan_jax.networks.layers.conv import Conv, Resample
from gan_jax.networks.layers.norm import Norm, batch_norm, layer
from gan_jax.networks.layers.residual import bottleneck, residual
from gan_jax.networks.layers.sides import root
from gan_jax.types import Array

ORTHOGONAL = nn.initializers.orthogonal()  # on kernels reshaped to [in, out]
GENERATOR = {  # levels, the log2 of side / root -> channels of maps from the smallest on, in multiples of `width`
    4: (16, 16, 8, 4, 2),
    5: (16, 16, 8, 4, 2, 1),
    6: (16, 16, 8, 8, 4, 2, 1),
    7: (16, 16, 8, 8, 4, 2, 1, 1),
}
DISCRIMINATOR = {  # levels -> channels of maps from the largest on
    4: (1, 2, 4, 8, 16),
    5: (1, 2, 4, 8, 16, 16),
    6: (1, 2, 4, 8, 8, 16, 16),
    7: (1, 1, 2, 4, 8, 8, 16, 16),
}
CONSTANT = 4  # channels with fewer levels
LAST = 8  # with fewer levels, the discriminator halves maps while they are larger than this


def glorot(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """Glorot's uniform initialiser, times sqrt(2) for 3x3 kernels, which follow a ReLU, as in projection GAN."""
    scale = 2.0 if shape[:-2] == (3, 3) else 1.0
    return nn.initializers.variance_scaling(scale, "fan_avg", "uniform")(key, shape, dtype)


class Generator(nn.Module):
    """Generator of latents that end in a one-hot class.

    Attributes:
        shape: `(H, W, C)`; see `layers.sides` for the sides that fit.
        classes: Number of classes, the last dimensions of the latent.
        width: Channels of the maps are multiples of it; ch in BigGAN's paper.
        norm: "spectral" normalises all weights except embeddings, as in SAGAN and BigGAN.
        attention: Self-attention acts on the map whose side is that of the images divided by this number; 0 for none.
        embedding: Size of an embedding of the class that all blocks share, as in BigGAN: their batch norms are then
            conditioned on it and on the latent, of which each block gets its own chunk. With 0 they are conditioned on
            the class alone.
        deep: Whether each level has two bottleneck blocks, conditioned on the whole latent, as in BigGAN-deep.
        kernel_init: Initialises all weights except those of batch norms without a shared embedding, which start at 0.
    """

    shape: tuple[int, ...]
    classes: int
    width: int = 64
    norm: Norm = "spectral"
    attention: int = 0
    embedding: int = 0
    deep: bool = False
    kernel_init: nn.initializers.Initializer = ORTHOGONAL

    @nn.compact
    def __call__(self, latents: Array, train: bool) -> Array:
        """Maps `[b, size]` to `[b, H, W, C]` in [-1, 1]."""
        side, attended = root(self.shape), _attended(self.shape, self.attention)
        width, *widths = (self.width * m for m in generator_channels(self.shape))
        shared = {"norm": self.norm, "kernel_init": self.kernel_init}

        def convolve(x: Array, width: int, size: int, resample: Resample = "none") -> Array:
            return layer(Conv(width, size, kernel_init=self.kernel_init, resample=resample), self.norm, x, train)

        first, vectors = self._conditions(latents, len(widths))
        dense = nn.Dense(side * side * width, kernel_init=self.kernel_init)
        x = layer(dense, self.norm, first, train).reshape(-1, side, side, width)
        for width, vector in zip(widths, vectors, strict=True):

            def normalise(x: Array, vector: Array = vector) -> Array:
                return ConditionalBatchNorm(**(shared if self.embedding else {}))(x, vector, train)

            if self.deep:
                x = bottleneck(x, x.shape[-1], convolve, normalise)
                x = bottleneck(x, width, convolve, normalise, "up")
            else:
                x = residual(x, width, convolve, normalise, "up")
            if x.shape[1] == attended:
                x = SelfAttention(**shared)(x, train)
        return jnp.tanh(convolve(nn.relu(batch_norm(x, train)), self.shape[2], 3))

    def _conditions(self, latents: Array, levels: int) -> tuple[Array, Sequence[Array]]:
        """Returns the input of the first layer, and for each level the vector that conditions it."""
        noise, label = jnp.split(latents, [latents.shape[-1] - self.classes], axis=-1)
        if not self.embedding:
            return noise, [label] * levels
        embedded = nn.Dense(self.embedding, use_bias=False, kernel_init=self.kernel_init, name="embedding")(label)
        if self.deep:
            both = jnp.concatenate([embedded, noise], axis=-1)
            return both, [both] * levels
        first, *others = chunks(noise, levels + 1)
        return first, [jnp.concatenate([embedded, chunk], axis=-1) for chunk in others]


class Discriminator(nn.Module):
    """Discriminator of images and their classes: residual blocks, the sum over positions, and a projection head.

    Attributes:
        shape: `(H, W, C)`; see `layers.sides` for the sides that fit.
        classes: Number of classes.
        width: Channels of the maps are multiples of it; ch in BigGAN's paper.
        norm: "spectral" normalises all weights, as in all four papers.
        attention: As in `Generator`.
        deep: As in `Generator`.
        wide: Whether blocks that widen do so in their first convolution, as in SAGAN and BigGAN, or in their second.
        kernel_init: Initialises all weights.
    """

    shape: tuple[int, ...]
    classes: int
    width: int = 64
    norm: Norm = "spectral"
    attention: int = 0
    deep: bool = False
    wide: bool = True
    kernel_init: nn.initializers.Initializer = ORTHOGONAL

    @nn.compact
    def __call__(self, images: Array, labels: Array, train: bool) -> Array:
        """Maps `[b, H, W, C]` and labels `[b]` to logits `[b]`."""
        channels, halvings = discriminator_channels(self.shape)
        if images.shape[1:] != self.shape:
            raise UserError(f"images have shape {images.shape[1:]}, but this discriminator was built for {self.shape}")

        def convolve(x: Array, width: int, size: int, resample: Resample = "none") -> Array:
            return layer(Conv(width, size, kernel_init=self.kernel_init, resample=resample), self.norm, x, train)

        def unchanged(x: Array) -> Array:
            return x

        stem, *later = widths = [self.width * m for m in channels]
        x = convolve(images, stem, 3) if self.deep else images
        for index, width in enumerate(later if self.deep else widths):
            resample = "down" if index < halvings else "none"
            if self.deep:
                x = bottleneck(x, width, convolve, unchanged, resample)
                x = bottleneck(x, width, convolve, unchanged)
            else:
                hidden = width if self.wide or index == 0 else x.shape[-1]
                x = residual(x, width, convolve, unchanged, resample, index == 0, hidden)
            if resample == "down" and x.shape[1] == _attended(self.shape, self.attention):
                x = SelfAttention(self.norm, self.kernel_init)(x, train)
        features = jnp.sum(nn.relu(x), axis=(1, 2))
        return Projection(self.classes, self.norm, self.kernel_init)(features, labels, train)


def generator_channels(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the channels of the generator's maps for images `(H, W, C)`, from the smallest map on, per `width`."""
    levels = _levels(shape)
    return GENERATOR.get(levels, (CONSTANT,) * (levels + 1))


def discriminator_channels(shape: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """Returns the channels of the discriminator's maps, from the largest on, and how many times it halves them.

    Networks for small images have two blocks after the last halving, others one. Deep networks begin with a convolution
    to the first channels, and have one level of blocks fewer.
    """
    levels = _levels(shape)
    if levels in DISCRIMINATOR:
        return DISCRIMINATOR[levels], levels
    halvings = max(1, sum(shape[0] >> i > LAST for i in range(levels)))
    return (CONSTANT,) * (halvings + 2), halvings


def _levels(shape: tuple[int, ...]) -> int:
    return (shape[0] // root(shape)).bit_length() - 1


def _attended(shape: tuple[int, ...], attention: int) -> int:
    """Returns the side of the map with self-attention, which both networks must have; 0 for none."""
    most = min(_levels(shape) - 1, discriminator_channels(shape)[1])
    fitting = [2**i for i in range(1, most + 1)]
    if attention and attention not in fitting:
        raise UserError(
            f"attention={attention}: for images of side {shape[0]} give 0 for none"
            + "".join(f", or {factor} for maps of side {shape[0] // factor}" for factor in fitting)
        )
    return shape[0] // attention if attention else 0
