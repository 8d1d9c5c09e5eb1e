"""Resizes are what PyTorch, TensorFlow 1 and Pillow make of the same images; PyTorch's part needs torch."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from toy import few

from gan_jax.metrics.features import resize

# JAX computes places in float32: of 512 pixels they are off by up to 3e-5 pixels, and contrasts are up to 2 a pixel
CLOSE = 1e-4
FUNCTIONS = (resize.bilinear, resize.tensorflow, resize.clean)
SHAPES = ((28, 28), (300, 298), (64, 512), (1, 5))
CASES = [
    pytest.param(shape, side, marks=() if (place + (side == 7)) % 4 == 0 else pytest.mark.slow)
    for place, shape in enumerate(SHAPES)
    for side in (7, 299)
]  # by default one that grows, and one that shrinks in one direction


def images(height, width, channels=3, count=2):
    """Images of 8 bits, noise with edges at full contrast."""
    draws = np.random.default_rng(height * width)
    image = draws.integers(0, 256, (count, height, width, channels))
    image[:, : height // 2, ::2] = 255
    return jnp.asarray((image.astype(np.float32) - 127.5) / 127.5)


def pillow(images, side):
    """Resizes as clean-fid does: bytes as floats, channel by channel, clipped to [0, 255]."""
    images = np.round(np.asarray(images) * 127.5 + 127.5)
    channels = [
        [np.asarray(Image.fromarray(c, "F").resize((side, side), Image.Resampling.BICUBIC)) for c in image]
        for image in np.moveaxis(images, 3, 1).astype(np.float32)
    ]
    return np.moveaxis(np.clip(channels, 0, 255), 1, 3) / 127.5 - 1


def between(images, rows, columns):
    """Interpolates at places within the image, pixel by pixel: x0 + (x1 - x0) f along columns, then along rows."""

    def along(x, places, axis):
        low = np.floor(places).astype(int)
        high = np.minimum(low + 1, x.shape[axis] - 1)
        shape = [-1 if i == axis else 1 for i in range(4)]
        below, above = np.take(x, low, axis), np.take(x, high, axis)
        return below + (above - below) * (places - low).reshape(shape)

    return along(along(np.asarray(images, np.float64), columns, 2), rows, 1)


@pytest.mark.parametrize(("shape", "side"), CASES)
def test_clean_is_pillow_in_float(shape, side):
    x = images(*shape)
    np.testing.assert_allclose(resize.clean(x, side), pillow(x, side), atol=CLOSE)


@pytest.mark.parametrize(("shape", "side"), CASES)
def test_interpolation_by_its_definition(shape, side):
    x = images(*shape)
    height, width = ((np.arange(side) + 0.5) * n / side - 0.5 for n in shape)
    inside = [np.clip(p, 0, n - 1) for p, n in zip((height, width), shape, strict=True)]
    np.testing.assert_allclose(resize.bilinear(x, side), between(x, *inside), atol=CLOSE)
    height, width = (np.arange(side) * n / side for n in shape)
    np.testing.assert_allclose(resize.tensorflow(x, side), between(x, height, width), atol=CLOSE)


@pytest.mark.parametrize("side", [7, 299])
@pytest.mark.parametrize("shape", SHAPES)
def test_bilinear_is_torch(shape, side):
    torch = pytest.importorskip("torch", reason="pip install torch; then pytest tests/test_metrics_resize.py")
    x = images(*shape)
    y = torch.nn.functional.interpolate(
        torch.tensor(np.moveaxis(np.asarray(x), 3, 1)), size=(side, side), mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(resize.bilinear(x, side), np.moveaxis(y.numpy(), 1, 3), atol=CLOSE)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_flat_images_and_the_size_itself_are_left_alone(function):
    flat = jnp.full((1, 5, 9, 1), 0.3)
    np.testing.assert_allclose(function(flat, 4), np.full((1, 4, 4, 1), 0.3), rtol=1e-6)
    x = images(6, 6)
    np.testing.assert_allclose(function(x, 6), x, atol=1e-6)


def test_halving_averages_pairs_and_tensorflow_drops_every_other():
    x = images(8, 8)
    np.testing.assert_allclose(resize.bilinear(x, 4), x.reshape(2, 4, 2, 4, 2, 3).mean((2, 4)), atol=1e-6)
    np.testing.assert_allclose(resize.tensorflow(x, 4), x[:, ::2, ::2], atol=1e-6)


def test_only_clean_sees_all_pixels():
    x = images(64, 64, 1, 1)
    seen = {f.__name__: np.mean(np.asarray(jax.grad(lambda x, f=f: f(0.1 * x, 8).sum())(x)) != 0) for f in FUNCTIONS}
    assert seen == {"bilinear": 1 / 16, "tensorflow": 1 / 64, "clean": 1}


def test_clean_overshoots_and_is_clipped():
    edge = jnp.broadcast_to(jnp.where(jnp.arange(8) < 4, -1.0, 1.0), (1, 8, 8))[..., None]
    assert np.abs(resize.clean(0.5 * edge, 24)).max() > 0.51
    assert np.abs(resize.clean(edge, 24)).max() == 1


def test_mirror_images_are_resized_alike_except_by_tensorflow():
    x = images(20, 13)
    for function, same in zip(FUNCTIONS, (True, False, True), strict=True):
        there, back = function(x, 32), function(x[:, ::-1, ::-1], 32)[:, ::-1, ::-1]
        assert np.allclose(there, back, atol=1e-5) == same


@pytest.mark.parametrize("function", few(FUNCTIONS, resize.clean))
def test_compiles_and_keeps_the_type(function):
    x = images(10, 12)
    compiled = jax.jit(partial(function, side=6))
    np.testing.assert_allclose(compiled(x), function(x, 6), atol=1e-6)
    assert compiled(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


@pytest.mark.parametrize("function", FUNCTIONS)
def test_refusals(function):
    with pytest.raises(ValueError, match=r"images has shape \(4, 4, 3\).*images\[None\]"):
        function(jnp.zeros((4, 4, 3)), 8)
    with pytest.raises(ValueError, match="side=0: give at least 1"):
        function(jnp.zeros((1, 4, 4, 3)), 0)
