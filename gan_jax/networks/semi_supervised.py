"""The semi-supervised discriminator of Salimans et al. 2016 (arXiv:1606.03498), a classifier of K + 1 classes."""

import jax
from flax import linen as nn

from gan_jax.networks.layers.noise import GaussianNoise
from gan_jax.types import Array


class Classifier(nn.Module):
    """Discriminator that classifies K real classes and "fake", whose logit is fixed at 0.

    p(fake) = 1 / (1 + sum_k exp l_k), so the logit of being real is log sum_k exp l_k. It is fully connected, with
    Gaussian noise and weight normalisation.

    Attributes:
        classes: K, the number of real classes.
        features: Widths of the hidden layers.
        deviations: Standard deviations of the noise on inputs and on hidden layers.
    """

    classes: int
    features: tuple[int, ...] = (1000, 500, 250, 250, 250)
    deviations: tuple[float, float] = (0.3, 0.5)

    @nn.compact
    def __call__(self, examples: Array, train: bool) -> dict[str, Array]:
        """Maps `[b, ...]` to {"logits": `[b]`, "classes": `[b, K]`, "features": last hidden layer without noise}."""
        x = GaussianNoise(self.deviations[0])(examples.reshape(len(examples), -1), train)
        hidden = x
        for width in self.features:
            hidden = nn.relu(nn.WeightNorm(nn.Dense(width))(x))
            x = GaussianNoise(self.deviations[1])(hidden, train)
        classes = nn.WeightNorm(nn.Dense(self.classes))(x)
        return {"logits": jax.nn.logsumexp(classes, axis=1), "classes": classes, "features": hidden}
