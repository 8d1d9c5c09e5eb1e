"""The three maps of a convolution equal XLA's operator and its derivatives, of every order and both modes."""

from collections.abc import Iterator
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from toy import few

from gan_jax.networks.layers import conv as layers
from gan_jax.networks.layers import formulations
from gan_jax.networks.layers.conv import Conv, ConvTranspose
from gan_jax.networks.layers.convolutions import conv, conv_mean_pool, conv_transpose, upsample_conv

DCGAN = [(1, 1), (1, 1)]
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
    """Output; gradients of a curved functional; those of its input gradient's norm; their derivative along a line."""

    def loss(x, kernel):
        y = f(x, kernel)
        return jnp.sum(jnp.sin(y) + 0.5 * y**2)

    def penalty(x, kernel):
        return jnp.sum(jax.grad(loss)(x, kernel) ** 2)

    second = jax.grad(penalty, (0, 1))
    forward = jax.jvp(jax.grad(loss, (0, 1)), (x, kernel), (jnp.cos(x), jnp.sin(kernel)))[1]
    return f(x, kernel), jax.grad(loss, (0, 1))(x, kernel), second(x, kernel), forward


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("row", few(TABLE, TABLE[0], TABLE[-1]), ids=str)
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
    for native in (False, True):
        close(apply(variables, x, native), reference.apply(variables, x))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("row", few(TABLE, *TABLE[:2], TABLE[-1]), ids=str)
def test_derivatives_to_second_order_and_forward_over_reverse(name, row):
    x, kernel, stride, padding = arguments(row)
    ours, native = (
        jax.jit(partial(derivatives, partial(FUNCTIONS[name], strides=stride, padding=padding, native=native)))
        for native in (False, True)
    )
    close(ours(x, kernel), native(x, kernel), 1e-10)


# groups, kernel, stride, padding, height, width, channels in, channels out; more than 8 groups are a loop on CPUs
GROUPED = [(2, 3, 1, "SAME", 4, 5, 4, 6), (9, 3, 1, "SAME", 3, 4, 18, 9), (3, 4, 2, DCGAN, 6, 8, 3, 6)]


