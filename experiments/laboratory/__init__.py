"""Games composed by name: menus of losses, terms, rules and other parts; how a choice is built, trained and scored.

The names are for the command lines of `experiments.toy2d` and `experiments.loss_zoo` only; in code, pass functions.
"""

from experiments.laboratory.games import Choice, build, networks, traced
from experiments.laboratory.menu import LOSSES, MENU, PARTS, RULES, TERMS
from experiments.laboratory.training import SAMPLES, play, scores

__all__ = [
    "LOSSES",
    "MENU",
    "PARTS",
    "RULES",
    "SAMPLES",
    "TERMS",
    "Choice",
    "build",
    "networks",
    "play",
    "scores",
    "traced",
]
