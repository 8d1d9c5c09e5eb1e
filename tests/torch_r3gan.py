"""R3GAN's networks in plain PyTorch, with the tensor names of the authors' code, for comparison. Needs torch.

Written from the formulas of github.com/brownvc/R3GAN (R3GAN/Networks.py, Resamplers.py, FusedOperators.py), with random
parameters throughout, also where the originals start at 0.
"""

# pyright: reportMissingImports=false

import itertools

import torch
from torch import nn
from torch.nn import functional


def parameter(*shape):
    fan_in = torch.Size(shape[1:]).numel() if len(shape) > 1 else 10
    return nn.Parameter(torch.randn(shape) / fan_in**0.5)


class Weight(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.weight = parameter(*shape)


class Convolution(nn.Module):
    def __init__(self, inputs, outputs, size, groups=1):
        super().__init__()
        self.Layer, self.groups = Weight(outputs, inputs // groups, size, size), groups

    def forward(self, x):
        weight = self.Layer.weight
        return functional.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=self.groups)


class Activation(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.Bias = parameter(channels)

    def forward(self, x):
        return functional.leaky_relu(x + self.Bias[:, None, None], 0.2)


class Block(nn.Module):
    def __init__(self, channels, cardinality, expansion):
        super().__init__()
        wide = channels * expansion
        self.LinearLayer1 = Convolution(channels, wide, 1)
        self.LinearLayer2 = Convolution(wide, wide, 3, cardinality)
        self.LinearLayer3 = Convolution(wide, channels, 1)
        self.NonLinearity1, self.NonLinearity2 = Activation(wide), Activation(wide)

    def forward(self, x):
        y = self.NonLinearity1(self.LinearLayer1(x))
        return x + self.LinearLayer3(self.NonLinearity2(self.LinearLayer2(y)))


class Resampler(nn.Module):
    def __init__(self, up):
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8  # [1, 2, 1] convolved with [1, 1]
        self.register_buffer("Kernel", torch.outer(taps, taps))
        self.up = up

    def forward(self, x):
        kernel = self.Kernel.expand(x.shape[1], 1, 4, 4)  # pyright: ignore[reportCallIssue]
        if self.up:
            return functional.conv_transpose2d(x, 4 * kernel, stride=2, padding=1, groups=x.shape[1])
        return functional.conv2d(x, kernel, stride=2, padding=1, groups=x.shape[1])


class Transition(nn.Module):
    def __init__(self, inputs, outputs, up):
        super().__init__()
        self.Resampler, self.up = Resampler(up), up
        if inputs != outputs:
            self.LinearLayer = Convolution(inputs, outputs, 1)

    def forward(self, x):
        change = getattr(self, "LinearLayer", lambda x: x)
        return self.Resampler(change(x)) if self.up else change(self.Resampler(x))


class GenerativeBasis(nn.Module):
    def __init__(self, inputs, channels):
        super().__init__()
        self.Basis, self.LinearLayer = nn.Parameter(torch.randn(channels, 4, 4)), Weight(channels, inputs)

    def forward(self, x):
        return self.Basis * functional.linear(x, self.LinearLayer.weight)[:, :, None, None]


class DiscriminativeBasis(nn.Module):
    def __init__(self, channels, outputs):
        super().__init__()
        self.Basis, self.LinearLayer = Weight(channels, 1, 4, 4), Weight(outputs, channels)

    def forward(self, x):
        y = functional.conv2d(x, self.Basis.weight, groups=x.shape[1])
        return functional.linear(y.flatten(1), self.LinearLayer.weight)


class Stage(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.Layers = nn.ModuleList(layers)

    def forward(self, x):
        for layer in self.Layers:
            x = layer(x)
        return x


class Generator(nn.Module):
    def __init__(self, noise, widths, cardinalities, blocks, expansion, classes=0, embedding=0, channels=3):
        super().__init__()
        enter = [GenerativeBasis(noise + embedding, widths[0])]
        enter += [Transition(*pair, up=True) for pair in itertools.pairwise(widths)]
        self.MainLayers = nn.ModuleList(
            Stage(first, *[Block(width, groups, expansion) for _ in range(n)])
            for first, width, groups, n in zip(enter, widths, cardinalities, blocks, strict=True)
        )
        self.AggregationLayer = Convolution(widths[-1], channels, 1)
        if classes:
            self.EmbeddingLayer = Weight(embedding, classes)

    def forward(self, z, y=None):
        if y is not None:
            z = torch.cat([z, functional.linear(y, self.EmbeddingLayer.weight)], 1)
        for stage in self.MainLayers:
            z = stage(z)
        return self.AggregationLayer(z)


class Discriminator(nn.Module):
    def __init__(self, widths, cardinalities, blocks, expansion, classes=0, embedding=0, channels=3):
        super().__init__()
        leave = [Transition(*pair, up=False) for pair in itertools.pairwise(widths)]
        leave += [DiscriminativeBasis(widths[-1], embedding if classes else 1)]
        self.ExtractionLayer = Convolution(channels, widths[0], 1)
        self.MainLayers = nn.ModuleList(
            Stage(*[Block(width, groups, expansion) for _ in range(n)], last)
            for last, width, groups, n in zip(leave, widths, cardinalities, blocks, strict=True)
        )
        if classes:
            self.EmbeddingLayer = Weight(embedding, classes)

    def forward(self, x, y=None):
        x = self.ExtractionLayer(x)
        for stage in self.MainLayers:
            x = stage(x)
        if y is not None:
            x = (x * functional.linear(y, self.EmbeddingLayer.weight)).sum(1, keepdim=True)
        return x[:, 0]


class Wrapped(nn.Module):
    """As in training/networks.py, where names begin with "Model."."""

    def __init__(self, model):
        super().__init__()
        self.Model = model

    def forward(self, *inputs):
        return self.Model(*inputs)


def pair(noise, widths, cardinalities, blocks, expansion, classes=0, channels=3):
    """The generator and the mirrored discriminator, with the embeddings of train.py."""
    generator = Generator(noise, widths, cardinalities, blocks, expansion, classes, noise * bool(classes), channels)
    discriminator = Discriminator(
        widths[::-1], cardinalities[::-1], blocks[::-1], expansion, classes, widths[0], channels
    )
    return Wrapped(generator), Wrapped(discriminator)


def tensors(generator, discriminator):
    """The state dicts as the recipe saves them."""
    both = {"G_ema": generator, "D": discriminator}
    return {f"{name}.{key}": x.detach().numpy() for name, net in both.items() for key, x in net.state_dict().items()}
