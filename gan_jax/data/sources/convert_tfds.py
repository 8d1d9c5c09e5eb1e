"""Adds the array_record form to TFDS sets in tfrecord form: `python -m gan_jax.data.sources.convert_tfds DIRECTORY`.

Both forms hold the same serialised examples in different frames, so TensorFlow is not needed. DIRECTORY is that of one
version of a set, with a `dataset_info.json`. Its files stay; array_record files are added.
"""

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tyro

from gan_jax.cli import cli
from gan_jax.errors import UserError
from gan_jax.files import write_json


def convert(directory: Path) -> list[Path]:
    """Writes an array_record file for each tfrecord file of a set, and adds the form to its `dataset_info.json`.

    `dataset_info.json` is written last: an interrupted conversion leaves the set usable and can be repeated.

    Args:
        directory: Directory of one version of a set, such as ~/tensorflow_datasets/mnist/3.0.1.

    Returns:
        The files written.

    Raises:
        UserError: If the directory holds no such set or cannot be written to, or one of its files is damaged.
    """
    directory = Path(os.path.expanduser(directory))
    about = directory / "dataset_info.json"
    if not about.is_file():
        raise UserError(
            f"directory {directory} has no dataset_info.json; give the directory of one version of a TFDS set"
        )
    info, forms, expected = _info(about)
    if "tfrecord" not in forms or "array_record" in forms:
        raise UserError(
            f"directory {directory} is in {' and '.join(forms)} form; only a set in tfrecord alone can be converted"
        )
    if not os.access(directory, os.W_OK):
        raise UserError(f"directory {directory} is not writable; copy the set to a writable one")
    sources = sorted(directory.glob("*.tfrecord-*-of-*"))
    targets = [source.with_name(source.name.replace(".tfrecord-", ".array_record-")) for source in sources]
    count = sum(_convert_file(source, target) for source, target in zip(sources, targets, strict=True))
    if count != expected:
        raise UserError(
            f"directory {directory} has {count} records, but dataset_info.json says {expected}; prepare the set again"
        )
    info.setdefault("alternativeFileFormats", []).append("array_record")
    write_json(about, info)
    return targets


def _info(path: Path) -> tuple[dict[str, Any], list[str], int]:
    """Reads a `dataset_info.json`; returns its content, the file formats of the set, and its number of records."""
    try:
        info = json.loads(path.read_text("utf-8"))
        forms = [str(form) for form in (info.get("fileFormat", "tfrecord"), *info.get("alternativeFileFormats", []))]
        return info, forms, sum(int(length) for split in info["splits"] for length in split["shardLengths"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} does not describe a TFDS set ({type(error).__name__}: {error}); prepare the set again"
        ) from error


def _convert_file(source: Path, target: Path) -> int:
    """Converts one file and returns its number of records."""
    from array_record.python.array_record_module import ArrayRecordWriter  # pyright: ignore[reportMissingImports]

    temporary = target.with_name(f"incomplete.{target.name}")
    writer, count = ArrayRecordWriter(str(temporary), "group_size:1"), 0
    try:
        for record in _records(source):
            writer.write(record)
            count += 1
    except BaseException:
        writer.close()
        temporary.unlink(missing_ok=True)
        raise
    writer.close()
    os.replace(temporary, target)
    return count


def _records(path: Path) -> Iterator[bytes]:
    """Yields the records of a tfrecord file: each has a length (8 bytes), checksum (4), contents, checksum (4)."""
    size = path.stat().st_size
    with path.open("rb") as file:
        while file.tell() < size:
            header = file.read(12)
            length = struct.unpack("<Q", header[:8])[0] if len(header) == 12 else size
            if file.tell() + length + 4 > size:
                raise UserError(
                    f"{path} is damaged or truncated at byte {file.tell() - len(header)}; prepare the set again"
                )
            yield file.read(length)
            file.seek(4, os.SEEK_CUR)


def main(directory: tyro.conf.Positional[Path]) -> None:
    """Adds the array_record form, which is read without TensorFlow, to a TFDS set in tfrecord form.

    Args:
        directory: Directory of one version, with dataset_info.json, such as ~/tensorflow_datasets/mnist/3.0.1.
    """
    print(*convert(directory), sep="\n")


if __name__ == "__main__":
    cli(main)
