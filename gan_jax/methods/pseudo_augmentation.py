"""Adaptive pseudo augmentation, APA (Jiang et al. 2021, arXiv:2111.06849): samples shown to D as real examples.

    game = Game(networks, loss, latent, pseudo=pseudo_augmentation())
    control = controllers.adaptive_augmentation(batch_size, name="apa")
    built = system(game, rule, [control, average])

In the discriminator's update, each real example is replaced by a fresh sample with probability p, which counters
overfitting to small data sets. As in ADA, p rises while E[sign(D(x))] over the examples shown as real exceeds a target.
In the authors' code (EndlessSora/DeceiveD) the target is 0.6, and p takes at least 500,000 images (`images=`) from 0 to
1, or 100,000 in fine-tuning, and can exceed 1.
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
    examples are unchanged, to the bit. The batch's labels stay. The generator's update sees the real examples, for
    losses that compare both. The authors' code instead reuses the samples of the generator's last update, as constants.

    Args:
        slot: Name of the slot with p, in [0, 1], which is the name of the controller.

    Raises:
        UserError: When called, if the state has no such slot.
    """

    def shown(real: Array, keys: Array, state: TrainState, sample: Callable[[Array], Array]) -> Array:
        p = carried(state, slot, f"controllers.adaptive_augmentation(batch_size, name={slot!r})")
        swapped = jax.vmap(jax.random.uniform)(rng.each(keys, "swap")) < p
        return jnp.where(swapped.reshape(-1, *[1] * (real.ndim - 1)), sample(rng.each(keys, "latent")), real)

    return shown
