"""Games: players' objectives from losses, terms and augmentations, and systems from players, rules and controllers.

Change in `playing` how real and fake examples pass through the networks, in `objectives` how losses and terms add up to
a player's objective, in `inputs` what the generator is given in training, and in `build` how players and a rule become
a `System`. A player with an objective of its own (see `types.Player`) can share a rule with `discriminator` and
`generator`. `sampler` returns the distribution of latents and the averaged generator, `averaged_network` evaluates
averaged weights, `current` returns the unaveraged weights in the same form, and `standing` re-estimates the batch
statistics of either. `dynamics` linearises an update near an equilibrium.
"""

from gan_jax.game.build import averaged_network, current, sampler, system
from gan_jax.game.inputs import drawn, drawn_labels, from_batch, given, labelled
from gan_jax.game.players import discriminator, generator, regularisation
from gan_jax.game.playing import Game
from gan_jax.game.standing import standing

__all__ = [
    "Game",
    "averaged_network",
    "current",
    "discriminator",
    "drawn",
    "drawn_labels",
    "from_batch",
    "generator",
    "given",
    "labelled",
    "regularisation",
    "sampler",
    "standing",
    "system",
]
