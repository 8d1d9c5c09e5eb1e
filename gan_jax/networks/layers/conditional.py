"""Class-conditional layers: conditional batch norm, the projection head, and hierarchical latents."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from gan_jax.errors import UserError
from gan_jax.networks.layers.norm import Norm, batch_norm, layer
from gan_jax.types import Array


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose scale and shift are linear functions of a vector.

    y = (1 + v A) (x - mean) / sqrt(variance + epsilon) + v B, with the moments of the global batch. The vector v is
    one of these, or several joined:
    - a one-hot class, so that A and B are embeddings (Dumoulin et al. 2017, arXiv:1610.07629), as in projection GAN
      and SAGAN;
    - an embedding of the class, shared by all layers (Brock et al. 2019, arXiv:1809.11096);
    - the latent: self-modulation (Chen et al. 2019, arXiv:1810.01365), whose paper has a hidden layer instead of A, B.

    Attributes:
        norm: "spectral" normalises A and B, as in BigGAN's shared form.
        kernel_init: Initialises A and B; with zeros the layer starts as batch norm.
    """

    norm: Norm = "none"
    kernel_init: nn.initializers.Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: Array, vector: Array, train: bool) -> Array:
        """Maps activations `[b, ..., C]` and vectors `[b, size]` to `[b, ..., C]`."""

        def linear(name: str) -> Array:
            dense = nn.Dense(x.shape[-1], use_bias=False, kernel_init=self.kernel_init, name=name)
            return jnp.expand_dims(layer(dense, self.norm, vector, train), range(1, x.ndim - 1))

        return (1 + linear("scale")) * batch_norm(x, train, affine=False) + linear("shift")


class Projection(nn.Module):
    """Projection head of a class-conditional discriminator (Miyato and Koyama 2018, arXiv:1802.05637).

    logit = w^T h + b + e_y^T h, for features h and class y, with one embedding e of each class.

    Attributes:
        classes: Number of classes.
        norm: "spectral" normalises w, and the matrix of all e.
        kernel_init: Initialises w and e.
    """

    classes: int
    norm: Norm = "spectral"
    kernel_init: nn.initializers.Initializer = nn.initializers.glorot_uniform()

    @nn.compact
    def __call__(self, features: Array, labels: Array, train: bool) -> Array:
        """Maps features `[b, F]` and labels `[b]` to logits `[b]`."""
        codes = jax.nn.one_hot(labels.astype(int), self.classes, dtype=features.dtype)  # `linen` inits with float zeros
        embedding = nn.Dense(features.shape[-1], use_bias=False, kernel_init=self.kernel_init, name="embedding")
        embedded = layer(embedding, self.norm, codes, train)
        logits = layer(nn.Dense(1, kernel_init=self.kernel_init), self.norm, features, train)[:, 0]
        return logits + jnp.sum(embedded * features, axis=-1)


def chunks(latents: Array, count: int) -> list[Array]:
    """Splits latents into chunks for the levels of a generator: hierarchical latents (Brock et al. 2019, BigGAN).

    Args:
        latents: `[b, size]`.
        count: Number of chunks.

    Returns:
        Arrays `[b, size // count]`; the first also takes the remainder.

    Raises:
        UserError: If a chunk would be empty.
    """
    size = latents.shape[-1]
    if size < count:
        raise UserError(f"latent_size={size}: this generator splits latents into {count} chunks; give at least {count}")
    first = size - (count - 1) * (size // count)
    return jnp.split(latents, [first + i * (size // count) for i in range(count - 1)], axis=-1)
