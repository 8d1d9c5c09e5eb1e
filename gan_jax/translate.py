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
        UserError: If the run does not translate, or has no backward translator, or the images have another shape.
    """
    source, target = run.record["data"].get("source"), run.record["data"]["shape"]
    if run.system.translate is None:
        raise UserError("this run does not translate images; use a run of pix2pix or cyclegan, or see gan_jax.sample")
    if backward and run.system.translate_back is None:
        raise UserError("--backward: this run translates one way only; cyclegan translates both ways")
    if list(images.shape[1:]) != list(target if backward else source):
        raise UserError(f"images of shape {images.shape[1:]}: this run translates {target if backward else source}")
    way = run.system.translate_back if backward and run.system.translate_back else run.system.translate
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
    data = restored.record["data"]
    side, _, channels = data["shape"] if backward else data.get("source") or data["shape"]
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
