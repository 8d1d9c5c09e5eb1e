"""Adversarial losses: pure functions of logits.

Each loss is a `GanLoss`, a pair of functions of the real and the fake logits of the *global* batch, `[B, ...]`; both
return one value an example, `[B]`, trailing axes averaged. The discriminator's logit is high for real.

f-divergences are in `f_divergences`; smoothed and flipped labels in `labels`.
"""

import jax
import jax.numpy as jnp
import optax

from gan_jax.checks import carried, require
from gan_jax.errors import UserError
from gan_jax.numerics import average
from gan_jax.types import Array, GanLoss, Loss, TrainState


def minimax() -> GanLoss:
    """Returns the original, saturating game (Goodfellow et al. 2014, arXiv:1406.2661).

    D minimises -log D(x) - log(1 - D(G(z))), G minimises log(1 - D(G(z))), where D = sigmoid(logit).
    """
    return GanLoss(_cross_entropy, lambda real, fake: average(-jax.nn.softplus(fake)))


def non_saturating() -> GanLoss:
    """Returns the game whose generator maximises log D(G(z)) (Goodfellow et al. 2014, arXiv:1406.2661).

    D minimises -log D(x) - log(1 - D(G(z))), G minimises -log D(G(z)).
    """
    return GanLoss(_cross_entropy, lambda real, fake: average(jax.nn.softplus(-fake)))


def least_squares(a: float = 0.0, b: float = 1.0, c: float = 1.0) -> GanLoss:
    """Returns the least squares game (Mao et al. 2017, arXiv:1611.04076).

    D minimises (D(x) - b)^2 / 2 + (D(G(z)) - a)^2 / 2, G minimises (D(G(z)) - c)^2 / 2: mind the halves where another
    term's weight is relative to this loss. With b - c = 1 and b - a = 2, G's loss at the best D is, up to a term that G
    does not move, half of Pearson's chi-squared divergence between p + q and 2 q: the integral of
    (2 q - (p + q))^2 / (p + q), where p is the density of the data and q that of the samples.

    Args:
        a: The discriminator's target on fake.
        b: Its target on real.
        c: What the generator wants it to say of fake.
    """
    return GanLoss(
        lambda real, fake: average((real - b) ** 2) / 2 + average((fake - a) ** 2) / 2,
        lambda real, fake: average((fake - c) ** 2) / 2,
    )


def wasserstein() -> GanLoss:
    """Returns the Wasserstein game (Arjovsky et al. 2017, arXiv:1701.07875); the critic must be held Lipschitz.

    D minimises D(G(z)) - D(x), G minimises -D(G(z)).
    """
    return GanLoss(
        lambda real, fake: average(fake) - average(real),
        lambda real, fake: -average(fake),
    )


def hinge() -> GanLoss:
    """Returns the hinge game (Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957).

    D minimises max(0, 1 - D(x)) + max(0, 1 + D(G(z))), G minimises -D(G(z)).
    """
    return GanLoss(
        lambda real, fake: average(jax.nn.relu(1 - real)) + average(jax.nn.relu(1 + fake)),
        lambda real, fake: -average(fake),
    )


def zero_sum(loss: Loss) -> Loss:
    """Returns the game whose generator minimises minus the discriminator's whole loss, its real term included.

    With cross-entropy D maximises and G minimises V = log D(x) + log(1 - D(G(z))), the value of the original game
    (Goodfellow et al. 2014, arXiv:1406.2661). G's gradient is that of `minimax` as long as D is held constant; where a
    rule differentiates through D's moves, as `rules.unrolled`, the real term counts too.

    Args:
        loss: Any; both players minimise its discriminator's part, the generator with the opposite sign.
    """
    if isinstance(loss, GanLoss):
        return _opposed(loss)
    return lambda state, key: _opposed(loss(state, key))


def exchanged(base: GanLoss) -> GanLoss:
    """Returns a loss whose generator wants both kinds taken for each other: generator(x, y) = discriminator(y, x).

    For generators that make both sides of what is judged, as in BiGAN.

    Args:
        base: Any.
    """
    return GanLoss(base.discriminator, lambda real, fake: base.discriminator(fake, real))


def relativistic(base: GanLoss) -> GanLoss:
    """Returns the game that judges pairs, real against fake (Jolicoeur-Martineau 2018, arXiv:1807.00734).

    D minimises base_D(D(x) - D(G(z)), D(G(z)) - D(x)) / 2, G the same with the roles exchanged, where base_D is the
    discriminator's loss of `base`. `relativistic(non_saturating())` is softplus(D(G(z)) - D(x)), the game of R3GAN
    (Huang et al. 2024, arXiv:2501.05441). Adding a constant to all logits changes nothing.

    Args:
        base: Treats real and fake alike up to the sign of the logit, as cross-entropy, hinge, Wasserstein and least
            squares with a = -b do; otherwise the mean of both treatments counts. Real i is paired with fake i, place by
            place.
    """
    _require_plain(base)
    return GanLoss(
        lambda real, fake: base.discriminator(real - fake, fake - real) / 2,
        lambda real, fake: base.discriminator(fake - real, real - fake) / 2,
    )


