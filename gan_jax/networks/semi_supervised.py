"""The semi-supervised classifier of Salimans et al. 2016 (arXiv:1606.03498): noise, weight normalisation, K logits."""

import jax
from flax import linen as nn

from gan_jax.networks.layers.noise import GaussianNoise
from gan_jax.types import Array


class Classifier(nn.Module):
    """A discriminator of K + 1 classes, the last one, fake, with the logit 0.

    real - fake = log sum_k exp l_k is then the logit of being real, as p(fake) = 1 / (1 + sum_k exp l_k).

    Attributes:
        classes: K.
        features: Widths of the hidden layers.
        deviations: Of the noise on images, and on hidden layers.
    """

    classes: int
    features: tuple[int, ...] = (1000, 500, 250, 250, 250)
    deviations: tuple[float, float] = (0.3, 0.5)

    @nn.compact
    def __call__(self, examples: Array, train: bool) -> dict[str, Array]:
        """Maps `[b, ...]` to {"logits": `[b]`, "classes": `[b, K]`, "features": the last hidden layer}."""
        x = GaussianNoise(self.deviations[0])(examples.reshape(len(examples), -1), train)
        hidden = x
        for width in self.features:
            hidden = nn.relu(nn.WeightNorm(nn.Dense(width))(x))
            x = GaussianNoise(self.deviations[1])(hidden, train)
        classes = nn.WeightNorm(nn.Dense(self.classes))(x)
        return {"logits": jax.nn.logsumexp(classes, axis=1), "classes": classes, "features": hidden}
