"""Command-line interfaces from functions and dataclasses, with readable error messages."""

import inspect
import io
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from gan_jax.errors import UserError

TYPES = ConstructorRegistry()


@TYPES.primitive_rule
def _path(about: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Path] | None:
    """Parses paths, expanding ~, which shells do not expand in --out=~/x."""
    if about.type is not Path:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=lambda given: Path(os.path.expanduser(given[0])),  # unchanged if there is no home directory
        is_instance=lambda value: isinstance(value, Path),
        str_from_instance=lambda path: [str(path)],
    )


def cli(main: Callable[..., Any], description: str | None = None) -> None:
    """Runs a function with arguments from the command line.

    Errors that the user can do something about (`errors.UserError`, and the operating system's errors that name a cause
    or a file) print their message alone, and exit with status 1. Every other exception keeps its traceback.

    Args:
        main: A function; its arguments, or the fields of its one dataclass, become flags.
        description: First paragraphs of `--help`; by default the function's docstring.
    """
    _outlast_readers()
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    together = "GAN_JAX_COORDINATOR" in os.environ
    try:
        if together:
            from gan_jax.devices import cluster  # imported here because it imports JAX, which would slow down `--help`

            cluster.join()
        spec = sys.modules["__main__"].__spec__
        prog = f"python -m {spec.name.removesuffix('.__main__')}" if spec else None
        tyro.cli(
            main,
            prog=prog,
            description=description,
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
            registry=TYPES,
        )
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
            print(f"error: {said}\n(GAN_JAX_TRACEBACK=1 shows where)", file=sys.stderr)
        status = 1
    else:
        return
    if together:  # JAX would wait five minutes for the other processes, which wait for this one
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)
    raise SystemExit(status)


def require_used(
    main: Callable[..., Any], what: str, uses: Mapping[str, Sequence[str]], given: Mapping[str, Any]
) -> None:
    """Checks that no flag is set that has no effect on the requested output.

    Args:
        main: The command's function; a flag is set if it differs from the function's default.
        what: The requested output.
        uses: Flag -> the outputs that it has an effect on; flags not named affect all.
        given: The arguments, by name.

    Raises:
        UserError: If there is such a flag; names it.
    """
    for name, parameter in inspect.signature(main).parameters.items():
        if what not in uses.get(name, (what,)) and given[name] != parameter.default:
            raise UserError(
                f"--{name.replace('_', '-')}: it is for {', '.join(uses[name])}, not for {what}; leave it out"
            )


def message(error: Exception) -> str | None:
    """Returns the message of an error that the user can do something about; None for any other."""
    if isinstance(error, UserError):
        return str(error)
    if not isinstance(error, OSError) or error.errno is error.filename is None:
        return None
    name = error.filename
    name = os.fsdecode(name) if isinstance(name, bytes) else name
    return " ".join(f"{'' if name is None else f'{name}: '}{error.strerror or error}".split())


class _Pipe(io.FileIO):
    """A standard stream that drops output after its reader has closed, as in `| head -1`."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def _outlast_readers() -> None:
    """Makes output never raise: not when its reader has closed, nor when the encoding lacks a character."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper) or stream is not getattr(sys, f"__{name}__"):
            continue  # replaced, as by a notebook or a test
        stream.flush()
        raw = io.BufferedWriter(_Pipe(stream.fileno(), "w", closefd=False))
        setattr(sys, name, io.TextIOWrapper(raw, stream.encoding, "replace", None, stream.line_buffering))
