"""Growing networks, their schedule, and the images that they see."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import few

from experiments import progan as experiment
from gan_jax import data, loop, rng, runs, trees
from gan_jax.data import Spec
from gan_jax.methods import progressive_growing
from gan_jax.networks import linen
from gan_jax.networks.progan import Discriminator, Generator, enlarged, fade, halved, levels

LARGE = (16, 16, 3)


def network(kind, side, stage=None, width=2, cap=4):
    shape = (side, side, 3)
    module = kind(shape, width * 16 // side, cap * side // 16, stage)
    return linen(module, (5,) if kind is Generator else shape)


@functools.cache
def parameters(kind):
    """Those of side 16, drawn by NumPy; networks of smaller sides use some of them."""
    draw = np.random.default_rng(0)
    like = jax.eval_shape(network(kind, 16).init, rng.key(0))[0]
    return jax.tree.map(lambda x: jnp.asarray(draw.normal(size=x.shape), x.dtype), like)


@functools.cache
def evaluated(kind, side, stage=None):
    apply = jax.jit(functools.partial(network(kind, side, stage).apply, train=False))
    return lambda level, x, params=None: apply(params or parameters(kind), {"level": jnp.float32(level)}, x)[0]


LATENTS = jnp.asarray(np.random.default_rng(1).normal(size=(4, 5)), jnp.float32)
# of few bits, so that means of 2x2 pixels are exact
PIXELS = jnp.asarray(np.random.default_rng(2).integers(-128, 128, (4, 16, 16, 3)) / 128, jnp.float32)


def test_at_the_end_points_of_a_fade_the_generator_is_the_smaller_and_the_larger_one():
    small = evaluated(Generator, 8)(0, LATENTS)
    np.testing.assert_array_equal(evaluated(Generator, 16)(1, LATENTS), enlarged(small, 1))
    # at level 0 nothing of the smaller image is left: its last layer may be anything
    other = parameters(Generator) | {"map8_image": jax.tree.map(jnp.zeros_like, parameters(Generator)["map8_image"])}
    faded, whole = (
        [evaluated(Generator, 16)(level, LATENTS, params) for params in (None, other)] for level in (0.5, 0)
    )
    np.testing.assert_array_equal(*whole)
    assert np.abs(faded[0] - faded[1]).max() > 0.1


def test_at_the_end_points_of_a_fade_the_discriminator_is_the_smaller_and_the_larger_one():
    small = enlarged(halved(PIXELS, 1), 1)
    np.testing.assert_array_equal(
        evaluated(Discriminator, 16)(1, small), evaluated(Discriminator, 8)(0, halved(PIXELS, 1))
    )
    other = parameters(Discriminator)
    other = other | {"map8_image": jax.tree.map(jnp.zeros_like, other["map8_image"])}
    faded, whole = (
        [evaluated(Discriminator, 16)(level, PIXELS, params) for params in (None, other)] for level in (0.5, 0)
    )
    np.testing.assert_array_equal(*whole)
    assert np.abs(faded[0] - faded[1]).max() > 1e-3


@pytest.mark.parametrize("kind", [Generator, Discriminator])
@pytest.mark.parametrize("level", few([0.25, 1.75, 2.0], 1.75))
def test_a_stage_computes_what_the_whole_network_does_at_its_levels(kind, level):
    stage = int(level)
    x = LATENTS if kind is Generator else PIXELS
    np.testing.assert_allclose(
        evaluated(kind, 16, stage)(level, x), evaluated(kind, 16)(level, x), rtol=1e-4, atol=1e-5
    )


# Table 2 of Karras et al. 2018 (arXiv:1710.10196), for images of side 1024, with the table's digits
CONVOLUTIONS = {8: (2.4e6, 2.4e6), 16: (2.4e6, 2.4e6), 32: (2.4e6, 2.4e6), 64: (1.2e6, 590e3), 128: (295e3, 148e3)}
CONVOLUTIONS |= {256: (74e3, 37e3), 512: (18e3, 9.2e3), 1024: (4.6e3, 2.3e3)}
TABLE = {
    Generator: {"map4_dense+bias": 4.2e6, "map4_conv1": 2.4e6, "map1024_image": 51, "total": 23.1e6},
    Discriminator: {"map1024_image": 64, "map4_conv": 2.4e6, "map4_dense": 4.2e6, "logit": 513, "total": 23.1e6},
}
for side, (first, second) in CONVOLUTIONS.items():
    TABLE[Generator] |= {f"map{side}_conv0": first, f"map{side}_conv1": second}
    TABLE[Discriminator] |= {f"map{side}_conv0": second, f"map{side}_conv1": first}


@pytest.mark.parametrize("kind", TABLE)
def test_layers_have_as_many_parameters_as_published(kind):
    shape = (1024, 1024, 3)
    made = linen(kind(shape, 16, 32), (512,) if kind is Generator else shape)
    counts = {}
    for path, leaf in trees.flat(jax.eval_shape(made.init, rng.key(0))[0]).items():
        layer = "map4_dense+bias" if path in ("map4_dense/kernel", "map4_bias") else path.split("/")[0]
        layer = layer if kind is Generator else path.split("/")[0]
        counts[layer] = counts.get(layer, 0) + math.prod(leaf.shape)
    counts["total"] = sum(counts.values())
    others = {f"map{2**k}_image" for k in range(2, 10)}  # of smaller sides, not in the table
    assert set(counts) - others == set(TABLE[kind])
    for layer, published in TABLE[kind].items():
        digits = 3 if published in (23.1e6, 590e3, 295e3, 148e3, 513) else 2
        assert float(f"{counts[layer]:.{digits - 1}e}") == published, layer
    # what the authors' TensorFlow code has, with the image layers of all sides
    assert counts["total"] == {Generator: 23_079_115, Discriminator: 23_087_249}[kind]


def test_every_layer_of_the_generator_keeps_the_scale_of_its_inputs_at_the_start():
    made = linen(Generator((32, 32, 3), 32, 2), (64,))
    params, stats = jax.jit(made.init)(rng.key(0))
    layers = jax.jit(lambda p, s, z: made.inspect(p, s, z)[1])(params, stats, jax.random.normal(rng.key(1), (64, 64)))
    for name, y in layers.items():
        if "image" in name:  # three channels are too few for a mean
            continue
        inside = y[:, 2:-2, 2:-2] if y.ndim == 4 and y.shape[1] > 4 else y
        # pixel norm gives every layer inputs of mean square 1, so outputs have the square of its gain
        gain = 1 / 8 if "dense" in name else 2
        # zeros around maps of side 4 leave 100 of 144 products
        expected = gain * 100 / 144 if name == "map4_conv1" else gain
        np.testing.assert_allclose(np.mean(inside**2), expected, rtol=0.25, err_msg=name)


def by_the_authors(shown, start, stable, fading):
    """`TrainingSchedule.lod` in train.py of tkarras/progressive_growing_of_gans."""
    phase = int(np.floor(shown / (stable + fading)))
    lod = start - phase - max(shown - phase * (stable + fading) - stable, 0.0) / fading
    return max(lod, 0.0)


def test_the_level_of_detail_is_that_of_the_authors_schedule():
    schedule = progressive_growing.growth(3, 6, 4)
    got = [float(schedule(jnp.int32(t))) for t in range(60)]
    np.testing.assert_allclose(got, [by_the_authors(t, 3, 6, 4) for t in range(60)], atol=1e-6)
    assert got[0] == got[6] == 3 and got[8] == 2.5 and got[10] == 2 and got[29] == 0.25 and got[30:] == [0] * 30
    at_once = progressive_growing.growth(3, 6, 0)  # without fades
    assert [float(at_once(jnp.int32(t))) for t in (5, 6, 11, 12, 18, 99)] == [3, 2, 2, 1, 0, 0]
    assert float(progressive_growing.growth(3, 0, 0)(jnp.int32(0))) == 0  # nothing grows
    with pytest.raises(ValueError, match="stable=-1"):
        progressive_growing.growth(3, -1, 0)


@pytest.mark.parametrize("level", [0.0, 0.25, 1.0, 1.5, 2.0])
def test_real_images_are_reduced_as_by_the_authors(level):
    # `process_reals` of train.py: fade between two sides, of images already reduced to the larger of them
    x = np.asarray(PIXELS)
    whole = int(level)
    x = x.reshape(4, 16 >> whole, 1 << whole, 16 >> whole, 1 << whole, 3).mean((2, 4))
    smaller = x.reshape(4, x.shape[1] // 2, 2, x.shape[2] // 2, 2, 3).mean((2, 4)).repeat(2, 1).repeat(2, 2)
    x = (x + (smaller - x) * (level - whole)).repeat(1 << whole, 1).repeat(1 << whole, 2)
    got = progressive_growing.reduced(PIXELS[None], jnp.float32(level), 2)[0]
    np.testing.assert_allclose(got, x, atol=1e-6)


def test_a_fade_ends_in_either_exactly():
    a, b = jnp.float32([0.1, 1e8]), jnp.float32([1e8, 0.1])
    for share, end in ((0.0, a), (-1.0, a), (1.0, b), (7.0, b)):
        np.testing.assert_array_equal(fade(a, b, jnp.float32(share)), end)


@pytest.mark.parametrize("shape", [(30, 30, 3), (16, 8, 3), (6, 6, 1), (2,)])
def test_sides_that_do_not_halve_are_refused(shape):
    with pytest.raises(ValueError, match="4, 5, 6 or 7 times a power of 2"):
        levels(shape)
    assert (levels((28, 28, 1)), levels((48, 48, 3)), levels((1024, 1024, 3))) == (2, 3, 8)


def config(**settings):
    growth = {"stable_images": 4, "fading_images": 16, "group": 2}
    return experiment.Config(batch_size=4, latent_size=3, g_width=1, d_width=1, **growth, **settings)


@pytest.mark.slow
def test_a_run_that_stops_while_sides_fade_goes_on_exactly_and_is_sampled_as_trained(tmp_path):
    digits = data.load("digits", resolution=8)
    states = []
    for parts, directory in (((4,), tmp_path / "whole"), ((3, 4), tmp_path / "parts")):
        for steps in parts:
            run = loop.Run(steps=steps, steps_per_call=2, log_every=1, workdir=directory, devices=1)
            loop.run(experiment.build, digits, config(run=run))
        states.append(runs.restore_state(runs.open_run(directory), directory))
    jax.tree.map(np.testing.assert_array_equal, *states)
    # iterations 0 to 3 have levels 1, 1, 0.75 and 0.5; the average has the level itself, and no average of it
    average = states[0].ema["generator"]
    for stats in (states[0].stats["generator"], states[0].stats["discriminator"], average["stats"]):
        np.testing.assert_array_equal(stats["level"], 0.5)
    # Adam starts anew when the fade begins: at iteration 2, of 4
    assert {int(leaf) for path, leaf in trees.flat(states[0].opt_state).items() if path.endswith("count")} == {2}


def test_a_new_system_begins_with_the_smallest_side():
    def begun(**settings):
        system = experiment.build(dataclasses.replace(config(), **settings), Spec((16, 16, 1), 0))
        like = jax.eval_shape(system.init, rng.key(0))
        return system.begin(*jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), (like.params, like.stats)))

    state = begun()
    assert state.stats["generator"]["level"] == state.ema["generator"]["stats"]["level"] == 2
    assert state.stats["discriminator"]["level"] == 2
    assert begun(stable_images=0, fading_images=0).stats["generator"]["level"] == 0
