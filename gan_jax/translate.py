"""Translation of a folder of images: `python -m gan_jax.translate RUN --input DIRECTORY --output DIRECTORY`."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import tyro

from gan_jax import pictures, runs, sample
from gan_jax.cli import Checkpoint, cli
from gan_jax.data.sources import folder
from gan_jax.errors import UserError
from gan_jax.runs import Restored
from gan_jax.types import Averaged


def direction(run: Restored, backward: bool = False) -> tuple[Averaged, tuple[int, ...], tuple[int, ...]]:
    """Returns the function that translates, and the shapes of its sources and its targets.

    Args:
        run: An opened run of a translator.
        backward: Whether to translate from the target's domain to the source's.

    Raises:
        UserError: If the run does not translate, or has no backward translator.
    """
    forth, back = run.system.translate, run.system.translate_back
    if forth is None:
        raise UserError("this run does not translate images; use a run of pix2pix or cyclegan, or see gan_jax.sample")
    source, target = run.spec.source or run.spec.shape, run.spec.shape
    if not backward:
        return forth, source, target
    if back is None:
        raise UserError("--backward: this run translates one way only; cyclegan translates both ways")
    return back, target, source


def translated(run: Restored, images: np.ndarray, backward: bool = False) -> np.ndarray:
    """Translates images from the source's domain to the target's.

    Norms use each image's own moments and dropout is off, so that a translation does not depend on the other images.

    Args:
        run: An opened run of a translator.
        images: uint8 `[n, H, W, C]`, of the size that the run was trained on.
        backward: Whether to translate from the target's domain to the source's.

    Returns:
        uint8 `[n, H, W, C']`.

    Raises:
        UserError: See `direction`; or if the images have another shape.
    """
    way, source, _ = direction(run, backward)
    if images.shape[1:] != source:
        raise UserError(f"images of shape {images.shape[1:]}: this run translates {list(source)}")
    return sample.evaluated(way, run.ema, run.spec.kind.to_network(jnp.asarray(images)), run.spec.kind.from_network)


def main(
    run: tyro.conf.Positional[Path],
    input: Path,
    output: Path,
    checkpoint: Checkpoint,
    backward: bool = False,
) -> None:
    """Translates the images of a folder and its subfolders, as squares of the run's size, to PNG files of the same
    names.

    Args:
        run: A run directory of a translator, such as runs/pix2pix-edges-digits.
        input: Folder of images to translate.
        output: Folder for the translations; it must be new or empty.
        backward: Translate from the target's domain to the source's.
        checkpoint: The checkpoint.
    """
    restored = runs.open_run(run, checkpoint.step, checkpoint.best, safe=checkpoint.safe)
    if output.exists() and any(output.iterdir()):
        raise UserError(f"--output {output}: the directory is not empty; empty it, or give another")
    _, (side, _, channels), _ = direction(restored, backward)
    names, images = folder.read(str(input), side, channels)
    targets: dict[Path, str] = {}
    for name in names:
        if other := targets.get(target := (output / name).with_suffix(".png")):
            raise UserError(f"input={input}: {other} and {name} would both become {target}; rename one")
        targets[target] = name
    for target, image in zip(targets, translated(restored, images, backward), strict=True):
        pictures.save_png(target, image)
    print(f"{output}: {len(images)} images translated by the checkpoint of step {restored.step}")


if __name__ == "__main__":
    cli(main)
