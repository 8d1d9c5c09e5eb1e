"""Shared types: a system is a game of players over named networks, and its whole state is one `TrainState`.

`state` holds the state and what reads and changes it, `networks` a network, `terms` the parts of a player's loss,
`players` players, rules and controllers, `systems` latents, the options of a game and the assembled system.
"""

from gan_jax.types.networks import Network
from gan_jax.types.players import Controller, Player, Rule
from gan_jax.types.state import Array, Aux, Batch, Hook, Metrics, Objective, PyTree, Slots, TrainState, Update, no_slots
from gan_jax.types.systems import Averaged, Condition, Inputs, Latent, Part, Pseudo, Refine, System
from gan_jax.types.terms import Augment, Context, GanLoss, Loss, Term

__all__ = [
    "Array",
    "Augment",
    "Aux",
    "Averaged",
    "Batch",
    "Condition",
    "Context",
    "Controller",
    "GanLoss",
    "Hook",
    "Inputs",
    "Latent",
    "Loss",
    "Metrics",
    "Network",
    "Objective",
    "Part",
    "Player",
    "Pseudo",
    "PyTree",
    "Refine",
    "Rule",
    "Slots",
    "System",
    "Term",
    "TrainState",
    "Update",
    "no_slots",
]
