"""Shows the sizes, classes and examples of a data set before training: `python -m gan_jax.data NAME`."""

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from gan_jax import pictures
from gan_jax.cli import cli
from gan_jax.data import Dataset, Stream, load, names, stream
from gan_jax.data.reading.listing import shown
from gan_jax.data.summary import Summary, sheet, summarise
from gan_jax.errors import UserError
from gan_jax.files import require_writable

LISTED = 40  # most classes that are listed one by one


def main(
    name: Annotated[str, tyro.conf.Positional],
    resolution: int | None = None,
    out: Path | None = None,
    most: int = 10_000,
) -> None:
    """Shows a data set: its splits, sizes, classes, what is left out, and a sheet of examples.

    Args:
        name: The data set, as for --dataset: a name, a directory of images, hf:NAME, tar:PATTERN, FILE.py:FUNCTION.
        resolution: Side of the square to which the images of the sheet are resized and cropped.
        out: File of the sheet, with or without its extension; by default the name, in the current directory.
        most: Largest number of images to examine of a set on disk; each is decoded.
    """
    if most < 1:
        raise UserError(f"--most {most}: give at least 1")
    name = names.resolved(name)
    target = Path(out or f"{names.stem(name)}.png")
    target = target.with_suffix("") if target.suffix in (".png", ".gif") else target
    require_writable(target.with_name(f"{target.name}.png"))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        train = _opened(name, "train", resolution)
        test, missing = None, ""
        try:
            test = _opened(name, "test", resolution)
        except UserError as error:
            missing = str(error)
        summaries = [None if each is None else summarise(each, most) for each in (train, test)]
    about = summaries[0]
    assert about is not None
    print(f"{train.name}: {train.spec.kind.noun}{_channels(train)}")
    for split, data, each in zip(("train", "test"), (train, test), summaries, strict=True):
        print(f"{split:8}{f'{data.count:,} examples{_partly(data, each)}' if data and each else f'none: {missing}'}")
    print(f"{'size':8}{_counts(about.shapes)}")
    if len(about.shapes) > 1 and resolution is None:
        print(f"{'':8}to train, give --resolution, such as 64, to make them squares of one size")
    for line in _classes(train, summaries):
        print(line)
    left_out = [message for each in summaries if each for message in each.unreadable]
    for message in dict.fromkeys([*(str(each.message) for each in warned), *left_out[:3]]):
        print(f"{'note':8}{message}")
    if left_out:
        print(f"{'':8}{len(left_out):,} images cannot be read; give --skip-damaged to replace them in training")
    print(f"{'sheet':8}{pictures.save(target, sheet(train, about))}")


def _opened(name: str, split: str, resolution: int | None) -> Dataset | Stream:
    """Opens a split: as a stream if it is on disk, which also examines images that differ in size."""
    on_disk = names.origin(name) in ("folder", "hf", "tar", "tfds") and not names.parsed(name).task
    return stream(name, split, resolution, True) if on_disk else load(name, split, resolution, True)


def _channels(data: Dataset | Stream) -> str:
    if not data.spec.kind.is_image:
        return f" of shape {list(data.spec.shape)}"
    return ", grey" if data.spec.shape[-1] == 1 else ", in colour"


def _partly(data: Dataset | Stream, summary: Summary) -> str:
    examined = len(summary.numbers) + len(summary.unreadable)
    return "" if examined == data.count else f", of which {examined:,} were examined (--most)"


def _counts(shapes: Counter[tuple[int, ...]]) -> str:
    """Returns the commonest shapes, with their numbers of examples if there are several."""
    parts = [f"{'x'.join(map(str, shape))} ({count:,})" for shape, count in shapes.most_common(5)]
    if len(shapes) == 1:
        return parts[0].partition(" (")[0]
    return f"{', '.join(parts)}{f' and {len(shapes) - 5:,} others' if len(shapes) > 5 else ''} (height x width)"


def _classes(train: Dataset | Stream, summaries: Sequence[Summary | None]) -> list[str]:
    """Returns lines about the classes: name, and numbers of examples for training and for testing."""
    titles = train.spec.class_titles
    if not titles or summaries[0] is None or summaries[0].labels is None:
        return [f"{'classes':8}{train.spec.classes or 'none'}"]
    counts = [Counter() if each is None or each.labels is None else Counter(each.labels.tolist()) for each in summaries]
    rows = [(title, *(count[label] for count in counts)) for label, title in enumerate(titles)]
    if len(rows) <= LISTED:
        wide = max(len(shown(title)) for title in titles)
        return [f"{'classes':8}{len(rows)}"] + [f"{'':8}{shown(t):{wide}}  {a:>7,}  {b:>7,}" for t, a, b in rows]
    least, most = (pick(rows, key=lambda row: row[1]) for pick in (min, max))
    range_of_counts = f"from {least[1]:,} ({shown(least[0])}) to {most[1]:,} ({shown(most[0])}) examples each"
    return [f"{'classes':8}{len(rows):,}, {range_of_counts}"]


if __name__ == "__main__":
    cli(main)