@pytest.mark.parametrize("row", few(GROUPED, *GROUPED[:2]), ids=str)
def test_a_grouped_convolution_and_its_derivatives_equal_those_of_its_groups_and_of_jax(row):
    groups, size, stride, padding, height, width, channels, features = row
    x, kernel = normal(0, 2, height, width, channels), normal(1, size, size, channels // groups, features)

    def one_by_one(x, kernel):
        pairs = zip(jnp.split(x, groups, 3), jnp.split(kernel, groups, 3), strict=True)
        return jnp.concatenate([conv(*pair, stride, padding, native=True) for pair in pairs], 3)

    def grouped(x, kernel, native):
        return conv(x, kernel, stride, padding, native, groups)

    ours, native, parts = (
        jax.jit(partial(derivatives, f))(x, kernel)
        for f in (partial(grouped, native=False), partial(grouped, native=True), one_by_one)
    )
    close(ours, native, 1e-10)
    close(ours, parts, 1e-10)


def test_a_grouped_convolution_is_one_operator_on_other_platforms_and_has_the_parameters_of_flax():
    module, reference = Conv(6, 3, groups=3), nn.Conv(6, (3, 3), feature_group_count=3)
    x = normal(0, 2, 4, 4, 9)
    assert jax.eval_shape(module.init, jax.random.key(0), x) == jax.eval_shape(reference.init, jax.random.key(0), x)
    kernel, rows = normal(1, 3, 3, 3, 6), jnp.stack([x, 2 * x])
    close(jax.vmap(lambda x: conv(x, kernel, groups=3))(rows)[1], 2 * conv(x, kernel, groups=3))
    slopes = jax.jit(jax.grad(lambda x, k: jnp.sum(conv(x, k, groups=3) ** 2), (0, 1)))
    for platform in ("cuda", "tpu"):
        text = slopes.trace(x, kernel).lower(lowering_platforms=(platform,)).as_text()
        assert text.count("stablehlo.convolution") == 3 and "dot_general" not in text


@pytest.mark.parametrize("row", [row for row in TABLE if not isinstance(row[2], str)], ids=str)
def test_conv_transpose_is_the_linear_transpose(row):
    x, kernel, stride, padding = arguments(row)
    convolve = jax.jit(partial(conv, kernel=kernel, strides=stride, padding=padding))
    y = convolve(x)
    g = normal(3, *y.shape)
    strides = stride if isinstance(stride, tuple) else (stride, stride)
    adjoint = [  # what the stride leaves over at the end comes back as zeros
        (k - 1 - a, k - 1 - b + (n + a + b - k) % s)
        for n, k, s, (a, b) in zip(x.shape[1:3], kernel.shape, strides, padding, strict=False)
    ]
    back = jax.jit(partial(conv_transpose, strides=stride, padding=adjoint))(g, kernel[::-1, ::-1].swapaxes(2, 3))
    close(np.vdot(y, g), np.vdot(x, back))
    close(back, jax.vjp(convolve, x)[1](g)[0])


@pytest.mark.parametrize("images", [1, 2, 3, 100])
def test_the_gradient_of_the_kernel_does_not_depend_on_how_many_images_fit_the_cache(monkeypatch, images):
    x, kernel, g = normal(0, 7, 6, 5, 3), normal(1, 4, 4, 3, 2), normal(2, 7, 3, 2, 2)
    window = formulations.Window((6, 5), (4, 4), (2, 2), ((1, 1), (1, 1)))
    monkeypatch.setattr(formulations, "PATCHES", images * 3 * 2 * 48 * 8 + 8)
    # of 7 images: some numbers divide it, some do not
    ours = jax.jit(lambda x, g: formulations.kernel_gradient_in_chunks(x, g, window))
    close(ours(x, g), jax.vjp(lambda k: formulations.native(x, k, window), kernel)[1](g)[0])


@pytest.mark.parametrize("name", few(FUNCTIONS, "conv"))
def test_under_vmap_scan_and_loops(name):
    x, kernel, stride, padding = arguments(TABLE[0])
    kernels = jnp.stack([kernel, 2 * kernel, kernel[::-1]])

    def gradient(native, x, kernel):
        return jax.grad(lambda k: jnp.sum(FUNCTIONS[name](x, k, stride, padding, native) ** 2))(kernel)

    def scanned(x, kernels):
        return lax.scan(lambda total, k: (total + (g := gradient(False, x, k)), g), jnp.zeros(kernel.shape), kernels)

    def looped(x, kernels):
        return lax.fori_loop(0, 3, lambda i, total: total + gradient(False, x, kernels[i]), jnp.zeros(kernel.shape))

    native = jax.jit(partial(gradient, True))
    expected = jnp.stack([native(x, k) for k in kernels])
    close(jax.jit(jax.vmap(partial(gradient, False), (None, 0)))(x, kernels), expected)
    close(jax.jit(jax.vmap(partial(gradient, False)))(jnp.stack([x, x, x]), kernels), expected)
    close(jax.jit(scanned)(x, kernels), (expected.sum(0), expected))
    close(jax.jit(looped)(x, kernels), expected.sum(0))
    rows = jax.jit(jax.vmap(lambda row: gradient(False, row[None], kernel)))(x)
    close(rows.sum(0), expected[0])


def test_derivatives_of_what_vmap_makes():
    x, kernel, stride, padding = arguments(TABLE[0])
    xs, kernels = jnp.stack([x, 2 * x[::-1]]), jnp.stack([kernel, kernel[::-1]])

    def loss(native, xs, kernels):
        made = jax.vmap(lambda x, k: conv(x, k, stride, padding, native))(xs, kernels)
        back = jax.vmap(lambda y, k: conv_transpose(y, k.swapaxes(2, 3), stride, padding, native))(made, kernels)
        return jnp.sum(back**2)

    ours, native = (jax.jit(jax.grad(partial(loss, native), (0, 1)))(xs, kernels) for native in (False, True))
    close(ours, native, 1e-9)


@pytest.mark.parametrize("name", few(FUNCTIONS, "conv"))
@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 1e-4), (jnp.bfloat16, 0.1)])
def test_keeps_the_type(name, dtype, tolerance):
    x, kernel, stride, padding = arguments(TABLE[0])
    x, kernel = jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)

    def gradient(native, x, kernel):
        return jax.grad(lambda k: jnp.sum(FUNCTIONS[name](x, k, stride, padding, native).astype(jnp.float32)))(kernel)

    for f in (lambda native, x, k: FUNCTIONS[name](x, k, stride, padding, native), gradient):
        ours, native = (f(native, x, kernel) for native in (False, True))
        assert ours.dtype == native.dtype == dtype
        close(ours.astype(jnp.float32), native.astype(jnp.float32), tolerance)


