"""R3GAN's published weights: tensors of the authors' code (github.com/brownvc/R3GAN) to parameters."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from gan_jax.errors import UserError, listed
from gan_jax.networks import linen
from gan_jax.networks.layers.fir import TAPS
from gan_jax.networks.published import Converted, Tensors, filled, within
from gan_jax.networks.r3gan import Discriminator, Generator, Layout

MODEL = "Model."  # part of all names, after the prefix of the network
RESAMPLER = "Resampler.Kernel"  # end of the names of filters, which are constants


def networks(tensors: Tensors) -> tuple[dict[str, Any], dict[str, Converted]]:
    """Converts the averaged generator, and the discriminator if there is one.

    Args:
        tensors: Names of the state dicts, after "G_ema." and "D.", to arrays.

    Returns:
        The settings that the shapes determine: fields of `experiments.r3gan.Config`, and "channels" and "classes" of
        the data. And network name -> `(params, stats)`, for "generator" and "discriminator".

    Raises:
        UserError: If tensors are missing, superfluous or of the wrong shape; it names them.
    """
    generator, discriminator = (_plain(tensors, f"{prefix}.{MODEL}") for prefix in ("G_ema", "D"))
    if rest := [name for name in tensors if not name.startswith((f"G_ema.{MODEL}", f"D.{MODEL}"))]:
        raise UserError(f"{listed(rest)} belong to no network; give names that begin with G_ema. or D.")
    layout, latent_size = _layout(generator)
    network = linen(Generator(layout), (latent_size + layout.classes,))
    converted = {"generator": filled(f"G_ema.{MODEL}", generator, network, _generator_name(layout), _arranged)}
    if discriminator:
        network = linen(Discriminator(layout), layout.shape, *[()] * bool(layout.classes))
        name = _discriminator_name(layout)
        converted["discriminator"] = filled(f"D.{MODEL}", discriminator, network, name, _arranged)
    fields = {
        "resolution": layout.shape[0],
        "channels": layout.shape[2],
        "latent_size": latent_size,
        "conditional": bool(layout.classes),
    }
    shared = ("width", "full_width_side", "blocks", "expansion", "group_width", "classes")
    return fields | {name: getattr(layout, name) for name in shared}, converted


def _plain(tensors: Tensors, prefix: str) -> Tensors:
    """Returns the tensors of one network, without its resampling filters."""
    plain = within(tensors, prefix)
    for name in [name for name in plain if name.endswith(RESAMPLER)]:
        if not np.allclose(plain.pop(name), np.outer(TAPS, TAPS), atol=1e-6):
            raise UserError(f"{prefix}{name} is not the filter [1, 3, 3, 1], the only one that these networks use")
    return plain


def _layout(tensors: Tensors) -> tuple[Layout, int]:
    """Returns the layout of a generator, and the size of its latent without the label."""
    first = "MainLayers.0.Layers.0"
    convolutions = [f"MainLayers.0.Layers.1.LinearLayer{i}.Layer.weight" for i in (1, 2)]
    needed = [f"{first}.Basis", f"{first}.LinearLayer.weight", "AggregationLayer.Layer.weight", *convolutions]
    if missing := [f"G_ema.{MODEL}{name}" for name in needed if name not in tensors]:
        raise UserError(f"tensors of the averaged generator are missing: {listed(missing)}; give its whole state dict")
    basis, weights, last, inner, grouped = (tensors[name].shape for name in needed)
    embedding = tensors.get("EmbeddingLayer.weight")
    embedded, classes = (0, 0) if embedding is None else embedding.shape
    ends = [re.fullmatch(r"MainLayers\.(\d+)\.Layers\.(\d+)\.LinearLayer1\.Layer\.weight", name) for name in tensors]
    places = [(int(match[1]), int(match[2])) for match in ends if match]
    widths = {4 * 2**stage: tensors[f"MainLayers.{stage}.Layers.1.LinearLayer1.Layer.weight"].shape[1]
              for stage, block in sorted(places) if block == 1}  # fmt: skip
    side = max(widths)
    if side < 8 or basis[0] != widths[4]:
        raise UserError(
            f"the generator has maps of side {', '.join(map(str, sorted(widths)))}, instead of 4, 8, 16 and so on up "
            f"to that of its images, or {first}.Basis has other channels; give its whole state dict"
        )
    full = max(each for each, width in widths.items() if width == basis[0])
    blocks, expansion = max(block for _, block in places), inner[0] // inner[1]
    layout = Layout((side, side, last[0]), basis[0], full, blocks, expansion, grouped[1], classes)
    if layout.channels != widths:
        raise UserError(f"channels by side are {widths}; each side must have as many as the side before it, or half")
    return layout, weights[1] - embedded


def _generator_name(layout: Layout) -> Callable[[str], str]:
    stages = {side: f"MainLayers.{i}.Layers" for i, side in enumerate(layout.channels)}
    named = {
        "embedding/kernel": "EmbeddingLayer.weight",
        "basis/kernel": "MainLayers.0.Layers.0.Basis",
        "weights/kernel": "MainLayers.0.Layers.0.LinearLayer.weight",
        "to_images/kernel": "AggregationLayer.Layer.weight",
    }
    named |= {f"narrow_{side}/kernel": f"{stage}.0.LinearLayer.Layer.weight" for side, stage in stages.items()}
    return lambda path: named.get(path) or _block_name(path, stages, first=1)


def _discriminator_name(layout: Layout) -> Callable[[str], str]:
    stages = {side: f"MainLayers.{i}.Layers" for i, side in enumerate(reversed(layout.channels))}
    last = f"{stages[min(stages)]}.{layout.blocks}"
    named = {
        "embedding/kernel": "EmbeddingLayer.weight",
        "from_images/kernel": "ExtractionLayer.Layer.weight",
        "basis/kernel": f"{last}.Basis.weight",
        "weights/kernel": f"{last}.LinearLayer.weight",
    }
    named |= {
        f"widen_{side // 2}/kernel": f"{stage}.{layout.blocks}.LinearLayer.Layer.weight"
        for side, stage in stages.items()
    }
    return lambda path: named.get(path) or _block_name(path, stages, first=0)


def _block_name(path: str, stages: dict[int, str], first: int) -> str:
    """Returns the name of a block's tensor, such as "MainLayers.1.Layers.2.NonLinearity1.Bias"."""
    match = re.fullmatch(r"block_(\d+)_(\d+)/Conv_(\d)/(kernel|bias)", path)
    assert match, path
    side, block, layer = (int(match[i]) for i in (1, 2, 3))
    end = f"LinearLayer{layer + 1}.Layer.weight" if match[4] == "kernel" else f"NonLinearity{layer + 1}.Bias"
    return f"{stages[side]}.{first + block}.{end}"


def _arranged(path: str, value: np.ndarray) -> np.ndarray:
    """Moves axes from PyTorch's order to that of a leaf."""
    if path == "basis/kernel":  # [C, 4, 4], or [C, 1, 4, 4] of a depthwise convolution
        return np.moveaxis(value.reshape(len(value), *value.shape[-2:]), 0, -1)
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T
