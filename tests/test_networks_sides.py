"""Sides of images: one rule for all networks; those of the sides that came first are as they were."""

import zlib

import jax
import numpy as np
import pytest

from gan_jax.networks import biggan, dcgan, fastgan, linen, progan, r3gan, resnet, stylegan2
from gan_jax.networks.autoencoder import Autoencoder, UpsamplingAutoencoder, UpsamplingDecoder
from gan_jax.networks.encoder import Encoder
from gan_jax.networks.heads import WithLatent
from gan_jax.networks.layers.sides import ROOTS, map_sides, root, widths

KEY = jax.random.key(0)


def layout(shape):
    return r3gan.Layout(shape, width=64, blocks=1, group_width=1)


MODULES = {  # module of images of a shape, the shapes of its inputs, and of its output
    "dcgan generator": lambda shape: (dcgan.Generator(shape, 2), [(3,)], shape),
    "dcgan discriminator": lambda shape: (dcgan.Discriminator(shape, 2), [shape], ()),
    "residual generator": lambda shape: (resnet.Generator(shape, 2), [(3,)], shape),
    "residual discriminator": lambda shape: (resnet.Discriminator(shape, 2), [shape], ()),
    "growing generator": lambda shape: (progan.Generator(shape, 2), [(3,)], shape),
    "growing discriminator": lambda shape: (progan.Discriminator(shape, 2), [shape], ()),
    "StyleGAN2 generator": lambda shape: (stylegan2.Generator(shape, 4, 2, base=4096, most=4), [(3,)], shape),
    "StyleGAN2 discriminator": lambda shape: (stylegan2.Discriminator(shape, base=4096, most=4, group=2), [shape], ()),
    "R3GAN generator": lambda shape: (r3gan.Generator(layout(shape)), [(3,)], shape),
    "R3GAN discriminator": lambda shape: (r3gan.Discriminator(layout(shape)), [shape], ()),
    "FastGAN generator": lambda shape: (fastgan.Generator(shape, 4), [(3,)], shape),
    "FastGAN discriminator": lambda shape: (fastgan.Discriminator(shape, 4), [shape], None),
    "conditional generator": lambda shape: (biggan.Generator(shape, 3, 1, embedding=2), [(12,)], shape),
    "conditional discriminator": lambda shape: (biggan.Discriminator(shape, 3, 1), [shape, ()], ()),
    "deep generator": lambda shape: (biggan.Generator(shape, 3, 4, embedding=2, deep=True), [(12,)], shape),
    "deep discriminator": lambda shape: (biggan.Discriminator(shape, 3, 4, deep=True), [shape, ()], ()),
    "autoencoder": lambda shape: (Autoencoder(shape, 2, 5), [shape], ()),
    "upsampling decoder": lambda shape: (UpsamplingDecoder(shape, 2), [(3,)], shape),
    "upsampling autoencoder": lambda shape: (UpsamplingAutoencoder(shape, 2, 5), [shape], ()),
    "encoder": lambda shape: (Encoder(5, 2), [shape], (5,)),
    "discriminator of pairs": lambda shape: (WithLatent(2, 7), [shape, (3,)], ()),
}


def patches(side):
    """The logits of FastGAN's discriminator: its last map, less 3 at each end, is of twice the smallest side."""
    return (2 * ROOTS[side] - 3,) * 2


def made(name, side):
    module, given, out = MODULES[name]((side, side, 3))
    return linen(module, *given), given, out


def paths(tree):
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def test_sides_are_4_to_7_times_a_power_of_2_up_to_1024():
    assert sorted(ROOTS) == [n for n in range(8, 1025) if n / 2 ** (n.bit_length() - 3) in (4, 5, 6, 7)]
    assert {28, 32, 48, 64, 96, 128, 256, 512, 1024} <= set(ROOTS)


