"""Makes digits.npz from the TFDS set `mnist`: `python -m gan_jax.data.sources.make_digits [FILE]`.

The archive is an ordinary .npz, compressed by LZMA (a fifth smaller than NumPy's deflate) and without timestamps, so
the same images give the same file.
"""

import zipfile
from pathlib import Path

import numpy as np
import tyro

from gan_jax.cli import cli
from gan_jax.data import load

OURS = Path(__file__).with_name("digits.npz")
PER_DIGIT = {"train": 1000, "test": 200}


def main(path: tyro.conf.Positional[Path] = OURS) -> None:
    """Writes the first images of each digit of each split, in TFDS order, to a file.

    Args:
        path: The file; by default the package's own.
    """
    arrays = {}
    for split, count in PER_DIGIT.items():
        mnist = load("mnist", split).arrays
        keep = np.sort(np.concatenate([np.flatnonzero(mnist["label"] == digit)[:count] for digit in range(10)]))
        arrays[f"{split}_image"] = mnist["image"][keep, ..., 0]
        arrays[f"{split}_label"] = mnist["label"][keep].astype(np.uint8)
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")  # its default date is fixed
            entry.compress_type = zipfile.ZIP_LZMA
            with archive.open(entry, "w") as file:
                np.lib.format.write_array(file, array)
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    cli(main)
