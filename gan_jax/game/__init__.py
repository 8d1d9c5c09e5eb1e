"""Games: objectives from losses, terms and augmentations, and systems from networks, players and an update rule.

Change in `objectives` how losses, terms and augmentations add up to a player's objective, and in `build` how networks,
players and a rule become a `System`. Games of a discriminator and a generator use `gan`; other players go to `system`.
`dynamics` linearises an update near an equilibrium.
"""

from gan_jax.game.build import PLAYERS, averaged_network, current, gan, system
from gan_jax.game.objectives import Game, discriminator, generator, given

__all__ = [
    "PLAYERS",
    "Game",
    "averaged_network",
    "current",
    "discriminator",
    "gan",
    "generator",
    "given",
    "system",
]
