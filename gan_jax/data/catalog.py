"""Catalogue of data sets: finds a data set by name, and loads it (`load`) or opens it as a stream (`stream`)."""

from gan_jax.data import names
from gan_jax.data.dataset import Dataset, Stream
from gan_jax.data.sources import stacked, toys
from gan_jax.errors import NotFound, UserError


def load(name: str, split: str = "train", resolution: int | None = None, skip_damaged: bool = False) -> Dataset:
    """Loads one split of a data set.

    Args:
        name: "digits" (12,000 MNIST images that come with the package); "ring", "grid", "spiral", "swiss_roll" or
            "moons" (points in the plane, see `toys`); "stacked_digits" or "stacked_mnist" (three digits in the colour
            channels, 1,000 classes, see `stacked`); a directory of images, or "folder:DIRECTORY" (see `folder`);
            "hf:NAME", a Hugging Face set (see `hugging_face`); "tar:PATTERN", tar shards (see `tar`);
            "FILE.py:FUNCTION" or "MODULE:FUNCTION", a function of your own (see `functions`); or any image set of
            TensorFlow Datasets, such as "mnist", "fashion_mnist" or "cifar10" (see `tfds`). An existing directory takes
            precedence over a TensorFlow Datasets set of the same name; `~` is the home directory.
            For translation, images paired with sources: "pairs:DIR_A:DIR_B" or, from any image set NAME, "edges:NAME",
            "grey:NAME", "inverted:NAME" and "recoloured:NAME". "unpaired:" before one of these, before two folders
            DIR_A:DIR_B, or before a set such as "cycle_gan/horse2zebra", draws sources and images independently (see
            `tasks.translation`). For semi-supervised learning: "few:PER_CLASS:DRAW:NAME", such as "few:10:0:mnist" (see
            `tasks.semi_supervised`).
        split: "train" or "test"; for TensorFlow Datasets also its other splits and slices, such as "train[:10%]".
        resolution: Side of the square to which images are resized and cropped; None leaves them as they are.
        skip_damaged: Whether an unreadable image is replaced by the next one, with a warning, instead of raising. It
            has no effect on "pairs:", whose images must all be readable.

    Returns:
        The whole split.

    Raises:
        UserError: If there is no such data set or split, or its images cannot be made into one array.
    """
    # Sources are imported here as some take up to a second, which sampling need not pay.
    _require_size(resolution)
    name = names.resolved(name)
    task, options, base = names.parsed(name)
    if task == "few":
        from gan_jax.data.tasks import semi_supervised

        per_class, draw = semi_supervised.numbers(name, options, base)
        return semi_supervised.few_labels(load(base, split, resolution, skip_damaged), per_class, draw)
    if task:
        from gan_jax.data.tasks import translation

        if task in names.MADE and not base:
            raise UserError(f"data set {name!r}: give a set of images after the colon, such as {task}:digits")
        if task in names.MADE:
            return translation.with_sources(load(base, split, resolution, skip_damaged), task)
        if names.parsed(base).task:
            return translation.unpaired(load(base, split, resolution, skip_damaged))
        return translation.load(name, split, resolution, skip_damaged)
    if name == "digits":
        from gan_jax.data.sources import digits

        return digits.load(split, resolution)
    if name in toys.NAMES:
        if resolution is not None:
            raise UserError(f"resolution={resolution}: {name} contains points, not images; leave resolution out")
        return toys.load(name, split)
    if name in stacked.SOURCES:
        stacked.require(name, split)
        return stacked.stack(load(stacked.SOURCES[name], split, resolution), name)
    kind, path, _ = names.source(name)
    if kind == "folder":
        from gan_jax.data.sources import folder

        return folder.load(path, split, resolution, skip_damaged)._replace(name=name)
    if kind == "function":
        from gan_jax.data.sources import functions

        return functions.load(name, split, resolution)
    if kind == "hf":
        from gan_jax.data.sources import hugging_face

        return hugging_face.load(name, split, resolution, skip_damaged)
    if kind == "tar":
        from gan_jax.data.sources import tar

        return tar.load(name, split, resolution, skip_damaged)
    if kind == "memory":
        raise NotFound(_in_memory(name))
    from gan_jax.data.sources import tfds

    return tfds.load(name, split, resolution, skip_damaged)


def stream(name: str, split: str = "train", resolution: int | None = None, skip_damaged: bool = False) -> Stream:
    """Opens one split of a data set that may be larger than memory.

    Args:
        name: A directory of images, "hf:NAME", "tar:PATTERN", or an image set of TensorFlow Datasets, as in `load`.
        split: As in `load`.
        resolution: As in `load`; required where images differ in size.
        skip_damaged: Whether an unreadable image is replaced by the next one, with a warning, instead of raising.

    Returns:
        The split, to be read by `streaming.reader`.

    Raises:
        UserError: If there is no such data set or split, or the set exists in memory only.
    """
    _require_size(resolution)
    name = names.resolved(name)
    if names.parsed(name).task:
        raise UserError(f"--stream: {name} is derived from a whole data set in memory; leave --stream out")
    kind, path, _ = names.source(name)
    if kind == "built-in":
        raise UserError(f"--stream: {name} is small and always in memory; leave --stream out")
    if kind == "function":
        raise UserError(f"--stream: {name} is a function that makes a data set in memory; leave --stream out")
    if kind == "memory":
        raise NotFound(_in_memory(name))
    if kind == "folder":
        from gan_jax.data.sources import folder

        return folder.stream(path, split, resolution, skip_damaged)._replace(name=name)
    if kind == "hf":
        from gan_jax.data.sources import hugging_face

        return hugging_face.stream(name, split, resolution, skip_damaged)
    if kind == "tar":
        from gan_jax.data.sources import tar

        return tar.stream(name, split, resolution, skip_damaged)
    from gan_jax.data.sources import tfds

    return tfds.stream(name, split, resolution, skip_damaged)


def _in_memory(name: str) -> str:
    return (
        f"data set {name!r} was made in memory by data.from_arrays, and is not on disk; give --dataset "
        "FILE.py:FUNCTION, a function (split, resolution) that makes it again, or in Python open_run(..., dataset=)"
    )


def _require_size(resolution: int | None) -> None:
    if resolution is not None and resolution < 1:
        raise UserError(f"resolution={resolution} must be at least 1")
