"""Both formulations are one operator: equal to Flax's, to each other and, transposed, adjoint; derivatives too."""

from collections.abc import Iterator
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gan_jax.networks import conv as convolutions
from gan_jax.networks.conv import Conv, ConvTranspose, Formulation, conv, conv_transpose

DCGAN = [(1, 1), (1, 1)]
FORMULATIONS: tuple[Formulation, ...] = ("native", "matmul")
PAIRS = {"conv": (Conv, nn.Conv), "transposed": (ConvTranspose, nn.ConvTranspose)}
FUNCTIONS = {"conv": conv, "transposed": conv_transpose}
# kernel, stride, padding, height, width, channels in, channels out
TABLE = [
    (4, 2, DCGAN, 8, 8, 3, 8),
    (3, 1, "SAME", 5, 6, 3, 3),
    (1, 1, "SAME", 4, 3, 8, 3),
    (3, 2, "SAME", 7, 6, 1, 8),
    (5, 2, [(2, 2), (2, 1)], 6, 7, 8, 1),
    (4, 1, "VALID", 4, 5, 3, 1),
    (1, 3, "SAME", 7, 5, 1, 3),
    ((3, 2), (1, 2), [(0, 3), (2, 1)], 5, 6, 3, 1),
]


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def normal(seed: int, *shape: int):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def close(actual, expected, tolerance=1e-11):
    jax.tree.map(partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance), actual, expected)


def arguments(row):
    size, stride, padding, height, width, channels, features = row
    kh, kw = size if isinstance(size, tuple) else (size, size)
    return normal(0, 2, height, width, channels), normal(1, kh, kw, channels, features), stride, padding


def derivatives(f, x, kernel):
    """Output; gradients of a curved functional of it; gradients of the squared norm of its input gradient."""

    def loss(x, kernel):
        y = f(x, kernel)
        return jnp.sum(jnp.sin(y) + 0.5 * y**2)

    def penalty(x, kernel):
        return jnp.sum(jax.grad(loss)(x, kernel) ** 2)

    return f(x, kernel), jax.grad(loss, (0, 1))(x, kernel), jax.grad(penalty, (0, 1))(x, kernel)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("row", TABLE, ids=str)
def test_equals_flax_with_its_parameters(name, row):
    size, stride, padding, *_, features = row
    ours, flax = PAIRS[name]
    pair = [(n, n) if isinstance(n, int) else n for n in (size, stride)]
    reference = flax(features, pair[0], strides=pair[1], padding=padding)
    x = arguments(row)[0]
    kernel = normal(1, *pair[0], x.shape[3], features)
    variables = {"params": {"kernel": kernel, "bias": normal(2, features)}}
    module = ours(features, size, stride, padding)
    assert jax.eval_shape(module.init, jax.random.key(0), x) == jax.eval_shape(reference.init, jax.random.key(0), x)
    apply = jax.jit(module.apply, static_argnums=2)
    for formulation in FORMULATIONS:
        close(apply(variables, x, formulation), reference.apply(variables, x))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("row", TABLE, ids=str)
def test_formulations_agree_to_second_derivatives(name, row):
    x, kernel, stride, padding = arguments(row)
    native, matmul = (
        jax.jit(
            partial(derivatives, partial(FUNCTIONS[name], strides=stride, padding=padding, formulation=formulation))
        )
        for formulation in FORMULATIONS
    )
    close(matmul(x, kernel), native(x, kernel), 1e-10)


