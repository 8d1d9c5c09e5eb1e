"""Inception is the graph of 2015-12-05: its layers and quirks by definition, the whole equal to PyTorch's.

The comparison with PyTorch is skipped where torch is missing: pip install torch; pytest tests/test_metrics_inception.py
"""

import hashlib
import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import data
from gan_jax.data import kinds
from gan_jax.metrics.features import extraction, inception, inception_network, resize, weights

# Blocks, and of what their outputs are joined, in this order; those that halve the image add its maxima.
A = ("branch1x1", "branch5x5_2", "branch3x3dbl_3", "branch_pool")
B = ("branch3x3", "branch3x3dbl_3")
C = ("branch1x1", "branch7x7_3", "branch7x7dbl_5", "branch_pool")
D = ("branch3x3_2", "branch7x7x3_4")
E = ("branch1x1", "branch3x3_2a", "branch3x3_2b", "branch3x3dbl_3a", "branch3x3dbl_3b", "branch_pool")
BLOCKS = {"5b": A, "5c": A, "5d": A, "6a": B, "6b": C, "6c": C, "6d": C, "6e": C, "7a": D, "7b": E, "7c": E}


def units():
    """All convolutions: their names, and the shape of their kernels [outputs, inputs, height, width]."""
    found: dict[str, tuple[int, ...]] = {
        "Conv2d_1a_3x3": (32, 3, 3, 3),
        "Conv2d_2a_3x3": (32, 32, 3, 3),
        "Conv2d_2b_3x3": (64, 32, 3, 3),
    }
    found |= {"Conv2d_3b_1x1": (80, 64, 1, 1), "Conv2d_4a_3x3": (192, 80, 3, 3)}

    def block(name, c, **branches):
        for branch, shape in branches.items():
            outputs, inputs, *size = shape
            found[f"Mixed_{name}.{branch}"] = (outputs, inputs or c, *(size or (1, 1)))

    double = {"branch3x3dbl_1": (64, 0), "branch3x3dbl_2": (96, 64, 3, 3), "branch3x3dbl_3": (96, 96, 3, 3)}
    for name, c, pooled in (("5b", 192, 32), ("5c", 256, 64), ("5d", 288, 64)):
        five = {"branch5x5_1": (48, 0), "branch5x5_2": (64, 48, 5, 5)}
        block(name, c, branch1x1=(64, 0), **five, **double, branch_pool=(pooled, 0))
    block("6a", 288, branch3x3=(384, 0, 3, 3), **double)
    for name, w in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        seven = {"branch7x7_1": (w, 0), "branch7x7_2": (w, w, 1, 7), "branch7x7_3": (192, w, 7, 1)}
        sizes = ((w, 0), (w, w, 7, 1), (w, w, 1, 7), (w, w, 7, 1), (192, w, 1, 7))
        seven |= {f"branch7x7dbl_{i}": size for i, size in enumerate(sizes, 1)}
        block(name, 768, branch1x1=(192, 0), **seven, branch_pool=(192, 0))
    three = {"branch3x3_1": (192, 0), "branch3x3_2": (320, 192, 3, 3), "branch7x7x3_1": (192, 0)}
    three |= {"branch7x7x3_2": (192, 192, 1, 7), "branch7x7x3_3": (192, 192, 7, 1), "branch7x7x3_4": (192, 192, 3, 3)}
    block("7a", 768, **three)
    for name, c in (("7b", 1280), ("7c", 2048)):
        once = {"branch3x3_1": (384, 0), "branch3x3_2a": (384, 384, 1, 3), "branch3x3_2b": (384, 384, 3, 1)}
        twice = {"branch3x3dbl_1": (448, 0), "branch3x3dbl_2": (384, 448, 3, 3)}
        twice |= {"branch3x3dbl_3a": (384, 384, 1, 3), "branch3x3dbl_3b": (384, 384, 3, 1)}
        block(name, c, branch1x1=(320, 0), **once, **twice, branch_pool=(192, 0))
    return found


