"""Options of commands: how types are parsed, and how the fields of a config are grouped in `--help`.

A config's fields are shown in groups: first those that its own classes introduce, as "experiment options"; then those
of base classes that name a group, `GROUP: ClassVar[str]`; and a nested dataclass in the group of its field's name.

A preset is a config with a name: `--preset NAME` starts from its values instead of the defaults.
"""

import argparse
import functools
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.constructors import (
    MISSING_NONPROP,
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from gan_jax.cli.terminal import listing
from gan_jax.errors import UserError, nearest

TYPES = ConstructorRegistry()
REST = "experiment"  # group of the fields that belong to no other


@TYPES.primitive_rule
def _path(about: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Path] | None:
    """Parses paths, expanding ~, which shells do not expand in --out=~/x."""
    if about.type is not Path:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=lambda words: Path(os.path.expanduser(words[0])),  # unchanged if there is no home directory
        is_instance=lambda value: isinstance(value, Path),
        str_from_instance=lambda path: [str(path)],
    )


class _Described:
    """Base of types that exist only for tyro, and carry the description of how they are parsed."""

    spec: StructConstructorSpec


@TYPES.struct_rule
def _described(about: StructTypeInfo) -> StructConstructorSpec | None:
    return about.type.spec if isinstance(about.type, type) and issubclass(about.type, _Described) else None


def called(
    function: Callable[..., Any],
    arguments: Sequence[str],
    prog: str,
    description: str | None = None,
    presets: Mapping[str, Any] | None = None,
) -> None:
    """Calls a function with arguments of the command line.

    Args:
        function: Its arguments, or the fields of its dataclasses, become flags. If its only argument is a dataclass,
            they are grouped.
        arguments: The words of the command line.
        prog: Name of the command in messages.
        description: First paragraphs of `--help`; by default the function's docstring.
        presets: Name -> value of the dataclass that is the function's only argument.

    Raises:
        SystemExit: After `--help`; or with status 2, after a message, if the arguments are wrong.
        UserError: If there is no such preset, or an argument of the function has neither type nor default.
    """
    for each in inspect.signature(function).parameters.values():
        if each.annotation is inspect.Parameter.empty and each.default is inspect.Parameter.empty:
            name = getattr(function, "__name__", "function")
            raise UserError(
                f"{name}({each.name}): flags are made from an argument's type, and {each.name} has none; give it one, "
                f"such as def {name}({each.name}: Config)"
            )
    kind = _only_dataclass(function)
    if kind is None:
        _made(function, arguments, prog, description)
    else:
        text = (inspect.getdoc(function) or "") if description is None else description
        function(parsed(kind, arguments, prog, text, presets))


def parsed(
    kind: Any, arguments: Sequence[str], prog: str, description: str = "", presets: Mapping[str, Any] | None = None
) -> Any:
    """Returns a dataclass, such as an experiment's config, with values of the command line; see `called`."""
    default = MISSING_NONPROP
    if "preset" not in {each.name for each in fields(kind)}:
        default, arguments = _preset(arguments, prog, presets or {})
    if presets:
        plain = type(next(iter(presets.values())))()
        table = listing((name, " ".join(_flags(preset, plain))) for name, preset in presets.items())
        description = (
            f"{description}\n\n`--preset NAME` stands for the flags of NAME below; other flags override them. "
            f"`--preset NAME --help` shows its values as the defaults.\n\n{table}"
        )
    return _made(_grouped(kind, default), arguments, prog, description)


def _flags(config: Any, default: Any) -> Iterator[str]:
    """Yields the flags that make a config from the default one, those of nested dataclasses included."""
    for each in fields(config):
        value, usual = getattr(config, each.name), getattr(default, each.name)
        name = each.name.replace("_", "-")
        if is_dataclass(value):
            yield from _flags(value, usual)
        elif value != usual and isinstance(value, bool):
            yield f"--{name}" if value else f"--no-{name}"
        elif value != usual:
            yield f"--{name} {' '.join(map(str, value)) if isinstance(value, tuple) else value}"


