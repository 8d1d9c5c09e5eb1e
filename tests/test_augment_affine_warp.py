"""ADA's anti-aliased warp: the official code's, in PyTorch, and properties of its filter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.augment.affine_warp import SYM6, TAPS, double, halve, warp

IMAGES = np.random.default_rng(0).uniform(-1, 1, (4, 12, 9, 3))  # uneven sides, an even one and an odd one
WEIGHTS = np.random.default_rng(1).normal(size=IMAGES.shape)
IDENTITY = np.eye(2, 3)
MIRROR = 2 * np.convolve(TAPS, TAPS)[::2]  # what a flip does besides: the filter meets itself, not its mirror image

compiled = jax.jit(warp)


@jax.jit
def forth_and_back(images, inverse, weights):
    """The warped images, and the gradient of their sum with these weights."""
    warped, pull = jax.vjp(lambda images: jax.vmap(warp)(images, inverse), images)
    return warped, pull(weights)[0]


def of_the_official_code(images, inverse, weights):
    """`AugmentPipe.forward` between the choice of G_inv and the colours, on images [b, h, w, c] and maps [b, 2, 3]."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional

    def scale(x, y):
        return torch.diag(torch.tensor([x, y, 1.0], dtype=torch.float64))

    def translate(x, y):
        return torch.tensor([[1, 0, x], [0, 1, y], [0, 0, 1]], dtype=torch.float64)

    def filtered(x, gain, stride=1):
        taps = np.array(SYM6) / np.sum(SYM6)
        kernel = torch.tensor(gain * np.outer(taps, taps)).expand(x.shape[1], 1, 12, 12)
        # a convolution where pixels are doubled, a correlation where they are halved
        return functional.conv2d(x, kernel.flip(2, 3) if stride == 1 else kernel, stride=stride, groups=x.shape[1])

    xy = np.tile(np.eye(3), (len(images), 1, 1))
    xy[:, :2] = inverse[:, ::-1][:, :, [1, 0, 2]]  # columns come first there
    inverse, given = torch.tensor(xy), torch.tensor(images.transpose(0, 3, 1, 2), requires_grad=True)
    b, c, height, width = given.shape
    cx, cy = (width - 1) / 2, (height - 1) / 2
    corners = torch.tensor([[-cx, -cy, 1], [cx, -cy, 1], [cx, cy, 1], [-cx, cy, 1]], dtype=torch.float64)
    corners = (inverse @ corners.T)[:, :2].permute(1, 0, 2).flatten(1)
    margin = torch.cat([-corners, corners]).max(dim=1).values + torch.tensor([6 - cx, 6 - cy] * 2)
    margin = margin.clamp(min=0).minimum(torch.tensor([width - 1, height - 1] * 2))
    left, top, right, bottom = margin.ceil().int().tolist()

    x = functional.pad(given, [left, right, top, bottom], mode="reflect")
    inverse = translate((left - right) / 2, (top - bottom) / 2) @ inverse
    spread = x.new_zeros(b, c, 2 * x.shape[2], 2 * x.shape[3])
    spread[..., ::2, ::2] = x
    x = filtered(functional.pad(spread, [6, 5, 6, 5]), 4)
    inverse = scale(2, 2) @ inverse @ scale(1 / 2, 1 / 2)
    inverse = translate(-0.5, -0.5) @ inverse @ translate(0.5, 0.5)
    size = [b, c, 2 * (height + 6), 2 * (width + 6)]
    inverse = scale(2 / x.shape[3], 2 / x.shape[2]) @ inverse @ scale(size[3] / 2, size[2] / 2)
    grid = functional.affine_grid(inverse[:, :2], size, align_corners=False)
    x = functional.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    x = filtered(x[..., 1:-1, 1:-1], 1, stride=2).permute(0, 2, 3, 1)
    (x * torch.tensor(weights)).sum().backward()
    return x.detach().numpy(), given.grad.permute(0, 2, 3, 1).numpy(), (left, top, right, bottom)


def test_the_warp_is_that_of_the_official_code_with_its_gradient():
    inverse = IDENTITY + np.random.default_rng(2).normal(size=(4, 2, 3)) * [0.5, 0.5, 2]
    inverse[0] = 3 * IDENTITY  # reduced to a third, this image needs the largest margin, which its batch then has
    expected, slope, margin = of_the_official_code(IMAGES, inverse, WEIGHTS)
    assert margin == (8, 11, 8, 11)
    with jax.enable_x64(True):
        found = forth_and_back(IMAGES, inverse, WEIGHTS)
    np.testing.assert_allclose(found[0], expected, atol=1e-11)
    np.testing.assert_allclose(found[1], slope, atol=1e-10)


