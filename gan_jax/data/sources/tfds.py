"""Image sets of TensorFlow Datasets, read without TensorFlow."""

import contextlib
import hashlib
import io
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import absl.logging
import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import registered

from gan_jax.data import streaming
from gan_jax.data.dataset import Dataset, Spec, Stream
from gan_jax.data.names import BUILT_IN
from gan_jax.data.reading.images import shape_of
from gan_jax.data.sources import prepare_tfds
from gan_jax.errors import NotFound, UserError, nearest


def load(name: str, split: str = "train", resolution: int | None = None, skip_damaged: bool = False) -> Dataset:
    """Loads an image set from $TFDS_DATA_DIR (by default ~/tensorflow_datasets).

    "mnist", "fashion_mnist" and "cifar10" are prepared there if missing. Images are the set's first feature of type
    Image, labels the first of type ClassLabel.

    Args:
        name: Name in TFDS: "mnist", "name/config", "name:1.2.3".
        split: One of the set's splits, or a slice of it such as "train[:10%]".
        resolution: Side of the square to which images are resized and cropped, see `images.square`; None requires
            images of one size.
        skip_damaged: Whether an unreadable image is replaced by the next one, with a warning, instead of raising.

    Returns:
        The whole split.

    Raises:
        UserError: If there is no such split, if images are not 8-bit or differ in size, or if the set is in a form that
            only TensorFlow reads.
        NotFound: If TFDS has no such set, or it is not prepared and preparing it needs TensorFlow.
        Unreachable: If it is not prepared and cannot be downloaded.
    """
    with _quiet():
        path = Path(_open(name, split)[0].data_path)
        key = (str(path.resolve()), (path / "dataset_info.json").stat().st_mtime_ns)
        return streaming.whole(stream(name, split, resolution, skip_damaged), key)


def stream(name: str, split: str = "train", resolution: int | None = None, skip_damaged: bool = False) -> Stream:
    """Opens an image set as a stream; arguments and errors are those of `load`."""
    with _quiet():
        builder, image, label, count = _open(name, split)
        source, channels = _source(builder, split), _channels(builder, image)

    def fetch(numbers: Sequence[int]) -> list[tuple[str, Path | bytes, int]]:
        records = source.__getitems__([int(number) for number in numbers])
        return [
            (f"{number} of {builder.name} {split}", record[image], int(record[label]) if label else 0)
            for number, record in zip(numbers, records, strict=True)
        ]

    shape = shape_of((fetch([i])[0][:2] for i in range(count)), resolution, channels, skip_damaged)
    classes, class_names = _classes(builder.info.features[label]) if label else (0, ())
    spec = Spec(shape, classes, class_names=class_names)
    return Stream(name, split, count, fetch, spec, resolution, _origin(builder, split, count), skip_damaged)


def _open(name: str, split: str) -> tuple[Any, str, str | None, int]:
    """Returns a set's builder, the names of its image and label features, and the number of examples in a split."""
    builder = _builder(name, _directory())
    image, label = _features(name, builder)
    try:
        count = builder.info.splits[split].num_examples
    except (KeyError, ValueError) as error:
        known = ", ".join(builder.info.splits)
        raise UserError(f"split={split!r}: {name} has the splits {known}; use one of them") from error
    if not count:
        raise UserError(f"split={split!r} of {name} has no examples; take a larger slice")
    return builder, image, label, count


