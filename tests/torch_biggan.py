"""BigGAN and BigGAN-deep in PyTorch, as functions of our parameters, after ajbrock/BigGAN-PyTorch. Needs torch."""

# pyright: reportMissingImports=false

import collections

import torch
from torch.nn import functional

SIDE = 4  # of the first map


class Layers:
    """Applies layers in the order in which ours are numbered; maps are `[b, C, H, W]`."""

    def __init__(self, params):
        self.params, self.seen = params, collections.Counter()

    def next(self, name):
        self.seen[name] += 1
        return self.params[f"{name}_{self.seen[name] - 1}"]

    def conv(self, x):
        p = self.next("Conv")
        return functional.conv2d(x, p["kernel"].permute(3, 2, 0, 1), p.get("bias"), padding="same")

    def norm(self, x, vector):
        if vector is None:
            return x
        p = self.next("ConditionalBatchNorm")
        y = functional.batch_norm(x, None, None, training=True, eps=1e-5)
        gain, bias = (vector @ p[name]["kernel"] for name in ("scale", "shift"))
        return y * (1 + gain)[:, :, None, None] + bias[:, :, None, None]

    def attention(self, x):
        p = self.next("SelfAttention")
        own = Layers(p)
        query, key, value = own.conv(x), own.conv(x), own.conv(x)
        key, value = (functional.max_pool2d(y, 2).flatten(2) for y in (key, value))
        weights = torch.softmax(query.flatten(2).transpose(1, 2) @ key, -1)
        return x + p["gamma"] * own.conv((value @ weights.transpose(1, 2)).unflatten(2, x.shape[2:]))


def up(x):
    return functional.interpolate(x, scale_factor=2)


def same(x):
    return x


def block(layers, x, vector, width, resample, first=False):
    y = x if first else torch.relu(layers.norm(x, vector))
    y = layers.conv(up(y) if resample is up else y)
    y = layers.conv(torch.relu(layers.norm(y, vector)))
    if resample is same and x.shape[1] == width:
        return x + y
    return layers.conv(up(x)) + y if resample is up else resample(y) + resample(layers.conv(x))


def deep_block(layers, x, vector, width, resample):
    y = layers.conv(torch.relu(layers.norm(x, vector)))
    y = torch.relu(layers.norm(y, vector))
    y = layers.conv(up(y) if resample is up else y)
    y = torch.relu(layers.norm(layers.conv(torch.relu(layers.norm(y, vector))), vector))
    y = layers.conv(y if resample is up else resample(y))
    x = resample(x[:, :width])
    return y + (torch.cat([x, layers.conv(x)], 1) if x.shape[1] < width else x)


def generator(params, noise, codes, widths, attended, deep):
    layers = Layers(params)
    embedded = codes @ params["embedding"]["kernel"]
    chunks = noise.chunk(len(widths) + 1, 1)
    first = torch.cat([embedded, noise], 1) if deep else chunks[0]
    p = layers.next("Dense")
    x = (first @ p["kernel"] + p["bias"]).unflatten(1, (SIDE, SIDE, -1)).permute(0, 3, 1, 2)
    for width, chunk in zip(widths, chunks[1:], strict=True):
        if deep:
            x = deep_block(layers, x, first, x.shape[1], same)
            x = deep_block(layers, x, first, width, up)
        else:
            x = block(layers, x, torch.cat([embedded, chunk], 1), width, up)
        x = layers.attention(x) if x.shape[2] == attended else x
    p = layers.next("BatchNorm")
    x = functional.batch_norm(x, None, None, p["scale"], p["bias"], training=True, eps=1e-5)
    return torch.tanh(layers.conv(torch.relu(x))).permute(0, 2, 3, 1)


def discriminator(params, images, labels, widths, halvings, attended, deep):
    layers = Layers(params)
    x = images.permute(0, 3, 1, 2)
    if deep:
        x, widths = layers.conv(x), widths[1:]
    for index, width in enumerate(widths):
        halved = index < halvings
        resample = (lambda y: functional.avg_pool2d(y, 2)) if halved else same
        if deep:
            x = deep_block(layers, deep_block(layers, x, None, width, resample), None, width, same)
        else:
            x = block(layers, x, None, width, resample, index == 0)
        x = layers.attention(x) if halved and x.shape[2] == attended else x
    features = torch.relu(x).sum((2, 3))
    p = params["Projection_0"]
    logits = features @ p["Dense_0"]["kernel"][:, 0] + p["Dense_0"]["bias"]
    return logits + (p["embedding"]["kernel"][labels] * features).sum(1)