def test_where_the_batch_needs_less_the_official_margin_gives_the_same():
    inverse = np.array([[[0.7, 0.1, 0.5], [-0.1, 0.6, -1.2]]] * 4)
    expected, slope, margin = of_the_official_code(IMAGES, inverse, WEIGHTS)
    assert max(margin) < 8
    with jax.enable_x64(True):
        found = forth_and_back(IMAGES, inverse, WEIGHTS)
    np.testing.assert_allclose(found[0], expected, atol=1e-11)
    np.testing.assert_allclose(found[1], slope, atol=1e-10)


def test_halving_undoes_doubling():
    x = np.pad(IMAGES[0], [(6, 6), (6, 6), (0, 0)])
    with jax.enable_x64(True):
        rows, columns = jax.jit(lambda x: [halve(double(x, axis), axis) for axis in (0, 1)])(x)
    np.testing.assert_allclose(rows, x[6:-6], atol=1e-11)
    np.testing.assert_allclose(columns, x[:, 6:-6], atol=1e-11)


@pytest.mark.parametrize("operator", [double, halve])
def test_both_derivatives_are_the_same_matrix_and_so_are_those_of_the_transpose(operator):
    x = jnp.zeros((3, 16))

    def along_rows(x):
        return operator(x, 1)

    def back(y):
        return jax.linear_transpose(along_rows, x)(y)[0]

    forward, reverse = jax.jit(jax.jacfwd(along_rows))(x), jax.jit(jax.jacrev(along_rows))(x)
    y = jnp.zeros(forward.shape[:2])
    assert np.any(forward)
    np.testing.assert_array_equal(forward, reverse)
    for jacobian in (jax.jacfwd, jax.jacrev):
        np.testing.assert_array_equal(jax.jit(jacobian(back))(y), np.transpose(forward, (2, 3, 0, 1)))
    with jax.disable_jit():
        np.testing.assert_array_equal(along_rows(x + 1), jax.jit(along_rows)(x + 1))


def test_the_identity_changes_nothing_and_constants_stay():
    image = jnp.asarray(IMAGES[0], jnp.float32)
    np.testing.assert_array_equal(compiled(image, IDENTITY), image)
    turned = np.array([[0.8, -0.5, 0.3], [0.6, 0.7, 0.4]])
    np.testing.assert_allclose(compiled(jnp.full((12, 9, 1), 0.7), turned), 0.7, atol=1e-6)


def test_whole_pixel_translations_are_exact_with_reflection():
    image = IMAGES[0]
    padded = np.pad(image, [(3, 3), (3, 3), (0, 0)], "reflect")
    for y, x in ((1, 0), (-3, 2), (0, -1)):
        found = compiled(jnp.asarray(image, jnp.float32), np.array([[1, 0, y], [0, 1, x]], float))
        np.testing.assert_allclose(found, padded[3 + y : 15 + y, 3 + x : 12 + x], atol=1e-6)


@pytest.mark.parametrize(
    ("linear", "plain", "axes"),
    [
        ([[1, 0], [0, -1]], lambda image: image[:, ::-1], [1]),
        ([[0, 1], [-1, 0]], lambda image: np.rot90(image, 1), [0]),
        ([[-1, 0], [0, -1]], lambda image: np.rot90(image, 2), [0, 1]),
        ([[0, -1], [1, 0]], lambda image: np.rot90(image, -1), [1]),
    ],
)
def test_flips_and_turns_are_plain_but_for_the_asymmetry_of_the_filter(linear, plain, axes):
    image = np.random.default_rng(2).uniform(-1, 1, (24, 24, 1))
    expected = plain(image)
    for axis in axes:  # which the map mirrors
        expected = np.apply_along_axis(lambda row: np.convolve(row, MIRROR[::-1])[6:30], axis, expected)
    found = compiled(jnp.asarray(image, jnp.float32), np.c_[linear, [0, 0]].astype(float))
    np.testing.assert_allclose(found[8:-8, 8:-8], expected[8:-8, 8:-8], atol=1e-5)
    assert MIRROR[5] > 0.96 and np.abs(np.delete(MIRROR, 5)).max() < 0.1 and sum(MIRROR) == pytest.approx(1)


def test_reducing_removes_what_would_alias():
    checks = np.indices((32, 32)).sum(0)[..., None] % 2 * 2.0 - 1  # the highest frequency
    found = compiled(jnp.asarray(checks, jnp.float32), 2 * IDENTITY)
    assert np.abs(found[4:-4, 4:-4]).max() < 0.01  # every second pixel would be 1 everywhere
