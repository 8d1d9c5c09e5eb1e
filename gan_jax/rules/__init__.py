"""Update rules: which player moves when.

An update is `(state, batch, key) -> (state, metrics)`, one iteration; `many` runs iterations in one compiled call, and
it alone increments `state.step`. Players move in turns under `alternating` and `unrolled`, and all at once under
`simultaneous`, `extragradient`, `consensus` and `symplectic`.

Optimistic gradients and negative momentum are optimisers, not rules: pass `optax.optimistic_gradient_descent(rate)`
(Daskalakis et al. 2018, arXiv:1711.00141) or, with alternating players, `optax.sgd(rate, momentum=-0.3)` (Gidel et al.
2019, arXiv:1807.04740). Look-ahead is a controller: `controllers.lookahead`.

A new rule is a function from players to an update: in `sequential` if players move in turns, in `joint` if they move at
once. Rules are built from `gradients`; `controllers` run after the moves.
"""

from gan_jax.rules.iterate import many, then
from gan_jax.rules.joint import consensus, extragradient, simultaneous, symplectic
from gan_jax.rules.sequential import alternating, descend, unrolled

__all__ = [
    "alternating",
    "consensus",
    "descend",
    "extragradient",
    "many",
    "simultaneous",
    "symplectic",
    "then",
    "unrolled",
]
