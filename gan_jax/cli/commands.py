"""Commands: a function, or one of several sub-commands, run with arguments from the command line."""

import functools
import inspect
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from gan_jax.cli.options import called
from gan_jax.cli.terminal import listing, outlast_readers, wrapped
from gan_jax.errors import UserError


@dataclass(frozen=True)
class Checkpoint:
    """The checkpoint of the run."""

    step: int | None = None
    """Step of the checkpoint; by default the newest undamaged one."""
    best: bool = False
    """Use the best checkpoint, which training with --best keeps."""
    safe: bool = False
    """Run this repository's experiment of the same name instead of the code in the run directory."""


def cli(
    main: Callable[..., Any] | Sequence[Callable[..., Any]],
    description: str | None = None,
    arguments: Sequence[str] | None = None,
) -> None:
    """Runs a function with arguments from the command line.

    Errors that the user can do something about (`errors.UserError`, and the operating system's errors that name a cause
    or a file) print their message alone, and exit with status 1. Every other exception keeps its traceback.

    Args:
        main: A function; its arguments, or the fields of its dataclasses, become flags. Or several, the sub-commands
            `RUN NAME`: their first argument is the path RUN, and the first of them runs if no NAME is given.
        description: First paragraphs of `--help`; by default the function's docstring.
        arguments: The words of the command line, if some of them are not for `main`.
    """
    outlast_readers()
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    together = "GAN_JAX_COORDINATOR" in os.environ
    try:
        if together:
            from gan_jax.devices import cluster  # imported here because it imports JAX, which would slow down `--help`

            cluster.join()
        spec = sys.modules["__main__"].__spec__
        prog = f"python -m {spec.name.removesuffix('.__main__')}" if spec else Path(sys.argv[0]).name
        words = list(sys.argv[1:] if arguments is None else arguments)
        asked = {"-h", "--help"} & set(words[: words.index("--")] if "--" in words else words)
        with wrapped() if asked else nullcontext():
            if not callable(main):
                prog = f"{prog} RUN"
                main, words, name = _subcommand(main, description, prog, words)
                prog, description = f"{prog} {name}", None
            called(main, words, prog, description)
    except SystemExit as end:
        if not end.code or not together:
            raise
        status = end.code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    except Exception as error:
        said = message(error)
        if said is None or os.environ.get("GAN_JAX_TRACEBACK"):
            if not together:
                raise
            traceback.print_exc()
        else:
            print(f"error: {said}\n(set GAN_JAX_TRACEBACK=1 to see the traceback)", file=sys.stderr)
        status = 1
    else:
        return
    if together:  # JAX would wait five minutes for the other processes, which wait for this one
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)
    raise SystemExit(status)


def _subcommand(
    functions: Sequence[Callable[..., Any]], description: str | None, prog: str, words: Sequence[str]
) -> tuple[Callable[..., Any], list[str], str]:
    """Returns a sub-command bound to its run, its flags and its name; or prints the list of sub-commands, for --help.

    Raises:
        UserError: If there is no run or no such sub-command, or a flag belongs to another sub-command.
    """
    known = {function.__name__: function for function in functions}
    run, name, flags = words[0] if words else "--", next(iter(known)), list(words[1:])
    if {run, *flags[:1]} & {"-h", "--help"}:
        print(f"usage: {prog} [SUBCOMMAND] [FLAGS]\n\n{description}\n\nsub-commands (by default {name}):")
        print(listing((each, (inspect.getdoc(function) or "").split("\n")[0]) for each, function in known.items()))
        print(f"\n`{prog} SUBCOMMAND --help` lists the flags of a sub-command.")
        raise SystemExit
    if run.startswith("-"):
        raise UserError(f"RUN: give a run directory first, then a sub-command and flags: {prog} {name}")
    if flags and not flags[0].startswith("-"):
        name = flags.pop(0)
    if name not in known:
        raise UserError(f"{name}: there is no such sub-command; give one of {', '.join(known)}")
    for flag in (word.partition("=")[0].replace("_", "-") for word in flags if word.startswith("--")):
        takers = [each for each, function in known.items() if flag in _flags(function)]
        if takers and name not in takers:
            raise UserError(f"{flag} is a flag of {', '.join(takers)}, not of {name}; leave it out")
    return functools.partial(known[name], Path(os.path.expanduser(run))), flags, name


def _flags(function: Callable[..., Any]) -> Iterator[str]:
    """Yields a function's flags, those of its dataclasses included."""
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        about = parameter.annotation
        names = [each.name for each in fields(about)] if is_dataclass(about) else [parameter.name]
        yield from (f"--{name.replace('_', '-')}" for name in names)


def message(error: Exception) -> str | None:
    """Returns the message of an error that the user can do something about; None for any other."""
    if isinstance(error, UserError):
        return str(error)
    if not isinstance(error, OSError) or error.errno is error.filename is None:
        return None
    name = error.filename
    name = os.fsdecode(name) if isinstance(name, bytes) else name
    return " ".join(f"{'' if name is None else f'{name}: '}{error.strerror or error}".split())
