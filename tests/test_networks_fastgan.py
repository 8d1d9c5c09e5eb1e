"""FastGAN's blocks equal PyTorch's formulation of the authors' code, and its layers have the code's sizes."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import few

from gan_jax import losses, rng, trees
from gan_jax.networks import fastgan, linen
from gan_jax.types import TrainState

KEY = rng.key(0)


def shapes(network):
    """The shapes of all convolutions, in the order of the forward pass."""
    params = jax.eval_shape(network.init, KEY)[0]
    return {path: leaf.shape for path, leaf in trees.flat(params).items() if path.endswith("kernel")}


def effective(variables, name):
    """A kernel divided by its singular value, by one power iteration as spectral norm makes it, in PyTorch's order."""
    params, stats = (trees.flat(variables[part]) for part in ("params", "batch_stats"))
    kernel = np.array(params[f"{name}/kernel"])
    matrix = kernel.reshape(-1, kernel.shape[-1])
    v = matrix @ next(np.array(x)[0] for path, x in stats.items() if path.endswith(f"{name}/kernel/u"))
    u = matrix.T @ (v / np.linalg.norm(v))
    return (kernel / np.linalg.norm(u)).transpose(3, 2, 0, 1)


def begun(module, *inputs):
    variables = jax.jit(lambda x: module.init({"params": KEY, "noise": KEY}, *x, train=True))(inputs)
    return variables, jax.jit(lambda v, x: module.apply(v, *x, train=False))


def test_excitation_equals_pytorchs():
    torch = pytest.importorskip("torch")
    small = np.random.default_rng(0).normal(size=(2, 8, 8, 6)).astype(np.float32)
    variables, apply = begun(fastgan.Excitation(5), small)
    first, second = (torch.tensor(effective(variables, f"Conv_{i}")) for i in range(2))
    pooled = torch.nn.functional.adaptive_avg_pool2d(torch.tensor(small.transpose(0, 3, 1, 2)), 4)
    hidden = torch.nn.functional.silu(torch.nn.functional.conv2d(pooled, first))
    gates = torch.sigmoid(torch.nn.functional.conv2d(hidden, second)).numpy()
    np.testing.assert_allclose(apply(variables, (small,)), gates.transpose(0, 2, 3, 1), rtol=1e-5)


