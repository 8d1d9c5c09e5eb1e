"""Reads weights of networks trained elsewhere, without the libraries that wrote them or running their code."""

import hashlib
import http.client
import io
import json
import math
import pickle
import re
import shutil
import sys
import urllib.error
import urllib.request
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from gan_jax.data import cache
from gan_jax.devices import memory
from gan_jax.errors import Unreachable, UserError
from gan_jax.files import atomic

LIMIT = 10**9  # bytes
DIMENSIONS = 64  # most dimensions of an array, as in NumPy
TIMEOUT = 30.0  # seconds without data
MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001  # the first two pickles of torch.save before its zip format

_TYPES = {  # names in safetensors and of PyTorch's storages
    ("F64", "DoubleStorage"): np.dtype("<f8"),
    ("F32", "FloatStorage"): np.dtype("<f4"),
    ("F16", "HalfStorage"): np.dtype("<f2"),
    ("BF16", "BFloat16Storage"): np.dtype(jnp.bfloat16),
    ("I64", "LongStorage"): np.dtype("<i8"),
    ("I32", "IntStorage"): np.dtype("<i4"),
    ("I16", "ShortStorage"): np.dtype("<i2"),
    ("I8", "CharStorage"): np.dtype("i1"),
    ("U8", "ByteStorage"): np.dtype("u1"),
    ("BOOL", "BoolStorage"): np.dtype("?"),
}
_OF_NAME = {name: dtype for names, dtype in _TYPES.items() for name in names}


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
            raise UserError("it is no file")
        _require(size, limit)
        content = path.read_bytes()
        if content.startswith(b"PK"):
            return _from_zip(content, limit)
        return _from_safetensors(content, limit) if content[8:9] == b"{" else _from_legacy(io.BytesIO(content), limit)
    except Exception as error:  # a damaged file can fail in any way
        raise UserError(
            f"weights {str(path)!r}: it cannot be read as .pth, .npz or .safetensors: {error or repr(error)}"
        ) from error


def downloaded(url: str) -> Path:
    """Returns a file from the cache; on first use it is downloaded, completely or not at all.

    Args:
        url: The address; its file name has the first digits of the file's SHA-256: "name-0123abcd.pth".

    Raises:
        Unreachable: If it cannot be downloaded.
        UserError: If it has another checksum.
    """
    path = cache.directory() / url.rpartition("/")[2]
    if not path.exists():
        print(f"downloading {url} to {path.parent}, once ...", file=sys.stderr)
        try:
            with atomic(path) as file, urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
                shutil.copyfileobj(answer, file)
                file.flush()
                verify(Path(file.name), path.name)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            raise Unreachable(
                f"{url} cannot be downloaded ({error}); fetch it on another machine, and give its path, or put it "
                f"into {path.parent}"
            ) from error
    verify(path, path.name)
    return path


def verify(path: Path, name: str) -> None:
    """Raises UserError unless a file's SHA-256 begins with the digits in `name`, such as "name-0123abcd.pth"."""
    said = re.findall("-([0-9a-f]{8,64})[.]", name)[-1]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(said):
        raise UserError(
            f"weights {str(path)!r}: its SHA-256 is {digest}, that of {name} begins with {said}: it is damaged or "
            "another file; delete it, and download it anew"
        )


def _require(size: int, limit: int) -> None:
    if size > limit:
        raise UserError(f"it holds {memory.text(size)}, and at most {memory.text(limit)} are accepted")


def _from_zip(content: bytes, limit: int) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        _require(sum(info.file_size for info in archive.infolist()), limit)

        def member(name: str) -> bytes:
            with archive.open(name) as file:  # at most the stated size, as only stated sizes were checked
                return file.read(archive.getinfo(name).file_size)

        names = archive.namelist()
        for folder in (name.removesuffix("data.pkl") for name in names if re.fullmatch("([^/]*/)?data.pkl", name)):
            if f"{folder}byteorder" in names and member(f"{folder}byteorder") != b"little":
                raise UserError("its byte order is not little-endian; save it anew on another machine")
            state = _state(_unpickled(io.BytesIO(member(f"{folder}data.pkl"))), limit)
            keys = {tensor.storage for tensor in state.values()}
            return _arrays(state, {key: member(f"{folder}data/{key}") for key in keys})
        if not all(name.endswith(".npy") for name in names):
            raise UserError("it is an archive of something else")
        found = {name.removesuffix(".npy"): io.BytesIO(member(name)) for name in names}
    return {name: np.lib.format.read_array(file, allow_pickle=False) for name, file in found.items()}


