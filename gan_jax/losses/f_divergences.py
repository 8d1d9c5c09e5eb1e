"""f-GAN losses: minimise an f-divergence between data p and samples q (Nowozin et al. 2016, arXiv:1606.00709).

D_f = sum q f(p / q) = max_T E_p[T] - E_q[f*(T)], where f*(t) = max_u (u t - f(u)); the optimal T is f'(p / q). An
increasing activation maps the logit v to the range of T, so high logits mean real; but v is not always 0 at p = q.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gan_jax.numerics import average
from gan_jax.types import Array, GanLoss


class Divergence(NamedTuple):
    """An f-divergence as two elementwise functions of the logit v.

    Attributes:
        real: v -> T, the activation.
        fake: v -> f*(T).
    """

    real: Callable[[Array], Array]
    fake: Callable[[Array], Array]


def f_gan(divergence: Divergence, saturating: bool = True) -> GanLoss:
    """f-GAN loss of a divergence (Nowozin et al. 2016, arXiv:1606.00709).

    D minimises f*(T(G(z))) - T(x), whose minimum is minus the divergence. G minimises -f*(T(G(z))) if saturating, else
    -T(G(z)), as in section 3.2.

    Args:
        divergence: One of this module's, such as `kl()`.
        saturating: Whether the game is zero-sum in the fake term.
    """

    def generator(real: Array, fake: Array) -> Array:
        return -average(divergence.fake(fake) if saturating else divergence.real(fake))

    return GanLoss(lambda real, fake: average(divergence.fake(fake)) - average(divergence.real(real)), generator)


def kl() -> Divergence:
    """Kullback-Leibler divergence KL(p || q), sum p log(p / q): f = u log u, T = v, optimal v = 1 + log(p / q).

    f*(T) = exp(v - 1) overflows above v = 89.
    """
    return Divergence(lambda v: v, lambda v: jnp.exp(v - 1))


def reverse_kl() -> Divergence:
    """Reverse KL divergence KL(q || p), sum q log(q / p): f = -log u, T = -exp(-v), optimal v = log(p / q).

    T overflows below v = -88.
    """
    return Divergence(lambda v: -jnp.exp(-v), lambda v: v - 1)


def pearson() -> Divergence:
    """Pearson's chi-squared divergence, sum (p - q)^2 / q: f = (u - 1)^2, T = v, optimal v = 2 (p / q - 1)."""
    return Divergence(lambda v: v, lambda v: v**2 / 4 + v)


def neyman() -> Divergence:
    """Neyman's chi-squared divergence, sum (p - q)^2 / p: f = (1 - u)^2 / u, T = 1 - exp(-v), optimal v = 2 log(p / q).

    T overflows below v = -88.
    """
    return Divergence(lambda v: -jnp.expm1(-v), lambda v: -2 * jnp.expm1(-v / 2))


def squared_hellinger() -> Divergence:
    """Squared Hellinger distance, sum (sqrt p - sqrt q)^2: f = (sqrt u - 1)^2, T = 1 - exp(-v).

    Optimal v = log(p / q) / 2. T overflows below v = -88, f*(T) = exp(v) - 1 above 88.
    """
    return Divergence(lambda v: -jnp.expm1(-v), lambda v: jnp.expm1(v))


def jensen_shannon() -> Divergence:
    """Twice the Jensen-Shannon divergence, sum p log(2p / (p + q)) + q log(2q / (p + q)): T = log 2 - softplus(-v).

    f = u log u - (u + 1) log((u + 1) / 2), optimal v = log(p / q). Up to constants the loss is `losses.minimax`, or
    `losses.non_saturating` if not saturating; D's is log 4 less.
    """
    return Divergence(
        lambda v: math.log(2) - jax.nn.softplus(-v),
        lambda v: jax.nn.softplus(v) - math.log(2),
    )


def total_variation() -> Divergence:
    """Total variation distance, sum |p - q| / 2: f = |u - 1| / 2, T = tanh(v) / 2, optimal v = +-infinity."""
    return Divergence(lambda v: jnp.tanh(v) / 2, lambda v: jnp.tanh(v) / 2)
