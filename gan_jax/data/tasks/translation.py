"""Data for image translation: source and target images, paired or unpaired.

The target domain is `image`, as in every data set; the source domain is `source`.
"""

import os

from gan_jax.data import names
from gan_jax.data.dataset import Dataset, dataset
from gan_jax.data.sources import folder
from gan_jax.data.splits import for_training
from gan_jax.data.tasks import image_maps
from gan_jax.errors import NotFound, UserError

APART = (("source",),)


def with_sources(images: Dataset, task: str) -> Dataset:
    """Makes a paired data set: each image with a source computed from it.

    - "edges": the image's edges, by `image_maps.edges`;
    - "grey": a colour image's luminance, by `image_maps.luminance`;
    - "inverted": 255 - image;
    - "recoloured": greyscale images in orange on dark green, by `image_maps.recoloured`; the sources are the same
      images in dark blue on cream, with inverted brightness.

    Args:
        images: Plain images; they keep their labels.
        task: One of the above.

    Raises:
        UserError: If the images do not suit the task.
    """
    _require(task, images)
    image, label = images.arrays["image"], images.arrays.get("label")
    if task == "recoloured":
        blue, orange = image_maps.BLUE_ON_CREAM, image_maps.ORANGE_ON_GREEN
        image, source = image_maps.recoloured(image, *orange), image_maps.recoloured(image, *blue)
    else:
        maps = {"edges": image_maps.edges, "grey": image_maps.luminance, "inverted": image_maps.inverted}
        source = maps[task](image)
    classes = images.spec.class_names or images.spec.classes
    return dataset(f"{task}:{images.name}", images.split, image, label, classes, {"source": source})


def unpaired(pairs: Dataset) -> Dataset:
    """Makes an unpaired data set from a paired one, without labels.

    For training ("train" and "all", and slices) it keeps the sources of even-numbered examples and the images of odd
    ones, so no image has its partner in the set. Other splits stay paired, so that errors can be measured.

    Raises:
        UserError: If there is only one pair to train on.
    """
    name, image, source = f"unpaired:{pairs.name}", pairs.arrays["image"], pairs.arrays["source"]
    if not for_training(pairs.split):
        held_out = dataset(name, pairs.split, image, others={"source": source})
        return held_out._replace(spec=held_out.spec._replace(unpaired=True))
    if len(image) < 2:
        raise UserError(
            f"data set {name!r}: {pairs.split} has one example, and unpaired needs at least 2; use a larger set"
        )
    return dataset(name, pairs.split, image[1::2], others={"source": source[::2]}, apart=APART)


def load(name: str, split: str = "train", resolution: int | None = None, skip_damaged: bool = False) -> Dataset:
    """Loads images and sources from two folders, or from a set of TensorFlow Datasets with two domains.

    - "pairs:DIR_A:DIR_B": two folders with the same relative paths of files; A has the sources, B the images. Splits
      and labels are those of `folder.load`.
    - "unpaired:DIR_A:DIR_B": `unpaired` of these pairs if the relative paths are the same; else all files of both,
      drawn independently in every split, with each folder split separately.
    - "unpaired:NAME": a set of TensorFlow Datasets with the splits trainA, trainB, testA and testB, such as
      "unpaired:cycle_gan/horse2zebra"; A has the sources, B the images, drawn independently in every split.

    Args:
        name: As above.
        split: "train" or "test", or another split of NAME or the folders.
        resolution: Side of the square to which images and sources are resized and cropped; None leaves them as they
            are.
        skip_damaged: As in `data.load`. It has no effect on paired folders, where a replaced image would have the wrong
            partner.

    Raises:
        NotFound: If a folder does not exist.
        UserError: If the name is malformed, folders do not match, or images and sources differ in size.
    """
    task, options, base = names.parsed(name)
    if task == "pairs":
        sources, images = _folders(name, options)
        _require_same_names(name, sources, images)
        sets = [folder.load(path, split, resolution) for path in (sources, images)]
        return _joined(name, sets[0], sets[1])
    if options:
        paths = _folders(name, options)
        if folder.names(paths[0]) == folder.names(paths[1]):
            pairs = load(f"pairs:{':'.join(options)}", split, resolution)
            return unpaired(pairs)._replace(name=name)
        sources, images = (folder.load(path, split, resolution, skip_damaged) for path in paths)
        return _joined(name, sources, images, apart=True)
    from gan_jax.data.sources import tfds  # takes a second

    which, bracket, rows = split.partition("[")
    try:
        sources, images = (
            tfds.load(base, f"{which}{domain}{bracket}{rows}", resolution, skip_damaged) for domain in "AB"
        )
    except UserError as error:
        raise UserError(
            f"data set {name!r}: after unpaired: give a paired task, such as unpaired:edges:digits, or two folders, "
            f"DIR_A:DIR_B, or a set of TensorFlow Datasets with the splits trainA, trainB, testA and testB; {error}"
        ) from error
    return _joined(name, sources, images, apart=True)._replace(split=split)


def _joined(name: str, sources: Dataset, images: Dataset, apart: bool = False) -> Dataset:
    """Joins two data sets into one: the images of the first become the sources."""
    source, image = sources.arrays["image"], images.arrays["image"]
    if source.shape[1:3] != image.shape[1:3]:
        (height, width), (other, wide) = source.shape[1:3], image.shape[1:3]
        raise UserError(
            f"images differ in size: the sources of {name!r} have {height}x{width} (height x width) pixels, the images "
            f"have {other}x{wide}; give --resolution to make them squares of one size"
        )
    if apart:
        return dataset(name, images.split, image, others={"source": source}, apart=APART)
    classes = images.spec.class_names or images.spec.classes
    return dataset(name, images.split, image, images.arrays.get("label"), classes, {"source": source})


def _folders(name: str, paths: tuple[str, ...]) -> tuple[str, str]:
    remedy = "give two folders, separated by a colon"
    if not all(paths):
        pair = ":".join(filter(None, paths))
        raise UserError(f"data set {name!r} has {pair!r} in place of DIR_A:DIR_B; {remedy}")
    for path in paths:
        if not os.path.isdir(path):
            raise NotFound(f"folder {path!r} of {name!r} does not exist or is not a directory; {remedy}")
    return paths[0], paths[1]


def _require_same_names(name: str, sources: str, images: str) -> None:
    of_sources, of_images = folder.names(sources), folder.names(images)
    if of_sources == of_images:
        return
    lacks = [(images, set(of_sources) - set(of_images)), (sources, set(of_images) - set(of_sources))]
    missing = ", and ".join(f"{path!r} lacks {min(files)!r}" for path, files in lacks if files)
    raise UserError(
        f"data set {name!r}: {sources!r} has {len(of_sources)} images and {images!r} has {len(of_images)}, but their "
        f"names do not match: {missing}; add or remove files, or use unpaired:{sources}:{images}"
    )


def _require(task: str, plain: Dataset) -> None:
    """Raises UserError if a data set does not suit a task."""
    shape, kind = plain.spec.shape, plain.spec.kind
    if not kind.is_image:
        raise UserError(f"{task}:{plain.name}: {plain.name} contains {kind.noun}; give a set of images")
    if plain.spec.source or plain.apart:
        raise UserError(f"{task}:{plain.name}: {plain.name} is already prepared for a task; give a set of plain images")
    if task == "grey" and shape[-1] != 3:
        raise UserError(f"{task}:{plain.name}: {plain.name} is greyscale; give a set of colour images")
    if task == "recoloured" and shape[-1] != 1:
        raise UserError(f"{task}:{plain.name}: {plain.name} is in colour; give a greyscale set, such as digits")
