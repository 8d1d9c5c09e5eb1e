"""Perceptual path length: the distance between neighbouring images on paths between latents or between styles."""

import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import game, latents, rng
from gan_jax.checks import require
from gan_jax.devices.batched import in_batches
from gan_jax.errors import UserError
from gan_jax.metrics.estimate import Estimate, average
from gan_jax.metrics.features.distance import Distance
from gan_jax.types import Array, Latent, PyTree, System

Space = Literal["latents", "styles"]

EPSILON = 1e-4  # length of a step along a path, as a fraction of it
TRIMMED = 1  # per cent of the shortest and of the longest steps that are left out
BATCH = 32  # paths at once


def path_length(
    distance: Distance, system: System, ema: PyTree, count: int, seed: int = 0, space: Space = "latents"
) -> Estimate:
    """Returns the perceptual path length of a generator (Karras et al. 2019, arXiv:1812.04948, section 4.1).

    mean of d(G(p(t)), G(p(t + epsilon))) / epsilon^2, d a squared distance, p the path between two random latents, t
    uniform on [0, 1], epsilon 1e-4. Lower is smoother. As in the authors' code, the shortest and the longest hundredth
    of the steps are left out. In the papers d is LPIPS (`features.lpips`), of images that their code crops to the
    middle of a face, except in StyleGAN2's score "ppl2_wend", where t is 0; here nothing is cropped. Lengths are
    comparable only under the same distance.

    Args:
        distance: The distance between images: `features.lpips.distance`, or `features.distance.of_features`.
        system: The system whose averaged generator is measured.
        ema: Averaged networks, as in `TrainState.ema`.
        count: Number of paths, at least 2; 100,000 in the authors' code.
        seed: Selects the paths.
        space: "latents", along great circles; or "styles", along straight lines between the outputs of the generator's
            layer "styles", such as a mapping network. Labels in latents are the same at both ends.

    Raises:
        UserError: If the system does not sample, or its generator has no layer "styles".
    """
    latent, generate = game.sampler(system)
    require(lambda: count >= 2, f"count={count}: give at least 2 paths")
    if space == "styles" and not has_styles(system, ema):
        raise UserError("space='styles': the generator has no layer 'styles'; give 'latents'")
    first, second = jnp.split(latents.numbered(latent, seed, 2 * count), 2)
    key = rng.named(rng.key(seed), "path")
    at = jax.vmap(lambda key: jax.random.uniform(key, maxval=1 - EPSILON))(rng.numbered(key, count))
    on_path = along(latent, lambda z: generate(ema, z)) if space == "latents" else _along_styles(latent, system, ema)

    @jax.jit
    def steps(params: PyTree, first: Array, second: Array, at: Array) -> Array:
        x, y = (on_path(first, second, t) for t in (at, at + EPSILON))
        return distance.apply(params, x, y) / EPSILON**2

    params = jax.device_put(distance.params)  # passed as an argument, as constants would be compiled into the program
    return trimmed(in_batches(functools.partial(steps, params), BATCH, first, second, at))


def has_styles(system: System, ema: PyTree) -> bool:
    """Returns whether a system's generator has a layer "styles"."""
    latent = game.sampler(system)[0]
    z = jax.ShapeDtypeStruct((1, latent.size), jnp.float32)
    return "styles" in jax.eval_shape(lambda e, z: _inspect(system, e, z)[1], ema, z)


def along(latent: Latent, generate: Callable[[Array], Array]) -> Callable[[Array, Array, Array], Array]:
    """Returns `(first, second, t [b]) -> examples`, generated at t on great circles from first to second latents.

    Categorical parts of latents, such as labels, are those of the first.
    """

    def examples(first: Array, second: Array, at: Array) -> Array:
        path = jax.vmap(lambda a, b, t: latents.spherical(a, b, t[None])[0])
        return generate(path(first, _with_labels(latent, second, first), at))

    return examples


def trimmed(steps: np.ndarray) -> Estimate:
    """Returns the mean of the squared steps `[n]` between their 1st and 99th percentiles, with its standard error."""
    low = np.percentile(steps, TRIMMED, method="lower")
    high = np.percentile(steps, 100 - TRIMMED, method="higher")
    return average(steps[(low <= steps) & (steps <= high)])


def _along_styles(latent: Latent, system: System, ema: PyTree) -> Callable[[Array, Array, Array], Array]:
    def examples(first: Array, second: Array, at: Array) -> Array:
        a, b = (_inspect(system, ema, z)[1]["styles"] for z in (first, _with_labels(latent, second, first)))
        t = at.reshape(-1, *[1] * (a.ndim - 1))
        return _inspect(system, ema, first, lambda path, x: a + t * (b - a) if path == "styles" else x)[0]

    return examples


def _inspect(system: System, ema: PyTree, z: Array, edit: Callable | None = None) -> tuple[Array, dict[str, Array]]:
    average = ema["generator"]
    return system.networks["generator"].inspect(average["params"], average["stats"], z, edit=edit)


def _with_labels(latent: Latent, z: Array, of: Array) -> Array:
    for part in latent.parts:
        if part.categorical:
            z = z.at[:, part.start : part.start + part.size].set(of[:, part.start : part.start + part.size])
    return z
