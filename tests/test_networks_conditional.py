"""Conditional batch norm, self-attention and projection, against PyTorch's operators in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from toy import double

from gan_jax.devices import parallel
from gan_jax.networks import linen
from gan_jax.networks.layers.attention import SelfAttention
from gan_jax.networks.layers.conditional import ConditionalBatchNorm, Projection, chunks
from gan_jax.networks.layers.conv import Conv, Resample
from gan_jax.networks.layers.norm import layer
from gan_jax.networks.layers.residual import bottleneck

KEY = jax.random.key(0)
LABELS = np.array([2, 0, 1, 2, 2, 0, 1, 1])


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def drawn(module, *inputs):
    """Parameters drawn by NumPy, none of them 0, and statistics."""
    variables = jax.eval_shape(lambda: module.init(KEY, *inputs, train=True))
    draw = np.random.default_rng(0)
    params = jax.tree.map(lambda p: draw.normal(size=p.shape) / 2, variables["params"])
    return params, jax.jit(lambda: module.init(KEY, *inputs, train=True))().get("batch_stats", {})


def batch_norm(torch, params, x, vector):
    scale, shift = (vector @ params[name]["kernel"] for name in ("scale", "shift"))
    y = torch.nn.functional.batch_norm(x.movedim(-1, 1), None, None, training=True, eps=1e-5).movedim(1, -1)
    return y * (1 + scale)[:, None, None] + shift[:, None, None]


def attention(torch, params, x):
    flat = x.movedim(-1, 1)
    q, k, v, o = (params[f"Conv_{i}"]["kernel"][0, 0].T[:, :, None, None] for i in range(4))
    convolve, pool = torch.nn.functional.conv2d, lambda y: torch.nn.functional.max_pool2d(y, 2).flatten(2)
    scores = convolve(flat, q).flatten(2).transpose(1, 2) @ pool(convolve(flat, k))
    seen = pool(convolve(flat, v)) @ torch.softmax(scores, -1).transpose(1, 2)
    y = convolve(seen.reshape(len(x), -1, *flat.shape[2:]), o)
    return x + params["gamma"] * y.movedim(1, -1)


def projection(torch, params, h):
    embedded = params["embedding"]["kernel"][torch.tensor(LABELS)]
    return h @ params["Dense_0"]["kernel"][:, 0] + params["Dense_0"]["bias"] + (h * embedded).sum(1)


CASES = {  # module, inputs to differentiate by, further inputs, and PyTorch's formulation
    "batch norm by class": (ConditionalBatchNorm(), [normal(1, 8, 4, 4, 3)], [np.eye(3)[LABELS]], batch_norm),
    "batch norm by latent": (ConditionalBatchNorm(), [normal(1, 8, 4, 4, 3), normal(2, 8, 5)], [], batch_norm),
    "attention": (SelfAttention("none"), [normal(1, 2, 4, 6, 16)], [], attention),
    "projection": (Projection(3, "none"), [normal(1, 8, 5)], [LABELS], projection),
}


@pytest.mark.parametrize("name", CASES)
def test_values_gradients_and_second_derivatives_are_those_of_pytorch(name):
    torch = pytest.importorskip("torch")
    module, inputs, others, formulation = CASES[name]
    with jax.enable_x64(True):
        params, stats = drawn(module, *inputs, *others)
        weights = normal(
            3, *jax.eval_shape(lambda: module.init_with_output(KEY, *inputs, *others, train=True)[0]).shape
        )

        def value(params, inputs):
            variables = {"params": params} | ({"batch_stats": stats} if stats else {})
            y, _ = module.apply(variables, *inputs, *others, train=True, mutable=["batch_stats"])
            return jnp.sum(weights * y), y

        def penalty(params, inputs):
            slope = jax.grad(lambda x: value(params, [x, *inputs[1:]])[0])(inputs[0])
            return jnp.sum(slope**2)

        def derivatives(params, inputs):
            y = value(params, inputs)[1]
            return y, jax.grad(lambda *a: value(*a)[0], (0, 1))(params, inputs), jax.grad(penalty)(params, inputs)

        found = jax.jit(derivatives)(params, inputs)

    held, points = jax.tree.map(lambda x: torch.tensor(x, requires_grad=True), (params, inputs))
    leaves = jax.tree.leaves((held, points))
    beside = [] if name == "projection" else [torch.tensor(x) for x in others]
    y = formulation(torch, held, *points, *beside)
    total = (torch.tensor(weights) * y).sum()
    first = torch.autograd.grad(total, leaves, create_graph=True)
    slope = torch.autograd.grad(total, points[0], create_graph=True)[0]
    second = torch.autograd.grad((slope**2).sum(), jax.tree.leaves(held), allow_unused=True, materialize_grads=True)
    expected = [y, *first, *second]
    for a, b in zip(jax.tree.leaves(found), expected, strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-8, atol=1e-9)


def test_conditional_batch_norm_starts_as_batch_norm_and_evaluates_by_running_moments():
    x, codes = normal(1, 8, 4, 4, 3) * 2 + 1, np.eye(3)[LABELS]
    network = linen(ConditionalBatchNorm(), (4, 4, 3), (3,))
    params, stats = jax.jit(network.init)(KEY)

    @jax.jit
    def passes(stats, x):
        y, stats = network.apply(params, stats, x, codes, train=True)
        return y, stats, network.apply(params, stats, x, codes, train=False)[0]

    y, after, evaluated = passes(stats, x)
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + 1e-5), atol=1e-5)
    running = 0.1 * mean, 0.9 + 0.1 * variance
    for name, expected in zip(("mean", "var"), running, strict=True):
        np.testing.assert_allclose(after["BatchNorm_0"][name], expected, rtol=1e-5)
    np.testing.assert_allclose(evaluated, (x - running[0]) / np.sqrt(running[1] + 1e-5), atol=1e-5)


def test_attention_starts_as_the_identity():
    x = normal(1, 2, 4, 4, 8).astype(np.float32)
    module = SelfAttention()
    variables = jax.jit(lambda: module.init(KEY, x, train=True))()
    np.testing.assert_array_equal(jax.jit(lambda: module.apply(variables, x, train=False))(), x)


def test_spectral_norm_divides_weights_and_embeddings_by_their_largest_singular_values():
    h = normal(1, 8, 5).astype(np.float32)
    network = linen(Projection(3), (5,), ())
    params, stats = jax.jit(network.init)(KEY)
    train = jax.jit(lambda stats: network.apply(params, stats, h, LABELS, train=True)[1])
    for _ in range(50):
        stats = train(stats)
    logits, _ = jax.jit(lambda: network.apply(params, stats, h, LABELS, train=False))()
    w, e = (np.asarray(params[name]["kernel"]) for name in ("Dense_0", "embedding"))
    w, e = (x / np.linalg.svd(x)[1][0] for x in (w, e))
    np.testing.assert_allclose(logits, h @ w[:, 0] + np.sum(h * e[LABELS], 1), rtol=1e-4, atol=1e-5)


class Critic(nn.Module):
    @nn.compact
    def __call__(self, x, vector, train):
        x = ConditionalBatchNorm("spectral", nn.initializers.orthogonal())(x, vector, train)
        return nn.Dense(1)(jnp.tanh(x))[:, 0]


def test_the_number_of_devices_changes_neither_outputs_nor_gradients_nor_moments():
    with jax.enable_x64(True):
        network = linen(Critic(), (3,), (2,))
        params, stats = double(jax.jit(network.init)(KEY))

        def step(params, x, vector):
            def loss(params):
                own = parallel.local((x, vector))
                logits, after = network.apply(params, stats, *own, train=True)
                return jnp.mean(jax.nn.softplus(logits)), after

            gradient, after = jax.grad(loss, has_aux=True)(params)
            return parallel.pmean(gradient), parallel.pmean(after)

        inputs = jnp.asarray(normal(2, 8, 3)), jnp.asarray(normal(4, 8, 2))
        expected, found = (
            way(step)(jax.tree.map(jnp.copy, params), *inputs)
            for way in (parallel.single, lambda f: parallel.simulated(f, 4))
        )
        assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(expected))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12), expected, found)


def test_chunks_are_equal_and_the_first_takes_the_remainder():
    latents = jnp.asarray(normal(1, 2, 20))
    parts = chunks(latents, 6)
    assert [part.shape[1] for part in parts] == [5, 3, 3, 3, 3, 3]
    np.testing.assert_array_equal(jnp.concatenate(parts, 1), latents)
    assert {part.shape[1] for part in chunks(jnp.zeros((1, 120)), 6)} == {20}  # BigGAN's at 128 pixels
    with pytest.raises(ValueError, match=r"latent_size=20: .* 21 chunks; give at least 21"):
        chunks(latents, 21)


class Block(nn.Module):
    width: int
    resample: Resample

    @nn.compact
    def __call__(self, x, train):
        def convolve(x, width, size, resample: Resample = "none"):
            return layer(Conv(width, size, resample=resample), "none", x, train)

        return bottleneck(x, self.width, convolve, lambda x: x, self.resample)


@pytest.mark.parametrize(("width", "resample"), [(4, "up"), (8, "none"), (12, "down")])
def test_a_silent_bottleneck_drops_channels_or_adds_some_and_changes_no_others(width, resample):
    x = normal(1, 2, 4, 4, 8).astype(np.float32)
    module = Block(width, resample)
    params = jax.jit(lambda: module.init(KEY, x, train=True))()["params"]
    params["Conv_3"] = jax.tree.map(jnp.zeros_like, params["Conv_3"])
    y = jax.jit(lambda: module.apply({"params": params}, x, train=True))()
    expected = x[..., :width]
    if resample == "up":
        expected = np.kron(expected, np.ones((1, 2, 2, 1)))
    if resample == "down":
        expected = expected.reshape(2, 2, 2, 2, 2, 8).mean((2, 4))
        added = expected @ np.asarray(params["Conv_4"]["kernel"])[0, 0]
        expected = np.concatenate([expected, added], -1)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
