"""Pictures of what a run has learnt: `python -m gan_jax.explore RUN`, one function for each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from gan_jax import evaluate, files, pictures, rng, runs
from gan_jax.cli import Checkpoint, cli
from gan_jax.errors import UserError
from gan_jax.explore import views
from gan_jax.runs import Restored, report

Draw = Callable[[Restored, int, int], views.Made]  # of a run, a seed and a count


@dataclass(frozen=True)
class Shared(Checkpoint):
    """Options of all sub-commands."""

    count: int = 8
    """Number of samples, neighbours, pairs, directions, walks, filters per layer, or images."""
    seed: int = 0
    """Selects the samples and test images; filters are those of the first sample."""
    out: Path | None = None
    """Folder for the pictures; by default RUN/explore, where the report shows them."""


@dataclass(frozen=True)
class Data(Shared):
    """Options of sub-commands that need the run's data."""

    dataset: str | None = None
    """New name of the run's data, if they have moved."""


@dataclass(frozen=True)
class Compared(Data):
    """Options of sub-commands that compare images."""

    features: evaluate.FeatureName = "pixels"
    """Features by which images are compared: pixels, the data set's classifier, or Inception."""


def everything(run: Path, shared: Data) -> None:
    """All pictures that apply to the run, with default settings."""
    draw(
        run,
        shared,
        neighbours=views.neighbours,
        memorisation=views.memorisation,
        collapse=views.collapse,
        directions=views.directions,
        interpolation=views.interpolation,
        filters=views.assembly,
        inversion=views.inversion,
    )


def neighbours(run: Path, shared: Compared) -> None:
    """Samples, and the training images nearest to them."""
    draw(run, shared, neighbours=partial(views.neighbours, features=shared.features))


def memorisation(run: Path, shared: Compared, samples: int = 2000) -> None:
    """The samples most like copies of training images, next to the test images most like copies.

    Args:
        samples: Number of samples to search.
    """
    draw(run, shared, memorisation=partial(views.memorisation, features=shared.features, samples=samples))


def collapse(run: Path, shared: Compared, samples: int = 2000) -> None:
    """The most similar samples, and the densest cluster, above the same for real images.

    Args:
        samples: Number of samples to search.
    """
    draw(run, shared, collapse=partial(views.collapse, features=shared.features, samples=samples))


def directions(
    run: Path, shared: Shared, method: Literal["sefa", "pca"] = "sefa", layer: str | None = None, steps: int = 11
) -> None:
    """Images along the latent directions that change the image most, found without labels.

    Args:
        method: sefa, by a layer's derivative, or pca, by its values.
        layer: Layer of the generator, such as ConvTranspose_0; by default chosen by the method.
        steps: Images per row.
    """
    draw(run, shared, directions=partial(views.directions, method=method, layer=layer, steps=steps))


def interpolation(run: Path, shared: Shared, keys: int = 6, steps: int = 11) -> None:
    """An animation through samples and back to the first.

    Args:
        keys: Samples per walk.
        steps: Images from one sample to the next.
    """
    draw(run, shared, interpolation=partial(views.interpolation, keys=keys, steps=steps))


def filters(run: Path, shared: Shared, layer: str | None = None) -> None:
    """The generator's filters that contribute most to an image, layer by layer, and their maps.

    Args:
        layer: Layer of the generator, such as ConvTranspose_0; by default all whose channels contribute to the image
            through filters.
    """
    draw(run, shared, filters=partial(views.assembly, layer=layer))


def inversion(run: Path, shared: Data, images: tuple[Path, ...] = (), starts: int = 32, iterations: int = 300) -> None:
    """Given images, and the nearest images that the generator can produce.

    Args:
        images: Image files or folders to invert, the first --count of them; by default test images.
        starts: Searches per image.
        iterations: Iterations per search.
    """
    view = partial(views.inversion, paths=images, starts=starts, iterations=iterations)
    draw(run, shared, inversion=view)


COMMANDS = [everything, neighbours, memorisation, collapse, directions, interpolation, filters, inversion]


def draw(run: Path, shared: Shared, **kinds: Draw) -> None:
    """Draws pictures of a run and writes them, each to a file; one of several that cannot be drawn is left out.

    Raises:
        UserError: If the only one cannot be drawn, or none can be written.
    """
    if shared.count < 1:
        raise UserError(f"--count {shared.count}: give at least 1")
    rng.require_seed(shared.seed)
    dataset = shared.dataset if isinstance(shared, Data) else None
    opened = runs.open_run(run, shared.step, shared.best, dataset, shared.safe)
    if not (kind := opened.spec.kind).is_image:
        raise UserError(f"{run} generates {kind.noun}, and explore draws only images; see the pictures in samples/")
    folder = run / "explore" if shared.out is None else shared.out
    files.require_writable(folder / "picture.png")
    for name, view in kinds.items():
        try:
            images = view(opened, shared.seed, shared.count)
        except UserError as error:
            if len(kinds) == 1:
                raise
            print(f"left out {name}: {error}")
            continue
        for part, picture in images.items():
            target = folder / f"{part}-step{opened.step}-seed{shared.seed}"
            if isinstance(picture, list):
                pictures.save_gif(target := target.with_name(f"{target.name}.gif"), picture, 70, 70)
            else:
                pictures.save_png(target := target.with_name(f"{target.name}.png"), picture)
            print(target, flush=True)
    if shared.out is None and (run / "run.json").is_file():
        print(f"open {report.write(run)}")


if __name__ == "__main__":
    cli(COMMANDS, "Pictures of what a checkpoint has learnt; RUN is a run directory, such as runs/dcgan-digits.")
