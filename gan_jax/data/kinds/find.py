"""The name of a kind in a run's record, and the kind of such a name."""

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from gan_jax.data.kinds.kind import Kind
from gan_jax.data.kinds.pixels import image, piano_roll, video, voxels
from gan_jax.data.kinds.values import points, tokens, vector
from gan_jax.errors import UserError

BUILT_IN = {kind.name: kind for kind in (image, points, video, tokens, piano_roll, voxels, vector)}


def find(name: str, safe: bool = False, loaded: Mapping[str, ModuleType] | None = None) -> Kind:
    """Returns the kind of a name.

    Args:
        name: A built-in name, or "module:attribute".
        safe: Whether to refuse a kind whose module would have to be imported, which runs its code.
        loaded: Modules by name that are imported already: the experiment that a run is opened with.

    Raises:
        UserError: If there is no such kind, or it is refused.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    module, attribute = _parts(name)
    if safe and module not in (loaded or {}):
        raise UserError(
            f"--safe: the kind of examples {name!r} is defined by code outside the package; if you trust it, leave "
            "--safe out"
        )
    try:
        kind = getattr((loaded or {}).get(module) or importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"kind {name!r} cannot be imported ({error}); add the folder of {module} to PYTHONPATH, or restore "
            f"{attribute} under that name"
        ) from error
    if not isinstance(kind, Kind):
        raise UserError(f"kind {name!r} is a {type(kind).__name__}, not a data.kinds.Kind")
    return kind


def to_record(kind: Kind) -> str:
    """Returns the name of a kind for a record; raises UserError if it is none by which `find` could return the kind."""
    if kind.name not in BUILT_IN:
        _parts(kind.name)
    elif kind != BUILT_IN[kind.name]:
        raise UserError(f"kind {kind.name!r} differs from the built-in kind of that name; name it 'module:attribute'")
    return kind.name


def of_record(data: Mapping[str, Any]) -> str:
    """Returns the name of the kind in a record's entry "data"; older ones lack it, and are of images or points."""
    return data.get("kind") or ("image" if len(data.get("shape", ())) == 3 else "points")


def _parts(name: str) -> tuple[str, str]:
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise UserError(f"kind {name!r}: give 'module:attribute', or one of {', '.join(BUILT_IN)}")
    return module, attribute
