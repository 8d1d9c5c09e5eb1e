"""Command lines from functions and dataclasses, with errors that a person can read."""

import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import tyro

from gan_jax.errors import UserError


def cli(main: Callable[..., Any], description: str | None = None) -> None:
    """Runs a function with arguments from the command line, and tells bad input from a bug.

    Args:
        main: A function; its arguments, or the fields of its one dataclass, become flags.
        description: What `--help` says first; by default the function's docstring.
    """
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    try:
        if "GAN_JAX_COORDINATOR" in os.environ:
            from gan_jax import cluster  # which imports JAX, for which `--help` need not wait

            cluster.join()
        spec = sys.modules["__main__"].__spec__
        prog = f"python -m {spec.name.removesuffix('.__main__')}" if spec else None
        tyro.cli(
            main,
            prog=prog,
            description=description,
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
        )
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except (UserError, OSError, FloatingPointError, MemoryError) as error:
        if os.environ.get("GAN_JAX_TRACEBACK"):
            raise
        print(f"error: {error}\n(GAN_JAX_TRACEBACK=1 shows where)", file=sys.stderr)
        raise SystemExit(1) from None
