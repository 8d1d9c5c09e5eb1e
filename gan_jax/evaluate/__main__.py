"""Scores of runs, and of any two sets of images: `python -m gan_jax.evaluate`."""

from gan_jax.cli import cli
from gan_jax.evaluate import compare, pair, path, players, samples

if __name__ == "__main__":
    cli(
        [samples, players, path, pair, compare],
        "Scores checkpoints of the run directory RUN; or any two sets of images, each a run, a folder, an .npz file or "
        "a data set; or compares runs by their recorded scores.",
    )
