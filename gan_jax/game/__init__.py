"""Games: players' objectives from losses, terms and augmentations, and systems from players, rules and controllers.

Change in `objectives` how losses, terms and augmentations add up to a player's objective, in `inputs` what the
generator is given in training, and in `build` how players and a rule become a `System`. Any player whose objective is
its own (see `types.Player`) can join a rule with `discriminator` and `generator`. `sampler` returns what a system
samples with, `averaged_network` evaluates averaged weights, and `current` returns unaveraged ones in their form.
`dynamics` linearises an update near an equilibrium.
"""

from gan_jax.game.build import averaged_network, current, sampler, system
from gan_jax.game.inputs import drawn, from_batch, given, labelled
from gan_jax.game.objectives import Game
from gan_jax.game.players import discriminator, generator, regularisation

__all__ = [
    "Game",
    "averaged_network",
    "current",
    "discriminator",
    "drawn",
    "from_batch",
    "generator",
    "given",
    "labelled",
    "regularisation",
    "sampler",
    "system",
]
