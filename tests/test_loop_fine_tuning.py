"""A new run from another run's networks, and layers that are held fixed."""

import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np
import optax
import pytest
from toy import gan

from gan_jax import data, latents, loop, losses
from gan_jax.devices import compilation
from gan_jax.errors import UserError
from gan_jax.loop import fine_tuning
from gan_jax.networks import linen, mlp
from gan_jax.rules import controllers
from gan_jax.runs import checkpoint, records

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
        "generator": linen(mlp.Generator((2,), (8,), "batch", bounded=False), (config.latent_size,)),
        "discriminator": linen(mlp.Discriminator((8, 8)), (2,)),
    }
    adam = optax.adamw(1e-2, weight_decay=0.1)
    ahead = controllers.lookahead(["generator", "discriminator"], every=2)
    loss, latent = losses.non_saturating(), latents.normal(config.latent_size)
    return gan(networks, loss, latent, adam, controllers=[ahead], ema_decay=0.5)


def train(workdir, steps=2, latent_size=4, seed=0, **options):
    given: dict[str, Any] = {"log_every": 2, "sample_every": 100, "save_every": 2, "devices": 1} | options
    run = loop.Run(steps=steps, workdir=workdir, **given)
    return loop.run(build, RING, Config(latent_size=latent_size, seed=seed, run=run))


def assert_same_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """A run as it stands on disk after two iterations, and its state."""
    workdir, config = tmp_path_factory.mktemp("parent"), Config()
    state = jax.jit(build(config, RING.spec).init)(jax.random.key(1))
    state = replace(state, step=jax.numpy.int32(2), ema=jax.tree.map(lambda x: x + 1, state.ema))
    with checkpoint.writer(workdir / "checkpoints") as save:
        save(state, records.describe(build, RING, config))
    return state, workdir


@pytest.fixture(scope="module")
def tuned(parent, tmp_path_factory):
    """A run of other latents, from the parent's networks, with layers held fixed."""
    workdir = tmp_path_factory.mktemp("tuned")
    freeze = ("generator=first:1", "discriminator=first:2")
    state = train(workdir, latent_size=6, seed=1, init_from=parent[1], freeze=freeze)
    return state, workdir, freeze


def state_from(parent):
    """The first state of a run of other latents from a run's networks, a fresh one, the record, and what is printed."""
    system = build(Config(latent_size=6), RING.spec)
    fresh = jax.jit(system.init)(jax.random.key(7))
    ours = records.describe(build, RING, Config())
    init, record, text = fine_tuning.begun(parent, ours, None, system, fresh, lambda: fresh)
    return init(), fresh, record, text


def test_networks_and_averages_are_the_parents_where_they_fit_and_all_else_is_new(parent):
    was, workdir = parent
    state, fresh, record, text = state_from(workdir)
    assert_same_bits(state.params["discriminator"], was.params["discriminator"])
    assert_same_bits(state.stats, was.stats)
    averages = ((each.params["generator"], each.ema["generator"]["params"]) for each in (state, was, fresh))
    for now, then, new in zip(*averages, strict=True):  # of the networks, and of their averages
        np.testing.assert_array_equal(now["Dense_0"]["kernel"], new["Dense_0"]["kernel"])  # of other latents
        assert_same_bits(
            {k: v for k, v in now.items() if k != "Dense_0"}, {k: v for k, v in then.items() if k != "Dense_0"}
        )
    assert_same_bits(state.extra["lookahead"], state.params)  # slow weights start from the networks, not from noise
    assert int(state.step) == 0 and all(not np.any(x) for x in jax.tree.leaves(state.opt_state))
    assert re.search(r"  discriminator: (\d+) of \1 arrays fit$", text, re.MULTILINE)
    assert "other shape: Dense_0/kernel float32[4, 8] there, float32[6, 8] here" in text
    assert record["parent"]["step"] == 2 and record["parent"]["path"] == str(workdir.resolve())


