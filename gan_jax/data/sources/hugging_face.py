"""Image sets of Hugging Face `datasets`, from its hub or from a directory."""

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gan_jax.data import names, streaming
from gan_jax.data.cache import cached
from gan_jax.data.dataset import Dataset, Spec, Stream
from gan_jax.data.reading.images import channels, shape_of
from gan_jax.data.splits import tenth
from gan_jax.errors import NotFound, UserError

VALID = ("validation", "valid", "val")  # names of the split that stands in for a missing test split
PROBES = 16  # examples by which contents are recognised


def load(name: str, split: str = "train", resolution: int | None = None, skip_damaged: bool = False) -> Dataset:
    """Loads an image set from Hugging Face, which needs its package `datasets`: pip install "gan_jax[huggingface]".

    Images are those of the first column of type Image, labels of the first of type ClassLabel, with its names. The test
    split is "test", else the validation split; without either, a tenth of "train" is held out, at random with a fixed
    seed. A set that is not on this machine is downloaded once, by `datasets`.

    Args:
        name: "hf:NAME" for a set on the hub, such as "hf:ylecun/mnist", or "hf:DIRECTORY", written by `save_to_disk` or
            in any form that `datasets.load_dataset` reads; to choose columns or a configuration,
            "hf:NAME,image=COLUMN,label=COLUMN,config=CONFIG".
        split: "train", "test", or another of the set's splits.
        resolution: Side of the square to which images are resized and cropped, see `images.square`; None requires
            images of one size.
        skip_damaged: Whether an unreadable image is replaced by the next one, with a warning, instead of raising.

    Returns:
        The whole split.

    Raises:
        NotFound: If there is no such set.
        UserError: If `datasets` is not installed, or the set has no such split or columns.
    """
    opened, version = _stream(name, split, resolution, skip_damaged)
    return streaming.whole(opened, (opened.fingerprint, version))


def stream(name: str, split: str = "train", resolution: int | None = None, skip_damaged: bool = False) -> Stream:
    """Opens an image set from Hugging Face as a stream; arguments and errors are those of `load`."""
    return _stream(name, split, resolution, skip_damaged)[0]


def _stream(name: str, split: str, resolution: int | None, skip_damaged: bool) -> tuple[Stream, str]:
    """Opens a set as a stream; also returns its version on this machine, by which it is cached."""
    _, path, options = names.source(name)
    table, rows = _split(name, _opened(name, path, options.get("config")), split)
    image, label, class_names = _columns(name, table, options)
    table = table.select_columns([image] if label is None else [image, label])
    table = table.cast_column(image, type(table.features[image])(decode=False))

    def fetch(numbers: Sequence[int]) -> list[tuple[str, Path | bytes, int]]:
        batch = table[[int(rows[number]) for number in numbers]]
        labels = [0] * len(numbers) if label is None else batch[label]
        return [
            (f"{number} of {name} {split}", Path(each["path"]) if each["bytes"] is None else each["bytes"], int(index))
            for number, each, index in zip(numbers, batch[image], labels, strict=True)
        ]

    labelled = [] if label is None else list(table.select(rows)[label])
    if any(each is None or each < 0 for each in labelled):
        warnings.warn(f"{name} {split} gives no labels, because some are missing", stacklevel=1)
        label, labelled, class_names = None, [], ()
    probes = fetch(streaming.spaced(len(rows), PROBES).tolist())
    contents = [each.read_bytes() if isinstance(each, Path) else each for _, each, _ in probes]
    about = (split, len(rows), class_names, labelled, [hashlib.sha256(each).digest() for each in contents])
    fingerprint = hashlib.sha256(repr(about).encode()).hexdigest()[:16]
    opened = Stream(name, split, len(rows), fetch, Spec((), 0), resolution, fingerprint, skip_damaged)

    def colours() -> dict[str, np.ndarray]:
        return {"channels": np.array(channels(each for _, each, _ in streaming.fetched(opened)))}

    number = int(cached("channels", fingerprint, colours)["channels"])
    shape = shape_of((fetch([i])[0][:2] for i in range(len(rows))), resolution, number, skip_damaged)
    return opened._replace(spec=Spec(shape, len(class_names), class_names=class_names)), table._fingerprint


def _opened(name: str, path: str, config: str | None) -> dict[str, Any]:
    """Returns the splits of a set."""
    try:
        import datasets  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(
            f"data set {name!r} needs Hugging Face's datasets: pip install 'gan_jax[huggingface]'"
        ) from error
    saved = [Path(path) / file for file in ("dataset_dict.json", "state.json")]  # by save_to_disk, of all or one split
    try:
        if any(file.is_file() for file in saved):
            splits = datasets.load_from_disk(path)
        else:
            splits = datasets.load_dataset(path, config)
    except (FileNotFoundError, ConnectionError) as error:
        raise NotFound(
            f"data set {name!r} is neither a directory nor a set that can be reached on the hub: {error}"
        ) from error
    except ValueError as error:  # an unknown or missing configuration, or an empty directory
        raise UserError(f"data set {name!r}: {error}; a configuration is given as {name},config=CONFIG") from error
    splits = dict(splits) if isinstance(splits, datasets.DatasetDict) else {"train": splits}
    return {"train": next(iter(splits.values()))} if len(splits) == 1 else splits


def _split(name: str, splits: dict[str, Any], split: str) -> tuple[Any, np.ndarray]:
    """Returns the table of a split, and the indices of its rows."""
    valid = next((each for each in VALID if each in splits), None)
    if split == "test" and split not in splits and valid:
        split = valid
    if "test" not in splits and valid is None and "train" in splits and split in ("train", "test"):
        held = tenth(len(splits["train"]))
        return splits["train"], np.flatnonzero(held if split == "test" else ~held)
    if split not in splits:
        raise UserError(f"split={split!r}: {name} has the splits {', '.join(splits)}; use one of them")
    return splits[split], np.arange(len(splits[split]))


def _columns(name: str, table: Any, options: dict[str, str]) -> tuple[str, str | None, tuple[str, ...]]:
    """Returns the names of the image and label columns, None for no labels, and the names of the classes."""
    types = {column: type(feature).__name__ for column, feature in table.features.items()}
    described = ", ".join(f"{column} ({kind})" for column, kind in types.items())
    chosen: dict[str, str | None] = {}
    for option, kind in (("image", "Image"), ("label", "ClassLabel")):
        column = options.get(option) or next((column for column in types if types[column] == kind), None)
        if (column is None and option == "image") or (column is not None and types.get(column) != kind):
            raise UserError(
                f"data set {name!r}: {column or option} is no column of type {kind}; its columns are {described}. Give "
                f"{option}=COLUMN after a comma; ds.class_encode_column makes other columns a ClassLabel"
            )
        chosen[option] = column
    image, label = chosen["image"], chosen["label"]
    assert image is not None
    return image, label, tuple(table.features[label].names) if label is not None else ()
