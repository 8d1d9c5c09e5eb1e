"""StyleGAN2's networks: equal to a PyTorch formulation, and what the papers state about them."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import double

from gan_jax.convert import stylegan2 as convert
from gan_jax.networks import linen
from gan_jax.networks.stylegan2 import Discriminator, Generator

torch: Any = pytest.importorskip("torch")
reference: Any = pytest.importorskip("torch_stylegan2")

SIZES = {"side": 16, "base": 64, "most": 8}  # 8, 8 and 4 channels
LATENT, WIDTH, DEPTH = 6, 10, 2


@functools.cache
def tensors(classes):
    """Random tensors of both networks, and those of the unaveraged names that a snapshot has besides."""
    random = np.random.default_rng(classes)
    shapes = {
        "G_ema.": reference.generator_shapes(latent=LATENT, width=WIDTH, depth=DEPTH, classes=classes, **SIZES),
        "D.": reference.discriminator_shapes(classes=classes, **SIZES),
    }
    made = {
        prefix + name: random.normal(size=shape).astype(np.float32)
        for prefix, of in shapes.items()
        for name, shape in of.items()
    }
    slow = {name: value * 100 for name, value in made.items() if "mapping.fc" in name}  # as they begin
    return made | slow | {"G_ema.synthesis.b8.resample_filter": np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64}


def in_torch(classes, prefix):
    return {
        name.removeprefix(prefix): torch.tensor(value, dtype=torch.float32, requires_grad=True)
        for name, value in tensors(classes).items()
        if name.startswith(prefix)
    }


def close(ours, theirs, relative=1e-5):
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else theirs
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=relative * np.max(np.abs(theirs)))


def conversion(classes):
    fields, networks = convert.networks(tensors(classes))
    shape, sizes = (16, 16, 3), {"base": 64, "most": 8, "classes": classes}
    generator = functools.partial(Generator, shape, WIDTH, DEPTH, **sizes)
    return fields, networks, generator, Discriminator(shape, **sizes)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize(("psi", "cutoff"), [(1.0, None), (0.6, None), (0.6, 3)])
def test_the_generator_with_converted_weights_is_the_reference(classes, psi, cutoff):
    fields, networks, generator, _ = conversion(classes)
    assert fields["latent_size"] == LATENT and fields["mapping_depth"] == DEPTH and fields["channel_base"] == 64
    params, stats = networks["generator"]
    z = np.random.default_rng(1).normal(size=(4, LATENT)).astype(np.float32)
    label = np.eye(3, dtype=np.float32)[[0, 2, 1, 1]][:, :classes]
    network = linen(generator(psi=psi, cutoff=cutoff), (LATENT + classes,))
    images = jax.jit(functools.partial(network.apply, train=False))(params, stats, np.concatenate([z, label], 1))[0]
    theirs = reference.generator(in_torch(classes, "G_ema."), torch.tensor(z), torch.tensor(label), 16, psi, cutoff)
    close(images.transpose(0, 3, 1, 2), theirs)


@pytest.mark.parametrize("classes", [0, 3])
def test_the_discriminator_with_converted_weights_is_the_reference_with_its_r1_gradients(classes):
    _, networks, _, module = conversion(classes)
    images = np.random.default_rng(2).normal(size=(8, 16, 16, 3))
    labels = [np.arange(8) % 3] if classes else []
    network = linen(module, (16, 16, 3), *[()] * len(labels))

    def r1(params):
        def total(x):
            logits = network.apply(params, {}, x, *labels, train=True)[0]
            return jnp.sum(logits), logits

        slopes, logits = jax.grad(total, has_aux=True)(images)
        return jnp.mean(jnp.sum(slopes**2, axis=(1, 2, 3))), (logits, slopes)

    with jax.enable_x64(True):  # in float32, gradients through the deviation of a group are mostly rounding
        params = double(jax.tree.map(jnp.asarray, networks["discriminator"][0]))
        (value, (logits, slopes)), second = jax.jit(jax.value_and_grad(r1, has_aux=True))(params)
    given = {name: tensor.detach().double().requires_grad_() for name, tensor in in_torch(classes, "D.").items()}
    x = torch.tensor(images.transpose(0, 3, 1, 2), requires_grad=True)
    codes = torch.eye(3, dtype=torch.float64)[labels[0]] if labels else None
    their_logits = reference.discriminator(given, x, codes, 16)
    (their_slopes,) = torch.autograd.grad(their_logits.sum(), x, create_graph=True)
    penalty = their_slopes.square().sum((1, 2, 3)).mean()
    penalty.backward()
    close(logits, their_logits)
    close(slopes.transpose(0, 3, 1, 2), their_slopes)
    close(value, penalty)
    theirs = {f"D.{n}": np.zeros(t.shape) if t.grad is None else t.grad.numpy() for n, t in given.items()}
    back = convert.networks({n: t for n, t in tensors(classes).items() if n.startswith("G_ema.")} | theirs)
    jax.tree.map(close, second, back[1]["discriminator"][0])
