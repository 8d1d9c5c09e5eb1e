"""Parses names of data sets: a task, its options, and the set that it is made from."""

import os
import re
from collections.abc import Callable
from typing import NamedTuple

from gan_jax.data.sources import stacked, toys
from gan_jax.errors import UserError

BUILT_IN = ("digits", *toys.NAMES, *stacked.SOURCES)
MADE = ("edges", "grey", "inverted", "recoloured")  # tasks that compute a source from each image of a set
PAIRED = ("pairs", *MADE)  # tasks in which every image has its source
VERSION = re.compile(r"\d+\.[\d*]+\.[\d*]+")  # version of a TensorFlow Datasets set, after its name and a colon


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


def parsed(name: str) -> Name:
    """Parses the name of a data set, as in `data.load`; the syntax of names is defined here alone."""
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


def resolved(name: str) -> str:
    """Makes the paths in a name absolute, so that it means the same in every working directory; expands `~`.

    Args:
        name: Name of a data set, as in `data.load`.

    Raises:
        UserError: If it is empty.
    """
    if name.strip() in ("", "folder:"):
        raise UserError(f"data set {name!r} is empty; give a name, such as digits, or a directory of images")
    return _with_paths(name, lambda path: os.path.abspath(os.path.expanduser(path)))


def directories(name: str) -> list[str]:
    """Returns the directories of images in a name."""
    found: list[str] = []
    _with_paths(name, lambda path: found.append(path) or path)
    return found


def images_of(name: str) -> str:
    """Returns the set that the images of a task come from unchanged: mnist for few:10:0:mnist or unpaired:edges:mnist.

    Other names, among them "recoloured:NAME", are returned as they are.
    """
    task, _, base = parsed(name)
    return images_of(base) if base and task in ("few", "unpaired", "edges", "grey", "inverted") else name


def two_directories(pair: str) -> tuple[str, str]:
    """Splits DIR_A:DIR_B at the first colon with existing directories on both sides, else at the first colon.

    Returns:
        Both paths, "" for a missing one.
    """
    parts = pair.split(":")
    ways = [(":".join(parts[:i]), ":".join(parts[i:])) for i in range(1, len(parts))] or [(pair, "")]
    return next((way for way in ways if all(os.path.isdir(os.path.expanduser(path)) for path in way)), ways[0])


def is_directory(name: str) -> bool:
    """Returns whether a name means a directory of images; built-in sets take precedence."""
    return name.startswith("folder:") or (name not in BUILT_IN and os.path.isdir(os.path.expanduser(name)))


def _with_paths(name: str, change: Callable[[str], str]) -> str:
    """Returns a name with a function applied to its paths."""
    task, options, base = parsed(name)
    if not task and name.startswith("folder:"):
        return f"folder:{change(name.removeprefix('folder:'))}"
    if not task:
        return change(name) if name.startswith("~") or is_directory(name) else name
    if not base:
        return ":".join([task, *map(change, options)]) if options and all(options) and task != "few" else name
    return ":".join([task, *options, _with_paths(base, change)])
