"""The loop around the compiled step."""

from gan_jax.loop.session import ROLLBACKS, run
from gan_jax.loop.settings import Config, Run

__all__ = [
    "ROLLBACKS",
    "Config",
    "Run",
    "run",
]