def _directory() -> Path:
    """Returns the directory of prepared sets: $TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    path = os.path.expanduser(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    if path.startswith("~"):
        raise UserError(f"TFDS_DATA_DIR: {path} needs a home directory, which this user lacks; set an absolute path")
    return Path(path)


def _origin(builder: Any, split: str, count: int) -> str:
    """Returns a fingerprint of a set's name and version, and of a split's numbers of examples and bytes."""
    about = f"{builder.info.full_name} {split} {count} {builder.info.splits[split].num_bytes}"
    return hashlib.sha256(about.encode()).hexdigest()[:16]


def _source(builder: Any, split: str) -> Any:
    # Pillow decodes, not TFDS, which uses OpenCV where installed and then returns other pixels for JPEG.
    features = builder.info.features
    undecoded = {k: tfds.decode.SkipDecoding() for k, f in features.items() if isinstance(f, tfds.features.Image)}
    return builder.as_data_source(split, decoders=undecoded)


def _channels(builder: Any, image: str) -> int:
    return 1 if builder.info.features[image].shape[-1] == 1 else 3


def _builder(name: str, data_dir: Path) -> Any:
    """Returns the TFDS builder of a set, prepared and in a form that can be read by index."""
    try:
        builder = tfds.builder(name, data_dir=data_dir)
        if not builder.is_prepared() and builder.name in prepare_tfds.SETS:
            prepare_tfds.prepare(builder.name, data_dir)
            builder = tfds.builder(name, data_dir=data_dir)
    except UserError:
        raise  # from `prepare`
    except (registered.DatasetNotFoundError, AssertionError, ImportError, ValueError) as error:
        raise NotFound(_unknown(name, data_dir, error)) from None
    if not builder.is_prepared():
        command = (
            f"tfds.builder({name!r}, data_dir={str(data_dir)!r}, file_format='array_record').download_and_prepare()"
        )
        raise NotFound(
            f"data set {name!r} is not prepared in {data_dir}; set TFDS_DATA_DIR to a directory that has it, or "
            f"prepare it where TensorFlow is installed (pip install 'gan_jax[tensorflow]'): "
            f'python -c "import tensorflow_datasets as tfds; {command}"'
        )
    if not _readable(builder):  # only a builder made from the files sees forms that were added later
        builder = tfds.builder_from_directory(builder.data_path)
    if not _readable(builder):
        raise UserError(
            f"data set {name!r} is in {builder.info.as_proto.file_format} form, which cannot be read by index; "
            "add the array_record form to it: python -m gan_jax.data.sources.convert_tfds "
            f"{shlex.quote(str(builder.data_path))}"
        )
    return builder


def _readable(builder: Any) -> bool:
    return bool(tfds.core.FileFormat.with_random_access() & builder.info.available_file_formats())


def _unknown(name: str, data_dir: Path, error: BaseException) -> str:
    """Returns an error message: why TFDS does not have a set, version or config, and similar names."""
    known = {*tfds.list_builders(with_community_datasets=False), *BUILT_IN}
    if data_dir.is_dir():
        known |= {path.name for path in data_dir.iterdir() if path.is_dir()} - {"downloads"}
    above, slash, last = name.rpartition("/")
    if slash and name.partition("/")[0] not in known:  # the name was meant as a path
        beside = [path.name for path in Path(above or "/").glob("*/")]
        return f"data set {name!r}: there is no such directory, and no such set.{nearest(last, beside)}"
    reason = " ".join(str(error).split()).partition("Available datasets")[0][:300].strip(" .")
    return (
        f"data set {name!r} is neither an existing directory nor a set of TensorFlow Datasets"
        f"{f' ({reason})' if reason else ''}.{nearest(name, known)} Give a directory of images, or another set: "
        f"built-in are {', '.join(BUILT_IN)}; the README describes edges:NAME, pairs:..., few:... and others"
    )


def _features(name: str, builder: Any) -> tuple[str, str | None]:
    """Returns the names of the image feature and, if there is one, of the label."""
    features = dict(builder.info.features.items()) if hasattr(builder.info.features, "items") else {}
    images = [key for key, feature in features.items() if isinstance(feature, tfds.features.Image)]
    labels = [key for key, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)]
    if not images or features[images[0]].np_dtype != np.uint8:
        raise UserError(
            f"data set {name!r} has no feature of 8-bit images; its features: {', '.join(features) or 'none'}"
        )
    return images[0], labels[0] if labels else None


def _classes(label: Any) -> tuple[int, tuple[str, ...]]:
    """Returns the number of classes and their names; TFDS names classes without names by their numbers."""
    names = tuple(label.names)
    return len(names), () if names == tuple(map(str, range(len(names)))) else names


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences TFDS: progress bars, standard output and absl warnings."""
    verbosity = absl.logging.get_verbosity()
    tfds.disable_progress_bar()
    absl.logging.set_verbosity(absl.logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        absl.logging.set_verbosity(verbosity)
