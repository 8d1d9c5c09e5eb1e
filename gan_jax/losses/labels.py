"""Label smoothing and flips for any loss, and the hinge loss with random margins; the generator's part is unchanged."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gan_jax import rng
from gan_jax.checks import require
from gan_jax.errors import UserError
from gan_jax.losses.adversarial import hinge
from gan_jax.losses.combinators import resolve
from gan_jax.numerics import average
from gan_jax.types import Array, GanLoss, Loss, TrainState


def smooth(loss: Loss, real: float = 0.1, fake: float = 0.0) -> Loss:
    """Label smoothing of the discriminator, one-sided by default (Salimans et al. 2016, arXiv:1606.03498).

    A discriminator's loss that is a sum a(x) + b(y) of a real and a fake part becomes
    (1 - real) a(x) + real b(x) + (1 - fake) b(y) + fake a(y): cross-entropy with labels 1 - real and fake. The sum
    determines a and b up to a constant, so a(0) = b(0) is assumed. That holds for cross-entropy; other losses may be
    off by a constant, which has no gradient.

    A loss that is not such a sum, as softmax and most relativistic ones, can only be smoothed with real = fake, to
    (1 - real) D(x, y) + real D(y, x), where D(x, y) is the discriminator's loss. For sums this equals the above.

    Args:
        loss: Any loss. `relativistic` of a smoothed loss has a smoothed generator too.
        real: Weight with which real examples count as fake, in [0, 0.5].
        fake: Weight with which fake examples count as real, in [0, 0.5].

    Raises:
        UserError: If a rate is outside [0, 0.5], or the rates differ and `loss` is not a sum. This is checked on sample
            logits; a loss that depends on traced values is assumed to be a sum.
    """
    for name, rate in {"real": real, "fake": fake}.items():
        wrong = f"{name}={rate}: a rate of smoothing must lie in [0, 0.5]; above, labels would be reversed"
        require(lambda rate=rate: 0 <= rate <= 0.5, wrong)
    if isinstance(loss, GanLoss):
        return _smoothed(loss, real, fake)
    return lambda state, key: _smoothed(loss(state, key), real, fake)


def flip(loss: Loss, probability: float) -> Loss:
    """Label flips: exchanges random pairs of real and fake logits in the discriminator's loss, anew in each move.

    D minimises loss_D(x_i, y_i) where (x_i, y_i) is (fake_i, real_i) with `probability`, else (real_i, fake_i). If
    value i depends on pair i alone, the expected loss is `smooth(loss, probability, probability)`. From Chintala et al.
    2016, github.com/soumith/ganhacks.

    Args:
        loss: Any loss.
        probability: Probability that a pair is exchanged, in (0, 0.5].

    Returns:
        `(state, key) -> GanLoss`; the pairs are drawn for the global batch, the same on every device.

    Raises:
        UserError: If `probability` is outside (0, 0.5].
    """
    wrong = f"probability={probability}: it must lie in (0, 0.5]; leave flip out to keep all labels"
    require(lambda: 0 < probability <= 0.5, wrong)

    def flipped(state: TrainState, key: Array) -> GanLoss:
        base = resolve(loss, state, rng.named(key, "base"))

        def discriminator(real: Array, fake: Array) -> Array:
            exchanged = jax.random.bernoulli(rng.named(key, "flip"), probability, (len(real),))
            exchanged = exchanged.reshape(-1, *[1] * (real.ndim - 1))
            return base.discriminator(jnp.where(exchanged, fake, real), jnp.where(exchanged, real, fake))

        return GanLoss(discriminator, base.generator)

    return flipped


def noisy_hinge(noise: float = 0.2) -> Loss:
    """Hinge loss with random margins of the discriminator, from FastGAN's code (Liu et al. 2021, arXiv:2101.04775).

    D minimises max(0, u - D(x)) + max(0, v + D(G(z))), u and v uniform on [1 - noise, 1], drawn for each logit in each
    update; G minimises -D(G(z)).

    Args:
        noise: Width of the interval of margins, in (0, 1]; 0.2 in FastGAN's code.

    Returns:
        `(state, key) -> GanLoss`; the margins are drawn for the global batch, the same on every device.

    Raises:
        UserError: If `noise` is outside (0, 1].
    """
    require(lambda: 0 < noise <= 1, f"noise={noise}: it must lie in (0, 1]; losses.hinge() has constant margins")

    def noisy(state: TrainState, key: Array) -> GanLoss:
        def part(name: str, logits: Array) -> Array:
            shift = jax.random.uniform(rng.named(key, name), logits.shape, maxval=noise)
            return average(jax.nn.relu(1 - shift - logits))

        def discriminator(real: Array, fake: Array) -> Array:
            return part("real margins", real) + part("fake margins", -fake)

        return GanLoss(discriminator, hinge().generator)

    return noisy


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
            f"real={real}, fake={fake}: this loss compares real with fake, so both need the same smoothing: give "
            f"smooth(loss, real={rate}, fake={rate})"
        )
    return GanLoss(alike if real == fake else apart, loss.generator)


def _is_sum(loss: GanLoss) -> bool:
    """Returns whether D(x, y) = a(x) + b(y), by checking D(x, y) + D(u, v) = D(x, v) + D(u, y) at random logits."""
    draw = np.random.default_rng(0)
    size = np.exp(draw.uniform(np.log(0.1), np.log(80), (4, 16)))  # from 0.1 to 80, to reach both sides of margins
    with jax.ensure_compile_time_eval():
        x, y, u, v = jnp.asarray(draw.choice([-1.0, 1.0], (4, 16)) * size, jnp.float32)
        judge = loss.discriminator
        equal = jnp.allclose(judge(x, y) + judge(u, v), judge(x, v) + judge(u, y), rtol=1e-4, atol=1e-4)
    return isinstance(equal, Tracer) or bool(equal)
