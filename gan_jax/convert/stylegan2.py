"""StyleGAN2's published weights: tensors of stylegan2-ada-pytorch to parameters and running statistics."""

import functools
import re
from typing import Any

import numpy as np

from gan_jax.errors import UserError, listed
from gan_jax.networks import linen
from gan_jax.networks.layers.fir import TAPS
from gan_jax.networks.published import Converted, Tensors, filled, within
from gan_jax.networks.stylegan2 import Discriminator, Generator

_NAMES = {  # part of a leaf's path here -> part of a tensor's name
    r"^styles/": "",
    r"^synthesis/block_": "synthesis/b",
    r"^block_": "b",
    r"^(conv|out)/": r"b4/\1/",
    r"^dense/": "b4/fc/",
    r"/layer_": "/fc",
    r"/conv_(\d)": r"/conv\1",
    r"^(synthesis.*)/conv/kernel": r"\1/kernel",
    r"/image/": "/torgb/",
    r"kernel$": "weight",
    r"constant$": "const",
    r"noise$": "noise_const",
    r"^mean$": "mapping/w_avg",
}


def networks(tensors: Tensors) -> tuple[dict[str, Any], dict[str, Converted]]:
    """Converts the averaged generator, and the discriminator if there is one.

    Args:
        tensors: Names of the state dicts, after "G_ema." and "D.", to arrays.

    Returns:
        The settings that the shapes determine: fields of `experiments.stylegan2.Config`, and "channels" and "classes"
        of the data. And network name -> `(params, stats)`, for "generator" and "discriminator".

    Raises:
        UserError: If tensors are missing, superfluous or of the wrong shape; it names them.
    """
    plain = {"generator": _plain(tensors, "G_ema."), "discriminator": _plain(tensors, "D.")}
    if rest := [name for name in tensors if not name.startswith(("G_ema.", "D."))]:
        raise UserError(f"{listed(rest)} belong to no network; give names that begin with G_ema. or D.")
    fields = _settings(plain["generator"], plain["discriminator"])
    shape = (fields["resolution"], fields["resolution"], fields["channels"])
    sizes = {"base": fields["channel_base"], "most": fields["channel_max"], "classes": fields["classes"]}
    generator = Generator(shape, fields["style_size"], fields["mapping_depth"], **sizes)
    network = linen(generator, (fields["latent_size"] + fields["classes"],))
    named = functools.partial(_name, shape[0])
    converted = {"generator": filled("G_ema.", plain["generator"], network, named, _arranged)}
    if plain["discriminator"]:
        labels = [()] * bool(fields["classes"])
        network = linen(Discriminator(shape, residual=fields["residual"], **sizes), shape, *labels)
        converted["discriminator"] = filled("D.", plain["discriminator"], network, named, _arranged)
    return fields, converted


def _plain(tensors: Tensors, prefix: str) -> Tensors:
    """Returns the tensors of one network, without its resampling filters."""
    plain = within(tensors, prefix)
    for name in [name for name in plain if name.endswith("resample_filter")]:
        if not np.allclose(plain.pop(name), np.outer(TAPS, TAPS), atol=1e-6):
            raise UserError(f"{prefix}{name} is not the filter [1, 3, 3, 1], the only one that these networks use")
    return plain


def _settings(generator: Tensors, discriminator: Tensors) -> dict[str, Any]:
    needed = ["mapping.w_avg", "mapping.fc0.weight", "synthesis.b4.torgb.weight", "synthesis.b4.conv1.weight"]
    if missing := [f"G_ema.{name}" for name in needed if name not in generator]:
        raise UserError(f"tensors of the averaged generator are missing: {listed(missing)}; give its whole state dict")
    matches = [re.fullmatch(r"synthesis\.b(\d+)\.conv1\.weight", name) for name in generator]
    features = {int(match[1]): len(generator[match[0]]) for match in matches if match}
    side, most, width = max(features), max(features.values()), len(generator["mapping.w_avg"])
    if side < 8 or features.keys() != {4 << i for i in range(len(features))}:
        raise UserError(
            f"the generator has blocks for maps of side {', '.join(map(str, sorted(features)))}, instead of 4, 8, 16 "
            "and so on up to that of its images; give its whole state dict"
        )
    base = features[side] * side
    channels = len(generator["synthesis.b4.torgb.weight"])
    if features != {each: min(base // each, most) for each in features}:
        raise UserError(f"channels by side are {features}, but each must have min(B / side, M), with one B and one M")
    embedding = generator.get("mapping.embed.weight")
    classes = 0 if embedding is None else embedding.shape[1]
    depth = sum(re.fullmatch(r"mapping\.fc\d+\.weight", name) is not None for name in generator)
    return {
        "resolution": side,
        "channels": channels,
        "latent_size": generator["mapping.fc0.weight"].shape[1] - width * bool(classes),
        "style_size": width,
        "mapping_depth": depth,
        "channel_base": base,
        "channel_max": most,
        "classes": classes,
        "conditional": bool(classes),
        "residual": not discriminator or f"b{side}.skip.weight" in discriminator,
    }


def _name(side: int, path: str) -> str:
    """Returns the tensor's name for a leaf's path, such as "synthesis/block_8/conv_0/affine/kernel"."""
    name = path.replace("from_image", f"b{side}/fromrgb")
    for pattern, replacement in _NAMES.items():
        name = re.sub(pattern, replacement, name)
    return name.replace("/", ".")


def _arranged(path: str, value: np.ndarray) -> np.ndarray:
    """Moves axes from PyTorch's order to that of a leaf."""
    if path.endswith("constant"):
        return value.transpose(1, 2, 0) if value.ndim == 3 else value
    if path == "dense/kernel" and value.ndim == 2:  # of a map, flattened channels first there and last here
        return value.reshape(len(value), -1, 4, 4).transpose(2, 3, 1, 0).reshape(-1, len(value))
    if not path.endswith("kernel"):
        return value
    if value.ndim == 2:
        return value.T
    if value.ndim == 4:
        value = value.transpose(2, 3, 1, 0)
        # PyTorch's transposed convolution scatters the kernel, ours correlates with it
        return value[::-1, ::-1] if re.search(r"synthesis/.*conv_0/conv/", path) else value
    return value
