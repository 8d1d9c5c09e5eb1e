"""Weights are read equal from every format, and a file can neither run code nor read beyond its own contents."""

import io
import os
import pickle
import struct
import tracemalloc
import zipfile
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save

from gan_jax.metrics.features import weights

# A writer of PyTorch's pickles, opcode by opcode, so that their reader is tested where PyTorch is missing.
STORAGES = {"f8": "Double", "f4": "Float", "f2": "Half", "i8": "Long", "i4": "Int", "i2": "Short"}
STORAGES |= {"i1": "Char", "u1": "Byte", "b1": "Bool", "V2": "BFloat16"}
EMPTY = b"ccollections\nOrderedDict\n)R"


def text(string):
    return b"X" + struct.pack("<I", len(string.encode())) + string.encode()


def many(*parts):
    return b"(" + b"".join(parts) + b"t"


def number(n):
    return b"J" + struct.pack("<i", n)


def tensor(key, storage, shape, strides, offset=0, view=b""):
    """The pickle of a tensor whose values lie in a storage."""
    kind = f"ctorch\n{STORAGES[storage.dtype.str[1:]]}Storage\n".encode()
    place = many(text("storage"), kind, text(key), text("cpu"), number(storage.size), view) + b"Q"
    arguments = place, number(offset), many(*map(number, shape)), many(*map(number, strides)), b"\x89", EMPTY
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + many(*arguments) + b"R"


def mapping(items):
    """The pickle of a state dict, an OrderedDict with an attribute."""
    metadata = b"}" + text("_metadata") + EMPTY + b"sb"
    return b"\x80\x02" + EMPTY + b"(" + b"".join(text(k) + v for k, v in items.items()) + b"u" + metadata + b"."


def plain(arrays, view=b""):
    """A state dict of arrays, each with a storage of its own, and the storages."""
    storages = {str(i): np.ravel(array) for i, array in enumerate(arrays.values())}
    strides = ([step // array.itemsize for step in array.strides] for array in arrays.values())
    keys = zip(arrays.items(), storages, strides, strict=True)
    items = {name: tensor(key, array.ravel(), array.shape, steps, view=view) for (name, array), key, steps in keys}
    return mapping(items), storages


def zipped(pickled, storages, byteorder=b"little"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", byteorder)
        for key, values in storages.items():
            archive.writestr(f"archive/data/{key}", values.tobytes())
    return file.getvalue()


def legacy(pickled, storages, little_endian=True):
    system = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {"int": 4}}
    head = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, system))
    values = b"".join(struct.pack("<q", values.size) + values.tobytes() for values in storages.values())
    return head + pickled + pickle.dumps(list(storages), 2) + values


