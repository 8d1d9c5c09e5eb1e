"""StyleGAN2's networks in plain PyTorch, with the tensor names of stylegan2-ada-pytorch, for comparison. Needs torch.

Written from the papers and the official code's formulas: modulated convolutions with a kernel for each example, by a
grouped convolution, and FIR resampling by inserting zeros. Parameters are random, also where the originals start at 0.
"""

# pyright: reportMissingImports=false

import math

import torch
from torch.nn import functional

TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8


def upfirdn(x, up=1, down=1, pads=(0, 0), gain=1.0):
    batch, channels, height, width = x.shape
    stuffed = x.new_zeros(batch, channels, height * up, width * up)
    stuffed[:, :, ::up, ::up] = x
    padded = functional.pad(stuffed, (*pads, *pads))
    kernel = (gain * torch.outer(TAPS, TAPS)).to(x.dtype).expand(channels, 1, 4, 4)
    return functional.conv2d(padded, kernel, groups=channels)[:, :, ::down, ::down]


def dense(x, tensors, name, rate=1.0, activate=False):
    weight = tensors[f"{name}.weight"]
    y = x @ weight.T * (rate / math.sqrt(weight.shape[1])) + rate * tensors[f"{name}.bias"]
    return math.sqrt(2) * functional.leaky_relu(y, 0.2) if activate else y


def normal(x):
    return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()


def activate(x, bias, gain=1.0):
    y = functional.leaky_relu(x + bias[:, None, None], 0.2) * math.sqrt(2) * gain
    return y.clamp(-256 * gain, 256 * gain)


def mapping(tensors, prefix, z, label):
    parts = [] if z is None else [normal(z)]
    if f"{prefix}.embed.weight" in tensors:
        parts.append(normal(dense(label, tensors, f"{prefix}.embed")))
    x = torch.cat(parts, 1)
    for i in range(sum(name.startswith(f"{prefix}.fc") and name.endswith("weight") for name in tensors)):
        x = dense(x, tensors, f"{prefix}.fc{i}", 0.01, activate=True)
    return x


