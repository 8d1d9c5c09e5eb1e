import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from toy import gan

from gan_jax import losses, penalties
from gan_jax.latents import normal
from gan_jax.networks import dcgan, linen, mixed, mlp, resnet
from gan_jax.networks.autoencoder import Autoencoder, UpsamplingAutoencoder

KEY = jax.random.key(0)
SHAPE = (28, 28, 1)
NETWORKS = {
    "generator": (dcgan.Generator(SHAPE, 4), (8,)),
    "batch": (dcgan.Discriminator(SHAPE, 4), SHAPE),
    "spectral": (dcgan.Discriminator(SHAPE, 4, "spectral"), SHAPE),
    "layer": (dcgan.Discriminator(SHAPE, 4, "layer", minibatch="deviation"), SHAPE),
    "discrimination": (dcgan.Discriminator(SHAPE, 4, "none", minibatch="discrimination", with_features=True), SHAPE),
    "residual generator": (resnet.Generator(SHAPE, 8), (8,)),
    "residual critic": (resnet.Discriminator(SHAPE, 8, "spectral", pool="sum"), SHAPE),
    "autoencoder": (Autoencoder(SHAPE, 4, 16), SHAPE),
    "upsampling autoencoder": (UpsamplingAutoencoder(SHAPE, 4, 16), SHAPE),
    "mlp": (mlp.Discriminator((16, 16)), SHAPE),
}


QUICK = ("mlp",)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in NETWORKS]
)
def test_every_layer_of_every_network_computes_in_bfloat16_and_what_is_kept_stays_float32(name):
    module, shape = NETWORKS[name]
    whole = linen(module, shape)
    short = mixed(whole, jnp.bfloat16)
    params, stats = whole.init(KEY)
    inputs = jax.random.normal(KEY, (8, *shape))
    _, layers = jax.eval_shape(short.inspect, params, stats, inputs)
    assert layers and {str(layer.dtype) for layer in jax.tree.leaves(layers)} == {"bfloat16"}, layers
    apply = [jax.jit(lambda n=n: n.apply(params, stats, inputs, train=True, key=KEY)) for n in (whole, short)]
    (exact, exact_stats), (output, new) = (f() for f in apply)
    for ours, theirs in zip(jax.tree.leaves((output, new)), jax.tree.leaves((exact, exact_stats)), strict=True):
        assert ours.dtype == jnp.float32
        # 8 bits of mantissa, and a few layers that round one after another
        scale = np.abs(theirs).max() + 1e-6
        np.testing.assert_allclose(ours / scale, theirs / scale, atol=0.1)


@pytest.mark.slow
def test_gradients_of_losses_and_of_gradient_penalties_are_float32_and_near_the_exact_ones():
    latent = normal(8)
    networks = {"generator": linen(mlp.Generator((2,), (32,), norm="none", bounded=False), (8,))}
    networks |= {"discriminator": linen(mlp.Discriminator((32,), "none"), (2,))}
    batch = {"image": jax.random.normal(KEY, (64, 2))}
    moved = []
    for dtype in (jnp.float32, jnp.bfloat16):
        game = gan(
            {name: mixed(network, dtype) for name, network in networks.items()},
            losses.non_saturating(),
            latent,
            optax.sgd(1.0),
            terms={"discriminator": [penalties.r1(1.0)]},
        )
        first = game.init(KEY)
        state, metrics = jax.jit(game.update)(first, batch, KEY)
        assert {x.dtype for x in jax.tree.leaves((state.params, metrics))} == {jnp.dtype("float32")}
        moved.append(ravel_pytree(jax.tree.map(jnp.subtract, state.params, first.params))[0])
    exact, short = moved
    assert not np.array_equal(exact, short)
    assert float(jnp.linalg.norm(exact - short) / jnp.linalg.norm(exact)) < 0.03


def test_float32_changes_nothing_and_float16_is_refused():
    network = linen(mlp.Discriminator((4,)), (2,))
    assert mixed(network, "float32") is network
    with pytest.raises(ValueError, match="float16: give bfloat16 or float32"):
        mixed(network, jnp.float16)
