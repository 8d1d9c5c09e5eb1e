"""Filters: what channels add to an image sums up to it where all that follows is linear, and one by one anywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gan_jax.explore import filters
from gan_jax.networks import linen, mlp
from gan_jax.networks.layers.conv import ConvTranspose

SIZE, CHANNELS = 3, 5


class Maps(nn.Module):
    @nn.compact
    def __call__(self, latents):
        return nn.Dense(16 * CHANNELS)(latents).reshape(-1, 4, 4, CHANNELS)


class Painter(nn.Module):
    """Maps, and one transposed convolution; its layers are not in the order of their names."""

    bend: bool = False

    @nn.compact
    def __call__(self, latents, train):
        maps = Maps(name="maps")(latents)
        maps = ConvTranspose(6, 3, name="between")(jnp.tanh(maps)) if self.bend else maps
        image = ConvTranspose(2, 4, 2, name="image")(maps)
        return jnp.tanh(image) if self.bend else image


def painter(bend):
    network = linen(Painter(bend), (SIZE,))
    params, stats = network.init(jax.random.key(0))
    latents = jax.random.normal(jax.random.key(1), (65, SIZE))
    return network, {"params": params, "stats": stats}, latents[0], latents[1:]


@pytest.fixture(scope="module")
def linear():
    return painter(bend=False)


@pytest.fixture(scope="module")
def bent():
    return painter(bend=True)


def test_contributions_sum_to_what_sets_a_linear_image_apart_from_the_mean_image(linear):
    network, average, latent, others = linear
    (layer,) = filters.dissect(*linear)

    def apply(z):
        return network.apply(average["params"], average["stats"], z, train=False)[0]

    image, mean = apply(latent[None])[0], apply(others).mean(0)
    np.testing.assert_allclose(layer.contributions.sum(0), image - mean, atol=1e-5)
    np.testing.assert_allclose(layer.assembly[0], mean, atol=1e-5)
    np.testing.assert_allclose(layer.assembly[-1], image, atol=1e-5)


def test_a_linear_image_is_put_together_of_the_contributions_the_largest_first(linear):
    (layer,) = filters.dissect(*linear)
    assert layer.counts == (0, 1, 2, 4, CHANNELS)
    assert sorted(layer.order) == list(range(CHANNELS)) and np.all(np.diff(layer.effects[layer.order]) <= 0)
    for kept, image in zip(layer.counts, layer.assembly, strict=True):
        expected = layer.assembly[0] + layer.contributions[layer.order[:kept]].sum(0)
        np.testing.assert_allclose(image, expected, atol=1e-5)
    np.testing.assert_allclose(layer.effects, np.sqrt((layer.contributions**2).mean((1, 2, 3))), rtol=1e-6)


def test_a_channel_that_nothing_paints_with_has_no_effect(linear):
    network, average, latent, others = linear
    params = jax.tree.map(lambda x: x, average["params"])
    params["image"]["kernel"] = params["image"]["kernel"].at[:, :, 2].set(0)
    (layer,) = filters.dissect(network, average | {"params": params}, latent, others)
    assert layer.effects[2] == 0 and not layer.contributions[2].any() and layer.order[-1] == 2
    assert (np.delete(layer.effects, 2) > 0).all()


def test_a_channel_that_does_not_vary_has_no_effect_though_it_is_painted_with(bent):
    network, average, latent, _ = bent
    (layer, _) = filters.dissect(network, average, latent, jnp.tile(latent, (4, 1)))
    np.testing.assert_allclose(layer.effects, 0, atol=1e-6)  # its mean over equal latents is its value


def test_variants_are_those_made_one_by_one(bent):
    network, average, latent, others = bent
    for layer in filters.dissect(*bent):
        mean = filters.mean_maps(network, average, others)[layer.path]
        for channel in range(3):

            def without(path, value, layer=layer, mean=mean, channel=channel):
                return value.at[..., channel].set(mean[..., channel]) if path == layer.path else value

            less = network.inspect(average["params"], average["stats"], latent[None], edit=without)[0][0]
            np.testing.assert_allclose(layer.assembly[-1] - layer.contributions[channel], less, atol=1e-6)


def test_more_variants_than_fit_one_call_are_made_in_several(bent):
    network, average, latent, others = bent
    mean = filters.mean_maps(network, average, others)["maps"]
    keep = np.random.default_rng(0).random((filters.ROWS + 3, CHANNELS)) < 0.5
    made = filters.rebuild(network, average, latent, "maps", mean, keep)
    assert made.shape == (filters.ROWS + 3, 8, 8, 2)
    np.testing.assert_array_equal(made[-3:], filters.rebuild(network, average, latent, "maps", mean, keep[-3:]))


def test_an_edit_that_changes_nothing_leaves_every_bit(bent):
    network, average, latent, _ = bent
    given = average["params"], average["stats"], latent[None]
    same = network.inspect(*given, edit=lambda path, value: value)[0]
    np.testing.assert_array_equal(same, network.apply(*given, train=False)[0])


def test_layers_are_told_in_the_order_of_evaluation_with_the_filters_before_and_after_them(bent):
    network, average, latent, _ = bent
    assert list(filters.map_shapes(network, average, latent)) == ["maps", "between", "image"]
    first, second = filters.dissect(*bent)  # the last paints colours
    assert (first.path, second.path) == ("maps", "between") and first.kernel is None
    params = average["params"]
    np.testing.assert_array_equal(first.brush, params["between"]["kernel"])
    np.testing.assert_array_equal(second.kernel, params["between"]["kernel"])
    np.testing.assert_array_equal(second.brush, params["image"]["kernel"])
    np.testing.assert_array_equal(
        first.maps, network.inspect(average["params"], average["stats"], latent[None])[1]["maps"][0]
    )


def test_layers_without_maps_are_refused(linear):
    with pytest.raises(ValueError, match=r"paths: layer 'maps/Dense_0' outputs no maps.*\['maps', 'image'\]"):
        filters.dissect(*linear, paths=["maps/Dense_0"])
    network = linen(mlp.Generator((4, 4, 1), (8,)), (SIZE,))
    params, stats = network.init(jax.random.key(0))
    with pytest.raises(ValueError, match="network: none of its layers outputs maps"):
        filters.dissect(network, {"params": params, "stats": stats}, linear[2], linear[3])
