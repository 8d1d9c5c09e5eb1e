"""Layers with equalised learning rates, and pixel norm."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import rng
from gan_jax.networks.layers.equalised import EqualisedConv, EqualisedDense, pixel_norm


@pytest.mark.parametrize(
    ("layer", "shape", "gain"),
    [
        (EqualisedDense(256), (64, 300), 1.0),
        (EqualisedDense(256, gain=2.0, rate=0.01), (64, 300), 2.0),
        (EqualisedConv(64, 3, padding="VALID", gain=1.5), (8, 9, 9, 40), 1.5),
    ],
)
def test_outputs_have_the_variance_of_the_gain(layer, shape, gain):
    x = jax.random.normal(rng.key(0), shape)
    y, variables = layer.init_with_output(rng.key(1), x)
    # of weights and inputs together: a thousand independent outputs at the least give a standard error of 3%
    np.testing.assert_allclose(np.std(y), gain, rtol=0.1)
    np.testing.assert_allclose(np.std(variables["params"]["kernel"]), 1 / getattr(layer, "rate", 1.0), rtol=0.05)


def test_a_slow_layer_learns_at_its_rate():
    # one step of Adam moves each parameter by the learning rate: in use the bias moves by rate times it
    layer: Any = EqualisedDense(3, rate=0.01, bias=1.0)
    x = jnp.ones((2, 5))
    params = layer.init(rng.key(0), x)["params"]
    moved = {**params, "bias": params["bias"] + 0.1}
    np.testing.assert_allclose(params["bias"], 100.0)
    np.testing.assert_allclose(layer.apply({"params": moved}, x) - layer.apply({"params": params}, x), 1e-3, rtol=1e-3)


def test_pixel_norm_has_unit_mean_square_and_ignores_scale():
    x = jax.random.normal(rng.key(0), (2, 3, 3, 16))
    y = pixel_norm(x)
    np.testing.assert_allclose(jnp.mean(y**2, -1), 1, rtol=1e-6)
    np.testing.assert_allclose(pixel_norm(7 * x), y, rtol=1e-5)
