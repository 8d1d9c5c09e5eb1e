"""FIR resampling and modulated convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from toy import few

from gan_jax.networks.layers import fir
from gan_jax.networks.layers.conv import native
from gan_jax.networks.layers.convolutions import conv
from gan_jax.networks.layers.modulated import ModulatedConv

CASES = [  # up, down, pads, gain: those of the networks, and their transposes
    (2, 1, (2, 1), 4.0),
    (1, 2, (1, 1), 1.0),
    (1, 1, (1, 1), 4.0),
    (1, 1, (2, 2), 1.0),
    (1, 2, (2, 3), 1.0),
    (2, 1, (2, 2), 1.0),
]


def by_definition(x, up, down, pads, gain):
    stuffed = np.zeros((x.shape[0], x.shape[1] * up, x.shape[2] * up, x.shape[3]))
    stuffed[:, ::up, ::up] = x
    padded = np.pad(stuffed, ((0, 0), pads, pads, (0, 0)))
    taps = gain * np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
    height, width = padded.shape[1] - 3, padded.shape[2] - 3
    filtered = [taps[i, j] * padded[:, i : i + height, j : j + width] for i in range(4) for j in range(4)]
    return np.sum(filtered, axis=0)[:, ::down, ::down]


@pytest.mark.parametrize("case", few(CASES, *CASES[:2]))
def test_resampling_is_its_definition_on_cpus_and_elsewhere_with_derivatives(case):
    up, down, pads, gain = case
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 6, 3)))
        expected = by_definition(np.asarray(x), *case)
        np.testing.assert_allclose(fir.resample(x, *case), expected, atol=1e-14)
        elsewhere = fir._native(x, up=up, down=down, pads=(pads, pads), gain=gain)
        np.testing.assert_allclose(elsewhere, expected, atol=1e-14)
        mapped = jax.vmap(lambda x: fir.resample(x, *case), in_axes=2, out_axes=1)(jnp.stack([x, 2 * x], axis=2))
        np.testing.assert_allclose(mapped[:, 1], 2 * expected, atol=1e-13)
        check_grads(jax.jit(lambda x: fir.resample(x, *case) ** 2), (x,), 2)


def test_flat_images_stay_flat_and_halving_undoes_doubling_of_smooth_ones():
    flat = jnp.full((1, 8, 8, 2), 3.0)
    for resampled in (fir.double(flat), fir.halve(flat), fir.smooth(flat, (1, 2))):
        np.testing.assert_allclose(resampled[:, 2:-2, 2:-2], 3.0, rtol=1e-6)
    with pytest.raises(ValueError, match=r"\(1, 7, 8, 1\): only images of even sides"):
        fir.halve(jnp.zeros((1, 7, 8, 1)))
    with pytest.raises(ValueError, match="up=2, down=2"):
        fir.resample(flat, 2, 2)


def test_a_convolution_that_doubles_is_interpolation_and_a_convolution_away_from_edges():
    random = np.random.default_rng(1)
    x, kernel = (jnp.asarray(random.normal(size=shape), jnp.float32) for shape in ((2, 6, 6, 3), (3, 3, 3, 4)))
    ours = fir.upsample_conv(x, kernel)
    assert ours.shape == (2, 12, 12, 4)
    np.testing.assert_allclose(ours[:, 2:-2, 2:-2], conv(fir.double(x), kernel)[:, 2:-2, 2:-2], atol=1e-5)


@pytest.mark.parametrize("upsample", [False, True])
def test_modulation_is_a_kernel_for_each_example(upsample):
    # w_i = s_i w / sqrt(sum of (s_i w)^2 + 1e-8), with w = kernel / sqrt(9 * 3)
    random = np.random.default_rng(2)
    x, styles = (jnp.asarray(random.normal(size=shape), jnp.float32) for shape in ((3, 4, 4, 3), (3, 3)))
    layer = ModulatedConv(5, 3, upsample=upsample)

    @jax.jit
    def both(params, x, styles):
        kernels = styles[:, None, None, :, None] * params["params"]["kernel"] / 27**0.5
        kernels /= jnp.sqrt(jnp.sum(kernels**2, axis=(1, 2, 3), keepdims=True) + 1e-8)
        operator = fir.upsample_conv if upsample else conv
        each = [operator(x[i : i + 1], kernels[i]) for i in range(3)]
        with native():
            elsewhere = layer.apply(params, x, styles)
        return layer.apply(params, x, styles), elsewhere, jnp.concatenate(each)

    params = layer.init(jax.random.key(0), x, styles)
    assert set(params["params"]) == {"kernel"}
    ours, elsewhere, expected = both(params, x, styles)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(elsewhere, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(both(params, x, 7 * styles)[0], ours, rtol=1e-5, atol=1e-5)  # demodulated


def test_demodulated_maps_of_noise_have_unit_variance_whatever_the_styles():
    # section 2.2: each channel of each example, for inputs of variance 1
    x = jax.random.normal(jax.random.key(0), (2, 34, 34, 32))
    styles = 1 + 3 * jax.random.normal(jax.random.key(1), (2, 32))
    y = jax.jit(ModulatedConv(16, 3).init_with_output)(jax.random.key(2), x, styles)[0][:, 1:-1, 1:-1]
    np.testing.assert_allclose(jnp.std(y, axis=(1, 2)), 1, rtol=0.15)  # neighbours are correlated: some 100 of 1024
