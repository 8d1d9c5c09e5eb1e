"""Critic penalties: functions of a critic, real and fake samples, added to the discriminator's loss.

A penalty's `value` is `(critic, real [b, ...], fake [b, ...], *, step, keys [b]) -> [b]`, on the rows of one device.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax.types import Array

Critic = Callable[[Array], Array]


class Penalty(NamedTuple):
    """A term beside the discriminator's loss.

    Attributes:
        value: `(critic, real, fake, *, step, keys) -> [b]`.
        per_example: Whether it differentiates each example's own score. It is then refused for a discriminator whose
            scores depend on the whole batch, where that derivative is not defined.
    """

    value: Callable[..., Array]
    per_example: bool


def r1(weight: float) -> Penalty:
    """Returns the gradient penalty on real examples (Mescheder et al. 2018, arXiv:1801.04406).

    weight / 2 * |grad_x D(x)|^2.

    Args:
        weight: Gamma, 10 in the paper; positive.
    """
    _require_positive("weight", weight)

    def value(critic: Critic, real: Array, fake: Array, *, step: Array, keys: Array) -> Array:
        return weight / 2 * _squared_norm(input_gradient(critic, real))

    return Penalty(value, per_example=True)


def gradient_penalty(weight: float = 10.0, target: float = 1.0) -> Penalty:
    """Returns the penalty of WGAN-GP (Gulrajani et al. 2017, arXiv:1704.00028).

    weight * (|grad D(x')| - target)^2 at x' = u x + (1 - u) G(z), u uniform on [0, 1] for each pair.

    Args:
        weight: Lambda, positive.
        target: The gradient norm that costs nothing.
    """
    _require_positive("weight", weight)

    def value(critic: Critic, real: Array, fake: Array, *, step: Array, keys: Array) -> Array:
        mix = jax.vmap(lambda key: jax.random.uniform(key, dtype=real.dtype))(keys)
        mix = mix.reshape(-1, *[1] * (real.ndim - 1))
        squared = _squared_norm(input_gradient(critic, mix * real + (1 - mix) * fake))
        norm = jnp.sqrt(jnp.maximum(squared, 1e-20))  # its derivative at 0 is then 0, not NaN
        return weight * (norm - target) ** 2

    return Penalty(value, per_example=True)


def lazy(penalty: Penalty, every: int) -> Penalty:
    """Evaluates a penalty every so many steps, that many times as strong (Karras et al. 2020, arXiv:1912.04958).

    Args:
        penalty: Any penalty.
        every: Steps between evaluations, at least 1; it is due at step 0.
    """
    if every < 1:
        raise ValueError(f"every={every}: a lazy penalty is due once in at least 1 step")

    def value(critic: Critic, real: Array, fake: Array, *, step: Array, keys: Array) -> Array:
        return lax.cond(
            step % every == 0,
            lambda: every * penalty.value(critic, real, fake, step=step, keys=keys),
            lambda: jnp.zeros(real.shape[0], real.dtype),
        )

    return Penalty(value, penalty.per_example)


def input_gradient(critic: Critic, inputs: Array) -> Array:
    """Differentiates every example's score with respect to that example.

    Args:
        critic: `[b, ...] -> logits [b, ...]`, each a function of its own example; a patch critic's are averaged.
        inputs: Where, `[b, ...]`.

    Returns:
        Gradients, as `inputs`.
    """

    def total(x: Array) -> Array:
        logits = critic(x)
        return jnp.sum(logits) * (logits.shape[0] / logits.size)

    return jax.grad(total)(inputs)


def _squared_norm(x: Array) -> Array:
    return jnp.sum(x.reshape(x.shape[0], -1) ** 2, axis=1)


def _require_positive(name: str, value: float) -> None:
    if value <= 0:
        raise ValueError(f"{name}={value}: a penalty's {name} must be positive; leave the penalty out to switch it off")
