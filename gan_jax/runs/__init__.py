"""Run directories: what they hold, checkpoints, logs, reports, and opening them again."""

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
