"""Projections after a move, as wrappers of optimisers: they hold after every single move, under any rule.

Up to rounding, as an optimiser returns a difference.
"""

import jax
import jax.numpy as jnp
import optax

from gan_jax.checks import require
from gan_jax.types import PyTree


def clip(optimizer: optax.GradientTransformation, limit: float = 0.01) -> optax.GradientTransformation:
    """Ends every move with all parameters in [-limit, limit] (Arjovsky et al. 2017, arXiv:1701.07875).

    Args:
        optimizer: Whose moves are projected.
        limit: c, positive.
    """
    require(lambda: limit > 0, f"limit={limit}: it must be positive")

    def update(updates: PyTree, state: PyTree, params: PyTree = None) -> tuple[PyTree, PyTree]:
        updates, state = optimizer.update(updates, state, params)
        return jax.tree.map(lambda u, p: jnp.clip(p + u, -limit, limit) - p, updates, params), state

    return optax.GradientTransformation(optimizer.init, update)
