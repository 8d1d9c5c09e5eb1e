"""Command-line interfaces from functions and dataclasses, with readable help and error messages.

`commands` runs a function or one of several sub-commands, `options` parses types and groups a config's fields in
`--help`, `terminal` prints within the terminal's width and survives readers that close.
"""

from gan_jax.cli.commands import Checkpoint, cli, message
from gan_jax.cli.options import TYPES, parsed
from gan_jax.cli.terminal import duration, listing

__all__ = [
    "TYPES",
    "Checkpoint",
    "cli",
    "duration",
    "listing",
    "message",
    "parsed",
]
