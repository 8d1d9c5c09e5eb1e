import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gan_jax import latents, sample
from gan_jax.data import Spec, kinds
from gan_jax.explore import directions
from gan_jax.game import Game, sampler, system
from gan_jax.networks import linen
from gan_jax.rules.controllers import ema
from gan_jax.runs import Restored
from gan_jax.types import Network, Rule

SIZE, UNITS = 5, 12


class Linear(nn.Module):
    @nn.compact
    def __call__(self, z, train):
        return nn.Dense(UNITS)(z)


class Bent(nn.Module):
    """What does not see the latent, what is linear in it, what rescales that, and what is not linear."""

    @nn.compact
    def __call__(self, z, train):
        still = nn.Dense(3, name="still", bias_init=nn.initializers.normal(5.0))(jnp.ones((len(z), 1)))
        x = nn.BatchNorm(use_running_average=not train)(nn.Dense(UNITS)(z))
        return nn.Dense(7)(jnp.tanh(x)) + still.sum(axis=1, keepdims=True)


def run_of(network: Network, latent, seed=0):
    """A run that was never trained, all parameters and statistics drawn at random."""
    draw = np.random.default_rng(seed)
    params, stats = network.init(jax.random.key(0))
    average = {
        "params": jax.tree.map(lambda x: jnp.asarray(draw.normal(size=x.shape), jnp.float32), params),
        "stats": jax.tree.map(lambda x: jnp.asarray(draw.uniform(0.5, 2.0, x.shape), jnp.float32), stats),
    }
    still = Rule((), lambda state, batch, key: (state, {}))
    made = system(Game({"generator": network}, latent=latent), still, [ema("generator", 0.0)])
    shape = jax.eval_shape(sampler(made)[1], {"generator": average}, jnp.zeros((1, latent.size))).shape[1:]
    kind = kinds.image if len(shape) == 3 else kinds.vector
    return Restored(made, {"generator": average}, 0, {}, Spec(shape, 0, kind=kind))


@pytest.fixture(scope="module")
def linear():
    return run_of(linen(Linear(), (SIZE,)), latents.normal(SIZE))


@pytest.fixture(scope="module")
def bent():
    return run_of(linen(Bent(), (SIZE,)), latents.normal(SIZE))


def kernel(run):
    return np.asarray(run.ema["generator"]["params"]["Dense_0"]["kernel"])


def assert_same_directions(found, expected, tolerance=1e-4):
    """The sign of a direction is a convention; that of what is found, the largest component decides."""
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    assert (np.take_along_axis(found, np.abs(found).argmax(axis=1)[:, None], axis=1) > 0).all()
    cosines = np.sum(found * expected, axis=1) / np.linalg.norm(expected, axis=1)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=tolerance)


@pytest.mark.parametrize("latent", [latents.normal(SIZE), latents.uniform(SIZE, 0.0, 1.0)])
def test_sefa_of_a_linear_layer_is_the_singular_value_decomposition_of_its_weights(linear, latent):
    run = linear._replace(system=linear.system._replace(latent=latent))
    _, values, right = np.linalg.svd(kernel(run).T)
    found = directions.sefa(run, samples=12)
    assert found.layer == "Dense_0" and found.vectors.shape == (SIZE, SIZE)  # 8 asked for, and no more to be had
    np.testing.assert_allclose(found.strengths, values**2, rtol=1e-4)
    assert_same_directions(found.vectors, right)


def test_layers_are_named_as_they_are_called(bent):
    assert list(directions.layers(bent).items()) == [
        ("still", (3,)), ("Dense_0", (UNITS,)), ("BatchNorm_0", (UNITS,)), ("Dense_1", (7,)),
    ]  # fmt: skip


def test_sefa_passes_over_what_the_latent_does_not_move(bent):
    found = directions.sefa(bent, 2, samples=12)
    assert found.layer == "Dense_0"
    _, values, right = np.linalg.svd(kernel(bent).T)
    np.testing.assert_allclose(found.strengths, values[:2] ** 2, rtol=1e-4)
    assert_same_directions(found.vectors, right[:2])


def test_sefa_of_a_normalised_layer_sees_each_unit_rescaled(bent):
    average = bent.ema["generator"]
    scale = average["params"]["BatchNorm_0"]["scale"] / np.sqrt(average["stats"]["BatchNorm_0"]["var"] + 1e-5)
    _, values, right = np.linalg.svd(np.asarray(scale)[:, None] * kernel(bent).T)
    found = directions.sefa(bent, layer="BatchNorm_0", samples=12)
    np.testing.assert_allclose(found.strengths, values**2, rtol=1e-4)
    assert_same_directions(found.vectors, right)


def test_sefa_of_any_layer_averages_over_latents(bent):
    z = sample.latents_of(bent, 3, 40)
    jacobians = jax.vmap(jax.jacfwd(lambda z: bent.system.sample(bent.ema, z[None])[0]))(z)  # [40, 7, SIZE]
    values, vectors = np.linalg.eigh(np.einsum("nui,nuj->ij", jacobians, jacobians) / 40)
    found = directions.sefa(bent, layer="Dense_1", samples=40, seed=3)
    np.testing.assert_allclose(found.strengths, values[::-1], rtol=1e-4)
    assert_same_directions(found.vectors, vectors.T[::-1])
    moves = np.mean(np.sum((jacobians @ found.vectors.T) ** 2, axis=1), axis=0)  # what a strength says
    np.testing.assert_allclose(found.strengths, moves, rtol=1e-4)


