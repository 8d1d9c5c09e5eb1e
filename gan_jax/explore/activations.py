"""Activations of a generator's layers: their shapes, and which of them depend on the latent."""

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import game
from gan_jax.errors import UserError
from gan_jax.runs import Restored
from gan_jax.types import Array, PyTree


def layers(run: Restored) -> dict[str, tuple[int, ...]]:
    """Returns the generator's layers in the order of evaluation: name -> shape of one example's activations.

    Args:
        run: An opened run, by `runs.open_run`.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def record(average: PyTree, values: Array) -> None:
        # recorded while tracing, as JAX sorts the dicts that it returns
        shapes.update({name: value.shape[1:] for name, value in activations(run, average, values).items()})

    latent, _ = game.sampler(run.system)
    jax.eval_shape(record, run.ema["generator"], jax.ShapeDtypeStruct((1, latent.size), jnp.float32))
    return shapes


def activations(run: Restored, average: PyTree, values: Array) -> dict[str, Array]:
    """Returns every layer's activations of latents `[n, size]`, by name, with averaged parameters and statistics."""
    return run.system.networks["generator"].inspect(average["params"], average["stats"], values)[1]


def first_layer(run: Restored, latents: np.ndarray, curved: bool) -> str:
    """Returns the first layer that depends on the latent; if `curved`, the first that is not linear in it, if any.

    Args:
        run: An opened run.
        latents: `[n, size]`, of which the first two are used.
        curved: Whether to look for a layer that is not linear in the latent.

    Raises:
        UserError: If no layer depends on the latent.
    """
    # two latents and their midpoint, at which a linear layer has the mean of its values
    three = jnp.asarray([*latents[:2], latents[:2].mean(axis=0)])
    values = jax.jit(lambda average, three: activations(run, average, three))(run.ema["generator"], three)
    ends = {name: np.asarray(values[name], np.float64) for name in layers(run)}
    moving = [name for name, (a, b, _) in ends.items() if _apart(a, b, 1e-6)]
    bent = [name for name in moving if _apart(ends[name][:2].mean(axis=0), ends[name][2], 1e-3)]
    if not moving:
        raise UserError("layer: no layer of the generator depends on the latent, so there are no directions")
    return (bent if curved and bent else moving)[0]


def _apart(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    return bool(np.linalg.norm(a - b) > tolerance * (np.linalg.norm(a) + np.linalg.norm(b)))
