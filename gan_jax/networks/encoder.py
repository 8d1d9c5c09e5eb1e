"""Encoders: from examples to latents."""

from flax import linen as nn

from gan_jax.networks import dcgan
from gan_jax.networks.norm import AnyNorm
from gan_jax.types import Array


class Encoder(nn.Module):
    """Maps images through the maps of DCGAN's discriminator, points through two hidden layers, to codes.

    Attributes:
        size: Of a code.
        width: Channels of the first map; for points a quarter of each hidden layer's units.
        norm: Normalisation of the maps but the first; points have none.
    """

    size: int
    width: int = 64
    norm: AnyNorm = "layer"

    @nn.compact
    def __call__(self, examples: Array, train: bool) -> Array:
        """Maps `[b, ...]` to `[b, size]`, unbounded."""
        if examples.ndim == 4:
            hidden = dcgan.encode(examples, self.width, self.norm, train)
        else:
            hidden = examples
            for _ in range(2):
                hidden = nn.leaky_relu(nn.Dense(4 * self.width)(hidden), 0.2)
        return nn.Dense(self.size)(hidden.reshape(len(hidden), -1))
