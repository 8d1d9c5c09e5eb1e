"""Systems: players and their objectives, assembled into what training, sampling and scoring need."""

from gan_jax.game.build import PLAYERS, averaged_network, current, gan, system
from gan_jax.game.objectives import Game, discriminator, generator, given, joint

__all__ = [
    "PLAYERS",
    "Game",
    "averaged_network",
    "current",
    "discriminator",
    "gan",
    "generator",
    "given",
    "joint",
    "system",
]
