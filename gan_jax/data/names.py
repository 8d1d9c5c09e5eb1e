"""Parses names of data sets: the task that a set is for, and the directories that it is read from."""

import os
import re
from collections.abc import Callable

from gan_jax.data.sources import stacked, toys
from gan_jax.errors import UserError

BUILT_IN = ("digits", *toys.NAMES, *stacked.SOURCES)
PAIRED = ("pairs", "edges", "grey", "inverted", "recoloured")  # tasks in which the partner of every image is known
VERSION = re.compile(r"\d+\.[\d*]+\.[\d*]+")  # of a set of TensorFlow Datasets, after its name and a colon


def resolved(name: str) -> str:
    """Makes the paths in a name absolute, so that it means the same in every working directory; expands `~`.

    Args:
        name: A data set's, as in `data.load`.

    Raises:
        UserError: If it is empty.
    """
    if name.strip() in ("", "folder:"):
        raise UserError(f"data set {name!r} names nothing; give digits, a directory of images or another set")
    return _with_paths(name, lambda path: os.path.abspath(os.path.expanduser(path)))


def directories(name: str) -> list[str]:
    """Returns the directories of images in a name."""
    found: list[str] = []
    _with_paths(name, lambda path: found.append(path) or path)
    return found


def images_of(name: str) -> str:
    """Returns the data set that a task takes its images from: mnist for few:10:0:mnist or unpaired:edges:mnist."""
    kind, _, rest = name.partition(":")
    if kind == "few":
        return images_of(rest.split(":", 2)[-1])
    return images_of(rest) if kind in ("unpaired", "edges", "grey", "inverted") else name


def kind(name: str) -> str:
    """Returns the part of a name before its first colon, "" if there is none."""
    return name.partition(":")[0] if ":" in name else ""


def two_directories(pair: str) -> tuple[str, str]:
    """Splits DIR_A:DIR_B at the colon with directories on both sides, as paths may have colons; else at the first.

    Returns:
        Both paths, "" for one that is not given.
    """
    parts = pair.split(":")
    ways = [(":".join(parts[:i]), ":".join(parts[i:])) for i in range(1, len(parts))] or [(pair, "")]
    return next((way for way in ways if all(os.path.isdir(os.path.expanduser(path)) for path in way)), ways[0])


def is_directory(name: str) -> bool:
    """Returns whether a name is that of a directory of images, and not of a built-in set."""
    return name.startswith("folder:") or (name not in BUILT_IN and os.path.isdir(os.path.expanduser(name)))


def _with_paths(name: str, change: Callable[[str], str]) -> str:
    """Returns a name with a function applied to its paths."""
    task, _, rest = name.partition(":")
    if not rest:
        return change(name) if name.startswith("~") or is_directory(name) else name
    if task == "folder":
        return f"folder:{change(rest)}"
    if task == "few":
        per_class, draw, of = [*rest.split(":", 2), "", ""][:3]
        return f"few:{per_class}:{draw}:{_with_paths(of, change)}" if of else name
    two = rest.partition(":")[2]
    if task == "pairs" or (task == "unpaired" and two and kind(rest) not in PAIRED and not VERSION.fullmatch(two)):
        paths = two_directories(rest)
        return ":".join([task, *map(change, paths)]) if all(paths) else name
    if task in PAIRED or (task == "unpaired" and two):
        return f"{task}:{_with_paths(rest, change)}"
    return change(name) if is_directory(name) else name
