"""Adversarial losses: pure functions of logits.

Each loss is a `GanLoss`, a pair of functions of the real and the fake logits of the *global* batch, `[B, ...]`; both
return one value an example, `[B]`, trailing axes averaged. The discriminator's logit is high for real.
"""

import jax
import jax.numpy as jnp

from gan_jax.types import Array, GanLoss


def minimax() -> GanLoss:
    """Returns the original, saturating game (Goodfellow et al. 2014, arXiv:1406.2661).

    D minimises -log D(x) - log(1 - D(G(z))), G minimises log(1 - D(G(z))), where D = sigmoid(logit).
    """
    return GanLoss(_cross_entropy, lambda real, fake: _average(-jax.nn.softplus(fake)))


def non_saturating() -> GanLoss:
    """Returns the game whose generator maximises log D(G(z)) (Goodfellow et al. 2014, arXiv:1406.2661).

    D minimises -log D(x) - log(1 - D(G(z))), G minimises -log D(G(z)).
    """
    return GanLoss(_cross_entropy, lambda real, fake: _average(jax.nn.softplus(-fake)))


def least_squares(a: float = 0.0, b: float = 1.0, c: float = 1.0) -> GanLoss:
    """Returns the least squares game (Mao et al. 2017, arXiv:1611.04076).

    D minimises (D(x) - b)^2 / 2 + (D(G(z)) - a)^2 / 2, G minimises (D(G(z)) - c)^2 / 2. With b - c = 1 and b - a = 2
    the generator minimises Pearson's chi-squared divergence.

    Args:
        a: The discriminator's target on fake.
        b: Its target on real.
        c: What the generator wants it to say of fake.
    """
    return GanLoss(
        lambda real, fake: _average((real - b) ** 2) / 2 + _average((fake - a) ** 2) / 2,
        lambda real, fake: _average((fake - c) ** 2) / 2,
    )


def wasserstein() -> GanLoss:
    """Returns the Wasserstein game (Arjovsky et al. 2017, arXiv:1701.07875); the critic must be held Lipschitz.

    D minimises D(G(z)) - D(x), G minimises -D(G(z)).
    """
    return GanLoss(
        lambda real, fake: _average(fake) - _average(real),
        lambda real, fake: -_average(fake),
    )


def hinge() -> GanLoss:
    """Returns the hinge game (Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957).

    D minimises max(0, 1 - D(x)) + max(0, 1 + D(G(z))), G minimises -D(G(z)).
    """
    return GanLoss(
        lambda real, fake: _average(jax.nn.relu(1 - real)) + _average(jax.nn.relu(1 + fake)),
        lambda real, fake: -_average(fake),
    )


def _cross_entropy(real: Array, fake: Array) -> Array:
    return _average(jax.nn.softplus(-real)) + _average(jax.nn.softplus(fake))


def _average(values: Array) -> Array:
    """Averages all but the first axis."""
    return jnp.mean(values.reshape(values.shape[0], -1), axis=1)
