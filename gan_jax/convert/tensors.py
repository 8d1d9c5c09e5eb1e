"""Reads the tensors of published weights."""

import zipfile
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from gan_jax.errors import UserError
from gan_jax.networks.published import Tensors

RECIPE = "gan_jax/convert/README.md has a recipe that makes one from a published pickle"


def read(file: Path) -> Tensors:
    """Reads a file of tensors; never executes anything in it.

    Args:
        file: A .npz or .safetensors file.

    Raises:
        UserError: If it is of another kind, or holds Python objects.
        OSError: If it cannot be read.
    """
    if file.suffix not in (".npz", ".safetensors"):
        raise UserError(f"{file}: give a .npz or .safetensors file of the state dict; {RECIPE}")
    try:
        if file.suffix == ".safetensors":
            return safetensors.numpy.load_file(file)
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (SafetensorError, zipfile.BadZipFile, ValueError, AttributeError) as error:
        raise UserError(f"{file}: this is no {file.suffix} file of plain tensors; {RECIPE}") from error
