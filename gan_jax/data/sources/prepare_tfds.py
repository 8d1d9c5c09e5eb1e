"""Prepares MNIST, Fashion-MNIST and CIFAR-10 for TensorFlow Datasets without TensorFlow.

TFDS's builders of these sets need TensorFlow only to unpack archives. That step is replaced here; name, version,
features, checksums and order stay, so the result is the set that TFDS would make, and TFDS reads it.
"""

import gzip
import http.client
import io
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core import registered
from tensorflow_datasets.image_classification import cifar, mnist

from gan_jax.errors import Unreachable, UserError

SETS = {"mnist": mnist.MNIST, "fashion_mnist": mnist.FashionMNIST, "cifar10": cifar.Cifar10}
TIMEOUT = 3.0  # seconds; TFDS itself retries for minutes

Examples = Iterator[tuple[int, dict[str, Any]]]


def prepare(name: str, data_dir: Path) -> None:
    """Prepares a set in array_record form, completely or not at all.

    Archives are read from `data_dir/downloads/manual/name` if they are there, else downloaded. Checksums are verified.

    Args:
        name: One of `SETS`.
        data_dir: Directory of prepared TFDS sets.

    Raises:
        Unreachable: If an archive is missing and its address cannot be reached.
        UserError: If an archive is damaged or the set cannot be written.
    """
    stock = SETS[name]
    manual = data_dir / "downloads" / "manual" / name
    urls = _urls(stock)
    missing = [url for url in urls if not (manual / _file(url)).exists()]
    remedy = (
        f"put {', '.join(_file(url) for url in urls)} into {manual}, or set TFDS_DATA_DIR to a directory that has the "
        f"prepared set, or use the embedded data set 'digits'"
    )
    if missing and (reason := _unreachable(missing[0])):
        raise Unreachable(f"{name} is not in {data_dir}, and {missing[0]} cannot be reached ({reason}); {remedy}")
    print(f"preparing {name} in {data_dir} (needed only once) ...", file=sys.stderr)
    with registered.skip_registration():
        split_generators = _cifar_splits if stock is cifar.Cifar10 else _idx_splits
        attributes = {"name": name, "pkg_dir_path": stock.pkg_dir_path, "__module__": stock.__module__}
        builder = type(stock.__name__, (stock,), {**attributes, "_split_generators": split_generators})
    try:
        config = tfds.download.DownloadConfig(manual_dir=manual, force_checksums_validation=True)
        builder(data_dir=data_dir, file_format="array_record").download_and_prepare(download_config=config)
    except Exception as error:  # from TFDS, the network, an archive or the disk
        raise UserError(f"{name} could not be prepared in {data_dir}: {str(error)[:500]}; {remedy}") from error


def _urls(stock: type) -> list[str]:
    if stock is cifar.Cifar10:
        return ["https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"]
    kinds = ("images-idx3", "labels-idx1")
    return [f"{stock.URL}{split}-{kind}-ubyte.gz" for split in ("train", "t10k") for kind in kinds]


def _file(url: str) -> str:
    return url.rsplit("/", 1)[1]


def _unreachable(url: str) -> str:
    """Returns why an address cannot be reached, or "" if it can."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=TIMEOUT).close()
    except urllib.error.HTTPError as error:
        error.close()  # the host answers; the download will report the error
    except (OSError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", error))
    return ""


def _idx_splits(builder: Any, downloads: Any) -> dict[str, Examples]:
    train_image, train_label, test_image, test_label = downloads.download(_urls(type(builder)))
    return {"train": _idx_examples(train_image, train_label), "test": _idx_examples(test_image, test_label)}


def _idx_examples(images: Path, labels: Path) -> Examples:
    for i, (image, label) in enumerate(zip(_read_idx(images), _read_idx(labels), strict=True)):
        yield i, {"image": _png(image), "label": int(label)}


def _read_idx(path: Path) -> np.ndarray:
    """Reads a gzipped idx file: 0, 0, 8, the number of dimensions, the dimensions (4 bytes each), the bytes."""
    content = gzip.decompress(Path(path).read_bytes())
    dimensions = content[3]
    if content[:3] != b"\0\0\x08":
        raise UserError(f"{path} is not an idx file of bytes")
    shape = np.frombuffer(content, ">i4", dimensions, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _cifar_splits(builder: Any, downloads: Any) -> dict[str, Examples]:
    archive, info = downloads.download(_urls(cifar.Cifar10)[0]), builder._cifar_info
    with tarfile.open(archive) as tar:
        builder.info.features["label"].names = _member(tar, info.prefix + info.label_files[0]).decode().split()
    return {
        "train": _cifar_examples(archive, "train_", [info.prefix + file for file in info.train_files]),
        "test": _cifar_examples(archive, "test_", [info.prefix + file for file in info.test_files]),
    }


def _cifar_examples(archive: Path, prefix: str, files: list[str]) -> Examples:
    """Yields the examples of files of records: 1 byte of label, 3 x 32 x 32 bytes of image."""
    with tarfile.open(archive) as tar:
        records = np.concatenate([np.frombuffer(_member(tar, file), np.uint8).reshape(-1, 3073) for file in files])
    for i, record in enumerate(records):
        image = record[1:].reshape(3, 32, 32).transpose(1, 2, 0)
        yield i, {"id": f"{prefix}{i:05d}", "image": _png(image), "label": int(record[0])}


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise UserError(f"{tar.name} has no file {name}")
    return file.read()


def _png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, "PNG")
    return file.getvalue()
