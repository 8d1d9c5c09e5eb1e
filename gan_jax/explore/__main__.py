"""The command line `python -m gan_jax.explore RUN`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import tyro

from gan_jax import evaluate, files, pictures, rng, runs
from gan_jax.cli import cli, require_used
from gan_jax.errors import UserError
from gan_jax.explore import views
from gan_jax.runs import report

What = Literal["neighbours", "memorisation", "collapse", "directions", "interpolation", "filters", "inversion"]

USES = {  # flag -> the pictures that it affects; other flags affect all
    "features": ("neighbours", "memorisation", "collapse"),
    "samples": ("memorisation", "collapse"),
    "method": ("directions",),
    "layer": ("directions", "filters"),
    "steps": ("directions", "interpolation"),
    "keys": ("interpolation",),
    "images": ("inversion",),
    "starts": ("inversion",),
    "iterations": ("inversion",),
    "dataset": ("neighbours", "memorisation", "collapse", "inversion"),
}


def main(
    run: tyro.conf.Positional[Path],
    what: tyro.conf.Positional[What | Literal["all"]] = "all",
    count: int = 8,
    seed: int = 0,
    step: int | None = None,
    best: bool = False,
    features: evaluate.Kind = "pixels",
    samples: int = 2000,
    method: Literal["sefa", "pca"] = "sefa",
    layer: str | None = None,
    steps: int = 11,
    keys: int = 6,
    images: tuple[Path, ...] = (),
    starts: int = 32,
    iterations: int = 300,
    out: Path | None = None,
    dataset: str | None = None,
    safe: bool = False,
) -> None:
    """Draws pictures of what a checkpoint has learnt, in RUN/explore, where the report shows them, or in --out.

    - neighbours: samples, and the training images nearest to them.
    - memorisation: the samples most like copies of training images, next to the test images most like some.
    - collapse: the most similar samples, and the densest cluster, above the same for real images.
    - directions: images along the latent directions of most change, found without labels.
    - interpolation: an animation through samples and back to the first.
    - filters: the generator's filters that contribute most to an image, layer by layer, and their maps.
    - inversion: given images, and the nearest images that the generator reaches.

    Args:
        run: A run directory, such as runs/dcgan-digits.
        what: Picture to draw; by default all.
        count: Number of samples, neighbours, pairs, directions, walks, filters per layer, or images.
        seed: Selects the samples and test images; filters are those of the first sample.
        step: Step of the checkpoint; by default the newest undamaged one.
        best: Use the best checkpoint, which training with --best keeps.
        features: Features by which images are compared: pixels, the data set's classifier, or Inception (neighbours,
            memorisation, collapse).
        samples: Number of samples to search (memorisation, collapse).
        method: sefa, by a layer's derivative, or pca, by its values (directions).
        layer: Layer of the generator, such as ConvTranspose_0; by default that of the method (directions), or all whose
            channels contribute to the image through filters (filters).
        steps: Images per row, or from one sample to the next (directions, interpolation).
        keys: Samples per walk (interpolation).
        images: Image files or folders to invert, of which the first --count; by default test images (inversion).
        starts: Searches per image (inversion).
        iterations: Iterations per search (inversion).
        out: Folder for the pictures; by default RUN/explore.
        dataset: New name of the run's data, if they have moved (neighbours, memorisation, collapse, inversion).
        safe: Run this repository's experiment of the same name instead of the code in the run directory.
    """
    if what != "all":
        require_used(main, what, USES, locals())
    if count < 1:
        raise UserError(f"--count {count}: give at least 1")
    rng.require_seed(seed)
    opened = runs.open_run(run, step, best, dataset, safe)
    if not opened.spec.kind.is_image:
        raise UserError(
            f"{run} makes {opened.spec.kind.noun}, so there are no images to look into; its samples/ show them"
        )
    folder = run / "explore" if out is None else out
    files.require_writable(folder / f"{what}.png")

    def given() -> np.ndarray:
        if images:
            return views.load_images(opened, images)[:count]
        return views.some(runs.held_out(opened.record).arrays["image"], count, seed)

    makers: dict[What, Callable[[], views.Made]] = {
        "neighbours": partial(views.neighbours, opened, seed, count, features),
        "memorisation": partial(views.memorisation, opened, seed, count, features, samples),
        "collapse": partial(views.collapse, opened, seed, count, features, samples),
        "directions": partial(views.directions, opened, seed, count, steps, method, layer),
        "interpolation": partial(views.interpolation, opened, seed, count, steps, keys),
        "filters": partial(views.assembly, opened, seed, count, layer),
        "inversion": lambda: views.inversion(opened, seed, given(), starts, iterations),
    }
    for kind in get_args(What) if what == "all" else (what,):
        try:
            made = makers[kind]()
        except UserError as error:
            if what != "all":
                raise
            print(f"{kind} left out: {error}")
            continue
        for name, picture in made.items():
            target = folder / f"{name}-step{opened.step}-seed{seed}"
            if isinstance(picture, list):
                pictures.save_gif(target := target.with_name(f"{target.name}.gif"), picture, 70, 70)
            else:
                pictures.save_png(target := target.with_name(f"{target.name}.png"), picture)
            print(target, flush=True)
    if out is None and (run / "run.json").is_file():
        print(f"{report.write(run)} shows them")


if __name__ == "__main__":
    cli(main)
