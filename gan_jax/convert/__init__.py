"""Conversion of published weights to run directories: the command `python -m gan_jax.convert FILE --out RUN`.

A new architecture is one file with a function `networks(tensors)`, as in `r3gan`, and one line in `ARCHITECTURES`.
"""

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import data, rng
from gan_jax.convert import r3gan, stylegan2
from gan_jax.convert.tensors import RECIPE, read
from gan_jax.data import Dataset, Spec
from gan_jax.data.dataset import fingerprint
from gan_jax.devices import compilation
from gan_jax.errors import UserError
from gan_jax.networks.published import Converted, Tensors
from gan_jax.runs import checkpoint, directories, lock, records


class Architecture(NamedTuple):
    """An architecture whose published weights can be converted.

    Attributes:
        experiment: Name of the experiment that trains it.
        mark: Pattern of its tensors' names, by which it is recognised.
        networks: `(tensors) -> (settings, networks)`: fields of the experiment's config that the shapes determine,
            "resolution" among them, and "channels" and "classes" of the data; and network name -> parameters and
            running statistics.
    """

    experiment: str
    mark: str
    networks: Callable[[Tensors], tuple[dict[str, Any], dict[str, Converted]]]


PREFIXES = ("G_ema.", "D.")
ARCHITECTURES = (
    Architecture("r3gan", r"\.MainLayers\.", r3gan.networks),
    Architecture("stylegan2", r"^G_ema\.(synthesis|mapping)\.|^D\.b\d+\.", stylegan2.networks),
)


def convert(file: Path, out: Path, dataset: str | None = None) -> str:
    """Writes published weights as a run at step 0, which can be sampled, scored, fine-tuned and continued.

    Networks that the file lacks are freshly initialised.

    Args:
        file: A .npz or .safetensors file of state dicts, with names that begin with "G_ema." and "D.".
        out: The run directory to write.
        dataset: Name of the data on which the networks were trained, as in `data.load`, for scores and for training.

    Returns:
        One line of text on what was converted.

    Raises:
        UserError: If the file is of another kind or of no known architecture; tensors are missing or superfluous; the
            data do not fit; or `out` has files.
    """
    if out.exists() and any(out.iterdir()):
        raise UserError(f"--out {out}: the directory has files; give a new one")
    tensors = read(file)
    architecture = _recognised(file, tensors)
    try:
        settings, networks = architecture.networks(tensors)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    shape = (settings["resolution"], settings["resolution"], settings.pop("channels"))
    of_data = _data(file, dataset, Spec(shape, settings.pop("classes")))
    experiment: Any = importlib.import_module(f"experiments.{architecture.experiment}")
    config = experiment.Config(**settings, dataset=of_data.name)
    system = experiment.build(config, of_data.spec)
    fresh = compilation.interruptible(jax.jit(lambda key: system.init(rng.named(key, "init"))))(rng.key(config.seed))
    params, stats = (
        part | jax.tree.map(jnp.asarray, {name: each[i] for name, each in networks.items()})
        for i, part in enumerate((fresh.params, fresh.stats))
    )
    record = records.describe(experiment.build, of_data, config)
    record |= {"parent": {"path": str(file.resolve()), "step": 0, "fingerprint": fingerprint(tensors)}}
    counts = {name: sum(x.size for x in jax.tree.leaves(params[name])) for name in params}
    record |= {"parameters": counts}
    with lock.held(out), directories.undone(out):
        records.write(record, out, 0)
        with checkpoint.writer(out / "checkpoints", wait=True) as save:
            save(system.begin(params, stats), record)
    return (
        f"{out}: {architecture.experiment} for images of {shape[0]} pixels, {' and '.join(networks)} from {file.name}"
    )


def _recognised(file: Path, tensors: Tensors) -> Architecture:
    prefixed = any(name.startswith(PREFIXES) for name in tensors)
    for architecture in ARCHITECTURES:
        named = (name if prefixed else prefix + name for name in tensors for prefix in PREFIXES)
        if any(re.search(architecture.mark, name) for name in named):
            if prefixed:
                return architecture
            raise UserError(
                f"{file}: its tensors are named like {next(iter(tensors))}, without a prefix for their network; begin "
                f"the names of the generator's tensors with G_ema. and of the discriminator's with D.; {RECIPE}"
            )
    known = " nor ".join(architecture.experiment for architecture in ARCHITECTURES)
    first = f"they are named like {next(iter(tensors))}" if tensors else "there are none"
    raise UserError(f"{file}: its tensors belong to neither {known}: {first}; {RECIPE}")


def _data(file: Path, name: str | None, spec: Spec) -> Dataset:
    """Returns the data of this name; without a name an empty set, named after the file."""
    if name is None:
        images = np.zeros((0, *spec.shape), np.uint8)
        return Dataset(file.stem, "train", {"image": images}, spec, fingerprint({"image": images}))
    dataset = data.load(name, resolution=spec.shape[0])
    if dataset.spec.shape != spec.shape or (spec.classes and dataset.spec.classes != spec.classes):
        theirs, ours = (f"{each.shape} and {each.classes} classes" for each in (dataset.spec, spec))
        raise UserError(f"--dataset {name}: its images have shape {theirs}, but the networks {ours}; give their data")
    return dataset
