"""Export of a run's averaged generator for use without this package: `python -m gan_jax.export RUN --out generator`.

generator.safetensors holds its weights, generator.json describes them and its inputs and outputs, and generator.jax is
the generator itself, with its weights, as an artefact of `jax.export`. runs/README.md shows how each is loaded.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
import tyro
from jax.errors import InconclusiveDimensionOperation

from gan_jax import game, runs, trees
from gan_jax.cli import Checkpoint, cli
from gan_jax.errors import UserError
from gan_jax.files import atomic, require_writable, write_json
from gan_jax.runs import Restored, records
from gan_jax.translate import direction
from gan_jax.types import Array, Part

PLATFORMS = ("cpu", "cuda", "tpu")


def exported(run: Restored, backward: bool = False) -> jax.export.Exported:
    """Exports a run's generator or translator with its averaged weights, for any batch size and all `PLATFORMS`.

    Args:
        run: An opened run.
        backward: Whether to export the translator of the other direction.

    Returns:
        For a generator, a function from latents float32 `[batch, size]` to examples as their kind stores them, such as
        uint8 images `[batch, H, W, C]`; for a translator, from sources to targets, both as stored.

    Raises:
        UserError: If the run neither samples nor translates, or its networks need a fixed batch size.
    """
    function, shape, dtype = _computed(run, backward)
    (batch,) = jax.export.symbolic_shape("batch")
    inputs = jax.ShapeDtypeStruct((batch, *shape), dtype)
    try:
        return jax.export.export(jax.jit(function), platforms=PLATFORMS)(inputs)
    except (UserError, TypeError, InconclusiveDimensionOperation) as error:
        raise UserError(
            f"the generator cannot be exported for every batch size: {error}; in its code write x.shape[0] for len(x), "
            "and -1 for the batch in reshape"
        ) from error


def tensors(run: Restored) -> dict[str, np.ndarray]:
    """Returns a run's averaged networks by path, such as "generator/params/Dense_0/kernel"."""
    return {path: np.asarray(leaf) for path, leaf in trees.flat(run.ema).items()}


def description(run: Restored, artefact: jax.export.Exported) -> dict[str, Any]:
    """Returns what was exported, as JSON types: the artefact's input and output, and the shapes of all tensors."""
    (inputs,), (outputs,), kind = artefact.in_avals, artefact.out_avals, run.spec.kind
    if run.system.translate is None:
        latent = game.sampler(run.system)[0]
        parts = [_part(part, run.spec.class_names) for part in latent.parts]
        about = {"kind": "latent", **_array(inputs), "distribution": latent.name, "parts": parts}
    else:
        about = {"kind": kind.name, **_array(inputs), "range": _range(run, inputs)}
    return {
        "run": records.summary(run.record),
        "step": run.step,
        "input": about,
        "output": {"kind": kind.name, **_array(outputs), "range": _range(run, outputs)},
        "platforms": list(artefact.platforms),
        "tensors": {path: _array(x) for path, x in tensors(run).items()},
    }


def main(
    run: tyro.conf.Positional[Path], checkpoint: Checkpoint, out: Path | None = None, backward: bool = False
) -> None:
    """Exports a run's averaged generator, or translator, for use without this package.

    Args:
        run: A run directory, such as runs/dcgan-digits.
        checkpoint: The checkpoint.
        out: Path of the files without extension, to which .safetensors, .json and .jax are added; by default generator
            in the run directory.
        backward: Export the translator of the other direction.
    """
    opened, stem = runs.open_run(run, checkpoint.step, checkpoint.best, safe=checkpoint.safe), out or run / "generator"
    weights, about, program = (stem.with_name(f"{stem.name}{end}") for end in (".safetensors", ".json", ".jax"))
    for path in (weights, about, program):
        require_writable(path)
    artefact = exported(opened, backward)
    with atomic(weights) as file:
        file.write(safetensors.numpy.save(tensors(opened)))
    write_json(about, description(opened, artefact))
    with atomic(program) as file:
        file.write(artefact.serialize())
    print(f"{weights}, {about.name}, {program.name}: {records.summary(opened.record)}, from step {opened.step}")


def _computed(run: Restored, backward: bool) -> tuple[Callable[[Array], Array], tuple[int, ...], Any]:
    """Returns the function to export, and the shape of one input and its type."""
    kind = run.spec.kind
    if run.system.translate is not None:
        way, source, _ = direction(run, backward)
        return lambda images: kind.from_network(way(run.ema, kind.to_network(images))), source, jnp.uint8
    if backward:
        raise UserError("--backward: this run does not translate; leave it out")
    latent, generate = game.sampler(run.system)
    return lambda latents: kind.from_network(generate(run.ema, latents)), (latent.size,), jnp.float32


def _array(x: Any) -> dict[str, Any]:
    return {"shape": [n if isinstance(n, int) else str(n) for n in x.shape], "dtype": str(x.dtype)}


def _part(part: Part, class_names: Sequence[str]) -> dict[str, Any]:
    place: dict[str, Any] = {"name": part.name, "start": part.start, "size": part.size}
    place |= {"classes": part.size} if part.categorical else {}
    named = part.categorical and part.name == "label" and len(class_names) == part.size
    return place | ({"class_names": list(class_names)} if named else {})


def _range(run: Restored, stored: Any) -> list[int] | None:
    """Returns the least and the largest value of pixels as stored; None for examples of other types."""
    if stored.dtype != jnp.uint8:
        return None
    return np.asarray(run.spec.kind.from_network(jnp.array([-jnp.inf, jnp.inf]))).tolist()


if __name__ == "__main__":
    cli(main)
