"""Commands: a function, or one of several sub-commands, run with arguments from the command line."""

import functools
import inspect
import itertools
import os
import sys
import traceback
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from gan_jax.cli.options import called
from gan_jax.cli.terminal import listing, outlast_readers, wrapped
from gan_jax.errors import UserError, nearest


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
    presets: Mapping[str, Any] | None = None,
) -> None:
    """Runs a function with arguments from the command line.

    Errors that the user can do something about (`errors.UserError`, and the operating system's errors that name a cause
    or a file) print their message alone, and exit with status 1. Every other exception keeps its traceback.

    Args:
        main: A function; its arguments, or the fields of its dataclasses, become flags. Or several functions, the
            sub-commands, of a command line OPERANDS NAME FLAGS: a function's operands are its positional-only
            arguments, or else its first one, each a path or a text, or a tuple of any number. Without NAME, the first
            function that takes that number of operands is called.
        description: First paragraphs of `--help`; by default the function's docstring.
        arguments: The words of the command line, if some of them are not for `main`.
        presets: Name -> config, for a function whose only argument is a config: `--preset NAME` starts from its values.
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
                main, words, usage = _subcommand(main, description, prog, words)
                prog, description = f"{prog} {usage}", None
            called(main, words, prog, description, presets)
    except SystemExit as end:
        if not end.code or not together:
            raise
        status = end.code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    except Exception as error:
        text = message(error)
        if text is None or os.environ.get("GAN_JAX_TRACEBACK"):
            if not together:
                raise
            traceback.print_exc()
        else:
            print(f"error: {text}\n(set GAN_JAX_TRACEBACK=1 to see the traceback)", file=sys.stderr)
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
    """Returns a sub-command bound to its operands, its flags and its usage; for --help, prints all sub-commands first.

    Raises:
        UserError: If there are no operands or no such sub-command, or a flag belongs to another sub-command.
    """
    known = {function.__name__: function for function in functions}
    takes = {name: _operands(function) for name, function in known.items()}
    usages = {name: " ".join(names) for name, names in takes.items()}
    operands = list(itertools.takewhile(lambda word: not word.startswith("-"), words))
    flags, named, first = list(words[len(operands) :]), operands[1:] and operands[-1] in known, next(iter(known))
    if not named and {*flags[:1]} & {"-h", "--help"}:
        print(f"usage: {prog} {usages[first]} [SUBCOMMAND] [FLAGS]\n\n{description}\n")
        print(f"sub-commands (by default {first}):")
        alike = len({*usages.values()}) == 1
        names = [name if alike else f"{usages[name]} {name}" for name in known]
        lines = [(inspect.getdoc(function) or "").split("\n")[0] for function in known.values()]
        print(listing(zip(names, lines, strict=True)))
        print(f"\n`{prog} {usages[first]} SUBCOMMAND --help` lists the flags of a sub-command; those of {first}:\n")
        operands, flags = [first], ["--help"]  # any operand will do
    if not operands:
        raise UserError(
            f"{usages[first]}: give a run directory first, then a sub-command and flags: {prog} {usages[first]} {first}"
        )
    if named:
        name = operands.pop()
    elif operands[1:] and operands[0] in known:
        raise UserError(f"{operands[0]}: a sub-command comes last: {prog} {usages[operands[0]]} {operands[0]}")
    elif operands[1:] and nearest(operands[-1], known, 0.8) and not os.path.exists(operands[-1]):
        name = operands[-1]
    else:
        name = next((each for each in known if _fits(takes[each], operands)), operands[-1])
    if name not in known:
        raise UserError(f"{name}: there is no such sub-command; give one of {', '.join(known)}.{nearest(name, known)}")
    for flag in (word.partition("=")[0].replace("_", "-") for word in flags if word.startswith("--")):
        takers = [each for each, function in known.items() if flag in _flags(function)]
        if takers and name not in takers:
            raise UserError(f"{flag} is a flag of {', '.join(takers)}, not of {name}; leave it out")
    if {*flags} & {"-h", "--help"}:
        operands = (operands * len(takes[name]))[: len(takes[name])]  # any will do
    return _bound(known[name], operands, f"{prog} {usages[name]} {name}"), flags, f"{usages[name]} {name}"


def _operands(function: Callable[..., Any]) -> dict[str, Any]:
    """Returns the operands of a sub-command, such as RUN, with their types; "RUNS ..." is any number of them.

    They are its positional-only parameters, or its first one.
    """
    parameters = list(inspect.signature(function, eval_str=True).parameters.values())
    first = [each for each in parameters if each.kind is each.POSITIONAL_ONLY] or parameters[:1]
    return {f"{each.name.upper()}{' ...' if _many(each.annotation) else ''}": each.annotation for each in first}


def _many(kind: Any) -> bool:
    return typing.get_origin(kind) is tuple


def _fits(kinds: Mapping[str, Any], operands: Sequence[str]) -> bool:
    """Returns whether a sub-command takes exactly this number of operands, so that its name may be left out."""
    return len(kinds) == len(operands) and not any(map(_many, kinds.values()))


def _bound(function: Callable[..., Any], operands: Sequence[str], usage: str) -> Callable[..., Any]:
    """Binds a sub-command to its operands, with ~ expanded; raises UserError if it takes another number of them."""
    kinds, paths = list(_operands(function).values()), [os.path.expanduser(word) for word in operands]
    if _many(kinds[0]):
        return functools.partial(function, tuple(typing.get_args(kinds[0])[0](path) for path in paths))
    if len(kinds) != len(operands):
        raise UserError(f"{' '.join(operands)}: {len(operands)} names instead of {len(kinds)}; give {usage}")
    return functools.partial(function, *(kind(path) for kind, path in zip(kinds, paths, strict=True)))


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
