"""Systems: players and their objectives, assembled into what training, sampling and scoring need.

Change here how losses, terms and augmentations add up to a player's objective (`objectives`), or how networks, players
and a rule become a `System` (`build`). Two-player games use `gan`; a system of other players passes its own to
`system`. `dynamics` linearises any update near an equilibrium.
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
