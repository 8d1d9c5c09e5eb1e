"""Adversarial losses made from others: zero-sum, exchanged, relativistic and top-k losses."""

import jax
import jax.numpy as jnp
import optax

from gan_jax.checks import require
from gan_jax.errors import UserError
from gan_jax.numerics import average
from gan_jax.types import Array, GanLoss, Loss, TrainState


def resolve(loss: Loss, state: TrainState, key: Array) -> GanLoss:
    """Returns a loss as a `GanLoss`, evaluating it first if it is a function of the state and a key.

    Args:
        loss: A `GanLoss`, or `(state, key) -> GanLoss`.
        state: The state before the move.
        key: A typed key, the same on every device.
    """
    return loss if isinstance(loss, GanLoss) else loss(state, key)


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
