"""Weights of networks trained elsewhere, read without the libraries that wrote them, and without running their code."""

import hashlib
import http.client
import io
import json
import math
import pickle
import re
import shutil
import sys
import urllib.request
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from gan_jax.data import cache
from gan_jax.pictures import atomic

TIMEOUT = 30.0  # seconds without a sign of life
MAGIC = 0x1950A86A20F9469CFC6C  # with which torch.save began before the zip format
_BFLOAT16 = np.dtype(jnp.bfloat16)

_TORCH = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_SAFETENSORS = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "bfloat16",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


class _Tensor(NamedTuple):
    """A tensor of a pickle: where its values lie in a storage, in elements, and the storage's type and size."""

    key: str
    dtype: str
    size: int
    offset: int
    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()


def read(path: Path | str) -> dict[str, np.ndarray]:
    """Reads named arrays from a file; the contents, not the name, decide the format.

    Args:
        path: Of `torch.save(model.state_dict(), path)`, in the zip format or the older one; or of .npz or .safetensors.
            Pickles may hold tensors in plain containers, and nothing else: no code of theirs is run.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, or of another format, or its name carries a checksum that it does not have,
            as in "name-0123abcd.pth", or its pickle asks for something forbidden, which the message names.
    """
    path = Path(path)
    content = path.read_bytes()
    _check(path.name, hashlib.sha256(content).hexdigest(), f"path={str(path)!r}")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                pickles = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
                if pickles:
                    return _from_zip(archive, pickles[0].removesuffix("data.pkl"))
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        if content[8:9] == b"{":
            return _from_safetensors(content)
        return _from_legacy(io.BytesIO(content))
    except Exception as error:  # damage can strike anywhere
        raise ValueError(
            f"path={str(path)!r}: no weights can be read from it, as .pth, .npz or .safetensors: {error or repr(error)}"
        ) from error


def downloaded(url: str) -> Path:
    """Returns a file from the cache; the first time it is downloaded, whole or not at all.

    Args:
        url: Whose last part carries the first digits of the file's SHA-256, as in "name-0123abcd.pth".

    Raises:
        ConnectionError: If it cannot be downloaded, or has another checksum than its name says.
    """
    path = cache.directory() / url.rpartition("/")[2]
    if path.exists():
        return path
    print(f"downloading {url} to {path.parent}, once ...", file=sys.stderr)
    try:
        with atomic(path) as file, urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            shutil.copyfileobj(answer, file)
            file.flush()
            with open(file.name, "rb") as written:
                _check(path.name, hashlib.file_digest(written, "sha256").hexdigest(), "it")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ConnectionError(
            f"{url} cannot be had ({getattr(error, 'reason', error)}); download it on another machine, and give its "
            f"path, or put it into {path.parent}"
        ) from error
    return path


def _check(name: str, digest: str, subject: str) -> None:
    said = re.search(r"-([0-9a-f]{8,64})\.[a-z]+$", name)
    if said and not digest.startswith(said[1]):
        raise ValueError(
            f"{subject} has the SHA-256 {digest}, and its name says {said[1]}: it is damaged or another file; delete "
            f"it and download it anew"
        )


def _from_zip(archive: zipfile.ZipFile, folder: str) -> dict[str, np.ndarray]:
    if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
        raise ValueError("its byte order is not little-endian; save it anew on another machine")
    state = _unpickled(io.BytesIO(archive.read(f"{folder}data.pkl")))
    return _arrays(state, lambda key: archive.read(f"{folder}data/{key}"))


def _from_legacy(file: io.BytesIO) -> dict[str, np.ndarray]:
    """Reads the format of PyTorch before 1.6: five pickles, then every storage behind its size."""
    if _unpickled(file) != MAGIC or _unpickled(file) != 1001:
        raise ValueError("it is of another format; save it anew by torch.save(model.state_dict(), path)")
    if _unpickled(file).get("little_endian") is not True:
        raise ValueError("its byte order is not little-endian; save it anew on another machine")
    state = _unpickled(file)
    tensors = {tensor.key: tensor for tensor in state.values() if isinstance(tensor, _Tensor)}
    storages: dict[str, bytes] = {}
    for key in _unpickled(file):
        size = int.from_bytes(file.read(8), "little")
        storages[key] = file.read(size * _type(tensors[key].dtype).itemsize)
    return _arrays(state, storages.__getitem__)


def _from_safetensors(content: bytes) -> dict[str, np.ndarray]:
    """Reads the size of a header (8 bytes), the header, JSON, and the values where it says."""
    start = 8 + int.from_bytes(content[:8], "little")
    if start > len(content):
        raise ValueError("its header is cut short")
    arrays, values = {}, memoryview(content)[start:]
    for name, entry in json.loads(content[8:start]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            if not 0 <= begin <= end <= len(values):
                raise ValueError(f"{name} is cut short")
            arrays[name] = np.frombuffer(values[begin:end], _type(_SAFETENSORS[entry["dtype"]])).reshape(entry["shape"])
    return arrays


def _type(name: str) -> np.dtype:
    return _BFLOAT16 if name == "bfloat16" else np.dtype(name)
