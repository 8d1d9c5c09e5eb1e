"""Parses names of data sets: a task, its options, and the set that it is derived from, with that set's source."""

import os
import re
from collections.abc import Callable, Collection
from typing import NamedTuple

from gan_jax.data.sources import stacked, toys
from gan_jax.errors import UserError

BUILT_IN = ("digits", *toys.NAMES, *stacked.SOURCES)
MADE = ("edges", "grey", "inverted", "recoloured")  # tasks that compute a source from each image of a set
PAIRED = ("pairs", *MADE)  # tasks in which every image has its source
VERSION = re.compile(r"\d+\.[\d*]+\.[\d*]+")  # version of a TensorFlow Datasets set, after its name and a colon
PREFIXES = ("folder", "hf", "tar", "memory")  # of a plain set, each a kind of source
FUNCTION = re.compile(r"(.+\.py|[^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*)")  # FILE.py:FUNCTION or MODULE:FUNCTION
OPTIONS = {"hf": ("image", "label", "config"), "tar": ("test",)}  # hf:NAME,label=COLUMN and the like


class Name(NamedTuple):
    """The parsed name of a data set.

    Attributes:
        task: "few", "pairs", "unpaired" or one of `MADE`; "" for a plain set.
        options: For "few", the examples per class and the draw, as text. For "pairs" and "unpaired", the two folders if
            given, "" for a missing one.
        base: The set that the task is made from; "" if it is made from two folders.
    """

    task: str
    options: tuple[str, ...]
    base: str


class Source(NamedTuple):
    """Where a plain set comes from.

    Attributes:
        kind: "built-in", "tfds", "function", or one of `PREFIXES`.
        path: A directory for "folder", files for "tar", a directory or a name for "hf", a file or module for
            "function", and a name for others.
        options: The function's name for "function"; what is given of `OPTIONS`.
    """

    kind: str
    path: str
    options: dict[str, str]


def parsed(name: str) -> Name:
    """Parses the name of a data set, as in `data.load`; the syntax of names is defined in this module alone."""
    task, colon, rest = name.partition(":")
    if task == "few" and colon:
        per_class, draw, base = [*rest.split(":", 2), "", ""][:3]
        return Name(task, (per_class, draw), base)
    if task == "pairs" and colon:
        return Name(task, two_directories(rest), "")
    if task == "unpaired" and colon:
        inner, _, further = rest.partition(":")
        folders = further and inner not in PAIRED and not VERSION.fullmatch(further)
        return Name(task, two_directories(rest), "") if folders else Name(task, (), rest)
    return Name(task, (), rest) if task in MADE and colon else Name("", (), name)


def source(name: str) -> Source:
    """Parses the name of a plain set; built-in sets and existing directories take precedence."""
    prefix, colon, rest = name.partition(":")
    if colon and prefix in PREFIXES:
        return Source(prefix, *_options(rest, OPTIONS.get(prefix, ())))
    if name in BUILT_IN:
        return Source("built-in", name, {})
    if os.path.isdir(os.path.expanduser(name)):
        return Source("folder", name, {})
    if match := FUNCTION.fullmatch(name):
        return Source("function", match[1], {"function": match[2]})
    return Source("tfds", name, {})


def resolved(name: str) -> str:
    """Makes the paths in a name absolute, so that it means the same in every working directory; expands `~`.

    Args:
        name: Name of a data set, as in `data.load`.

    Raises:
        UserError: If it is empty.
    """
    if name.strip() in ("", *(f"{prefix}:" for prefix in PREFIXES)):
        raise UserError(f"data set {name!r} is empty; give a name, such as digits, or a directory of images")
    return _with_paths(name, lambda path: os.path.abspath(os.path.expanduser(path)))


def directories(name: str) -> list[str]:
    """Returns the directories and files in a name."""
    paths: list[str] = []
    _with_paths(name, lambda path: paths.append(path) or path)
    return paths


def images_of(name: str) -> str:
    """Returns the set that the images of a task come from unchanged: mnist for few:10:0:mnist or unpaired:edges:mnist.

    Other names, among them "recoloured:NAME", are returned as they are.
    """
    task, _, base = parsed(name)
    return images_of(base) if base and task in ("few", "unpaired", "edges", "grey", "inverted") else name


def origin(name: str) -> str:
    """Returns the kind of `Source` of the plain set from which a name's tasks are derived; "" for two folders."""
    task, _, base = parsed(name)
    return (origin(base) if base else "") if task else source(name).kind


def stem(name: str) -> str:
    """Returns the last parts of the paths in a name, as a part of a file name."""
    parts = name.removeprefix("folder:").removeprefix("memory:").split(":")
    joined = "-".join(part.rstrip("/").split("/")[-1] for part in parts)
    return re.sub(r"[-.,]*[*?{}\[\]][-.,*?{}\[\]]*", "-", joined) if origin(name) == "tar" else joined  # a pattern


def two_directories(pair: str) -> tuple[str, str]:
    """Splits DIR_A:DIR_B at the first colon with existing directories on both sides, else at the first colon.

    Returns:
        Both paths, "" for a missing one.
    """
    parts = pair.split(":")
    ways = [(":".join(parts[:i]), ":".join(parts[i:])) for i in range(1, len(parts))] or [(pair, "")]
    return next((way for way in ways if all(os.path.isdir(os.path.expanduser(path)) for path in way)), ways[0])


def _options(rest: str, known: Collection[str]) -> tuple[str, dict[str, str]]:
    """Splits "PATH,option=value,option=value"; a comma before anything else belongs to the path."""
    path, *options = re.split(rf",(?=(?:{'|'.join(known)})=)", rest) if known else [rest]
    return path, dict(each.split("=", 1) for each in options)


def _with_paths(name: str, change: Callable[[str], str]) -> str:
    """Returns a name with a function applied to its paths."""
    task, options, base = parsed(name)
    if task and not base:
        return ":".join([task, *map(change, options)]) if options and all(options) and task != "few" else name
    if task:
        return ":".join([task, *options, _with_paths(base, change)])
    kind, path, parameters = source(name)
    if kind == "function" and path.endswith(".py"):
        return f"{change(path)}:{parameters['function']}"
    if kind == "tar":
        parameters = {key: change(value) for key, value in parameters.items()}
    if kind in PREFIXES:
        local = kind in ("folder", "tar") or (kind == "hf" and os.path.exists(os.path.expanduser(path)))
        whole = ",".join([change(path) if local else path, *(f"{key}={value}" for key, value in parameters.items())])
        return f"{kind}:{whole}" if name.startswith(f"{kind}:") else whole
    return change(name) if name.startswith("~") else name
