"""A new run from another run's networks, and layers that are held fixed."""

import json
import re
import shutil
from dataclasses import dataclass, field, replace

import jax
import numpy as np
import optax
import pytest
from toy import gan

from gan_jax import data, latents, loop, losses
from gan_jax.errors import UserError
from gan_jax.loop import fine_tuning
from gan_jax.networks import linen, mlp
from gan_jax.rules import controllers
from gan_jax.runs import checkpoint

RING = data.load("ring")


@dataclass(frozen=True)
class Config:
    """A small game whose latent may have another size."""

    latent_size: int = 4
    batch_size: int = 16
    seed: int = 0
    run: loop.Run = field(default_factory=loop.Run)


def build(config, spec):
    networks = {
        "generator": linen(mlp.Generator((2,), (8, 8), "batch", bounded=False), (config.latent_size,)),
        "discriminator": linen(mlp.Discriminator((8, 8), "spectral"), (2,)),
    }
    adam = optax.adamw(1e-2, weight_decay=0.1)
    ahead = controllers.lookahead(["generator", "discriminator"], every=2)
    loss, latent = losses.non_saturating(), latents.normal(config.latent_size)
    return gan(networks, loss, latent, adam, controllers=[ahead], ema_decay=0.5)


def train(workdir, steps=2, latent_size=4, seed=0, **options):
    options = {"log_every": 2, "sample_every": 100, "save_every": 2, "devices": 1} | options
    run = loop.Run(steps=steps, workdir=workdir, **options)
    return loop.run(build, RING, Config(latent_size=latent_size, seed=seed, run=run))


def assert_same_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("parent")
    return train(workdir), workdir


@pytest.fixture(scope="module")
def tuned(parent, tmp_path_factory):
    """A run of other latents, from the parent's networks, with layers held fixed."""
    workdir = tmp_path_factory.mktemp("tuned")
    freeze = ("discriminator=first:2", "generator=first:1")
    state = train(workdir, latent_size=6, seed=1, init_from=parent[1], freeze=freeze)
    return state, workdir, freeze


def start(parent, **options):
    """The first state of a run from the parent's networks, of which no iteration is made."""
    system = build(Config(**options), RING.spec)
    init, record, text = fine_tuning.begun(parent, None, system, lambda: system.init(jax.random.key(7)))
    return init(), record, text


def test_networks_and_averages_are_the_parents_and_all_else_is_new(parent):
    was, workdir = parent
    state, record, text = start(workdir)
    assert_same_bits((state.params, state.stats, state.ema), (was.params, was.stats, was.ema))
    assert int(state.step) == 0
    assert_same_bits(state.extra["lookahead"], was.params)  # slow weights start from the networks, not from noise
    assert all(not np.any(x) for x in jax.tree.leaves(state.opt_state))
    assert record["parent"]["step"] == 2 and record["parent"]["path"] == str(workdir.resolve())
    assert re.search(r"  generator: (\d+) of \1 arrays$", text, re.MULTILINE)


def test_what_does_not_fit_is_named_and_stays_fresh(parent):
    was, workdir = parent
    state, _, text = start(workdir, latent_size=6)
    fresh = build(Config(latent_size=6), RING.spec).init(jax.random.key(7))
    first = ("generator", "Dense_0", "kernel")
    assert "other shape: params/generator/Dense_0/kernel float32[4, 8] there, float32[6, 8] here" in text
    np.testing.assert_array_equal(
        state.params[first[0]][first[1]][first[2]], fresh.params["generator"]["Dense_0"]["kernel"]
    )
    assert_same_bits(state.params["discriminator"], was.params["discriminator"])
    assert_same_bits(state.params["generator"]["Dense_1"], was.params["generator"]["Dense_1"])
    average = state.ema["generator"]["params"]
    assert_same_bits(average["Dense_1"], was.ema["generator"]["params"]["Dense_1"])
    np.testing.assert_array_equal(average["Dense_0"]["kernel"], fresh.params["generator"]["Dense_0"]["kernel"])


def test_frozen_layers_are_the_parents_to_the_bit_after_training(parent, tuned):
    was, now = parent[0].params, tuned[0].params
    for name in ("Dense_0", "Dense_1"):
        assert_same_bits(now["discriminator"][name], was["discriminator"][name])
    assert np.any(now["discriminator"]["Dense_2"]["kernel"] != was["discriminator"]["Dense_2"]["kernel"])
    assert np.any(now["generator"]["Dense_1"]["kernel"] != was["generator"]["Dense_1"]["kernel"])


def test_the_record_names_the_parent_and_what_is_frozen(parent, tuned):
    _, workdir, freeze = tuned
    record = json.loads((workdir / "run.json").read_text())
    assert record["parent"] == checkpoint.read_meta(workdir / "checkpoints")["parent"]
    assert record["freeze"] == sorted(freeze) and set(record["parent"]) == {"path", "step", "fingerprint"}
    page = (workdir / "report.html").read_text()
    assert "parent.fingerprint" in page and "discriminator=first:2" in page


def test_it_goes_on_without_the_parent_and_not_without_what_is_frozen(tuned, tmp_path):
    _, workdir, freeze = tuned
    settings = {"latent_size": 6, "seed": 1}
    shutil.copytree(workdir, tmp_path / "run")
    train(tmp_path / "run", 3, freeze=freeze[::-1], **settings)
    assert "parent" in json.loads((tmp_path / "run" / "run.json").read_text())
    with pytest.raises(UserError, match=r"holds a run with --freeze discriminator=first:2.*this one has no --freeze"):
        train(workdir, 3, **settings)
    with pytest.raises(UserError, match="began with the networks of"):
        train(workdir, 3, freeze=freeze, init_from=tmp_path, **settings)


def test_a_run_that_began_otherwise_takes_no_parent(parent):
    with pytest.raises(UserError, match=r"--init-from .* began with fresh networks.*another --workdir"):
        train(parent[1], 4, init_from=parent[1])


@pytest.mark.parametrize(
    ("freeze", "said"),
    [
        ("critic", r"no network 'critic'; the networks are \['generator', 'discriminator'\]"),
        ("discriminator=first:0", "discriminator=first:N with N from 1 to 3"),
        ("discriminator=first:4", "N from 1 to 3"),
        ("discriminator=last:1", "N from 1 to 3"),
    ],
)
def test_layers_that_do_not_exist_are_refused(tmp_path, freeze, said):
    with pytest.raises(UserError, match=said):
        train(tmp_path, freeze=(freeze,))


def test_a_parent_must_have_networks_that_fit(tmp_path, parent):
    with pytest.raises(UserError, match="has no checkpoint"):
        train(tmp_path / "run", init_from=tmp_path)
    state = build(Config(), RING.spec).init(jax.random.key(0))
    other = replace(state, params={"other": state.params["generator"]}, stats={"other": {}})
    with pytest.raises(UserError, match="no array fits"):
        fine_tuning.begun(parent[1], None, build(Config(), RING.spec), lambda: other)