def _from_legacy(file: io.BytesIO, limit: int) -> dict[str, np.ndarray]:
    """Reads the format of PyTorch before 1.6: five pickles, then each storage preceded by its number of elements."""
    if (_unpickled(file), _unpickled(file)) != (MAGIC, VERSION):
        raise UserError("it is of another format")
    if not _unpickled(file)["little_endian"]:
        raise UserError("its byte order is not little-endian; save it anew on another machine")
    state, storages = _state(_unpickled(file), limit), {}
    types = {tensor.storage: _OF_NAME[tensor.type] for tensor in state.values()}
    for key in _unpickled(file):
        storages[key] = file.read(int.from_bytes(file.read(8), "little") * types[key].itemsize)
    return _arrays(state, storages)


def _from_safetensors(content: bytes, limit: int) -> dict[str, np.ndarray]:
    """Reads safetensors: the size of the header (8 bytes), the header (JSON), and the values at its offsets."""
    start, arrays = 8 + int.from_bytes(content[:8], "little"), {}
    entries = {k: entry for k, entry in json.loads(content[8:start]).items() if k != "__metadata__"}
    _require(sum(max(0, end - begin) for begin, end in (entry["data_offsets"] for entry in entries.values())), limit)
    for name, entry in entries.items():
        begin, end = entry["data_offsets"]
        values = np.frombuffer(memoryview(content)[start:][begin:end], _OF_NAME[entry["dtype"]])
        arrays[name] = values.reshape(entry["shape"])  # fails where values are cut off
    return arrays


def _unpickled(file: io.BytesIO) -> Any:
    """Loads one pickle, with tensors as `_Tensor`, without their values."""

    def tensor(storage: _Tensor, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> _Tensor:
        if max(len(shape), len(strides)) > DIMENSIONS:
            raise UserError(f"it holds a tensor of {max(len(shape), len(strides)):,} dimensions")
        return storage._replace(offset=storage.offset + offset, shape=tuple(shape), strides=tuple(strides))

    # The only functions that a pickle may call. They are new for each pickle, as it can change their attributes.
    admitted: dict[tuple[str, str], Callable[..., Any]] = {
        ("collections", "OrderedDict"): lambda: OrderedDict(),  # no argument: one list could be copied endlessly
        ("torch._utils", "_rebuild_tensor_v2"): tensor,
        ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    }

    class Restricted(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if module in ("torch", "torch.cuda") and name.endswith("Storage") and name in _OF_NAME:
                return name
            if (module, name) in admitted:
                return admitted[module, name]
            raise UserError(
                f"its pickle asks for {module}.{name}, which is forbidden: only tensors in plain containers are read; "
                f"save them by torch.save(model.state_dict(), path)"
            )

        def persistent_load(self, identifier: Any) -> _Tensor:
            kind, dtype, key, _, _, *view = identifier
            if kind != "storage" or dtype not in _OF_NAME:
                raise UserError(f"its pickle holds {str(kind)!r} of {str(dtype)!r} beside tensors")
            return _Tensor(str(key), dtype, view[0][1] if view and view[0] else 0)

    return Restricted(file).load()


def _state(loaded: Any, limit: int) -> dict[str, _Tensor]:
    """Checks that an unpickled object maps names to tensors, of at most `limit` bytes in all, and returns it."""
    if not isinstance(loaded, dict):
        raise UserError(f"it holds one {type(loaded).__name__}; save the tensors by their names, as a state_dict")
    for name, value in loaded.items():
        if not isinstance(value, _Tensor):
            raise UserError(f"{name} is a {type(value).__name__} and no tensor; save the state_dict alone")
    _require(sum(max(0, math.prod(t.shape)) * _OF_NAME[t.type].itemsize for t in loaded.values()), limit)
    return dict(loaded)


def _arrays(state: dict[str, _Tensor], storages: dict[str, bytes]) -> dict[str, np.ndarray]:
    return {name: _array(name, tensor, storages[tensor.storage]) for name, tensor in state.items()}


def _array(name: str, tensor: _Tensor, storage: bytes) -> np.ndarray:
    """Copies a tensor's values out of its storage."""
    values, (offset, shape, strides) = np.frombuffer(storage, _OF_NAME[tensor.type]), tensor[2:]
    size = math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    # Checked first: a view beyond the storage would read other memory.
    if min(offset, *shape, *strides, 0) < 0 or (size and last >= len(values)) or size > len(values):
        raise UserError(f"{name} has shape {shape} from {offset} on, and its storage {len(values)} values: cut short")
    if not size:
        return np.zeros(shape, values.dtype)
    steps = [step * values.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(values[offset:], shape, steps).copy()