@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize("row", [row for row in TABLE if not isinstance(row[2], str)], ids=str)
def test_conv_transpose_is_the_linear_transpose(row, formulation):
    x, kernel, stride, padding = arguments(row)
    convolve = jax.jit(partial(conv, kernel=kernel, strides=stride, padding=padding, formulation=formulation))
    y = convolve(x)
    g = normal(3, *y.shape)
    strides = stride if isinstance(stride, tuple) else (stride, stride)
    adjoint = [  # what the stride leaves over at the end comes back as zeros
        (k - 1 - a, k - 1 - b + (n + a + b - k) % s)
        for n, k, s, (a, b) in zip(x.shape[1:3], kernel.shape, strides, padding, strict=False)
    ]
    transposed = jax.jit(partial(conv_transpose, strides=stride, padding=adjoint, formulation=formulation))
    back = transposed(g, kernel[::-1, ::-1].swapaxes(2, 3))
    close(np.vdot(y, g), np.vdot(x, back))
    close(back, jax.vjp(convolve, x)[1](g)[0])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_under_vmap_and_scan(name):
    x, kernel, stride, padding = arguments(TABLE[0])
    kernels = jnp.stack([kernel, 2 * kernel, kernel[::-1]])

    def gradient(formulation, x, kernel):
        return jax.grad(lambda k: jnp.sum(FUNCTIONS[name](x, k, stride, padding, formulation) ** 2))(kernel)

    def scanned(x, kernels):
        return lax.scan(lambda total, k: (total + (g := gradient("matmul", x, k)), g), jnp.zeros(kernel.shape), kernels)

    native = jax.jit(partial(gradient, "native"))
    expected = jnp.stack([native(x, k) for k in kernels])
    close(jax.jit(jax.vmap(partial(gradient, "matmul"), (None, 0)))(x, kernels), expected)
    close(jax.jit(scanned)(x, kernels), (expected.sum(0), expected))
    rows = jax.jit(jax.vmap(lambda row: gradient("matmul", row[None], kernel)))(x)
    close(rows.sum(0), expected[0])


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 1e-4), (jnp.bfloat16, 0.1)])
def test_keeps_the_type(name, dtype, tolerance):
    x, kernel, stride, padding = arguments(TABLE[0])
    x, kernel = jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)
    ours, native = (FUNCTIONS[name](x, kernel, stride, padding, formulation) for formulation in ("matmul", "native"))
    assert ours.dtype == native.dtype == dtype
    close(ours.astype(jnp.float32), native.astype(jnp.float32), tolerance)


def test_the_cpu_multiplies_matrices_and_forced_overrides_it(monkeypatch):
    network = nn.Sequential([Conv(3, 4, 2), ConvTranspose(1, 4, 2, use_bias=False)])
    x = jnp.ones((1, 8, 8, 1))
    variables = jax.jit(network.init)(jax.random.key(0), x)

    def apply(formulation, x):
        with convolutions.forced(formulation):
            return network.apply(variables, x)

    def convolves(f):
        return "conv_general_dilated" in str(jax.make_jaxpr(f)(x))

    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert not convolves(partial(network.apply, variables))
    assert convolves(partial(apply, "native"))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert convolves(partial(network.apply, variables))
    assert not convolves(partial(apply, "matmul"))


def test_spectral_norm_wraps_it():
    x = normal(0, 2, 6, 6, 3)

    class Normalised(nn.Module):
        layer: type[nn.Module]

        @nn.compact
        def __call__(self, x):
            layer = self.layer(4, (2, 2), name="layer")  # pyright: ignore[reportCallIssue]
            return nn.SpectralNorm(layer)(x, update_stats=True)

    ours, flax = (jax.jit(Normalised(layer).init_with_output)(jax.random.key(0), x) for layer in (Conv, nn.Conv))
    close(ours, flax, 1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: conv(jnp.ones((8, 8, 1)), jnp.ones((3, 3, 1, 1))), r"x has shape \(8, 8, 1\).*x\[None\]"),
        (lambda: conv(jnp.ones((1, 8, 8, 1)), jnp.ones((3, 3, 2, 1))), r"kernel has shape .* need \[kh, kw, 1"),
        (lambda: conv(jnp.ones((1, 3, 3, 1)), jnp.ones((4, 4, 1, 1)), 1, "VALID"), "does not fit .* pad more"),
        (lambda: conv(jnp.ones((1, 3, 3, 1)), jnp.ones((1, 1, 1, 1)), 1, "same"), "padding is 'same': pass 'SAME'"),  # pyright: ignore[reportArgumentType]
        (lambda: conv(jnp.ones((1, 3, 3, 1)), jnp.ones((1, 1, 1, 1)), formulation="fft"), "formulation is 'fft': pass"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_errors_name_the_argument_and_the_mend(call, message):
    with pytest.raises(ValueError, match=message):
        call()
