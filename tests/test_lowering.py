"""Programs of experiments for accelerators, lowered without one: their convolutions are native, with no CPU form."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_experiments import NAMES, small

from gan_jax import data, game, rng
from gan_jax.networks.layers.conv import Conv

ACCELERATORS = ("cuda", "tpu")
BARRIER = "optimization_barrier"  # in `formulations`: the gradient of kernels on CPUs, and nowhere else
DILATED = "rhs_dilate = [2, 2]"  # in XLA's gradient of a kernel at stride 2, which the form for CPUs does without


def exported(function, *arguments, platforms=ACCELERATORS):
    """Returns the program as text, and whether convolutions of this package with their gradients are in it."""
    compiled = jax.jit(function)
    text = jax.export.export(compiled, platforms=platforms)(*arguments).mlir_module()
    return text, "kernel_gradient[" in str(compiled.trace(*arguments).jaxpr)


def require_native(text):
    assert "stablehlo.convolution" in text and BARRIER not in text


def like(array, lead=()):
    return jax.ShapeDtypeStruct((*lead, *array.shape[1:]), "float32" if array.dtype == np.uint8 else array.dtype)


@pytest.mark.parametrize(("platforms", "native"), [(("cpu",), False), (("cuda",), True), (("tpu",), True)])
def test_the_forms_of_a_convolution_are_told_apart(platforms, native):
    layer: Any = Conv(3, 4, 2)
    images = jax.ShapeDtypeStruct((8, 8, 8, 2), jnp.float32)
    params = jax.eval_shape(layer.init, rng.key(0), images)
    slope = jax.grad(lambda params, x: jnp.sum(layer.apply(params, x) ** 2))
    text, ours = exported(slope, params, images, platforms=platforms)
    assert ours and (BARRIER in text, DILATED in text) == (not native, native)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_lowers_for_accelerators_with_native_convolutions(name):
    experiment, config = small(name)
    dataset = data.load(config.dataset)
    system = experiment.build(config, dataset.spec)
    state = jax.eval_shape(system.init, rng.key(0))
    lead = (system.batches, config.batch_size)[system.batches == 1 :]
    batch = {name: like(array, lead) for name, array in dataset.arrays.items()}

    def update(state, batch, bits):  # programs take no typed keys
        return system.update(state, batch, jax.random.wrap_key_data(bits, impl="threefry2x32"))

    text, convolves = exported(update, state, batch, jax.ShapeDtypeStruct((2,), "uint32"))
    if convolves:
        require_native(text)
        assert DILATED in text or name == "r3gan"  # which has no convolution of stride 2
    else:
        assert "stablehlo.convolution" not in text
    if system.translate:
        made, given = system.translate, (8, *(dataset.spec.source or ()))
    else:
        latent, made = game.sampler(system)
        given = (8, latent.size)
    text, _ = exported(made, state.ema, jax.ShapeDtypeStruct(given, "float32"))
    if convolves:
        require_native(text)
