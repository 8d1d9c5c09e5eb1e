"""Encoder: examples to latents."""

from flax import linen as nn

from gan_jax.networks.heads import Body, Head
from gan_jax.networks.layers.norm import AnyNorm
from gan_jax.types import Array


class Encoder(nn.Module):
    """Encoder: DCGAN's discriminator for images, or two hidden layers for points, with a linear output.

    Attributes:
        size: Size of a latent.
        width: Channels of the first map; for points, a quarter of each hidden layer's units.
        norm: Normalisation of all maps but the first; points have none.
    """

    size: int
    width: int = 64
    norm: AnyNorm = "layer"

    @nn.compact
    def __call__(self, examples: Array, train: bool) -> Array:
        """Maps `[b, ...]` to `[b, size]`, unbounded."""
        return Head(self.size)(Body(self.width, self.norm)(examples, train), train)
