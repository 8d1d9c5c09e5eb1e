"""The training loop around the compiled step: settings, training, divergence guard, populations.

A new setting is a field of `Run` in `settings`, and must not change what is learnt; what a run does at intervals is in
`hooks`. See README.md in this folder.
"""

from gan_jax.loop.callbacks import Event
from gan_jax.loop.rollback import ROLLBACKS
from gan_jax.loop.session import run
from gan_jax.loop.settings import Config, Run

__all__ = [
    "ROLLBACKS",
    "Config",
    "Event",
    "Run",
    "run",
]