@pytest.mark.parametrize("resampled", [upsample_conv, conv_mean_pool])
@pytest.mark.parametrize("size", few([(3, 3), (1, 2)], (1, 2)))
def test_resampling_in_one_convolution_equals_two_steps_to_second_derivatives(resampled, size):
    x, kernel = normal(0, 2, 6, 5, 3), normal(1, *size, 3, 2)
    ours, steps = (
        jax.jit(partial(derivatives, lambda x, k, native=native: resampled(x, k, 1, "SAME", native)))
        for native in (False, True)
    )
    close(ours(x, kernel), steps(x, kernel), 1e-9)


def test_other_platforms_have_their_own_operator_alone():
    def gradients(x, kernel):
        return jax.grad(lambda x, k: jnp.sum(conv(x, k, 2) ** 2), (0, 1))(x, kernel)

    x, kernel = jnp.ones((5, 8, 8, 3)), jnp.ones((4, 4, 3, 2))
    traced = jax.jit(gradients).trace(x, kernel)
    on = {platform: traced.lower(lowering_platforms=(platform,)).as_text() for platform in ("cpu", "cuda", "tpu")}
    for platform in ("cuda", "tpu"):
        assert on[platform].count("stablehlo.convolution") == 3
        assert "dot_general" not in on[platform]
    assert on["cpu"].count("stablehlo.convolution") == 2
    assert on["cpu"].count("dot_general") == 1


def test_native_leaves_all_to_jax():
    network = nn.Sequential([Conv(3, 4, 2), ConvTranspose(1, 4, 2, use_bias=False)])
    x = jnp.ones((1, 8, 8, 1))
    variables = jax.jit(network.init)(jax.random.key(0), x)

    def apply(x):
        with layers.native():
            return network.apply(variables, x)

    assert "conv_general_dilated" not in str(jax.make_jaxpr(partial(network.apply, variables))(x))
    assert str(jax.make_jaxpr(apply)(x)).count("conv_general_dilated") == 2
    close(apply(x), network.apply(variables, x), 1e-6)


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
        (lambda: conv(jnp.ones((1, 8, 8, 4)), jnp.ones((3, 3, 2, 2)), groups=3), "groups=3 does not divide the 4"),
        (lambda: conv(jnp.ones((1, 8, 8, 4)), jnp.ones((3, 3, 2, 3)), groups=2), r"2, a multiple of 2\]"),
        (lambda: ConvTranspose(2, 4, groups=2).init(jax.random.key(0), jnp.ones((1, 8, 8, 2))), "only a plain"),
        (lambda: conv(jnp.ones((1, 3, 3, 1)), jnp.ones((4, 4, 1, 1)), 1, "VALID"), "does not fit .* add padding"),
        (lambda: conv(jnp.ones((1, 3, 3, 1)), jnp.ones((1, 1, 1, 1)), 1, "same"), "padding is 'same': pass 'SAME'"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_errors_name_the_argument_and_the_remedy(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_without_compilation_the_values_are_the_same():
    x, kernel = (
        jnp.ones((2, 6, 6, 3), jnp.float32),
        jnp.arange(4 * 4 * 3 * 5, dtype=jnp.float32).reshape(4, 4, 3, 5) / 100,
    )
    compiled = jax.jit(partial(conv, strides=2))(x, kernel)
    with jax.disable_jit():
        np.testing.assert_allclose(conv(x, kernel, 2), compiled, rtol=1e-5)
