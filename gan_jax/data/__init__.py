"""Data: `load` gives a split as host arrays, `batches` draws from them inside the compiled step."""

from pathlib import Path

from gan_jax.data import stacked, toys
from gan_jax.data.batches import batches, permutation
from gan_jax.data.source import Dataset, Spec

__all__ = ["Dataset", "Spec", "batches", "load", "permutation"]


def load(name: str, split: str = "train", resolution: int | None = None) -> Dataset:
    """Loads one split of a data set.

    Args:
        name: "digits" (12,000 MNIST images that come with the package); "ring", "grid", "spiral", "swiss_roll" or
            "moons" (points in the plane, see `toys`); "stacked_digits" or "stacked_mnist" (three digits in the colour
            channels, 1,000 classes, see `stacked`); a directory of images, or "folder:DIRECTORY" (see `folder`); or any
            image set of TensorFlow Datasets, such as "mnist", "fashion_mnist" or "cifar10" (see `tfds`). A directory
            that exists comes before a set of TensorFlow Datasets of the same name.
        split: "train" or "test"; for TensorFlow Datasets also its other splits and slices, such as "train[:10%]".
        resolution: Side of the square to which images are resized and cropped; None leaves them as they are.

    Returns:
        The split, whole.

    Raises:
        ValueError: If there is no such data set or split, or its images cannot be made into one array.
    """
    # The sources are imported here because they cost up to a second, which sampling need not pay.
    if resolution is not None and resolution < 1:
        raise ValueError(f"resolution={resolution} must be at least 1")
    if name == "digits":
        from gan_jax.data import embedded

        return embedded.load(split, resolution)
    if name in toys.NAMES:
        if resolution is not None:
            raise ValueError(f"resolution={resolution}: {name} is made of points, not images; leave resolution out")
        return toys.load(name, split)
    if name in stacked.SOURCES:
        stacked.require(name, split)
        return stacked.stack(load(stacked.SOURCES[name], split, resolution), name)
    if name.startswith("folder:") or Path(name).expanduser().is_dir():
        from gan_jax.data import folder

        return folder.load(name.removeprefix("folder:"), split, resolution)
    from gan_jax.data import tfds

    return tfds.load(name, split, resolution)
