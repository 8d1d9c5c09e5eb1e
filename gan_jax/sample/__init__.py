"""Sampling from a run: the command `python -m gan_jax.sample RUN`, and the functions behind it.

A new output of the command is a function in `__main__`, and a new option a field in `requests`; a new way to make
images is a function in `generation`.
"""

from gan_jax.sample.generation import (
    evaluated,
    generate,
    interpolation,
    labelled,
    latents_of,
    reconstructions,
    require_memory,
    samples,
    traversal,
)

__all__ = [
    "evaluated",
    "generate",
    "interpolation",
    "labelled",
    "latents_of",
    "reconstructions",
    "require_memory",
    "samples",
    "traversal",
]
