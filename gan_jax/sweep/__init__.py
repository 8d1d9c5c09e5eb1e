"""Sweeps: train an experiment at every combination of settings, and tabulate results: `python -m gan_jax.sweep`.

`members` plans the runs of a sweep, `__main__` trains them, and `table` compares those that are finished.
"""

from gan_jax.sweep.members import Member, finished, planned

__all__ = [
    "Member",
    "finished",
    "planned",
]
