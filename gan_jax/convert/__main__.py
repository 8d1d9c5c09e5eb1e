"""Converts published weights, given as plain tensors, to a run directory: `python -m gan_jax.convert`."""

from pathlib import Path

import tyro

from gan_jax import convert
from gan_jax.cli import cli


def main(file: tyro.conf.Positional[Path], out: Path, dataset: str | None = None) -> None:
    """Converts published weights to a run directory, to sample from or to fine-tune.

    Args:
        file: A .npz or .safetensors file of the state dicts, with names that begin with G_ema. and D.
        out: The run directory to write.
        dataset: Data on which the networks were trained, such as cifar10, for scores and for further training.
    """
    print(f"{convert.convert(file, out, dataset)}; sample: python -m gan_jax.sample {out}")


if __name__ == "__main__":
    cli(main)
