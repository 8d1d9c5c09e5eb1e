"""f-GAN: games that minimise an f-divergence of data p and samples q (Nowozin et al. 2016, arXiv:1606.00709).

D_f = sum q f(p / q) = max_T E_p[T] - E_q[f*(T)], where f*(t) = max_u (u t - f(u)), and T = f'(p / q) is the best. An
activation takes the logit v to the range of T; it rises with v, so that high means real, but the v of p = q is not
always 0.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gan_jax.numerics import average
from gan_jax.types import Array, GanLoss


class Divergence(NamedTuple):
    """An f-divergence, as two functions of the logit v, elementwise.

    Attributes:
        real: T, the activation of v.
        fake: f*(T).
    """

    real: Callable[[Array], Array]
    fake: Callable[[Array], Array]


def f_gan(divergence: Divergence, saturating: bool = True) -> GanLoss:
    """Returns the game of a divergence (Nowozin et al. 2016, arXiv:1606.00709).

    D minimises f*(T(G(z))) - T(x), at best minus the divergence. G minimises -f*(T(G(z))) if saturating, else -T(G(z)),
    as in section 3.2.

    Args:
        divergence: What is minimised.
        saturating: Whether the generator plays D's own game.
    """

    def generator(real: Array, fake: Array) -> Array:
        return -average(divergence.fake(fake) if saturating else divergence.real(fake))

    return GanLoss(lambda real, fake: average(divergence.fake(fake)) - average(divergence.real(real)), generator)


def kl() -> Divergence:
    """Returns Kullback and Leibler's, sum p log(p / q), of f = u log u: T = v, best at v = 1 + log(p / q).

    f*(T) = exp(v - 1) overflows above v = 89.
    """
    return Divergence(lambda v: v, lambda v: jnp.exp(v - 1))


def reverse_kl() -> Divergence:
    """Returns Kullback and Leibler's the other way, sum q log(q / p), of f = -log u: T = -exp(-v), v = log(p / q).

    T overflows below v = -88.
    """
    return Divergence(lambda v: -jnp.exp(-v), lambda v: v - 1)


def pearson() -> Divergence:
    """Returns Pearson's chi-squared, sum (p - q)^2 / q, of f = (u - 1)^2: T = v, best at v = 2 (p / q - 1)."""
    return Divergence(lambda v: v, lambda v: v**2 / 4 + v)


def neyman() -> Divergence:
    """Returns Neyman's chi-squared, sum (p - q)^2 / p, of f = (1 - u)^2 / u: T = 1 - exp(-v), v = 2 log(p / q).

    T overflows below v = -88.
    """
    return Divergence(lambda v: -jnp.expm1(-v), lambda v: -2 * jnp.expm1(-v / 2))


def squared_hellinger() -> Divergence:
    """Returns Hellinger's, squared, sum (sqrt p - sqrt q)^2, of f = (sqrt u - 1)^2: T = 1 - exp(-v).

    Best at v = log(p / q) / 2. T overflows below v = -88, f*(T) = exp(v) - 1 above 88.
    """
    return Divergence(lambda v: -jnp.expm1(-v), lambda v: jnp.expm1(v))


def jensen_shannon() -> Divergence:
    """Returns twice Jensen and Shannon's, sum p log(2p / (p + q)) + q log(2q / (p + q)): T = log 2 - softplus(-v).

    f = u log u - (u + 1) log((u + 1) / 2), best at v = log(p / q). It is the game of `losses.minimax`, or of
    `losses.non_saturating` if not saturating, up to constants: D's is log 4 less.
    """
    return Divergence(
        lambda v: math.log(2) - jax.nn.softplus(-v),
        lambda v: jax.nn.softplus(v) - math.log(2),
    )


def total_variation() -> Divergence:
    """Returns the total variation, sum |p - q| / 2, of f = |u - 1| / 2: T = tanh(v) / 2, best at v of +-infinity."""
    return Divergence(lambda v: jnp.tanh(v) / 2, lambda v: jnp.tanh(v) / 2)