def test_pca_of_a_linear_layer_is_that_of_its_covariance_and_nearly_sefa(linear):
    found, closed = directions.pca(linear, samples=4096), directions.sefa(linear, samples=12)
    z = np.asarray(sample.latents_of(linear, 0, 4096))
    covariance = np.cov(z @ kernel(linear), rowvar=False, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    np.testing.assert_allclose(found.strengths, values[::-1][:SIZE], rtol=1e-4)
    regression = vectors.T[::-1][:SIZE] @ kernel(linear).T @ np.cov(z, rowvar=False)
    assert_same_directions(found.vectors, regression)
    np.testing.assert_allclose(found.strengths, closed.strengths, rtol=0.1)  # as normal latents vary by 1
    assert_same_directions(found.vectors[:2], closed.vectors[:2], 0.02)


def test_pca_of_a_bent_layer_regresses_latents_on_the_components(bent):
    found = directions.pca(bent, 3, samples=300, seed=2)
    assert found.layer == "Dense_1"  # the first that is not linear
    z = np.asarray(sample.latents_of(bent, 2, 300))
    made = np.asarray(bent.system.sample(bent.ema, jnp.asarray(z)))
    average = bent.ema["generator"]
    inside = bent.system.networks["generator"].inspect(average["params"], average["stats"], z)[1]
    still = made - np.asarray(inside["Dense_1"])
    np.testing.assert_allclose(np.ptp(still, axis=0), 0, atol=1e-4)  # the output is that layer, but for a constant
    left, deviations, _ = np.linalg.svd(made - made.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(found.strengths, deviations[:3] ** 2 / 300, rtol=1e-3)
    design = np.column_stack([np.ones(300), left[:, :3] * deviations[:3]])
    assert_same_directions(found.vectors, np.linalg.lstsq(design, z, rcond=None)[0][1:], 1e-3)


def test_the_middle_of_a_walk_is_the_sample_and_its_ends_lie_alike_on_both_sides(linear):
    vectors = np.array([[1, 0, 0, 0, 0], [0, 3, -4, 0, 0]], float)
    walks = directions.traverse(linear, 7, vectors, 5, extent=2.0, samples=3).reshape(2, 3, 5, UNITS)
    own = sample.samples(linear, 7, 3)
    np.testing.assert_allclose(walks[:, :, 2], np.stack([own, own]), atol=1e-5)
    np.testing.assert_allclose(walks[:, :, 0] + walks[:, :, 4], 2 * walks[:, :, 2], atol=1e-4)
    step = vectors / np.array([[1], [5]]) @ kernel(linear)  # of one deviation, whatever the vector's length
    np.testing.assert_allclose(walks[:, :, 3] - walks[:, :, 2], np.repeat(step[:, None], 3, axis=1), atol=0.15)


def test_walks_are_measured_in_deviations_of_the_latent(linear):
    run = linear._replace(system=linear.system._replace(latent=latents.uniform(SIZE, 0.0, 1.0)))
    vectors = np.eye(SIZE)[:1]
    wide, narrow = (directions.traverse(each, 0, vectors, 2, extent=1.0) for each in (linear, run))
    ratio = np.linalg.norm(narrow[1] - narrow[0]) / np.linalg.norm(wide[1] - wide[0])
    np.testing.assert_allclose(ratio, np.sqrt(1 / 12), rtol=0.05)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda run: directions.sefa(run, layer="Conv_0"),
            "layer='Conv_0' does not exist; the generator has still, Dense_0, Batch",
        ),
        (lambda run: directions.sefa(run, 0), "count=0"),
        (lambda run: directions.pca(run, samples=1), "samples=1"),
        (lambda run: directions.pca(run, layer="still", samples=16), "layer='still': its activations do not vary"),
        (lambda run: directions.traverse(run, 0, np.eye(4), 3), r"vectors have shape \(4, 4\): give \[count, 5\]"),
        (lambda run: directions.traverse(run, 0, np.zeros((1, 5)), 3), "must be finite and above 0"),
        (lambda run: directions.traverse(run, 0, np.eye(5), 1), "steps=1"),
        (lambda run: directions.traverse(run, 0, np.eye(5), 3, extent=0.0), "extent=0.0"),
    ],
)
def test_bad_requests_are_refused(bent, call, message):
    with pytest.raises(ValueError, match=message):
        call(bent)


def test_a_generator_deaf_to_its_latent_and_one_that_cannot_be_looked_into_are_refused(linear):
    average = linear.ema["generator"]
    deaf = {"generator": average | {"params": jax.tree.map(jnp.zeros_like, average["params"])}}
    with pytest.raises(ValueError, match="no layer of the generator depends on the latent"):
        directions.sefa(linear._replace(ema=deaf))
    network = linear.system.networks["generator"]
    opaque = Network(network.init, network.apply, network.batch_dependent)
    with pytest.raises(ValueError, match="not built by `linen`"):
        directions.sefa(linear._replace(system=linear.system._replace(networks={"generator": opaque})))
