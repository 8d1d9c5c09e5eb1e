"""Adaptive pseudo augmentation, APA (Jiang et al. 2021, arXiv:2111.06849): samples that pass for real examples.

    game = Game(networks, loss, latent, pseudo=pseudo_augmentation())
    control = controllers.adaptive_augmentation(batch_size, name="apa")
    built = system(game, rule, [control, average])

Real examples of the discriminator's move are replaced by fresh samples with probability p, which keeps it from
remembering a small data set. As in ADA, p rises while E[sign(D(x))] over what it is shown as real exceeds the target,
0.6 in the authors' code for 500,000 images (`images=`) from p = 0 to 1.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gan_jax import rng
from gan_jax.checks import carried
from gan_jax.types import Array, Pseudo, TrainState


def pseudo_augmentation(slot: str = "apa") -> Pseudo:
    """Returns APA's replacement of real examples, for `Game.pseudo`.

    x' = G(z) with probability p, independently for each example, and x otherwise; z is drawn for this alone. At p = 0
    examples are unchanged, to the bit. Labels of the batch are kept. The generator's move sees the real examples, for
    losses that compare both. The authors' code uses the samples of the generator's last move instead, as constants.

    Args:
        slot: Name of the slot with p, in [0, 1]; the name of the controller.

    Raises:
        UserError: When called, if the state has no such slot.
    """

    def shown(real: Array, keys: Array, state: TrainState, sample: Callable[[Array], Array]) -> Array:
        p = carried(state, slot, f"controllers.adaptive_augmentation(batch_size, name={slot!r})")
        swapped = jax.vmap(jax.random.uniform)(rng.each(keys, "swap")) < p
        return jnp.where(swapped.reshape(-1, *[1] * (real.ndim - 1)), sample(rng.each(keys, "latent")), real)

    return shown
