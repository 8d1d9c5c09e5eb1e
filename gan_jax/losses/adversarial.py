"""Adversarial losses: pure functions of logits.

Each loss is a `GanLoss`, a pair of functions of the real and the fake logits of the *global* batch, `[B, ...]`. Both
return one value per example, `[B]`, averaged over trailing axes (patches). High logits mean real.

Losses made from others are in `combinators`, f-divergences in `f_divergences`, smoothed and flipped labels in `labels`.
"""

import jax
import jax.numpy as jnp

from gan_jax.checks import carried, require
from gan_jax.numerics import average
from gan_jax.types import Array, GanLoss, Loss


def minimax() -> GanLoss:
    """Minimax loss of the original, saturating GAN (Goodfellow et al. 2014, arXiv:1406.2661).

    D minimises -log D(x) - log(1 - D(G(z))), G minimises log(1 - D(G(z))), where D = sigmoid(logit).
    """
    return GanLoss(_cross_entropy, lambda real, fake: average(-jax.nn.softplus(fake)))


def non_saturating() -> GanLoss:
    """Non-saturating loss: the generator maximises log D(G(z)) (Goodfellow et al. 2014, arXiv:1406.2661).

    D minimises -log D(x) - log(1 - D(G(z))), G minimises -log D(G(z)), where D = sigmoid(logit).
    """
    return GanLoss(_cross_entropy, lambda real, fake: average(jax.nn.softplus(-fake)))


def least_squares(a: float = 0.0, b: float = 1.0, c: float = 1.0) -> GanLoss:
    """Least squares loss, LSGAN (Mao et al. 2017, arXiv:1611.04076).

    D minimises (D(x) - b)^2 / 2 + (D(G(z)) - a)^2 / 2, G minimises (D(G(z)) - c)^2 / 2. The halves matter where the
    weight of a term is relative to this loss. Let p be the density of the data and q that of the samples. With
    b - c = 1 and b - a = 2, at the optimal D and up to a term that does not depend on G, G minimises half of Pearson's
    chi-squared divergence between p + q and 2 q, the integral of (2 q - (p + q))^2 / (p + q).

    Args:
        a: The discriminator's target on fake.
        b: The discriminator's target on real.
        c: The generator's target on fake.
    """
    return GanLoss(
        lambda real, fake: average((real - b) ** 2) / 2 + average((fake - a) ** 2) / 2,
        lambda real, fake: average((fake - c) ** 2) / 2,
    )


def wasserstein() -> GanLoss:
    """Wasserstein loss, WGAN (Arjovsky et al. 2017, arXiv:1701.07875).

    D minimises D(G(z)) - D(x), G minimises -D(G(z)). The critic must be kept Lipschitz, by a penalty, spectral norm or
    clipping.
    """
    return GanLoss(
        lambda real, fake: average(fake) - average(real),
        lambda real, fake: -average(fake),
    )


def hinge() -> GanLoss:
    """Hinge loss (Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957).

    D minimises max(0, 1 - D(x)) + max(0, 1 + D(G(z))), G minimises -D(G(z)).
    """
    return GanLoss(
        lambda real, fake: average(jax.nn.relu(1 - real)) + average(jax.nn.relu(1 + fake)),
        lambda real, fake: -average(fake),
    )


def energy(margin: float) -> GanLoss:
    """Energy-based loss, EBGAN (Zhao et al. 2017, arXiv:1609.03126); the logit is minus an energy E >= 0.

    D minimises E(x) + max(0, margin - E(G(z))), G minimises E(G(z)). In equilibrium the samples are distributed like
    the data, all energies equal one constant in [0, margin], and the discriminator's loss is `margin`.

    Args:
        margin: Energy above which D ignores samples; positive.

    Raises:
        UserError: If `margin` is not positive.
    """
    require(lambda: margin > 0, f"margin={margin}: energies are not negative, so the margin must be positive")
    return GanLoss(
        lambda real, fake: average(-real) + average(jax.nn.relu(margin + fake)),
        lambda real, fake: average(-fake),
    )


def began(balance: float | Array) -> GanLoss:
    """Boundary equilibrium loss, BEGAN, at a fixed k (Berthelot et al. 2017, arXiv:1703.10717).

    D minimises L(x) - balance L(G(z)), G minimises L(G(z)), where the logit is minus the reconstruction error L.

    Args:
        balance: k in the paper, in [0, 1]; `balanced` reads it from the state.

    Raises:
        UserError: If `balance` is a number outside [0, 1].
    """
    require(lambda: 0 <= balance <= 1, f"balance={balance}: it must lie in [0, 1]; clip it where it is updated")
    return GanLoss(
        lambda real, fake: average(-real) + balance * average(fake),
        lambda real, fake: average(-fake),
    )


def balanced(slot: str = "balance") -> Loss:
    """Boundary equilibrium loss, `began`, at the k of the controller `controllers.balance`.

    Args:
        slot: Name of the slot with k.
    """
    return lambda state, key: began(carried(state, slot, "controllers.balance()"))


def boundary_seeking() -> GanLoss:
    """Boundary-seeking loss, BGAN, for continuous samples: G seeks D = 1/2 (Hjelm et al. 2018, arXiv:1702.08431).

    D minimises -log D(x) - log(1 - D(G(z))), G minimises (log D(G(z)) - log(1 - D(G(z))))^2 / 2, that is logit^2 / 2.
    """
    return GanLoss(_cross_entropy, lambda real, fake: average(fake**2) / 2)


def softmax() -> GanLoss:
    """Softmax loss, over the whole batch (Lin 2017, arXiv:1704.06191).

    D minimises -log P(x), G minimises -(log P(x) + log P(G(z))) / 2, where P is the softmax over all 2B logits (per
    patch for a patch critic). In the mean these are cross-entropies with P: D's target is uniform on the real examples,
    G's is uniform on all. Adding a constant to all logits changes nothing.
    """

    def total(real: Array, fake: Array) -> Array:
        return jax.nn.logsumexp(jnp.concatenate([real, fake]), axis=0)

    return GanLoss(
        lambda real, fake: average(total(real, fake) - real),
        lambda real, fake: average(total(real, fake) - (real + fake) / 2),
    )


def _cross_entropy(real: Array, fake: Array) -> Array:
    return average(jax.nn.softplus(-real)) + average(jax.nn.softplus(fake))
