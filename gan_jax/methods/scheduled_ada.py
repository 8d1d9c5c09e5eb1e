"""ADA's augmentations at a probability that follows a schedule, as in R3GAN (Huang et al. 2024, arXiv:2501.05441)."""

from dataclasses import replace

from gan_jax import augment
from gan_jax.optimizers import Schedule
from gan_jax.types import Array, Augment, TrainState


def scheduled_ada(probability: Schedule) -> Augment:
    """Augmentations of R3GAN's code (train.py): geometric ones and cutout with probability p, colours with p / 2.

    Args:
        probability: p as a schedule of the iteration, in [0, 1].
    """

    def at(one: Augment, share: float) -> Augment:
        def augmented(images: Array, keys: Array, state: TrainState) -> Array:
            return one(images, keys, replace(state, extra=state.extra | {"ada": share * probability(state.step)}))

        return augmented

    geometry, colour = augment.ada(color=False), augment.ada(blit=False, geometry=False)
    cutout = augment.ada(blit=False, geometry=False, color=False, cutout=True)
    return augment.chain(at(geometry, 1.0), at(colour, 0.5), at(cutout, 1.0))
