"""Run directories: records, checkpoints, logs, reports, and opening them again.

How checkpoints are written is in `checkpoint`, the only importer of Orbax; what a run records of itself in `records`;
how a system is rebuilt from its directory in `reopen`. See README.md in this folder.
"""

from gan_jax.runs.reopen import BEST, Restored, dataset, held_out, open_run, require_none_opening, restore_state

__all__ = [
    "BEST",
    "Restored",
    "dataset",
    "held_out",
    "open_run",
    "require_none_opening",
    "restore_state",
]
