"""Data: `load` gives a split as host arrays, `batches` draws from them inside the compiled step."""

from pathlib import Path

from gan_jax.data import stacked, toys
from gan_jax.data.batches import batches, permutation
from gan_jax.data.source import Dataset, Spec, Stream
from gan_jax.errors import UserError

__all__ = ["Dataset", "Spec", "Stream", "batches", "images_of", "load", "permutation", "stream"]

PAIRED = ("pairs", "edges", "grey", "inverted", "recoloured")  # tasks in which the partner of every image is known


def load(name: str, split: str = "train", resolution: int | None = None) -> Dataset:
    """Loads one split of a data set.

    Args:
        name: "digits" (12,000 MNIST images that come with the package); "ring", "grid", "spiral", "swiss_roll" or
            "moons" (points in the plane, see `toys`); "stacked_digits" or "stacked_mnist" (three digits in the colour
            channels, 1,000 classes, see `stacked`); a directory of images, or "folder:DIRECTORY" (see `folder`); or any
            image set of TensorFlow Datasets, such as "mnist", "fashion_mnist" or "cifar10" (see `tfds`). A directory
            that exists comes before a set of TensorFlow Datasets of the same name. For translation: "pairs:DIR_A:DIR_B"
            and, of any image set NAME, "edges:NAME", "grey:NAME", "inverted:NAME" and "recoloured:NAME", with sources
            beside the images; "unpaired:" before one of these, before two folders DIR_A:DIR_B, or before a set such as
            "cycle_gan/horse2zebra", has them apart (see `pairs`). For semi-supervised learning:
            "few:PER_CLASS:DRAW:NAME", such as "few:10:0:mnist" (see `few`).
        split: "train" or "test"; for TensorFlow Datasets also its other splits and slices, such as "train[:10%]".
        resolution: Side of the square to which images are resized and cropped; None leaves them as they are.

    Returns:
        The split, whole.

    Raises:
        UserError: If there is no such data set or split, or its images cannot be made into one array.
    """
    # The sources are imported here because they cost up to a second, which sampling need not pay.
    _require_size(resolution)
    kind = _kind(name)
    if kind == "few":
        from gan_jax.data import few

        return few.load(name, split, resolution)
    if kind in (*PAIRED, "unpaired"):
        from gan_jax.data import pairs

        return pairs.load(name, split, resolution)
    if name == "digits":
        from gan_jax.data import embedded

        return embedded.load(split, resolution)
    if name in toys.NAMES:
        if resolution is not None:
            raise UserError(f"resolution={resolution}: {name} is made of points, not images; leave resolution out")
        return toys.load(name, split)
    if name in stacked.SOURCES:
        stacked.require(name, split)
        return stacked.stack(load(stacked.SOURCES[name], split, resolution), name)
    if _is_folder(name):
        from gan_jax.data import folder

        return folder.load(name.removeprefix("folder:"), split, resolution)
    from gan_jax.data import tfds

    return tfds.load(name, split, resolution)


def stream(name: str, split: str = "train", resolution: int | None = None) -> Stream:
    """Opens one split of a data set that may be larger than memory.

    Args:
        name: A directory of images, or an image set of TensorFlow Datasets, as of `load`.
        split: As of `load`.
        resolution: As of `load`; where images differ in size it must be given.

    Returns:
        The split, to be read by `streams`.

    Raises:
        UserError: If there is no such data set or split, or it is one that is made in memory.
    """
    _require_size(resolution)
    if name in ("digits", *toys.NAMES, *stacked.SOURCES):
        raise UserError(f"{name} is made in memory, where it is small: leave --stream out")
    if _kind(name) in ("few", "unpaired", *PAIRED):
        raise UserError(f"{name} is made in memory, of what is there as a whole: leave --stream out")
    if _is_folder(name):
        from gan_jax.data import folder

        return folder.stream(name.removeprefix("folder:"), split, resolution)
    from gan_jax.data import tfds

    return tfds.stream(name, split, resolution)


def images_of(name: str) -> str:
    """Returns the data set whose very images those of a task are: mnist for few:10:0:mnist or unpaired:edges:mnist."""
    kind, _, rest = name.partition(":")
    if kind == "few":
        return images_of(rest.split(":", 2)[-1])
    return images_of(rest) if kind in ("unpaired", "edges", "grey", "inverted") else name


def _kind(name: str) -> str:
    """Returns what stands before the first colon of a name, "" if there is none."""
    return name.partition(":")[0] if ":" in name else ""


def _is_folder(name: str) -> bool:
    return name.startswith("folder:") or Path(name).expanduser().is_dir()


def _require_size(resolution: int | None) -> None:
    if resolution is not None and resolution < 1:
        raise UserError(f"resolution={resolution} must be at least 1")
