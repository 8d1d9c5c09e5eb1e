"""Discriminators of energies: an example's logit is minus the error with which it is reconstructed.

For fully connected ones see `mlp.Autoencoder`.
"""

import jax.numpy as jnp
from flax import linen as nn

from gan_jax.losses import average
from gan_jax.networks import dcgan
from gan_jax.networks.norm import AnyNorm
from gan_jax.types import Array


class Autoencoder(nn.Module):
    """DCGAN's discriminator and generator, back to back, with a code between them.

    Its logits are -mean |x - decode(encode(x))|^power, for `losses.energy` and `losses.began`; its features the codes,
    for `terms.pull_away`.

    Attributes:
        shape: `(H, W, C)`; H = W, one of 28, 32, 64.
        width: Channels of the largest hidden maps.
        code: Size of the code.
        power: 2 as in EBGAN (Zhao et al. 2017, arXiv:1609.03126), or 1 as in BEGAN (Berthelot et al. 2017,
            arXiv:1703.10717).
        norm: Normalisation of the hidden layers.
    """

    shape: tuple[int, ...]
    width: int = 64
    code: int = 64
    power: int = 2
    norm: AnyNorm = "none"

    @nn.compact
    def __call__(self, images: Array, train: bool) -> dict[str, Array]:
        """Maps `[b, H, W, C]` to {"logits": `[b]`, "features": `[b, code]`}."""
        encoded = dcgan.encode(images, self.width, self.norm, train)
        code = nn.Dense(self.code)(encoded.reshape(len(images), -1))
        # unbounded, as under tanh an L1 error drives dark pixels, most of a digit's, to where nothing moves any more
        decoded = dcgan.Generator(self.shape, self.width, self.norm, bounded=False)(code, train)
        return {"logits": -average(jnp.abs(decoded - images) ** self.power), "features": code}
