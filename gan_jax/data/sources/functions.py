"""Data sets made by a user's own function, in a file or module outside the package."""

import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from gan_jax.data import names
from gan_jax.data.dataset import Dataset
from gan_jax.data.splits import of_split
from gan_jax.errors import NotFound, UserError


def load(name: str, split: str = "train", resolution: int | None = None) -> Dataset:
    """Calls a function `(split, resolution) -> Dataset`, and returns its data set under the given name.

    Args:
        name: "FILE.py:FUNCTION", or "MODULE:FUNCTION" of an importable module.
        split: "train" or "test". A function may ignore this and return both at once, as `data.from_arrays` does.
        resolution: Side of the images to ask for; None leaves it to the function.

    Raises:
        NotFound: If there is no such file or module.
        UserError: If it has no such function, or the function returns something else.
    """
    _, path, options = names.source(name)
    function = _function(name, path, options["function"])
    try:
        inspect.signature(function).bind(split, resolution)
    except TypeError as error:
        raise UserError(
            f"data set {name!r}: the function must take (split, resolution), such as ('train', None), but: {error}"
        ) from error
    dataset = function(split, resolution)
    if not isinstance(dataset, Dataset):
        raise UserError(
            f"data set {name!r}: the function returned {type(dataset).__name__}; return a Dataset, such as that of "
            "data.from_arrays"
        )
    dataset = of_split(dataset, split)
    side = dataset.spec.shape[:2]
    if resolution is not None and side != (resolution, resolution):
        raise UserError(
            f"resolution={resolution}: the function of {name!r} returned {dataset.spec.kind.noun} of shape "
            f"{list(dataset.spec.shape)}; pass its resolution on to data.from_arrays, or leave --resolution out"
        )
    return dataset._replace(name=name, held_out=None)


def _function(name: str, path: str, attribute: str) -> Callable[[str, int | None], Any]:
    if path.endswith(".py"):
        file = Path(path)
        if not file.is_file():
            raise NotFound(f"data set {name!r}: there is no file {path}; give FILE.py:FUNCTION")
        module = _executed(file.absolute(), file.stat().st_mtime_ns)
    else:
        try:
            module = importlib.import_module(path)
        except ModuleNotFoundError as error:
            raise NotFound(
                f"data set {name!r}: {error}; add the folder of {path} to PYTHONPATH, or give FILE.py:FUNCTION"
            ) from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise UserError(f"data set {name!r}: {path} has no function {attribute}; define {attribute}(split, resolution)")
    return function


@functools.lru_cache
def _executed(file: Path, _changed: int) -> ModuleType:
    """Imports a file; imports it again only if it has changed."""
    spec = importlib.util.spec_from_file_location(f"data_{file.stem}", file)
    assert spec and spec.loader, f"{file} is not a Python source file"
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look up their module
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))  # for imports of sibling modules
    spec.loader.exec_module(module)
    return module