def modulated(x, weight, styles, up, demodulate=True):
    batch, features = len(x), len(weight)
    kernels = weight[None] * styles[:, None, :, None, None]
    if demodulate:
        kernels = kernels * (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    merged = x.reshape(1, -1, *x.shape[2:])
    if up:
        kernels = kernels.transpose(1, 2).reshape(-1, features, *weight.shape[2:])
        y = functional.conv_transpose2d(merged, kernels, stride=2, groups=batch)
        y = y.reshape(batch, features, *y.shape[2:])
        return upfirdn(y, pads=(1, 1), gain=4.0)
    kernels = kernels.reshape(-1, *weight.shape[1:])
    y = functional.conv2d(merged, kernels, padding=weight.shape[2] // 2, groups=batch)
    return y.reshape(batch, features, *y.shape[2:])


def layer(x, tensors, name, style, up=False):
    styles = dense(style, tensors, f"{name}.affine")
    x = modulated(x, tensors[f"{name}.weight"], styles, up)
    return activate(x + tensors[f"{name}.noise_const"] * tensors[f"{name}.noise_strength"], tensors[f"{name}.bias"])


def to_image(x, tensors, name, style):
    weight = tensors[f"{name}.weight"]
    styles = dense(style, tensors, f"{name}.affine") / math.sqrt(weight.shape[1])
    return modulated(x, weight, styles, up=False, demodulate=False) + tensors[f"{name}.bias"][:, None, None]


def synthesis(tensors, ws, side):
    x, image, place, at = tensors["synthesis.b4.const"].expand(len(ws), -1, -1, -1), None, 0, 4
    while at <= side:
        name = f"synthesis.b{at}"
        if at > 4:
            x = layer(x, tensors, f"{name}.conv0", ws[:, place], up=True)
            place += 1
        x = layer(x, tensors, f"{name}.conv1", ws[:, place])
        place += 1
        new = to_image(x, tensors, f"{name}.torgb", ws[:, place])
        image = new if image is None else upfirdn(image, up=2, pads=(2, 1), gain=4.0) + new
        at *= 2
    return image


def generator(tensors, z, label, side, psi=1.0, cutoff=None):
    w = mapping(tensors, "mapping", z, label)
    ws = w[:, None].repeat(1, 2 * int(math.log2(side)) - 2, 1)
    mean = tensors["mapping.w_avg"]
    cutoff = ws.shape[1] if cutoff is None else cutoff
    ws = torch.cat([mean + psi * (ws[:, :cutoff] - mean), ws[:, cutoff:]], 1)
    return synthesis(tensors, ws, side)


def discriminator(tensors, images, label, side, group=4):
    x, at = images, side
    while at > 4:
        name = f"b{at}"
        if at == side:
            weight = tensors[f"{name}.fromrgb.weight"]
            x = activate(functional.conv2d(x, weight / math.sqrt(weight.shape[1])), tensors[f"{name}.fromrgb.bias"])
        scaled = {
            part: tensors[f"{name}.{part}.weight"] / math.sqrt(tensors[f"{name}.{part}.weight"][0].numel())
            for part in ("conv0", "conv1", "skip")
            if f"{name}.{part}.weight" in tensors
        }
        gain = math.sqrt(0.5) if "skip" in scaled else 1.0
        y = activate(functional.conv2d(x, scaled["conv0"], padding=1), tensors[f"{name}.conv0.bias"])
        y = functional.conv2d(upfirdn(y, pads=(2, 2)), scaled["conv1"], stride=2)
        y = activate(y, tensors[f"{name}.conv1.bias"], gain)
        x = y + gain * functional.conv2d(upfirdn(x, down=2, pads=(1, 1)), scaled["skip"]) if "skip" in scaled else y
        at //= 2
    count = min(group, len(x))
    groups = x.reshape(count, len(x) // count, *x.shape[1:])
    deviation = (groups.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3)).repeat(count)
    x = torch.cat([x, deviation[:, None, None, None].expand(-1, 1, *x.shape[2:])], 1)
    weight = tensors["b4.conv.weight"]
    x = activate(functional.conv2d(x, weight / math.sqrt(weight[0].numel()), padding=1), tensors["b4.conv.bias"])
    x = dense(x.flatten(1), tensors, "b4.fc", activate=True)
    x = dense(x, tensors, "b4.out")
    if label is None:
        return x[:, 0]
    return (x * mapping(tensors, "mapping", None, label)).sum(1) / math.sqrt(x.shape[1])


def generator_shapes(side, latent, width, depth, base, most, classes, channels=3):
    """Names and shapes of the tensors of a generator's state dict, without the filters' buffers."""
    features = {s: min(base // s, most) for s in sides(side)}
    shapes = mapping_shapes("mapping", latent, classes, width, depth) | {"mapping.w_avg": (width,)}
    for s in sides(side):
        name, inside = f"synthesis.b{s}", features[s]
        if s == 4:
            shapes[f"{name}.const"] = (inside, 4, 4)
        else:
            shapes |= layer_shapes(f"{name}.conv0", width, features[s // 2], inside, s)
        shapes |= layer_shapes(f"{name}.conv1", width, inside, inside, s)
        shapes |= dense_shapes(f"{name}.torgb.affine", width, inside)
        shapes |= {f"{name}.torgb.weight": (channels, inside, 1, 1), f"{name}.torgb.bias": (channels,)}
    return shapes


def discriminator_shapes(side, base, most, classes, residual=True, channels=3):
    features = {s: min(base // s, most) for s in sides(side)}
    shapes = mapping_shapes("mapping", 0, classes, features[4], 8) if classes else {}
    for s in sides(side)[:0:-1]:
        name, inside, after = f"b{s}", features[s], features[s // 2]
        if s == side:
            shapes |= {f"{name}.fromrgb.weight": (inside, channels, 1, 1), f"{name}.fromrgb.bias": (inside,)}
        shapes |= {f"{name}.conv0.weight": (inside, inside, 3, 3), f"{name}.conv0.bias": (inside,)}
        shapes |= {f"{name}.conv1.weight": (after, inside, 3, 3), f"{name}.conv1.bias": (after,)}
        shapes |= {f"{name}.skip.weight": (after, inside, 1, 1)} if residual else {}
    last = features[4]
    shapes |= {"b4.conv.weight": (last, last + 1, 3, 3), "b4.conv.bias": (last,)}
    return shapes | dense_shapes("b4.fc", 16 * last, last) | dense_shapes("b4.out", last, last if classes else 1)


def sides(side):
    return [2**i for i in range(2, side.bit_length())]


def mapping_shapes(prefix, latent, classes, width, depth):
    shapes = dense_shapes(f"{prefix}.embed", classes, width) if classes else {}
    inputs = latent + (width if classes else 0)
    for i in range(depth):
        shapes |= dense_shapes(f"{prefix}.fc{i}", inputs if i == 0 else width, width)
    return shapes


def layer_shapes(name, width, inputs, features, side):
    return dense_shapes(f"{name}.affine", width, inputs) | {
        f"{name}.weight": (features, inputs, 3, 3),
        f"{name}.bias": (features,),
        f"{name}.noise_strength": (),
        f"{name}.noise_const": (side, side),
    }


def dense_shapes(name, inputs, features):
    return {f"{name}.weight": (features, inputs), f"{name}.bias": (features,)}