def npz(arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


FORMATS = {
    "zip": lambda arrays: zipped(*plain(arrays)),
    "legacy": lambda arrays: legacy(*plain(arrays, view=b"N")),
    "npz": npz,
    "safetensors": save,
}
ARCHIVES = {"zip": zipped, "legacy": legacy}


@pytest.fixture
def arrays():
    draws = np.random.default_rng(0)
    normal = draws.standard_normal((2, 3, 4))
    found = {f"layer.{kind}": (100 * normal).astype(kind) for kind in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1")}
    return found | {"bool": normal > 0, "scalar": np.array(7), "none": np.zeros((0, 3), np.float32), "µ": normal[0]}


@pytest.fixture
def read(tmp_path):
    def run(content, name="weights"):
        (tmp_path / name).write_bytes(content)
        return weights.read(tmp_path / name)

    return run


def equal(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        np.testing.assert_array_equal(found[name], array, strict=True)


@pytest.mark.parametrize("form", FORMATS)
def test_formats_give_equal_arrays(arrays, read, form):
    equal(read(FORMATS[form](arrays)), arrays)


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_bfloat16(read, form):
    arrays = {"x": np.asarray([1.0, -0.5, 3e38], jnp.bfloat16)}
    equal(read(FORMATS[form](arrays)), arrays)


@pytest.mark.parametrize("form", ARCHIVES)
def test_views_of_one_storage(read, form):
    storage = np.arange(24, dtype=np.float32)
    matrix = storage.reshape(4, 6)
    views = {"transposed": ((6, 4), (1, 6), 0), "part": ((2, 3), (6, 1), 8), "column": ((4,), (6,), 5)}
    items = {name: tensor("0", storage, *view) for name, view in views.items()}
    items["parameter"] = b"ctorch._utils\n_rebuild_parameter\n" + many(items["part"], b"\x88", EMPTY) + b"R"
    items["viewed"] = tensor("0", storage, (3,), (1,), 1, view=many(text("v"), number(4), number(12)))
    found = read(ARCHIVES[form](mapping(items), {"0": storage}))
    expected = {"transposed": matrix.T, "part": matrix[1:3, 2:5], "column": matrix[:, 5]}
    equal(found, expected | {"parameter": matrix[1:3, 2:5], "viewed": storage[5:8]})


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("form", ARCHIVES)
@pytest.mark.parametrize(
    ("forbidden", "name"),
    [
        (Call(os.mkdir, "pwned"), r"\w+\.mkdir"),
        (Call(eval, "open('pwned', 'w')"), r"\w+\.eval"),
        (Call(getattr, "", "upper"), r"\w+\.getattr"),
        (partial(open, "pwned", "w"), r"functools\.partial"),
        (np.zeros(3), r"numpy\..*"),
        (np.float32, r"numpy\.float32"),
    ],
    ids=["mkdir", "eval", "getattr", "partial", "array", "type"],  # the same in every process
)
def test_pickles_cannot_call(read, monkeypatch, tmp_path, form, forbidden, name):
    monkeypatch.chdir(tmp_path)
    for content in ({"x": forbidden}, [forbidden]):
        with pytest.raises(ValueError, match=rf"imports {name}, which is forbidden.*save them with torch.save"):
            read(ARCHIVES[form](pickle.dumps(content, 2), {}))
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("module", ["torch", "torch._utils", "torch.storage", "torch.nn.modules.linear", "os", "io"])
@pytest.mark.parametrize("name", ["load", "_load_from_bytes", "Linear", "system", "FloatStorage.from_file", "open"])
def test_other_names_of_admitted_modules_are_forbidden(read, module, name):
    for opcodes in (f"c{module}\n{name}\n)R.".encode(), b"\x80\x04" + text(module) + text(name) + b"\x93)R."):
        with pytest.raises(ValueError, match=rf"imports {module}\.{name}, which is forbidden"):
            read(zipped(opcodes, {}))


def test_a_pickle_leaves_nothing_behind(arrays, read):
    """What a pickle can name, it can also change the attributes of: not those of the next one's."""
    before = read(FORMATS["zip"](arrays))
    changed = b"(N}" + text("__defaults__") + many(number(1), number(2), number(3), number(4)) + b"stb"
    for admitted in (b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n"):
        with pytest.raises(ValueError, match="cannot be read as"):
            read(zipped(b"\x80\x02" + admitted + changed + b".", {}))
    equal(read(FORMATS["zip"](arrays)), before)


def test_what_is_no_file_of_weights_is_called_damaged_or_of_another_format(tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"<html>not found</html>")
    with pytest.raises(ValueError, match=r"cannot be read as .*: it is damaged, or of another format"):
        weights.read(tmp_path / "weights.pth")


def test_object_arrays_are_forbidden(read, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read(npz({"x": np.array([Call(os.mkdir, "pwned")], object)}))
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("form", ARCHIVES)
@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((7,), (1,), 0),  # longer than the storage
        ((2, 3), (4, 1), 0),  # its last row beyond it
        ((3,), (1,), 4),
        ((3,), (-1,), 2),
        ((1,), (1,), -1),
        ((-1,), (1,), 0),
        ((10**9,), (0,), 0),  # one value, as often as fills the memory
        ((2, 3), (1,), 0),
    ],
)
def test_nothing_beyond_the_storage_is_read(read, form, shape, strides, offset):
    storage = np.arange(6, dtype=np.float32)
    items = {"layer": tensor("0", storage, shape, strides, offset)}
    with pytest.raises(ValueError, match="cannot be read as"):
        read(ARCHIVES[form](mapping(items), {"0": storage}))


def squeezed(members, said=None):
    """An archive of members that take next to no room in it; their directory says another size of them."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
            archive.getinfo(name).file_size = len(content) if said is None else min(said, len(content))
    return file.getvalue()


def bombs():
    """Files of a few kB that hold far more, by name; each array of theirs is within the limit."""
    zeros = np.zeros(10_000, np.float32)
    many_names = mapping({str(i): tensor("0", zeros, (10_000,), (1,)) for i in range(200)})
    large = npz({"x": np.zeros(2_000_000, np.float32)})
    member = zipfile.ZipFile(io.BytesIO(large)).read("x.npy")
    return {
        "one storage named 200 times": zipped(many_names, {"0": zeros}),
        "one storage named 200 times, legacy": legacy(many_names, {"0": zeros}),
        "unpacks to much": squeezed({"x.npy": member}),
        "unpacks to much, unused": squeezed({"archive/data.pkl": mapping({}), "archive/data/0": bytes(8_000_000)}),
        "larger than the limit": large,
    }


@pytest.mark.parametrize("bomb", bombs())
def test_what_would_fill_the_memory_is_refused_with_its_size(tmp_path, bomb):
    (tmp_path / "weights").write_bytes(bombs()[bomb])
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"it contains 8(\.\d+)? MB, more than the limit of 1 MB"):
        weights.read(tmp_path / "weights", limit=1_000_000)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2_000_000


def test_no_more_is_unpacked_than_an_archive_says(tmp_path):
    (tmp_path / "weights").write_bytes(squeezed({"archive/data.pkl": bytes(50_000_000)}, said=1000))
    tracemalloc.start()
    with pytest.raises(ValueError, match="cannot be read as"):
        weights.read(tmp_path / "weights", limit=1_000_000)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2_000_000


def test_a_pickle_cannot_copy_a_list_again_and_again(read):
    pair = many(number(0), number(0))
    for call in (b"ccollections\nOrderedDict\n" + many(b"(" + 100 * pair + b"l") + b"R",):
        with pytest.raises(ValueError, match="cannot be read as"):
            read(zipped(b"\x80\x02" + call + b".", {}))
    with pytest.raises(ValueError, match="a tensor with 100 dimensions"):
        read(zipped(mapping({"x": tensor("0", np.zeros(1, np.float32), 100 * [1], 100 * [1])}), {"0": np.zeros(1)}))


def test_what_is_no_file_is_not_read(tmp_path):
    for path in (tmp_path, "/dev/zero"):
        with pytest.raises(ValueError, match="it is not a file"):
            weights.read(path)


@pytest.mark.parametrize("form", FORMATS)
def test_cut_off_anywhere(read, form):
    content = FORMATS[form]({"weight": np.arange(6, dtype=np.float32), "bias": np.ones(3)})
    for size in range(len(content)):
        with pytest.raises(ValueError, match=r"weights '.*weights'.*cannot be read as"):
            read(content[:size])


def test_damage_within_an_archive(read, arrays):
    for form in ("zip", "npz"):
        content = bytearray(FORMATS[form](arrays))
        content[content.index(arrays["layer.f8"].tobytes()) + 5] ^= 1
        with pytest.raises(ValueError, match="Bad CRC-32"):
            read(bytes(content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped(pickle.dumps([1, 2], 2), {}), "contains a list; save the tensors by name"),
        (legacy(pickle.dumps({"epoch": 3}, 2), {}), "epoch is a int, not a tensor; save only the state_dict"),
        (zipped(pickle.dumps({"state_dict": {}}, 2), {}), "state_dict is a dict, not a tensor"),
        (zipped(mapping({}), {}, b"big"), "not little-endian"),
        (legacy(mapping({}), {}, little_endian=False), "not little-endian"),
        (2 * pickle.dumps(1001, 2), "in another format"),
        (b"what", "cannot be read as"),
        (save({"x": np.ones(3)}).replace(b"F64", b"F65"), "F65"),
    ],
)
def test_other_contents_are_refused(read, content, message):
    with pytest.raises(ValueError, match=message):
        read(content)


def test_another_archive_and_a_missing_file(read, tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match="archive has files other than arrays"):
        read(file.getvalue())
    with pytest.raises(FileNotFoundError, match=r"missing\.pth"):
        weights.read(tmp_path / "missing.pth")


def test_torch_writes_what_is_read(read):
    torch = pytest.importorskip("torch", reason="pip install torch; then pytest tests/test_metrics_weights.py")
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, (1, 3)), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
    state = network.state_dict()
    matrix = torch.arange(24.0).reshape(4, 6)
    state |= {"part": matrix[1:3, 2:5], "transposed": matrix.T, "half": matrix.half(), "bfloat16": matrix.bfloat16()}
    state |= {"bool": matrix > 3, "bytes": matrix.byte(), "none": matrix[:0], "parameter": network[0].weight}
    expected = {
        k: v.detach().float().numpy().astype(jnp.bfloat16 if k == "bfloat16" else None) for k, v in state.items()
    }
    for zip_format in (True, False):
        file = io.BytesIO()
        torch.save(state, file, _use_new_zipfile_serialization=zip_format)
        found = read(file.getvalue())
        assert list(found) == list(state)
        for name, value in state.items():
            assert str(value.dtype).removeprefix("torch.") == found[name].dtype.name
            np.testing.assert_array_equal(
                found[name].astype(np.float32), expected[name].astype(np.float32), strict=True
            )


@pytest.mark.parametrize("form", ARCHIVES)
def test_torch_reads_what_this_test_writes(arrays, form):
    torch = pytest.importorskip("torch", reason="pip install torch; then pytest tests/test_metrics_weights.py")
    found = torch.load(io.BytesIO(FORMATS[form](arrays)), weights_only=True)
    equal({name: value.numpy() for name, value in found.items()}, arrays)
