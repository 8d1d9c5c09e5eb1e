"""The document of a step, which holds a checksum of every array, and what counts as damage."""

import contextlib
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gan_jax import trees
from gan_jax.errors import UserError
from gan_jax.files import write_json
from gan_jax.runs.checkpoint.directory import step_name
from gan_jax.types import PyTree, TrainState

META = Path("meta") / "metadata"  # the file of the item `meta`: plain JSON, read without Orbax
# messages of the array store, and of Orbax about a type's name, when bytes are missing or cannot be decoded
UNDECODABLE = re.compile(r"(DATA_LOSS|NOT_FOUND|OUT_OF_RANGE|FAILED_PRECONDITION): |Error decoding |TypeHandler lookup")


class Damaged(UserError):
    """A checkpoint with a wrong checksum, or with a file that is missing or cannot be decoded."""


@contextlib.contextmanager
def undecodable() -> Iterator[None]:
    """Turns errors of missing and of undecodable files into `Damaged`; others stay as they are."""
    missing = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
    undecoded = (json.JSONDecodeError, UnicodeDecodeError, KeyError)  # KeyError: Orbax's JSON lacks a name
    try:
        yield
    except (*missing, *undecoded) as error:
        raise Damaged(f"{type(error).__name__}: {error}") from error
    except ValueError as error:  # the array store raises it for every failure
        text = str(error)
        system = re.search(r"os_error_code='([0-9]+)'", text)
        if system and "NOT_FOUND: " not in text:
            raise OSError(int(system[1]), text[:500]) from error
        if not UNDECODABLE.search(text):
            raise
        raise Damaged(text) from error


def flat(tree: PyTree) -> dict[str, Any]:
    """Returns path -> leaf, such as `params/generator/Dense_0/kernel`.

    Raises:
        UserError: If two leaves have the same path.
    """
    by_path = trees.flat(tree)
    if len(by_path) < len(jax.tree.leaves(tree)):
        raise UserError("two arrays of the state have the same path: rename the parts that have a '/' in their names")
    return by_path


def item(path: str) -> str:
    """Returns the item that holds the array of a path: "ema" or "state"."""
    return "ema" if path.startswith("ema/") else "state"


def record(x: np.ndarray) -> dict:
    """Returns an array's checksum, shape and dtype, as JSON types."""
    data: Any = np.ascontiguousarray(x).reshape(-1).view(np.uint8)
    return {"crc32": zlib.crc32(data), "shape": [*x.shape], "dtype": str(x.dtype)}


def compose(state: TrainState, arrays: dict[str, np.ndarray], meta: dict) -> dict:
    """Returns the document of a step: the caller's entries, the record of every array, the tree of `ema`'s paths."""
    document = {
        "meta": {**meta, "step": int(arrays["step"])},
        "arrays": {path: record(x) for path, x in arrays.items()},
        "ema": jax.tree_util.tree_map_with_path(lambda path, _: trees.path(path), state).ema,
    }
    return _signed(document)


def read_document(path: Path) -> dict:
    """Reads and verifies the document of one step, as `compose` returned it, without its checksum."""
    with undecodable():
        document = json.loads((path / META).read_bytes())
    if not isinstance(document, dict) or document.pop("crc32", None) != _digest(document):
        raise Damaged("the checksum of the metadata is wrong")
    return document


def amend(directory: Path, step: int, entries: dict) -> None:
    """Sets entries of a saved step's meta, atomically."""
    path = directory / step_name(step)
    document = read_document(path)
    write_json(path / META, _signed({**document, "meta": {**document["meta"], **entries}}))


def _signed(document: dict) -> dict:
    document = json.loads(json.dumps(document))  # as it will be read: tuples become lists, keys strings
    return {**document, "crc32": _digest(document)}


def _digest(document: dict) -> int:
    return zlib.crc32(json.dumps(document, sort_keys=True).encode())
