"""Encoder: examples to latents."""

from flax import linen as nn

from gan_jax.networks.heads import Body, Head
from gan_jax.networks.layers.norm import AnyNorm
from gan_jax.networks.layers.sides import MAX_WIDENING
from gan_jax.types import Array


class Encoder(nn.Module):
    """Encoder: DCGAN's discriminator for images, or two hidden layers for points, with a linear output.

    Attributes:
        size: Size of a latent.
        width: Channels of the first map; for points, a quarter of each hidden layer's units.
        norm: Normalisation of all maps but the first; points have none.
        max_widening: Cap on the channels of a map, in multiples of `width`.
    """

    size: int
    width: int = 64
    norm: AnyNorm = "layer"
    max_widening: int = MAX_WIDENING

    @nn.compact
    def __call__(self, examples: Array, train: bool) -> Array:
        """Maps `[b, ...]` to `[b, size]`, unbounded."""
        body = Body(self.width, self.norm, max_widening=self.max_widening)
        return Head(self.size)(body(examples, train), train)
