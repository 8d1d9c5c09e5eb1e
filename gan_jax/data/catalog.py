"""Data: `load` gives a split as host arrays, `batches` draws from them inside the compiled step."""

from gan_jax.data import names
from gan_jax.data.batches import batches, permutation
from gan_jax.data.dataset import Dataset, Spec, Stream
from gan_jax.data.names import images_of
from gan_jax.data.sources import stacked, toys
from gan_jax.errors import UserError

__all__ = ["Dataset", "Spec", "Stream", "batches", "images_of", "load", "permutation", "stream"]


def load(name: str, split: str = "train", resolution: int | None = None, skip_damaged: bool = False) -> Dataset:
    """Loads one split of a data set.

    Args:
        name: "digits" (12,000 MNIST images that come with the package); "ring", "grid", "spiral", "swiss_roll" or
            "moons" (points in the plane, see `toys`); "stacked_digits" or "stacked_mnist" (three digits in the colour
            channels, 1,000 classes, see `stacked`); a directory of images, or "folder:DIRECTORY" (see `folder`); or any
            image set of TensorFlow Datasets, such as "mnist", "fashion_mnist" or "cifar10" (see `tfds`). A directory
            that exists comes before a set of TensorFlow Datasets of the same name; `~` is the home directory.
            For translation: "pairs:DIR_A:DIR_B" and, of any image set NAME, "edges:NAME", "grey:NAME", "inverted:NAME"
            and "recoloured:NAME", each image with its source; "unpaired:" before one of these, before two folders
            DIR_A:DIR_B, or before a set such as "cycle_gan/horse2zebra", draws sources and images independently (see
            `tasks.translation`). For semi-supervised learning: "few:PER_CLASS:DRAW:NAME", such as "few:10:0:mnist" (see
            `tasks.semi_supervised`).
        split: "train" or "test"; for TensorFlow Datasets also its other splits and slices, such as "train[:10%]".
        resolution: Side of the square to which images are resized and cropped; None leaves them as they are.
        skip_damaged: Whether the next image takes the place of one that cannot be read, with a warning. It has no
            effect on "pairs:", whose images must all be readable.

    Returns:
        The split, whole.

    Raises:
        UserError: If there is no such data set or split, or its images cannot be made into one array.
    """
    # The sources are imported here because they cost up to a second, which sampling need not pay.
    _require_size(resolution)
    name = names.resolved(name)
    task, options, base = names.parsed(name)
    if task == "few":
        from gan_jax.data.tasks import semi_supervised

        per_class, draw = semi_supervised.numbers(name, options, base)
        return semi_supervised.few(load(base, split, resolution, skip_damaged), per_class, draw)
    if task in names.MADE:
        from gan_jax.data.tasks import translation

        if not base:
            raise UserError(f"data set {name!r}: give a set of images after the colon, such as {task}:digits")
        return translation.with_sources(load(base, split, resolution, skip_damaged), task)
    if task == "unpaired" and names.parsed(base).task:
        from gan_jax.data.tasks import translation

        return translation.unpaired(load(base, split, resolution, skip_damaged))
    if task:
        from gan_jax.data.tasks import translation

        return translation.load(name, split, resolution, skip_damaged)
    if name == "digits":
        from gan_jax.data.sources import digits

        return digits.load(split, resolution)
    if name in toys.NAMES:
        if resolution is not None:
            raise UserError(f"resolution={resolution}: {name} is made of points, not images; leave resolution out")
        return toys.load(name, split)
    if name in stacked.SOURCES:
        stacked.require(name, split)
        return stacked.stack(load(stacked.SOURCES[name], split, resolution), name)
    if names.is_directory(name):
        from gan_jax.data.sources import folder

        return folder.load(name.removeprefix("folder:"), split, resolution, skip_damaged)._replace(name=name)
    from gan_jax.data.sources import tfds

    return tfds.load(name, split, resolution, skip_damaged)


def stream(name: str, split: str = "train", resolution: int | None = None, skip_damaged: bool = False) -> Stream:
    """Opens one split of a data set that may be larger than memory.

    Args:
        name: A directory of images, or an image set of TensorFlow Datasets, as in `load`.
        split: As in `load`.
        resolution: As in `load`; where images differ in size it must be given.
        skip_damaged: Without `resolution`, whether to take the size from the first image that can be read; by default
            the very first must be.

    Returns:
        The split, to be read by `streams`.

    Raises:
        UserError: If there is no such data set or split, or the set exists in memory only.
    """
    _require_size(resolution)
    name = names.resolved(name)
    if name in names.BUILT_IN:
        raise UserError(f"{name} is made in memory, where it is small: leave --stream out")
    if names.parsed(name).task:
        raise UserError(f"{name} is made in memory, from a whole data set: leave --stream out")
    if names.is_directory(name):
        from gan_jax.data.sources import folder

        path = name.removeprefix("folder:")
        return folder.stream(path, split, resolution, skip_damaged)._replace(name=name)
    from gan_jax.data.sources import tfds

    return tfds.stream(name, split, resolution, skip_damaged)


def _require_size(resolution: int | None) -> None:
    if resolution is not None and resolution < 1:
        raise UserError(f"resolution={resolution} must be at least 1")
