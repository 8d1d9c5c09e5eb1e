"""Command lines from functions and dataclasses, with errors that a person can read."""

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
    """Reads paths with ~ as the home directory: a shell does not expand it in --out=~/x."""
    if about.type is not Path:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=lambda given: Path(os.path.expanduser(given[0])),  # unchanged if there is no home
        is_instance=lambda value: isinstance(value, Path),
        str_from_instance=lambda path: [str(path)],
    )


def cli(main: Callable[..., Any], description: str | None = None) -> None:
    """Runs a function with arguments from the command line, and tells bad input from a bug.

    For an error that the user can mend (`errors.UserError`) only the message is printed, and so for the operating
    system's errors that name a cause or a file. Every other exception keeps its traceback.

    Args:
        main: A function; its arguments, or the fields of its one dataclass, become flags.
        description: What `--help` says first; by default the function's docstring.
    """
    _outlast_readers()
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    together = "GAN_JAX_COORDINATOR" in os.environ
    try:
        if together:
            from gan_jax.devices import cluster  # which imports JAX, for which `--help` need not wait

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
    """Refuses a flag that has no effect on what is asked for.

    Args:
        main: The command's function; its defaults are those of the flags.
        what: What is asked for.
        uses: For each flag, what it has an effect on; flags that are not named have one on everything.
        given: The arguments, by name.

    Raises:
        UserError: Naming the flag.
    """
    for name, parameter in inspect.signature(main).parameters.items():
        if what not in uses.get(name, (what,)) and given[name] != parameter.default:
            raise UserError(
                f"--{name.replace('_', '-')}: it is for {', '.join(uses[name])}, not for {what}; leave it out"
            )


def message(error: Exception) -> str | None:
    """Returns the message to print for an error that the user can mend; None for any other."""
    if isinstance(error, UserError):
        return str(error)
    if not isinstance(error, OSError) or error.errno is error.filename is None:
        return None
    name = error.filename
    name = os.fsdecode(name) if isinstance(name, bytes) else name
    return " ".join(f"{'' if name is None else f'{name}: '}{error.strerror or error}".split())


class _Pipe(io.FileIO):
    """A standard stream that drops output once its reader has gone, as in `| head -1`."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def _outlast_readers() -> None:
    """Keeps output from ending the program when its reader has gone, or the encoding lacks a character."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper) or stream is not getattr(sys, f"__{name}__"):
            continue  # replaced, as by a notebook or a test
        stream.flush()
        raw = io.BufferedWriter(_Pipe(stream.fileno(), "w", closefd=False))
        setattr(sys, name, io.TextIOWrapper(raw, stream.encoding, "replace", None, stream.line_buffering))