def test_where_all_fits_nothing_is_initialised(parent):
    was, workdir = parent
    ours, system = records.describe(build, RING, Config()), build(Config(), RING.spec)
    like = jax.eval_shape(system.init, jax.random.key(0))
    init, *_ = fine_tuning.begun(workdir, ours, None, system, like, lambda: pytest.fail("initialised"))
    assert_same_bits((init().params, init().stats, init().ema), (was.params, was.stats, was.ema))


def test_frozen_layers_are_the_parents_to_the_bit_after_training(parent, tuned):
    was, now = parent[0].params, tuned[0].params
    for name in ("Dense_0", "Dense_1"):
        assert_same_bits(now["discriminator"][name], was["discriminator"][name])
    for network, layer in (("discriminator", "Dense_2"), ("generator", "Dense_1")):
        assert np.any(now[network][layer]["kernel"] != was[network][layer]["kernel"])


def test_the_record_names_the_parent_and_what_is_frozen(tuned):
    _, workdir, freeze = tuned
    record = json.loads((workdir / "run.json").read_text())
    found = checkpoint.read_meta(workdir / "checkpoints")
    assert record["parent"] == found["parent"] and set(found["parent"]) == {"path", "step", "fingerprint"}
    assert record["freeze"] == sorted(freeze)
    page = (workdir / "report.html").read_text()
    assert "parent.fingerprint" in page and "discriminator=first:2" in page
    assert f"<dt>initialised from</dt><dd>{found['parent']['path']} at step {found['parent']['step']}</dd>" in page


def test_it_goes_on_without_the_parent_and_not_without_what_is_frozen(parent, tuned, tmp_path):
    state, workdir, freeze = tuned
    settings = {"latent_size": 6, "seed": 1}
    assert_same_bits(train(workdir, freeze=freeze[::-1], **settings), state)  # accepted; it has all its iterations
    assert_same_bits(train(workdir, freeze=freeze, init_from=parent[1], **settings), state)
    found = checkpoint.read_meta(workdir / "checkpoints")
    begun = fine_tuning.begun(None, found, found, build(Config(), RING.spec), state, lambda: state)
    assert begun[1] == {"parent": found["parent"]}
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
        ("discriminater", r"Did you mean discriminator\?"),
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
    with pytest.raises(UserError, match="there is no such directory"):
        train(tmp_path / "run", init_from=tmp_path / "nope")
    state = build(Config(), RING.spec).init(jax.random.key(0))
    other = replace(state, params={"other": state.params["generator"]}, stats={"other": {}})

    def begin(record):
        fine_tuning.begun(parent[1], record, None, build(Config(), RING.spec), other, lambda: other)

    with pytest.raises(UserError, match=r" 0 fit .*settings differ \(latent_size 4 there, 5 here\).* same networks"):
        begin(records.describe(build, RING, Config(latent_size=5)))
    edges = {"data": {"name": "edges:digits", "kind": "image", "source": [28, 28, 1]}}
    with pytest.raises(UserError, match=r"it is a generator of points \(data ring\), but .* is a translator of image"):
        begin(edges)


def test_a_parent_of_another_experiment_is_refused_before_anything_is_compiled(tmp_path, parent, monkeypatch):
    def other(config, spec):
        """Networks whose last biases alone fit, by chance."""
        networks = {
            "generator": linen(mlp.Generator((2,), (30, 30), "none", bounded=False), (4,)),
            "discriminator": linen(mlp.Discriminator((30, 30, 30)), (2,)),
        }
        return gan(networks, losses.non_saturating(), latents.normal(4), optax.sgd(0.1))

    other.__module__ = "experiments.other"
    monkeypatch.setattr(compilation, "_waited", lambda *_: pytest.fail("compiled"))
    run = loop.Run(workdir=tmp_path / "run", init_from=parent[1])
    said = "it is a run of test_loop_fine_tuning, and this is a run of other: give a run of other, or leave"
    with pytest.raises(UserError, match=said):
        loop.run(other, RING, Config(run=run))
    assert not (tmp_path / "run").exists()