def relativistic_average(base: GanLoss) -> GanLoss:
    """Returns the game that judges each against the average other (Jolicoeur-Martineau 2018, arXiv:1807.00734).

    D minimises base_D(D(x) - mean D(G(z)), D(G(z)) - mean D(x)), G the same with the roles exchanged. The means are
    over the global batch and, for a patch critic, over all places too. Adding a constant to all logits changes nothing.

    Args:
        base: As for `relativistic`.
    """
    _require_plain(base)
    return GanLoss(
        lambda real, fake: base.discriminator(real - jnp.mean(fake), fake - jnp.mean(real)),
        lambda real, fake: base.discriminator(fake - jnp.mean(real), real - jnp.mean(fake)),
    )


def energy(margin: float) -> GanLoss:
    """Returns the energy-based game (Zhao et al. 2017, arXiv:1609.03126); the logit is minus an energy E >= 0.

    D minimises E(x) + max(0, margin - E(G(z))), G minimises E(G(z)). In equilibrium the samples are distributed like
    the data, all energies are one constant in [0, margin], and the discriminator's loss is `margin`.

    Args:
        margin: The energy above which samples are left alone; positive.

    Raises:
        UserError: If `margin` is not positive.
    """
    require(lambda: margin > 0, f"margin={margin}: energies are not negative, so the margin must be positive")
    return GanLoss(
        lambda real, fake: average(-real) + average(jax.nn.relu(margin + fake)),
        lambda real, fake: average(-fake),
    )


def began(balance: float | Array) -> GanLoss:
    """Returns the boundary equilibrium game (Berthelot et al. 2017, arXiv:1703.10717).

    D minimises L(x) - balance L(G(z)), G minimises L(G(z)), where the logit is minus the error L of reconstruction.

    Args:
        balance: k of the paper, in [0, 1]; `balanced` takes it from where it is carried.

    Raises:
        UserError: If `balance` is a number outside [0, 1].
    """
    require(lambda: 0 <= balance <= 1, f"balance={balance}: it must lie in [0, 1]; clip it where it is carried on")
    return GanLoss(
        lambda real, fake: average(-real) + balance * average(fake),
        lambda real, fake: average(-fake),
    )


def balanced(slot: str = "balance") -> Loss:
    """Returns `began` at the k that `controllers.balance` carries.

    Args:
        slot: Where it is carried.
    """
    return lambda state, key: began(carried(state, slot, "controllers.balance()"))


def boundary_seeking() -> GanLoss:
    """Returns the game whose generator seeks D = 1/2, for continuous samples (Hjelm et al. 2018, arXiv:1702.08431).

    D minimises -log D(x) - log(1 - D(G(z))), G minimises (log D(G(z)) - log(1 - D(G(z))))^2 / 2, that is logit^2 / 2.
    """
    return GanLoss(_cross_entropy, lambda real, fake: average(fake**2) / 2)


def softmax() -> GanLoss:
    """Returns the game of one softmax over the whole batch (Lin 2017, arXiv:1704.06191).

    D minimises -log P(x), G minimises -(log P(x) + log P(G(z))) / 2, where P is the softmax over all 2B logits, at each
    place of a patch critic its own: the cross-entropies of P from the uniform distribution on the real ones and from
    that on all. Adding a constant to all logits changes nothing.
    """

    def total(real: Array, fake: Array) -> Array:
        return jax.nn.logsumexp(jnp.concatenate([real, fake]), axis=0)

    return GanLoss(
        lambda real, fake: average(total(real, fake) - real),
        lambda real, fake: average(total(real, fake) - (real + fake) / 2),
    )


def top_k(loss: Loss, fraction: float | optax.Schedule) -> Loss:
    """Lets the generator learn from its best samples only (Sinha et al. 2020, arXiv:2002.06224).

    G minimises w_i loss_G_i, where w_i = B / k for the k = fraction B fakes of the highest logits, else 0: in the mean,
    the mean over these. Where k is not whole, the last one counts in part; equal logits share what places are left.

    Args:
        loss: Its discriminator's part stays as it is. The generator's value i should be about fake i.
        fraction: In (0, 1]; or a schedule of it over steps, annealed from 1 to 1/2 in the paper. Less than 1 / B counts
            as 1 / B. Samples of a patch critic are ranked by their average logit.

    Raises:
        UserError: If `fraction` is a number outside (0, 1].
    """
    if callable(fraction):
        return lambda state, key: _top(resolve(loss, state, key), fraction(state.step))
    require(lambda: 0 < fraction <= 1, f"fraction={fraction}: the part of the samples that count must lie in (0, 1]")
    if isinstance(loss, GanLoss):
        return _top(loss, fraction)
    return lambda state, key: _top(loss(state, key), fraction)


def resolve(loss: Loss, state: TrainState, key: Array) -> GanLoss:
    """Returns the loss of one move: itself, or what the function makes of the state and the key.

    Args:
        loss: Either kind.
        state: Before the move.
        key: A typed key, the same on every device.
    """
    return loss if isinstance(loss, GanLoss) else loss(state, key)


def _require_plain(base: GanLoss) -> None:
    if not isinstance(base, GanLoss):
        raise UserError(
            "base: a loss that is a function of the state and a key cannot be made relativistic; wrap the other way "
            "round, as labels.flip(losses.relativistic(base), 0.1)"
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
