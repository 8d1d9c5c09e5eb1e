"""Latent optimisation of LOGAN (Wu et al. 2019, arXiv:1912.00953): latents move towards higher logits in training.

    game = Game(networks, loss, latent, refine=natural_step(latent, step=0.9, damping=5.0))

Both players use the moved latents, and their gradients pass through the step, which gives each a second-order term in
the other's parameters. An iteration costs about twice as much. Sampling does not move latents.

The paper's values for BigGAN-deep are step 0.9, damping 5 and share 0.5, with a latent of size 256, uniform on [-1, 1].
The paper's penalty on |z' - z|^2, with weight 300, is left out. The step was not checked against the authors' code.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import rng
from gan_jax.checks import require
from gan_jax.errors import UserError
from gan_jax.types import Array, Latent, Refine


def natural_step(
    latent: Latent, step: float, damping: float, *, bound: float | None = 1.0, share: float = 1.0
) -> Refine:
    """Returns a step of damped natural gradient ascent on the logit, for `Game.refine`.

    z' = clip(z + step / (damping + |g|^2) g, -bound, bound), g = grad_z D(G(z)): the natural gradient by the damped
    empirical Fisher matrix g g^T + damping I. Labels and codes in the latent stay as they are. With the default bound,
    latents should be uniform on [-1, 1] (`latents.uniform`), as in the paper.

    Args:
        latent: Distribution of the latents.
        step: alpha, positive.
        damping: beta, positive; if it is large, this is a gradient step of size step / damping.
        bound: Bound of the latents' absolute values; None for no clipping.
        share: Probability with which each element of a latent moves, in (0, 1], drawn for each example; g is the
            gradient with respect to the elements that move. How the paper chooses half of the elements was not checked.

    Raises:
        UserError: If an argument is out of range. While tracing: if the generator's inputs are not these latents.
    """
    require(lambda: step > 0, f"step={step}: it must be positive; leave refine out for no latent optimisation")
    require(lambda: damping > 0, f"damping={damping}: it must be positive")
    require(lambda: bound is None or bound > 0, f"bound={bound}: give a positive number, or None for no clipping")
    require(lambda: 0 < share <= 1, f"share={share}: the fraction of elements that move must lie in (0, 1]")
    free = np.ones(latent.size, bool)
    for part in latent.parts:
        free[part.start : part.start + part.size] = False

    def refine(latents: Array, keys: Array, score: Callable[[Array], Array]) -> Array:
        if latents.shape[1:] != (latent.size,):
            raise UserError(
                f"refine: the generator's inputs have shape {latents.shape[1:]}, but latents of natural_step have "
                f"({latent.size},); give the latent of the game, and inputs that are latents"
            )
        drawn = jax.vmap(lambda key: jax.random.uniform(key, (latent.size,)))(rng.each(keys, "share"))
        moves = free & (drawn < share)
        slope = jnp.where(moves, jax.grad(lambda z: jnp.sum(score(z)))(latents), 0)
        moved = latents + step / (damping + jnp.sum(slope**2, axis=1, keepdims=True)) * slope
        return moved if bound is None else jnp.where(moves, jnp.clip(moved, -bound, bound), latents)

    return refine
