"""Labels that are not quite sure: changes to the discriminator's part of any loss; the generator's stays as it is."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gan_jax import rng
from gan_jax.checks import require
from gan_jax.errors import UserError
from gan_jax.losses import adversarial
from gan_jax.types import Array, GanLoss, Loss, TrainState


def smooth(loss: Loss, real: float = 0.1, fake: float = 0.0) -> Loss:
    """Smooths the discriminator's labels, one-sided by default (Salimans et al. 2016, arXiv:1606.03498).

    Of D(x, y) = a(x) + b(y) it makes (1 - real) a(x) + real b(x) + (1 - fake) b(y) + fake a(y): cross-entropy with the
    labels 1 - real and fake. As D tells a and b apart but for a constant, a(0) = b(0) is taken, which holds for
    cross-entropy; for others the loss may be off by a constant, which moves no gradient.

    A loss that is not such a sum, as most relativistic ones and softmax, can only be smoothed with real = fake, to
    (1 - real) D(x, y) + real D(y, x), which for sums is the same as above.

    Args:
        loss: Any loss; changed before it is given to `relativistic`, its generator's part changes too.
        real: How much real ones are taken for fake, in [0, 0.5].
        fake: How much fake ones are taken for real, in [0, 0.5].

    Raises:
        UserError: If a rate is outside [0, 0.5], or if they differ and `loss` is not a sum. It is tried with numbers
            when the `GanLoss` is known; one that depends on traced values is taken to be a sum.
    """
    for name, rate in {"real": real, "fake": fake}.items():
        wrong = f"{name}={rate}: a rate of smoothing must lie in [0, 0.5]; above, labels would be reversed"
        require(lambda rate=rate: 0 <= rate <= 0.5, wrong)
    if isinstance(loss, GanLoss):
        return _smoothed(loss, real, fake)
    return lambda state, key: _smoothed(loss(state, key), real, fake)


def flip(loss: Loss, probability: float) -> Loss:
    """Flips labels: exchanges some pairs of logits before the discriminator's loss, anew in each move.

    D minimises loss_D(x_i, y_i) where (x_i, y_i) is (fake_i, real_i) with `probability`, else (real_i, fake_i). Where
    value i is about pair i alone, its expectation is `smooth(loss, probability, probability)`. Advised by (Chintala et
    al. 2016, github.com/soumith/ganhacks).

    Args:
        loss: Any loss.
        probability: Of a pair being exchanged, in (0, 0.5].

    Returns:
        A function of the state and a key; the pairs are drawn for the global batch, alike on every device.

    Raises:
        UserError: If `probability` is outside (0, 0.5].
    """
    wrong = f"probability={probability}: it must lie in (0, 0.5]; leave flip out to keep all labels"
    require(lambda: 0 < probability <= 0.5, wrong)

    def flipped(state: TrainState, key: Array) -> GanLoss:
        base = adversarial.resolve(loss, state, rng.named(key, "base"))

        def discriminator(real: Array, fake: Array) -> Array:
            exchanged = jax.random.bernoulli(rng.named(key, "flip"), probability, (len(real),))
            exchanged = exchanged.reshape(-1, *[1] * (real.ndim - 1))
            return base.discriminator(jnp.where(exchanged, fake, real), jnp.where(exchanged, real, fake))

        return GanLoss(discriminator, base.generator)

    return flipped


def _smoothed(loss: GanLoss, real: float, fake: float) -> GanLoss:
    judge = loss.discriminator

    def alike(x: Array, y: Array) -> Array:
        return (1 - real) * judge(x, y) + real * judge(y, x)

    def apart(x: Array, y: Array) -> Array:
        zero = jnp.zeros_like(x)
        x_as_fake = judge(zero, x) - judge(x, zero)  # b(x) - a(x)
        y_as_real = judge(y, zero) - judge(zero, y)  # a(y) - b(y)
        return judge(x, y) + real * x_as_fake + fake * y_as_real

    if real != fake and not _is_sum(loss):
        rate = max(real, fake)
        raise UserError(
            f"real={real}, fake={fake}: this loss compares real with fake, so both can only be smoothed alike: "
            f"smooth(loss, real={rate}, fake={rate})"
        )
    return GanLoss(alike if real == fake else apart, loss.generator)


def _is_sum(loss: GanLoss) -> bool:
    """Tells whether D(x, y) = a(x) + b(y), by D(x, y) + D(u, v) = D(x, v) + D(u, y) at some logits."""
    draw = np.random.default_rng(0)
    size = np.exp(draw.uniform(np.log(0.1), np.log(80), (4, 16)))  # of all sizes, so as to see margins
    with jax.ensure_compile_time_eval():
        x, y, u, v = jnp.asarray(draw.choice([-1.0, 1.0], (4, 16)) * size, jnp.float32)
        judge = loss.discriminator
        equal = jnp.allclose(judge(x, y) + judge(u, v), judge(x, v) + judge(u, y), rtol=1e-4, atol=1e-4)
    return isinstance(equal, Tracer) or bool(equal)
