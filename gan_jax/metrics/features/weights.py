"""Reads weights of networks trained elsewhere, without PyTorch and without running code that a file may hold."""

import io
import math
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from safetensors import safe_open

from gan_jax.devices import memory
from gan_jax.errors import UserError

LIMIT = 10**9  # bytes
DIMENSIONS = 64  # most dimensions of an array, as in NumPy
MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001  # the first two pickles of torch.save before its zip format

_TYPES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(jnp.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


class _Tensor(NamedTuple):
    """A pickled tensor without values: its storage, its type, and its place in the storage, in elements."""

    storage: str
    type: str
    offset: int
    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()


def read(path: Path | str, limit: int = LIMIT) -> dict[str, np.ndarray]:
    """Reads named arrays from a file, whose format is detected from its contents.

    Args:
        path: A file of `torch.save(model.state_dict(), path)`, in the zip format or the older one; or an .npz or
            .safetensors file. A pickle may hold only tensors in plain containers; none of its code is run.
        limit: The most bytes that the file, its unpacked contents, and all of its arrays may each take. Larger ones are
            refused before they are unpacked.

    Raises:
        FileNotFoundError: If there is no such file.
        UserError: If the file is damaged, of another format or too large, or its pickle names a forbidden object.
    """
    path = Path(path)
    size = path.stat().st_size
    try:
        if not path.is_file():
            raise UserError("it is not a file")
        _require(size, limit)
        content = path.read_bytes()
        if content.startswith(b"PK"):
            return _from_zip(content, limit)
        return _from_safetensors(path) if content[8:9] == b"{" else _from_legacy(io.BytesIO(content), limit)
    except Exception as error:  # a damaged file can fail in any way
        why = error if isinstance(error, UserError) else f"it is damaged, or of another format ({error or repr(error)})"
        raise UserError(f"weights {str(path)!r}: cannot be read as .pth, .npz or .safetensors: {why}") from error


def _require(size: int, limit: int) -> None:
    if size > limit:
        raise UserError(f"it contains {memory.text(size)}, more than the limit of {memory.text(limit)}")


def _from_zip(content: bytes, limit: int) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        _require(sum(info.file_size for info in archive.infolist()), limit)

        def member(name: str) -> bytes:
            with archive.open(name) as file:  # at most the stated size, as only stated sizes were checked
                return file.read(archive.getinfo(name).file_size)

        names = archive.namelist()
        for folder in (name.removesuffix("data.pkl") for name in names if re.fullmatch("([^/]*/)?data.pkl", name)):
            if f"{folder}byteorder" in names and member(f"{folder}byteorder") != b"little":
                raise UserError("its byte order is not little-endian; save it again on a little-endian machine")
            state = _state(_unpickled(io.BytesIO(member(f"{folder}data.pkl"))), limit)
            keys = {tensor.storage for tensor in state.values()}
            return _arrays(state, {key: member(f"{folder}data/{key}") for key in keys})
        if not all(name.endswith(".npy") for name in names):
            raise UserError("the archive has files other than arrays")
        files = {name.removesuffix(".npy"): io.BytesIO(member(name)) for name in names}
    return {name: np.lib.format.read_array(file, allow_pickle=False) for name, file in files.items()}


def _from_legacy(file: io.BytesIO, limit: int) -> dict[str, np.ndarray]:
    """Reads the format of PyTorch before 1.6: five pickles, then each storage preceded by its number of elements."""
    if (_unpickled(file), _unpickled(file)) != (MAGIC, VERSION):
        raise UserError("it is in another format")
    if not _unpickled(file)["little_endian"]:
        raise UserError("its byte order is not little-endian; save it again on a little-endian machine")
    state, storages = _state(_unpickled(file), limit), {}
    types = {tensor.storage: _TYPES[tensor.type] for tensor in state.values()}
    for key in _unpickled(file):
        storages[key] = file.read(int.from_bytes(file.read(8), "little") * types[key].itemsize)
    return _arrays(state, storages)


def _from_safetensors(path: Path) -> dict[str, np.ndarray]:
    with safe_open(path, framework="numpy") as file:  # which refuses arrays that share bytes, so the file bounds them
        return {name: file.get_tensor(name) for name in file.offset_keys()}


def _unpickled(file: io.BytesIO) -> Any:
    """Loads one pickle, with tensors as `_Tensor`, without their values."""

    def tensor(storage: _Tensor, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> _Tensor:
        if max(len(shape), len(strides)) > DIMENSIONS:
            raise UserError(f"it contains a tensor with {max(len(shape), len(strides)):,} dimensions")
        return storage._replace(offset=storage.offset + offset, shape=tuple(shape), strides=tuple(strides))

    # The only functions that a pickle may call. They are new for each pickle, as it can change their attributes.
    admitted: dict[tuple[str, str], Callable[..., Any]] = {
        ("collections", "OrderedDict"): lambda: OrderedDict(),  # no argument: one list could be copied endlessly
        ("torch._utils", "_rebuild_tensor_v2"): tensor,
        ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    }

    class Restricted(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if module in ("torch", "torch.cuda") and name in _TYPES:
                return name
            if (module, name) in admitted:
                return admitted[module, name]
            raise UserError(
                f"its pickle imports {module}.{name}, which is forbidden: only tensors in plain containers are read; "
                f"save them with torch.save(model.state_dict(), path)"
            )

        def persistent_load(self, identifier: Any) -> _Tensor:
            kind, dtype, key, _, _, *view = identifier
            if kind != "storage" or dtype not in _TYPES:
                raise UserError(f"its pickle contains {str(kind)!r} of {str(dtype)!r}, not only tensors")
            return _Tensor(str(key), dtype, view[0][1] if view and view[0] else 0)

    return Restricted(file).load()


def _state(loaded: Any, limit: int) -> dict[str, _Tensor]:
    """Checks that an unpickled object maps names to tensors, of at most `limit` bytes in all, and returns it."""
    if not isinstance(loaded, dict):
        raise UserError(f"it contains a {type(loaded).__name__}; save the tensors by name, as a state_dict")
    for name, value in loaded.items():
        if not isinstance(value, _Tensor):
            raise UserError(f"{name} is a {type(value).__name__}, not a tensor; save only the state_dict")
    _require(sum(max(0, math.prod(t.shape)) * _TYPES[t.type].itemsize for t in loaded.values()), limit)
    return dict(loaded)


def _arrays(state: dict[str, _Tensor], storages: dict[str, bytes]) -> dict[str, np.ndarray]:
    return {name: _array(name, tensor, storages[tensor.storage]) for name, tensor in state.items()}


def _array(name: str, tensor: _Tensor, storage: bytes) -> np.ndarray:
    """Copies a tensor's values out of its storage."""
    values, (offset, shape, strides) = np.frombuffer(storage, _TYPES[tensor.type]), tensor[2:]
    size = math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    # Checked first: a view beyond the storage would read other memory.
    if min(offset, *shape, *strides, 0) < 0 or (size and last >= len(values)) or size > len(values):
        raise UserError(
            f"{name} has shape {shape} at offset {offset}, but its storage has {len(values)} values: it is truncated"
        )
    if not size:
        return np.zeros(shape, values.dtype)
    steps = [step * values.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(values[offset:], shape, steps).copy()
