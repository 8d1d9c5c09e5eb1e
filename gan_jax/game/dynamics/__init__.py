"""Local dynamics of adversarial training: whether training converges to a game's equilibrium from nearby.

Two small games with known equilibria: `dirac`, built from the library's losses, terms, rules and optimisers, and
`quadratic`, from its rules and optimisers. `stability` computes the eigenvalues of any update at a fixed point, and
`simulate` runs the update to compare.

Verdicts of `stability(*dirac(loss, optimizer, rule=...))` at learning rate 1/2; the loss is the non-saturating one and
there are no terms unless named (`tests/test_game_dynamics.py` has the other settings and checks the table):

    simultaneous, non-saturating                          diverges
    simultaneous, wasserstein                             diverges
    simultaneous, hinge                                   diverges
    simultaneous, positive momentum                       diverges
    alternating, positive momentum                        diverges
    simultaneous, R1                                      converges
    alternating, R1                                       converges
    simultaneous, R2                                      converges
    simultaneous, relativistic, R1 and R2                 converges
    simultaneous, instance noise                          converges
    extragradient                                         converges
    optimistic gradient                                   converges
    consensus                                             converges
    symplectic                                            converges
    unrolled, zero-sum, 5 steps                           converges
    alternating, negative momentum                        converges
    simultaneous, look-ahead of 5                         converges
    alternating, non-saturating                           undecided
    alternating, wasserstein                              undecided
    alternating, wasserstein, gradient penalty            undecided
    alternating, R1, Adam                                 undecided

The first two undecided cases have their eigenvalues on the unit circle: to first order their distance from equilibrium
stays the same. The other two have no derivative at the equilibrium: the gradient of WGAN-GP's penalty jumps where the
critic is flat, and Adam divides by the root of a second moment that is 0 there.
"""

from gan_jax.game.dynamics.small_games import Dynamics, dirac, quadratic
from gan_jax.game.dynamics.stability import Stability, repeated, simulate, stability

__all__ = ["Dynamics", "Stability", "dirac", "quadratic", "repeated", "simulate", "stability"]