@pytest.fixture(scope="module")
def state():
    """A state dict at random, such that activations neither vanish nor explode."""
    draws = np.random.default_rng(0)
    found = {}
    for name, shape in units().items():
        found[f"{name}.conv.weight"] = draws.standard_normal(shape, np.float32) * (2 / np.prod(shape[1:])) ** 0.5
        found[f"{name}.bn.weight"] = draws.uniform(0.5, 1.5, shape[0]).astype(np.float32)
        found[f"{name}.bn.bias"] = 0.2 * draws.standard_normal(shape[0], np.float32)
        found[f"{name}.bn.running_mean"] = 0.2 * draws.standard_normal(shape[0], np.float32)
        found[f"{name}.bn.running_var"] = draws.uniform(0.5, 1.5, shape[0]).astype(np.float32)
        found[f"{name}.bn.num_batches_tracked"] = np.array(0)
    found["fc.weight"] = draws.standard_normal((1008, 2048), np.float32) / 2048**0.5
    found["fc.bias"] = 9 * draws.standard_normal(1008, np.float32)
    return {name: np.asarray(values, np.float32) for name, values in found.items()}


@pytest.fixture(scope="module")
def path(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "weights.npz"
    np.savez(path, **state)
    return path


@pytest.fixture(scope="module")
def judge(path):
    return inception.features(path)


def images(count, channels=3, side=32):
    draws = np.random.default_rng(1)
    coarse = draws.uniform(-1, 1, (count, 8, 8, channels))
    large = jnp.asarray(np.kron(coarse, np.ones((1, side // 8, side // 8, 1))), jnp.float32)
    return extraction.of_samples(kinds.image, lambda _, x: x)(None, large)


@pytest.fixture(scope="module")
def seen(judge):
    """All that one evaluation, of two images and two grey ones, gave: outputs, and what each layer took and gave."""

    @jax.jit
    def run(params, x):
        layers = {}

        def intercept(layer, args, kwargs, context):
            value = layer(*args, **kwargs)
            layers[".".join(context.module.path)] = args[0], value
            return value

        with nn.intercept_methods(intercept):
            return *judge.apply(params, x), layers

    x = jnp.concatenate([images(2), jnp.repeat(images(2, channels=1), 3, 3)])
    found, probabilities, layers = run(judge.params, x)
    return np.asarray(found), np.asarray(probabilities), jax.tree.map(np.asarray, layers)


def windows(x, size, stride=1, padding=(0, 0), fill=0.0):
    """All windows of images [b, H, W, C], as [b, H', W', C, height, width]."""
    x = np.pad(x, ((0, 0), *((p, p) for p in padding), (0, 0)), constant_values=fill)
    return np.lib.stride_tricks.sliding_window_view(x, size, (1, 2))[:, ::stride, ::stride]


def average(x):
    """Averages over what lies within the image."""
    return np.nanmean(windows(x, (3, 3), 1, (1, 1), np.nan), (4, 5))


def maximum(x):
    return windows(x, (3, 3), 1, (1, 1), -np.inf).max((4, 5))


def close(actual, expected, tolerance=1e-4):
    """Compares on the scale of the largest value."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def test_layers_are_those_of_the_published_network(judge):
    kernels, biases = {}, 0
    for place, leaf in jax.tree_util.tree_leaves_with_path(judge.params):
        *layer, kind = (key.key for key in place)
        if kind == "kernel":
            kernels[".".join(layer)] = leaf.shape
        else:
            biases += leaf.size
    assert kernels.pop("fc") == (2048, 1008)
    assert kernels == {name: (h, w, i, o) for name, (o, i, h, w) in units().items()}
    # as Keras counts them: 23,817,352 to be trained, of them 2,049,000 of 1000 classes and one shift a channel
    assert (len(kernels), biases) == (94, 17_216)
    assert sum(np.prod(shape) for shape in kernels.values()) == 23_817_352 - 2_049_000 - 17_216


def test_pools_leave_out_what_is_outside_the_image():
    x = np.random.default_rng(0).standard_normal((2, 5, 4, 3)).astype(np.float32) - 3
    np.testing.assert_allclose(inception_network.average(jnp.asarray(x)), average(x), rtol=1e-5)
    np.testing.assert_array_equal(inception_network.maximum(jnp.asarray(x)), maximum(x))
    np.testing.assert_allclose(inception_network.average(jnp.ones((1, 3, 3, 1))), 1)  # with zeros: 4/9 in a corner


@pytest.mark.slow
def test_blocks_average_except_the_last_which_takes_maxima(seen):
    for name, joined in BLOCKS.items():
        if "branch_pool" in joined:
            pooled = (maximum if name == "7c" else average)(seen[2][f"Mixed_{name}"][0])
            close(seen[2][f"Mixed_{name}.branch_pool"][0], pooled, 1e-6)


@pytest.mark.slow
def test_every_unit_is_convolution_and_batch_norm(seen, state):
    halving = ("Conv2d_1a_3x3", "Mixed_6a.branch3x3", "Mixed_6a.branch3x3dbl_3")
    halving += ("Mixed_7a.branch3x3_2", "Mixed_7a.branch7x7x3_4")
    for name, (_, _, height, width) in units().items():
        valid = name in (*halving, "Conv2d_2a_3x3", "Conv2d_4a_3x3")
        padding = (0, 0) if valid else (height // 2, width // 2)
        x, y = (value[:1] for value in seen[2][name])
        parts = windows(x, (height, width), 2 if name in halving else 1, padding)
        y_expected = np.tensordot(parts, state[f"{name}.conv.weight"], ((3, 4, 5), (1, 2, 3)))
        kinds = ("running_mean", "running_var", "weight", "bias")
        mean, variance, scale, shift = (state[f"{name}.bn.{kind}"] for kind in kinds)
        close(y, (y_expected - mean) / np.sqrt(variance + 1e-3) * scale + shift, 1e-5)


@pytest.mark.slow
def test_units_and_blocks_are_joined_as_published(seen):
    layers, same = seen[2], np.testing.assert_array_equal

    def given(unit):
        return np.maximum(layers[unit][1], 0)

    def halved(x):
        return windows(x, (3, 3), 2).max((4, 5))

    same(layers["Conv2d_2a_3x3"][0], given("Conv2d_1a_3x3"))
    same(layers["Conv2d_2b_3x3"][0], given("Conv2d_2a_3x3"))
    same(layers["Conv2d_3b_1x1"][0], halved(given("Conv2d_2b_3x3")))
    same(layers["Conv2d_4a_3x3"][0], given("Conv2d_3b_1x1"))
    before = halved(given("Conv2d_4a_3x3"))
    for name, joined in BLOCKS.items():
        block = f"Mixed_{name}"
        x, y = layers[block]
        same(x, before)
        for unit in (unit for unit in units() if unit.startswith(block) and not unit.endswith("_pool")):
            stem, place = re.fullmatch(r"(.*?)(?:_(\d)[ab]?)?", unit.removeprefix(f"{block}.")).groups()  # pyright: ignore
            same(layers[unit][0], x if place in (None, "1") else given(f"{block}.{stem}_{int(place) - 1}"))
        before = np.concatenate(
            [*(given(f"{block}.{unit}") for unit in joined), *([halved(x)] * (joined in (B, D)))], -1
        )
        same(y, before)


def test_outputs(seen, state, judge):
    found, probabilities, layers = seen
    assert (judge.size, judge.classes) == (2048, 1008) == (found.shape[1], probabilities.shape[1])
    assert 0.01 < found.std(0).mean() < 100  # else the comparisons here would mean little
    close(found, layers["Mixed_7c"][1].mean((1, 2)), 1e-6)
    logits = found.astype(np.float64) @ state["fc.weight"].T  # without the bias, as in the first code of the score
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(probabilities, exponentials / exponentials.sum(1, keepdims=True), rtol=1e-3, atol=1e-7)


@pytest.mark.slow
def test_grey_is_repeated_and_chunks_and_devices_change_nothing(judge, seen, monkeypatch):
    monkeypatch.setattr(inception, "CHUNK", 4)
    monkeypatch.setattr(extraction, "BATCH", 8)
    ((found, probabilities),) = extraction.extractor(judge, lambda _, x: x)(None, images(2, channels=1))
    close(found, seen[0][2:], 1e-5)
    close(probabilities, seen[1][2:], 1e-4)


@pytest.mark.slow
def test_inputs_by_protocol(state, monkeypatch):
    monkeypatch.setattr(weights, "read", lambda path, limit: state)
    monkeypatch.setattr(inception_network.Net, "apply", lambda self, variables, x: (x, x))
    x, names = images(2, side=40), set()
    flat = jnp.linspace(-1, 1, 256)[:, None, None, None]  # one image of every value of 8 bits
    v = np.arange(256)
    cases: list[tuple[inception.Resize, Any, Any]] = [
        ("reference", resize.bilinear(x, 299), v / 127.5 - 1),
        ("clean", (127.5 * resize.clean(x, 299) - 0.5) / 128, (v - 128) / 128),
        ("tensorflow", (127.5 * resize.tensorflow(x, 299) - 0.5) / 128, (v - 128) / 128),
    ]
    for choice, expected, values in cases:
        judge = inception.features("some.npz", choice)
        np.testing.assert_allclose(judge.apply({}, x)[0], expected, atol=1e-6)
        monkeypatch.setattr(inception, "SIDE", 1)
        np.testing.assert_allclose(judge.apply({}, flat)[0].reshape(256, -1)[:, 0], values, atol=1e-6)
        monkeypatch.setattr(inception, "SIDE", 299)
        names.add(judge.resize)
    assert len(names) == 3 and "none" not in names


@pytest.mark.parametrize("shape", [(2, 32, 32, 2), (2, 32, 32, 4), (2, 32, 32), (2, 2)])
def test_other_images_are_refused(judge, shape):
    with pytest.raises(ValueError, match=r"images has shape \(2, .*C = 1 or 3 channels"):
        judge.apply(judge.params, jnp.zeros(shape))


def test_unknown_resize_is_refused(path):
    with pytest.raises(ValueError, match="resize='bicubic': give one of reference, clean, tensorflow"):
        inception.features(path, "bicubic")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("Mixed_6e.branch7x7dbl_5.conv.weight"), r"Mixed_6e\.branch7x7dbl_5\.conv\.weight is missing"),
        (lambda s: s.pop("Conv2d_1a_3x3.bn.running_var"), r"Conv2d_1a_3x3\.bn\.running_var is missing"),
        (lambda s: s.pop("fc.weight"), r"fc\.weight is missing; give the complete pytorch-fid weights"),
        (
            lambda s: s.update({"fc.weight": np.zeros((1000, 2048))}),
            r"fc\.weight has shape \(1000, 2048\).*torchvision's",
        ),
        (
            lambda s: s.update({"Mixed_5b.branch1x1.bn.bias": np.full(64, np.nan)}),
            r"Mixed_5b.*must have shape \(64,\) and finite values",
        ),
    ],
)
def test_unfit_weights_name_the_layer(state, monkeypatch, change, message):
    changed = dict(state)
    change(changed)
    monkeypatch.setattr(weights, "read", lambda path, limit: changed)
    with pytest.raises(ValueError, match=f"weights 'some.pth': {message}"):
        inception.features("some.pth")


def test_fingerprint_is_of_the_weights_alone(state, judge, monkeypatch):
    def mark(changed):
        monkeypatch.setattr(weights, "read", lambda path, limit: changed)
        return inception.features("other.pth", "clean").fingerprint

    assert mark({name: state[name].astype(np.float64) for name in reversed(state)}) == judge.fingerprint
    assert mark({**state, "fc.weight": state["fc.weight"] + 1e-6}) != judge.fingerprint


def test_published_weights_are_verified_wherever_they_lie(tmp_path, monkeypatch):
    path = tmp_path / inception.URL.rpartition("/")[2]
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match="begins with 6726825d: the file is damaged or another one; delete it"):
        inception.features(path)
    source = tmp_path / f"weights-{hashlib.sha256(b'x').hexdigest()[:16]}.pth"
    monkeypatch.setattr(inception, "URL", source.as_uri())
    with pytest.raises(ConnectionError, match="download it on another machine, and give its path"):
        inception.features()
    source.write_bytes(b"x")
    with pytest.raises(ValueError, match="cannot be read as"):
        inception.features()


@pytest.mark.slow
@pytest.mark.parametrize("zip_format", [True, False])
def test_equals_pytorch(tmp_path, zip_format):
    torch = pytest.importorskip("torch", reason="pip install torch; then pytest tests/test_metrics_inception.py")
    from torch_inception import randomised

    network = randomised(int(zip_format))
    torch.save(network.state_dict(), tmp_path / "weights.pth", _use_new_zipfile_serialization=zip_format)
    image = data.load("digits", "test").arrays["image"][:3]
    noise = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 3), np.uint8)
    x = np.concatenate([noise, np.repeat(image, 3, 3)])
    judge = inception.features(tmp_path / "weights.pth")
    found, probabilities = jax.jit(judge.apply)(judge.params, kinds.image.to_network(x))
    with torch.no_grad():
        bytes_ = torch.from_numpy(np.moveaxis(x, 3, 1) / np.float32(255))
        resized = torch.nn.functional.interpolate(bytes_, size=(299, 299), mode="bilinear", align_corners=False)
        expected, logits = network(2 * resized - 1)
    expected = expected.numpy()
    deviation, spread = np.abs(np.asarray(found) - expected), expected.std(0).mean()
    print("largest deviation", deviation.max(), "largest feature", expected.max(), "spread over images", spread)
    assert 0.01 < spread < 100  # else equality would mean little
    assert deviation.max() < 1e-3 * spread
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * expected.mean())
    np.testing.assert_allclose(probabilities, torch.softmax(logits, 1).numpy(), rtol=1e-3, atol=1e-7)
