"""The networks of `gan_jax.networks` that the games of `peers` use, in plain PyTorch. Needs torch."""

# pyright: reportMissingImports=false

import itertools
import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import nn

from gan_jax.networks.layers.sides import map_sides, root
from gan_jax.networks.resnet import LAST, PLAIN

Shape = tuple[int, ...]  # of one example; of images (C, H, W)


def networks(experiment: str, config: Any, shape: Shape) -> dict[str, nn.Module]:
    """Returns "generator" and "discriminator" of mlp_gan, of dcgan, or of wgan_gp with residual networks."""
    size = config.latent_size
    if experiment == "mlp_gan":
        generator, discriminator = mlp_generator(size, shape, (256, 512, 1024)), mlp_discriminator(shape, (512, 256))
    elif len(shape) == 1:
        generator = mlp_generator(size, shape, (4 * config.g_width,) * 2)
        discriminator = mlp_discriminator(shape, (4 * config.d_width,) * 2)
    else:
        residual = experiment == "wgan_gp"
        generator = (resnet_generator if residual else dcgan_generator)(size, shape, config.g_width)
        discriminator = (resnet_discriminator if residual else dcgan_discriminator)(shape, config.d_width)
    return {"generator": generator, "discriminator": discriminator}


def mlp_generator(size: int, shape: Shape, widths: tuple[int, ...]) -> nn.Module:
    """Returns `mlp.Generator`: with batch norm and tanh for images, without for points."""
    image, layers = len(shape) == 3, []
    for before, width in itertools.pairwise((size, *widths)):
        layers += [nn.Linear(before, width), nn.LeakyReLU(0.2, inplace=True)]
        layers += [nn.BatchNorm1d(width, momentum=0.2)] * image
    layers += [nn.Linear(widths[-1], math.prod(shape)), *[nn.Tanh()] * image]
    return nn.Sequential(*layers, nn.Unflatten(1, shape))


def mlp_discriminator(shape: Shape, widths: tuple[int, ...]) -> nn.Module:
    """Returns `mlp.Discriminator` without norm."""
    layers = [nn.Flatten()]
    for before, width in itertools.pairwise((math.prod(shape), *widths)):
        layers += [nn.Linear(before, width), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 1), nn.Flatten(0))


def dcgan_generator(size: int, shape: Shape, width: int) -> nn.Module:
    """Returns `dcgan.Generator` with batch norm."""
    first, *sides = map_sides((*shape[1:], shape[0]))
    width *= 2 ** (len(sides) - 1)
    layers = [nn.Linear(size, first * first * width, bias=False), nn.Unflatten(1, (width, first, first))]
    for side in sides[:-1]:
        layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        layers += [nn.ConvTranspose2d(width, width // 2, _window(side), stride=2, padding=1, bias=False)]
        width //= 2
    last = nn.ConvTranspose2d(width, shape[0], _window(sides[-1]), stride=2, padding=1)
    return nn.Sequential(*layers, nn.BatchNorm2d(width), nn.ReLU(inplace=True), last, nn.Tanh())


def dcgan_discriminator(shape: Shape, width: int) -> nn.Module:
    """Returns `dcgan.Discriminator` with batch norm."""
    first, *sides = map_sides((*shape[1:], shape[0]))
    layers, channels = [], shape[0]
    for depth, side in enumerate(reversed(sides)):
        layers += [nn.Conv2d(channels, width, _window(side), stride=2, padding=1, bias=depth == 0)]
        layers += [*[nn.BatchNorm2d(width)] * (depth > 0), nn.LeakyReLU(0.2, inplace=True)]
        channels, width = width, 2 * width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(first * first * channels, 1), nn.Flatten(0))


def resnet_generator(size: int, shape: Shape, width: int) -> nn.Module:
    """Returns `resnet.Generator` with batch norm."""
    first = root((*shape[1:], shape[0]))
    layers = [nn.Linear(size, first * first * width), nn.Unflatten(1, (width, first, first))]
    layers += [Block(width, width, "up", nn.BatchNorm2d) for _ in range(int(math.log2(shape[1] // first)))]
    last = nn.Conv2d(width, shape[0], 3, padding=1)
    return nn.Sequential(*layers, nn.BatchNorm2d(width), nn.ReLU(inplace=True), last, nn.Tanh())


def resnet_discriminator(shape: Shape, width: int) -> nn.Module:
    """Returns `resnet.Discriminator` without norm."""
    halvings = math.ceil(math.log2(shape[1] / LAST))
    layers = [Block(shape[0], width, "down", rectified=False)]
    layers += [Block(width, width, "down") for _ in range(halvings - 1)]
    layers += [Block(width, width, "none") for _ in range(PLAIN)]
    pool = [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, *pool, nn.Linear(width, 1), nn.Flatten(0))


class Block(nn.Module):
    """A residual block of `resnet`; `rectified` is whether it begins with norm and ReLU."""

    def __init__(
        self,
        inputs: int,
        width: int,
        resample: Literal["up", "down", "none"],
        norm: Callable[[int], nn.Module] = nn.Identity,
        rectified: bool = True,
    ) -> None:
        super().__init__()
        self.before = nn.Sequential(norm(inputs), nn.ReLU()) if rectified else nn.Identity()
        double = nn.Upsample(scale_factor=2) if resample == "up" else nn.Identity()
        halve = nn.AvgPool2d(2) if resample == "down" else nn.Identity()
        first, second = nn.Conv2d(inputs, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.convolve = nn.Sequential(double, first, norm(width), nn.ReLU(), second, halve)
        change = nn.Identity() if resample == "none" else nn.Conv2d(inputs, width, 1)
        self.shortcut = nn.Sequential(halve, change, double)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps `[b, inputs, h, w]` to `[b, width, h', w']`."""
        return self.convolve(self.before(x)) + self.shortcut(x)


def _window(side: int) -> int:
    return 3 if side % 2 else 4