def _preset(arguments: Sequence[str], prog: str, presets: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """Returns the preset that the arguments name, and the other arguments."""
    parser = argparse.ArgumentParser(prog, add_help=False, allow_abbrev=False)
    parser.add_argument("--preset")
    asked, others = parser.parse_known_args(arguments)
    if asked.preset is None:
        return MISSING_NONPROP, others
    if not presets:
        raise UserError(f"--preset {asked.preset}: {prog.split()[-1]} has no presets; leave it out")
    if asked.preset not in presets:
        near = nearest(asked.preset, presets)
        raise UserError(f"--preset {asked.preset}: there is no such preset; give one of {', '.join(presets)}.{near}")
    return presets[asked.preset], others


def _made(f: Any, arguments: Sequence[str], prog: str, description: str | None) -> Any:
    return tyro.cli(
        f,
        args=arguments,
        prog=prog,
        description=description,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff),
        registry=TYPES,
    )


def _only_dataclass(function: Callable[..., Any]) -> Any:
    """Returns the dataclass that is a function's only argument, without a default; None if there is none."""
    arguments = [*inspect.signature(function, eval_str=True).parameters.values()]
    kind = arguments[0].annotation if len(arguments) == 1 and arguments[0].default is inspect.Parameter.empty else None
    return kind if is_dataclass(kind) else None


def _grouped(kind: Any, default: Any) -> Any:
    """Returns a type from which tyro builds a dataclass, with its options in groups and `default` as its defaults."""
    groups: dict[str, list[StructFieldSpec]] = {REST: []}
    for field in _fields(kind, default):
        name = _group(kind, field)
        if is_dataclass(field.type):  # without a name of its own, it joins the rest of the group
            inner: Any = Annotated[_type(field.type, _fields(field.type, field.default)), tyro.conf.arg(name="")]
            field = StructFieldSpec(field.name, inner, MISSING_NONPROP, field.helptext)
        groups.setdefault(name, []).append(field)
    parts = [
        StructFieldSpec(name, _type(dict, each), MISSING_NONPROP, (inspect.getdoc(kind) or "") if name == REST else "")
        for name, each in groups.items()
        if each
    ]
    return _type(functools.partial(_joined, kind), parts)


def _fields(kind: Any, default: Any) -> list[StructFieldSpec]:
    """Returns the fields of a dataclass as tyro knows them, the help of each as one paragraph."""
    spec = ConstructorRegistry.get_struct_spec(StructTypeInfo.make(kind, default, in_union_context=False))
    assert isinstance(spec, StructConstructorSpec)
    return [StructFieldSpec(each.name, each.type, each.default, functools.partial(_help, each)) for each in spec.fields]


def _help(field: StructFieldSpec) -> str | None:
    """Returns the help of a field as one paragraph; if it is on by default, says that --no-NAME turns it off."""
    text = field.helptext() if callable(field.helptext) else field.helptext
    off = f" --no-{field.name.replace('_', '-')} turns it off." if field.default is True else ""
    return text and " ".join(text.split()) + off


def _group(kind: Any, field: StructFieldSpec) -> str:
    """Returns the group of a field: that of the class which introduces it; a nested dataclass is a group by itself."""
    if is_dataclass(field.type):
        return field.name
    first = [each for each in kind.__mro__ if field.name in inspect.get_annotations(each)][-1]
    return vars(first).get("GROUP", REST)


def _joined(kind: Any, **groups: dict[str, Any]) -> Any:
    return kind(**{name: value for group in groups.values() for name, value in group.items()})


def _type(instantiate: Callable[..., Any], fields: Sequence[StructFieldSpec]) -> Any:
    return type("Options", (_Described,), {"spec": StructConstructorSpec(instantiate, tuple(fields))})
