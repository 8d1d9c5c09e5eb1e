"""Update rules: which player moves when.

An update is `(state, batch, key) -> (state, metrics)` and never touches `state.step`; `many` runs it again and again
inside one compiled call, and is the only place that counts. In turns: `alternating`, `unrolled`. All at once:
`simultaneous`, `extragradient`, `consensus`, `symplectic`.

Optimistic gradients and negative momentum are optimisers, not rules: pass `optax.optimistic_gradient_descent(rate)`
(Daskalakis et al. 2018, arXiv:1711.00141) or `optax.sgd(rate, momentum=-0.3)` (Gidel et al. 2019, arXiv:1807.04740;
to alternating players). Joint look-ahead is a controller: `controllers.lookahead`.

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
