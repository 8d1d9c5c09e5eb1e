"""Contributions of a generator's channels to an image, and the image rebuilt from the largest of them.

A contribution is measured by ablation, as in GAN dissection (Bau et al. 2019, arXiv:1811.10597): the channel's map is
replaced by its mean over other latents, place by place, and the change of the image is its contribution. The mean is
used rather than 0, which later layers may never have seen (Morcos et al. 2018, arXiv:1803.06959).
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from gan_jax import sample
from gan_jax.devices.batched import in_batches
from gan_jax.errors import UserError
from gan_jax.runs import Restored
from gan_jax.types import Array, Network, PyTree

ROWS = 64  # variants of an image per batch: in evaluation, examples of a batch are independent


class Layer(NamedTuple):
    """The contributions of one layer's channels to one image.

    Attributes:
        path: The layer, such as "ConvTranspose_0".
        maps: The layer's output, `[h, w, channels]`.
        contributions: The image minus the image without each channel, `[channels, H, W, C]`.
        effects: Root mean squares of the contributions, `[channels]`, for pixels in [-1, 1].
        order: The channels by descending effect, `[channels]`.
        counts: 0, 1, 2, 4, ... and the number of channels.
        assembly: The image with the first `counts` channels of `order` kept and all others at their means,
            `[counts, H, W, C]`: from the image of the means to the image itself.
        kernel: The layer's filters, `[kh, kw, inputs, channels]`; None if it has none.
        brush: The filters of the next layer that has some, `[kh, kw, channels, outputs]`; None if they do not take
            these channels.
    """

    path: str
    maps: np.ndarray
    contributions: np.ndarray
    effects: np.ndarray
    order: np.ndarray
    counts: tuple[int, ...]
    assembly: np.ndarray
    kernel: np.ndarray | None
    brush: np.ndarray | None


def map_shapes(network: Network, average: PyTree, latent: Array) -> dict[str, tuple[int, ...]]:
    """Returns the layers that output maps, in order of evaluation: path -> (h, w, channels); arguments as in
    `dissect`."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(latents: Array) -> None:  # while tracing, as JAX sorts the dicts that it returns
        layers = network.inspect(average["params"], average["stats"], latents)[1]
        shapes.update({path: value.shape[1:] for path, value in layers.items() if value.ndim == 4})

    jax.eval_shape(note, latent[None])
    return shapes


@functools.partial(jax.jit, static_argnames="network")
def mean_maps(network: Network, average: PyTree, latents: Array) -> dict[str, Array]:
    """Averages each layer's maps over latents.

    Args:
        network: A generator.
        average: Its parameters and statistics, `{"params", "stats"}`.
        latents: `[n, size]`.

    Returns:
        Path -> `[h, w, channels]`, for layers that output maps `[n, h, w, channels]`.
    """
    layers = network.inspect(average["params"], average["stats"], latents)[1]
    return {path: jnp.mean(value, axis=0) for path, value in layers.items() if value.ndim == 4}


def rebuild(network: Network, average: PyTree, latent: Array, path: str, mean: Array, keep: ArrayLike) -> np.ndarray:
    """Generates variants of an image, in each of which a layer keeps some channels and has the others at their means.

    Args:
        network: A generator.
        average: Its parameters and statistics, `{"params", "stats"}`.
        latent: The image's latent, `[size]`.
        path: The layer.
        mean: The replacement of its maps, `[h, w, channels]`.
        keep: The channels that each variant keeps, bool `[n, channels]`.

    Returns:
        The variants, `[n, H, W, C]`.
    """
    variants = functools.partial(_variants, network, average, latent, path, mean)
    return in_batches(variants, ROWS, np.asarray(keep, bool))