@pytest.mark.parametrize("side", ROOTS)
def test_each_map_has_half_the_side_of_the_next(side):
    for most, smallest in ((6, (4, 5, 6)), (8, (5, 6, 7, 8))):
        sides = map_sides((side, side, 1), most)
        assert sides[-1] == side and sides[0] in smallest
        assert [-(-after // 2) for after in sides[1:]] == [*sides[:-1]]
    assert side % root((side, side, 1)) == 0


def test_channels_double_up_to_the_cap():
    assert widths(3, 5, 8) == [3, 6, 12, 24, 24] and widths(3, 3, 1) == [3, 3, 3]
    for name in ("dcgan generator", "dcgan discriminator", "autoencoder", "encoder"):
        network, *_ = made(name, 512)
        params = paths(jax.eval_shape(network.init, KEY)[0])
        assert max(leaf.shape[-1] for path, leaf in params.items() if "Conv" in path) == 8 * 2


@pytest.mark.slow
@pytest.mark.parametrize("side", [8, 40, 96, 112, 1024])
def test_every_network_fits_every_side(side):
    for name in MODULES:
        if "FastGAN" in name and side < 16:
            continue
        network, given, out = made(name, side)
        like = jax.eval_shape(network.init, KEY)
        inputs = [jax.ShapeDtypeStruct((2, *shape), "float32") for shape in given]
        output = jax.eval_shape(lambda p, s, *x, n=network: n.apply(p, s, *x, train=True, key=KEY)[0], *like, *inputs)
        output = output["logits"] if isinstance(output, dict) else output
        assert output.shape == (2, *(patches(side) if out is None else out)), name


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize(
    ("shape", "near"),
    [
        ((50, 50, 3), r"--resolution 48 or --resolution 56"),
        ((100, 100, 3), r"--resolution 96 or --resolution 112"),
        ((600, 600, 3), r"--resolution 512 or --resolution 640"),
        ((2000, 2000, 3), r"--resolution 1024"),
        ((7, 7, 3), r"--resolution 8"),
        ((48, 64, 3), r"--resolution 48"),
    ],
)
def test_other_sides_are_refused_and_the_nearest_named(name, shape, near):
    module, given, _ = MODULES[name](shape)
    near = near.replace("8", "16") if "FastGAN" in name and shape[0] == 7 else near
    with pytest.raises(ValueError, match=rf"images of {shape[0]}x{shape[1]}: .*4, 5, 6 or 7 times.*give {near}"):
        jax.eval_shape(linen(module, *given).init, KEY)


# of the version in which sides were 28, 32 and 64: a checksum of the parameters' names and shapes; and for some, as
# compiling all takes long, the sum of |value| times 1 to 7 in turn, else 0
BEFORE = {
    ("dcgan generator", 28): (3114245386, 98.4038),
    ("dcgan generator", 32): (110972418, 0),
    ("dcgan generator", 64): (2293763693, 0),
    ("dcgan discriminator", 28): (1900269105, 0),
    ("dcgan discriminator", 32): (4053259219, 0),
    ("dcgan discriminator", 64): (1246706362, 290.2145),
    ("residual generator", 28): (23789318, 789.1512),
    ("residual generator", 32): (2204076179, 0),
    ("residual generator", 64): (555699008, 0),
    ("residual discriminator", 28): (50500169, 0),
    ("residual discriminator", 32): (50500169, 0),
    ("residual discriminator", 64): (994242275, 0),
    ("autoencoder", 28): (233563532, 0),
    ("autoencoder", 32): (2695039749, 0),
    ("autoencoder", 64): (2203430829, 0),
    ("upsampling decoder", 28): (1599693415, 0),
    ("upsampling decoder", 32): (333825714, 0),
    ("upsampling decoder", 64): (1840675389, 0),
    ("upsampling autoencoder", 28): (3856916707, 0),
    ("upsampling autoencoder", 32): (2823165721, 0),
    ("upsampling autoencoder", 64): (1746010618, 0),
    ("encoder", 28): (2949983103, 0),
    ("encoder", 32): (13160530, 0),
    ("encoder", 64): (407498593, 0),
    ("discriminator of pairs", 28): (2073563718, 0),
    ("discriminator of pairs", 32): (43137903, 0),
    ("discriminator of pairs", 64): (1976167459, 0),
}  # fmt: skip


def digest(name, side, values):
    network, *_ = made(name, side)
    params = paths(jax.jit(network.init)(KEY)[0] if values else jax.eval_shape(network.init, KEY)[0])
    shapes = zlib.crc32(" ".join(f"{path}{leaf.shape}" for path, leaf in params.items()).encode())
    flat = [np.abs(np.asarray(leaf).ravel()) for leaf in params.values()] if values else []
    return shapes, float(sum(np.sum(x * (np.arange(x.size) % 7 + 1)) for x in flat))


@pytest.mark.parametrize(("name", "side"), BEFORE)
def test_networks_of_earlier_sides_have_the_same_parameters(name, side):
    shapes, total = BEFORE[name, side]
    found = digest(name, side, values=total > 0)
    assert found[0] == shapes
    np.testing.assert_allclose(found[1], total, rtol=1e-5)
