import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.devices.memory import size
from gan_jax.networks import dcgan, linen, rematerialised

KEY = jax.random.key(0)
SHAPE = (28, 28, 1)


@pytest.mark.slow
def test_values_and_gradients_are_the_same_and_less_is_kept_for_the_backward_pass():
    whole = linen(dcgan.Discriminator(SHAPE, 8), SHAPE)
    params, stats = whole.init(KEY)
    images = jax.random.normal(KEY, (8, *SHAPE))
    kept, results = {}, {}
    for keep in ("everything", "layers", "nothing"):
        network = rematerialised(whole, keep)

        def loss(params, network=network):
            logits, new = network.apply(params, stats, images, train=True, key=KEY)
            return jnp.mean(jax.nn.softplus(-logits)), new

        pullback = jax.jit(lambda p, loss=loss: jax.vjp(loss, p, has_aux=True)[1])(params)
        kept[keep] = size(pullback) - size(params) - size(images)  # what the backward pass is a function of
        results[keep] = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    for keep in ("layers", "nothing"):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), results["everything"], results[keep])
    layers = sum(8 * side**2 * channels * 4 for side, channels in ((14, 8), (7, 16), (4, 32))) + 8 * 4
    assert 0.9 * layers < kept["layers"] < 1.1 * layers < 0.6 * kept["everything"]
    assert kept["nothing"] < 0.05 * layers


def test_an_unknown_choice_is_refused():
    with pytest.raises(ValueError, match="keep='all'"):
        rematerialised(linen(dcgan.Discriminator(SHAPE, 4), SHAPE), "all")  # pyright: ignore[reportArgumentType]