def test_a_halving_block_equals_pytorchs():
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torch.nn.functional")

    x = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype(np.float32)
    variables, apply = begun(fastgan.Down(4), x)
    kernels = [torch.tensor(effective(variables, f"Conv_{i}")) for i in range(3)]

    def activated(y):  # the running moments are 0 and 1, up to one step of their average
        i = len(used)
        used.append(i)
        mean, variance = (np.array(variables["batch_stats"][f"BatchNorm_{i}"][name]) for name in ("mean", "var"))
        return functional.leaky_relu(functional.batch_norm(y, torch.tensor(mean), torch.tensor(variance)), 0.2)

    used: list[int] = []
    images = torch.tensor(x.transpose(0, 3, 1, 2))
    y = activated(functional.conv2d(images, kernels[0], stride=2, padding=1))
    y = activated(functional.conv2d(y, kernels[1], padding=1))
    direct = activated(functional.conv2d(functional.avg_pool2d(images, 2), kernels[2]))
    expected = ((y + direct) / 2).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(apply(variables, (x,)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_layers_at_256_pixels_have_the_sizes_of_the_code():
    # models.py with ngf = ndf = 64, nz = 256, im_size = 256, without what belongs to the images of side 128
    generator = shapes(linen(fastgan.Generator((256, 256, 3)), (256,)))
    comp = [(8, 1024, 512), (8, 512, 512), (16, 512, 256)]  # side, inputs, outputs of each convolution, before the unit
    comp += [(32, 256, 128), (32, 128, 128), (64, 128, 128), (128, 128, 64), (128, 64, 64), (256, 64, 32)]
    wanted = [(4, 4, 256, 2048)] + [(3, 3, inputs, 2 * outputs) for _, inputs, outputs in comp] + [(3, 3, 32, 3)]
    gates = [(1024, 128), (512, 64), (256, 32)]
    wanted += [shape for a, b in gates for shape in ((4, 4, a, b), (1, 1, b, b))]
    assert sorted(generator.values()) == sorted(wanted)

    critic = shapes(linen(fastgan.Discriminator((256, 256, 3)), (256, 256, 3)))
    widths = [16, 32, 64, 128, 256, 512]
    wanted = [(3, 3, 3, 16), (1, 1, 512, 1024), (4, 4, 1024, 1)]
    for a, b in itertools.pairwise(widths):
        wanted += [(4, 4, a, b), (3, 3, b, b), (1, 1, a, b)]
    for a, b in ((16, 128), (32, 256), (64, 512)):
        wanted += [(4, 4, a, b), (1, 1, b, b)]
    for inputs in (512, 256):  # of the whole image and of the part
        widths = [inputs, 128, 64, 64, 32]
        wanted += [(3, 3, a, 2 * b) for a, b in itertools.pairwise(widths)] + [(3, 3, 32, 3)]
    assert sorted(critic.values()) == sorted(wanted)


@pytest.mark.parametrize("side", few([16, 28, 32, 64, 128, 512], 16, 28))
def test_every_side_has_images_and_patches(side):
    shape, root = (side, side, 3), 7 if side == 28 else 4
    networks = linen(fastgan.Generator(shape, 8), (5,)), linen(fastgan.Discriminator(shape, 8), shape)
    (g, g_stats), (d, d_stats) = (jax.eval_shape(network.init, KEY) for network in networks)
    latents = jax.ShapeDtypeStruct((2, 5), "float32")
    images = jax.eval_shape(lambda p, s, z: networks[0].apply(p, s, z, train=True, key=KEY)[0], g, g_stats, latents)
    assert images.shape == (2, *shape)
    said = jax.eval_shape(lambda p, s, x: networks[1].apply(p, s, x, train=True, key=KEY)[0], d, d_stats, images)
    assert said["logits"].shape == (2, 2 * root - 3, 2 * root - 3) and said["reconstruction"].shape == (2,)


def test_too_small_images_are_refused():
    with pytest.raises(ValueError, match=r"images of 8x8: .* from 16 to 1024; give --resolution 16"):
        linen(fastgan.Discriminator((8, 8, 3), 4), (8, 8, 3)).init(KEY)


def test_a_part_of_a_map_belongs_to_the_same_part_of_the_image():
    images = jax.random.normal(KEY, (8, 8, 8, 1))
    corners = jnp.arange(8) % 4
    parts = fastgan._quarter(images, corners)
    np.testing.assert_array_equal(parts[1], images[1, :4, 4:])
    np.testing.assert_array_equal(parts[2], images[2, 4:, :4])
    np.testing.assert_allclose(
        fastgan._quarter(fastgan._pooled(images, 2), corners), fastgan._pooled(parts, 2), rtol=1e-6
    )
    halves = jnp.stack([parts[0]] * 2)
    np.testing.assert_allclose(fastgan._error(fastgan._pooled(halves, 2) + 0.25, halves), 0.25, rtol=1e-5)


def test_noise_is_drawn_for_each_example_in_training_alone():
    module, x = fastgan.Noise(), jnp.ones((4, 2, 2, 3))
    made = module.apply({"params": {"strength": jnp.array(0.5)}}, x, train=True, rngs={"noise": KEY})
    noise = (np.asarray(made) - np.asarray(x)) / 0.5
    np.testing.assert_allclose(noise, np.broadcast_to(noise[..., :1], noise.shape), rtol=1e-5)  # of a pixel
    assert len(np.unique(noise[..., 0])) == 16
    np.testing.assert_array_equal(module.apply({"params": {"strength": jnp.array(0.5)}}, x, train=False), x)


def test_noisy_margins_average_over_an_interval():
    loss = losses.resolve(losses.noisy_hinge(0.2), TrainState(jnp.zeros(()), {}, {}, {}, {}, {}), KEY)
    real = jnp.full((20_000,), 0.9)
    # E max(0, u - 0.9) = 0.1^2 / 2 / 0.2 for u uniform on [0.8, 1], and E (v - 1) = -0.1 below the margins
    np.testing.assert_allclose(jnp.mean(loss.discriminator(real, -2 * jnp.ones(20_000))), 0.025, rtol=0.05)
    np.testing.assert_allclose(jnp.mean(loss.discriminator(real + 1, jnp.ones(20_000))), 1.9, rtol=0.01)
    np.testing.assert_array_equal(loss.generator(real, real), losses.hinge().generator(real, real))
    with pytest.raises(ValueError, match=r"noise=0: it must lie in \(0, 1\]"):
        losses.noisy_hinge(0)
