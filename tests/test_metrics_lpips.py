"""LPIPS is a squared distance, equal to PyTorch's formulation; its weights are read by name."""

import re
import sys
from pathlib import Path
from unittest.mock import MagicMock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from gan_jax import metrics
from gan_jax.errors import UserError
from gan_jax.metrics.features import lpips, resize, weights

# convolutions of VGG16, as torchvision numbers its layers, in the slices of LPIPS
CONVOLUTIONS = {1: (0, 2), 2: (5, 7), 3: (10, 12, 14), 4: (17, 19, 21), 5: (24, 26, 28)}
CHANNELS = {1: 64, 2: 128, 3: 256, 4: 512, 5: 512}
NARROW = {stage: channels // 8 for stage, channels in CHANNELS.items()}  # full width takes seconds for each pair
STAGES = lpips.STAGES
SIDE = 19  # odd, so that poolings leave out a row


def shapes(channels):
    """Names of the state dict of the authors' package, and shapes."""
    found: dict[str, tuple[int, ...]] = {f"scaling_layer.{name}": (1, 3, 1, 1) for name in ("shift", "scale")}
    inputs = 3
    for stage, indices in CONVOLUTIONS.items():
        for index in indices:
            found[f"net.slice{stage}.{index}.weight"] = (channels[stage], inputs, 3, 3)
            found[f"net.slice{stage}.{index}.bias"] = (channels[stage],)
            inputs = channels[stage]
        found[f"lin{stage - 1}.model.1.weight"] = (1, inputs, 1, 1)
    return found


@pytest.fixture(scope="module", autouse=True)
def _narrow():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lpips, "STAGES", tuple((NARROW[stage], len(CONVOLUTIONS[stage])) for stage in NARROW))
        yield


@pytest.fixture(scope="module")
def state():
    """A state dict of the authors' package at random, such that activations neither vanish nor explode."""
    draws = np.random.default_rng(0)
    found = {}
    for name, shape in shapes(NARROW).items():
        scale = 0.2 if name.endswith("bias") else (2 / np.prod(shape[1:])) ** 0.5
        values = draws.uniform(0, 1, shape) if name.startswith("lin") else scale * draws.standard_normal(shape)
        found[name] = values.astype(np.float32)
    shift, scale = [-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]  # of the authors' package
    constants = {"scaling_layer.shift": shift, "scaling_layer.scale": scale}
    return found | {name: np.asarray(value, np.float32).reshape(1, 3, 1, 1) for name, value in constants.items()}


@pytest.fixture(scope="module")
def file(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("lpips") / "lpips.safetensors"
    safetensors.numpy.save_file(state, path)
    return path


@pytest.fixture(scope="module")
def measure(file):
    made = lpips.distance(file)
    compiled = jax.jit(made.apply)
    return lambda first, second: np.asarray(compiled(made.params, first, second))


def pairs(channels=3):
    draws = np.random.default_rng(1)
    return draws.uniform(-1, 1, (2, 3, SIDE, SIDE, channels)).astype(np.float32)


def test_an_image_is_at_no_distance_from_itself_and_distances_are_symmetric(measure):
    first, second = pairs()
    there, back = measure(first, second), measure(second, first)
    np.testing.assert_array_equal(there, back)
    assert np.all(there > 0.01)
    np.testing.assert_array_equal(measure(first, first), 0)
    near = measure(first, first + 0.1 * (second - first))
    assert np.all((near > 0) & (near < there))


def test_distances_are_those_of_an_independent_formulation(state, measure):
    torch = pytest.importorskip("torch")
    first, second = pairs()
    weights = {name: torch.tensor(value) for name, value in state.items()}

    def activations(images):
        x = torch.tensor(images.transpose(0, 3, 1, 2)) - weights["scaling_layer.shift"]
        x = x / weights["scaling_layer.scale"]
        for stage, indices in CONVOLUTIONS.items():
            x = x if stage == 1 else torch.nn.functional.max_pool2d(x, 2)
            for index in indices:
                kernel, bias = (weights[f"net.slice{stage}.{index}.{kind}"] for kind in ("weight", "bias"))
                x = torch.relu(torch.nn.functional.conv2d(x, kernel, bias, padding=1))
            yield x / (torch.sqrt((x**2).sum(1, keepdim=True)) + 1e-10)

    expected = 0
    for stage, (f, g) in enumerate(zip(activations(first), activations(second), strict=True)):
        squares = torch.nn.functional.conv2d((f - g) ** 2, weights[f"lin{stage}.model.1.weight"])
        expected += squares.mean((1, 2, 3)).numpy()
    np.testing.assert_allclose(measure(first, second), expected, rtol=1e-5)


def test_grey_images_count_as_three_equal_channels(measure):
    first, second = pairs(channels=1)
    np.testing.assert_array_equal(measure(first, second), measure(first.repeat(3, 3), second.repeat(3, 3)))


def test_large_images_are_averaged_over_blocks():
    images = np.random.default_rng(0).normal(size=(2, 12, 18, 1)).astype(np.float32)
    found = resize.averaged(jnp.asarray(images), 4)
    expected = [[images[:, 3 * i : 3 * i + 3, 3 * j : 3 * j + 3].mean((1, 2)) for j in range(6)] for i in range(4)]
    np.testing.assert_allclose(found, np.moveaxis(np.array(expected), 2, 0), atol=1e-6)
    np.testing.assert_array_equal(resize.averaged(jnp.asarray(images), 7), images)
    with pytest.raises(UserError, match=r"blocks of 4 pixels do not divide them; .* a multiple of 3"):
        resize.averaged(jnp.asarray(images), 3)


def test_lpips_sees_images_of_at_most_twice_256_pixels(file):
    made = lpips.distance(file)
    images = [jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32) for side in (256, 511, 1024)]
    programs = [str(jax.make_jaxpr(made.apply)(made.params, x, x)) for x in images]
    sides = [re.search(r"f32\[2,(\d+),\1,8\]", program) for program in programs]
    assert [side and side[1] for side in sides] == ["256", "511", "256"]