@functools.partial(jax.jit, static_argnames=("network", "path"))
def _variants(network: Network, average: PyTree, latent: Array, path: str, mean: Array, keep: Array) -> Array:
    def edit(at: str, value: Array) -> Array:
        return jnp.where(keep[:, None, None], value, mean) if at == path else value

    latents = jnp.tile(latent, (len(keep), 1))
    return network.inspect(average["params"], average["stats"], latents, edit=edit)[0]


def dissect(
    network: Network, average: PyTree, latent: Array, others: Array, paths: Sequence[str] | None = None
) -> list[Layer]:
    """Measures the contributions of layers' channels to one image.

    Args:
        network: A generator of images.
        average: Its parameters and statistics, `{"params", "stats"}`.
        latent: The image's latent, `[size]`.
        others: Latents `[n, size]`, whose mean maps replace an ablated channel.
        paths: The layers. None takes the first that outputs maps, and those with filters, except the last, whose
            channels are the colours; normalisations, which would repeat a layer's maps, are left out.

    Raises:
        UserError: If the network has no such layers.
    """
    shapes, means = map_shapes(network, average, latent), mean_maps(network, average, others)
    kernels = {path: kernel for path in shapes if (kernel := _kernel(average["params"], path)) is not None}
    if paths is None:
        painted = [path for path in shapes if path in kernels or path == next(iter(shapes))]
        paths = [path for path in painted if path != painted[-1] or path not in kernels]
    if unknown := [path for path in paths if path not in shapes]:
        raise UserError(f"paths: layer {unknown[0]!r} outputs no maps [h, w, channels]; choose from {list(shapes)}")
    if not paths:
        raise UserError("network: none of its layers outputs maps [h, w, channels] that a later layer uses")
    maps = mean_maps(network, average, latent[None])  # the mean over one latent: its own maps
    dissected, order = [], list(shapes)
    for path in paths:
        later = [kernels[p] for p in order[order.index(path) + 1 :] if p in kernels]
        brush = later[0] if later and later[0].shape[2] == means[path].shape[-1] else None
        build = functools.partial(rebuild, network, average, latent, path, means[path])
        dissected.append(_layer(build, path, np.asarray(maps[path]), kernels.get(path), brush))
    return dissected


def _layer(
    build: functools.partial, path: str, maps: np.ndarray, kernel: np.ndarray | None, brush: np.ndarray | None
) -> Layer:
    channels = maps.shape[-1]
    image, *without = build(np.concatenate([np.ones((1, channels), bool), ~np.eye(channels, dtype=bool)]))
    contributions = image - np.stack(without)
    effects = np.sqrt(np.mean(contributions**2, axis=(1, 2, 3)))
    order = np.argsort(-effects, kind="stable")
    counts = tuple(sorted({0, *(2**i for i in range(channels.bit_length())), channels}))
    rank = np.argsort(order)  # a channel's place in the order
    assembly = build(rank < np.array(counts)[:, None])
    return Layer(path, maps, contributions, effects, order, counts, assembly, kernel, brush)


def of_image(run: Restored, seed: int, paths: Sequence[str] | None = None, others: int = 256) -> list[Layer]:
    """Applies `dissect` to image 0 of a seed.

    Args:
        run: An opened run.
        seed: Selects the image.
        paths: The layers; None as in `dissect`.
        others: Number of latents, images 1 to `others` of the seed, whose mean maps replace an ablated channel.

    Raises:
        UserError: If the run's generator has no such layers.
    """
    latent, *rest = sample.latents_of(run, seed, 1 + others)
    return dissect(run.system.networks["generator"], run.ema["generator"], latent, jnp.stack(rest), paths)


def _kernel(params: PyTree, path: str) -> np.ndarray | None:
    """Returns the filters `[kh, kw, inputs, channels]` of a layer, None if it has none."""
    for name in path.split("/"):
        params = params.get(name, {}) if isinstance(params, dict) else {}
    kernel = params.get("kernel") if isinstance(params, dict) else None
    return np.asarray(kernel) if kernel is not None and kernel.ndim == 4 else None
