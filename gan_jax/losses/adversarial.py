"""Adversarial losses: pure functions of logits.

Each loss is a `GanLoss`, a pair of functions of the real and the fake logits of the *global* batch, `[B, ...]`. Both
return one value per example, `[B]`, averaged over trailing axes (patches). High logits mean real.

f-divergences are in `f_divergences`; smoothed and flipped labels are in `labels`.
"""

import jax
import jax.numpy as jnp
import optax

from gan_jax.checks import carried, require
from gan_jax.errors import UserError
from gan_jax.numerics import average
from gan_jax.types import Array, GanLoss, Loss, TrainState


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


def zero_sum(loss: Loss) -> Loss:
    """Zero-sum version of a loss: the generator minimises minus the discriminator's loss, including its real term.

    With cross-entropy, D maximises and G minimises V = log D(x) + log(1 - D(G(z))), the value of the original game
    (Goodfellow et al. 2014, arXiv:1406.2661). With D held constant, G's gradient is that of `minimax`. The real term
    matters where a rule differentiates through D's moves, as `rules.unrolled` does.

    Args:
        loss: Any loss; only its discriminator's part is used.
    """
    if isinstance(loss, GanLoss):
        return _opposed(loss)
    return lambda state, key: _opposed(loss(state, key))


def exchanged(base: GanLoss) -> GanLoss:
    """Loss with exchanged labels for the generator: generator(real, fake) = discriminator(fake, real).

    For games such as BiGAN, where real and fake logits both depend on the generator's player.

    Args:
        base: Any loss; only its discriminator's part is used.
    """
    return GanLoss(base.discriminator, lambda real, fake: base.discriminator(fake, real))


def relativistic(base: GanLoss) -> GanLoss:
    """Relativistic pairing loss: compares each real logit with a fake one (Jolicoeur-Martineau 2018, arXiv:1807.00734).

    D minimises base_D(D(x) - D(G(z)), D(G(z)) - D(x)) / 2 and G the same with real and fake exchanged, where base_D is
    the discriminator's part of `base`. Real i is paired with fake i, patch by patch. `relativistic(non_saturating())`
    is softplus(D(G(z)) - D(x)), the loss of R3GAN (Huang et al. 2024, arXiv:2501.05441). Adding a constant to all
    logits changes nothing.

    Args:
        base: A loss symmetric in real and fake up to the logit's sign, as cross-entropy, hinge, Wasserstein and least
            squares with a = -b are. For others the result is the mean of the real and the fake formula.

    Raises:
        UserError: If `base` is a function of the state and a key.
    """
    _require_plain(base)
    return GanLoss(
        lambda real, fake: base.discriminator(real - fake, fake - real) / 2,
        lambda real, fake: base.discriminator(fake - real, real - fake) / 2,
    )


def relativistic_average(base: GanLoss) -> GanLoss:
    """Relativistic average loss: each logit minus the other side's mean (Jolicoeur-Martineau 2018, arXiv:1807.00734).

    D minimises base_D(D(x) - mean D(G(z)), D(G(z)) - mean D(x)) and G the same with real and fake exchanged, where
    base_D is the discriminator's part of `base`. Means are over the global batch and all patches. Adding a constant to
    all logits changes nothing.

    Args:
        base: See `relativistic`.
    """
    _require_plain(base)
    return GanLoss(
        lambda real, fake: base.discriminator(real - jnp.mean(fake), fake - jnp.mean(real)),
        lambda real, fake: base.discriminator(fake - jnp.mean(real), real - jnp.mean(fake)),
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


def top_k(loss: Loss, fraction: float | optax.Schedule) -> Loss:
    """Top-k training: the generator learns from its best samples only (Sinha et al. 2020, arXiv:2002.06224).

    G minimises the mean of its loss over the k = fraction B fakes with the highest logits: value i is multiplied by
    w_i = B / k for these, and by 0 for others. If k is not whole, the last sample gets the fractional weight; equal
    logits share the remaining weight. Samples of a patch critic are ranked by their average logit.

    Args:
        loss: Any loss whose generator's value i depends mainly on fake i; its discriminator's part is not changed.
        fraction: In (0, 1], or a schedule of the iteration; in the paper annealed from 1 to 1/2. Values below 1 / B
            count as 1 / B.

    Raises:
        UserError: If `fraction` is a number outside (0, 1].
    """
    if callable(fraction):
        return lambda state, key: _top(resolve(loss, state, key), fraction(state.step))
    require(lambda: 0 < fraction <= 1, f"fraction={fraction}: the fraction of samples that count must lie in (0, 1]")
    if isinstance(loss, GanLoss):
        return _top(loss, fraction)
    return lambda state, key: _top(loss(state, key), fraction)


def resolve(loss: Loss, state: TrainState, key: Array) -> GanLoss:
    """Returns a loss as a `GanLoss`, evaluating it first if it is a function of the state and a key.

    Args:
        loss: A `GanLoss`, or `(state, key) -> GanLoss`.
        state: The state before the move.
        key: A typed key, the same on every device.
    """
    return loss if isinstance(loss, GanLoss) else loss(state, key)


def _require_plain(base: GanLoss) -> None:
    if not isinstance(base, GanLoss):
        raise UserError(
            "base: a loss that is a function of the state and a key cannot be made relativistic; wrap the other "
            "way round, as in labels.flip(losses.relativistic(base), 0.1)"
        )


def _opposed(loss: GanLoss) -> GanLoss:
    return GanLoss(loss.discriminator, lambda real, fake: -loss.discriminator(real, fake))


def _top(loss: GanLoss, fraction: jax.typing.ArrayLike) -> GanLoss:
    def generator(real: Array, fake: Array) -> Array:
        score = average(fake)
        count = len(score)
        places = jnp.clip(fraction * count, 1, count)
        better = jnp.sum(score > score[:, None], axis=1)
        equal = jnp.sum(score == score[:, None], axis=1)
        share = jnp.clip((places - better) / equal, 0, 1)
        return share * (count / places) * loss.generator(real, fake)

    return GanLoss(loss.discriminator, generator)


def _cross_entropy(real: Array, fake: Array) -> Array:
    return average(jax.nn.softplus(-real)) + average(jax.nn.softplus(fake))