def test_its_parameters_are_those_of_vgg16_without_dense_layers(monkeypatch):
    full = {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes(CHANNELS).items()}
    monkeypatch.setattr(lpips, "STAGES", STAGES)
    monkeypatch.setattr(weights, "read", lambda path: full)
    params = lpips.distance("full.npz").params
    sizes = {name: sum(x.size for x in jax.tree.leaves(layer)) for name, layer in params.items()}
    # as Keras counts VGG16 without its dense layers
    assert sum(size for name, size in sizes.items() if name.startswith("slice")) == 14_714_688
    assert [sizes[f"lin{stage}"] for stage in range(5)] == [*CHANNELS.values()]


def test_weights_are_those_of_the_recipe(state, file, tmp_path, monkeypatch):
    page = Path(metrics.__file__).with_name("README.md").read_text()
    (recipe,) = re.findall(r"```python\n(import lpips\n.*?)```", page, re.DOTALL)
    repeated = {f"lins.{stage}.model.1.weight": state[f"lin{stage}.model.1.weight"] for stage in range(5)}
    package = MagicMock()  # the authors', whose state dict has the weights of channels twice
    package.LPIPS(net="vgg").state_dict.return_value = {
        name: MagicMock(numpy=lambda value=value: value) for name, value in (state | repeated).items()
    }
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "lpips", package)
    exec(recipe, {})
    jax.tree.map(np.testing.assert_array_equal, lpips.distance("lpips.npz").params, lpips.distance(file).params)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.pop("net.slice3.12.bias"), "missing: net.slice3.12.bias"),
        (lambda x: x.pop("scaling_layer.scale"), "missing: scaling_layer.scale"),
        (lambda x: x.update({"lin5.model.1.weight": np.ones((1, 4, 1, 1))}), "superfluous: lin5.model.1.weight"),
        (
            lambda x: x.update({"net.slice1.0.weight": np.ones((8, 3, 11, 11))}),
            r"wrong shape: net.slice1.0.weight \(8, 3, 11, 11\)",
        ),
        (lambda x: x.update({"lin0.model.1.weight": np.ones(8)}), r"wrong shape: lin0.model.1.weight \(8,\)"),
    ],
)
def test_tensors_that_do_not_fit_are_named_with_their_file(state, change, message, monkeypatch):
    changed = dict(state)
    change(changed)
    monkeypatch.setattr(weights, "read", lambda path: changed)
    with pytest.raises(UserError, match=rf"weights 'some.npz': .*{message}; make the file of LPIPS's weights as in"):
        lpips.distance("some.npz")


def test_images_that_are_too_small_or_have_other_channels_are_refused(file):
    made = lpips.distance(file)
    for shape in ((1, 15, 15, 3), (1, 16, 16, 4), (16, 16, 3)):
        with pytest.raises(UserError, match=rf"images has shape {re.escape(str(shape))}: LPIPS takes"):
            made.apply(made.params, jnp.zeros(shape), jnp.zeros(shape))
