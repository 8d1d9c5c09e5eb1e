"""Run directories: records, checkpoints, logs, reports, and reopening.

`checkpoint` reads and writes checkpoints, and alone imports Orbax; `records` describes a run, `directories` says where
it is kept; `reopen` rebuilds a system from its directory, `data` loads what it was trained on. See README.md in this
folder.
"""

from gan_jax.runs.data import dataset, held_out
from gan_jax.runs.reopen import BEST, Restored, open_run, opening, require_none_opening, restore_state

__all__ = [
    "BEST",
    "Restored",
    "dataset",
    "held_out",
    "open_run",
    "opening",
    "require_none_opening",
    "restore_state",
]
