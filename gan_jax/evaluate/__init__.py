"""Scores: the command `python -m gan_jax.evaluate`, and the functions behind it, one for each sub-command.

    RUN               checkpoints of a run: `checkpoints.samples`
    RUN players       its discriminator and generator against each other: `checkpoints.players`
    RUN path          smoothness of its generator, by perceptual path length: `checkpoints.path`
    SAMPLES REAL      any two sets of images: `pairs.pair`; what a set may be is in `sets`
    RUNS ... compare  recorded scores side by side: `tables.compare`

Scores carry their protocol (`metrics.protocol`).
"""

from gan_jax.evaluate.checkpoints import Shared, path, players, samples
from gan_jax.evaluate.pairs import pair
from gan_jax.evaluate.requests import DEFAULT, WITH_CLASSES, Request
from gan_jax.evaluate.tables import compare
from gan_jax.metrics.scoring import FeatureName

__all__ = [
    "DEFAULT",
    "WITH_CLASSES",
    "FeatureName",
    "Request",
    "Shared",
    "compare",
    "pair",
    "path",
    "players",
    "samples",
]
