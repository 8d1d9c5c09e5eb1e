import math
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_loop import train

from gan_jax import game, latents, pictures, runs, sample
from gan_jax.errors import UserError
from gan_jax.sample import __main__ as command
from gan_jax.sample.requests import Draw, Shared


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    train(workdir)
    return workdir


@pytest.fixture(scope="module")
def run(workdir):
    return runs.open_run(workdir)


def test_image_i_does_not_depend_on_how_many_are_made(run):
    many = sample.samples(run, seed=3, count=130)
    for count in (1, 7, 64, 65):
        np.testing.assert_array_equal(sample.samples(run, seed=3, count=count), many[:count])
    assert len(np.unique(many, axis=0)) == 130
    assert not np.array_equal(sample.samples(run, seed=4, count=7), many[:7])


def test_samples_come_from_the_averaged_generator_and_its_statistics(run):
    z = sample.latents_of(run, 0, 3)
    np.testing.assert_allclose(sample.generate(run, z), run.system.sample(run.ema, z), rtol=1e-5, atol=1e-6)
    other = {
        "generator": run.ema["generator"] | {"stats": jax.tree.map(lambda x: x + 1, run.ema["generator"]["stats"])}
    }
    moved = sample.generate(run._replace(ema=other), z)
    assert not np.allclose(moved, sample.generate(run, z), atol=1e-3)


def test_any_checkpoint_can_be_named(workdir, run):
    earlier = runs.open_run(workdir, 4)
    assert (earlier.step, run.step) == (4, 6)
    assert not np.array_equal(sample.samples(earlier, 0, 5), sample.samples(run, 0, 5))
    with pytest.raises(FileNotFoundError, match="step 5"):
        runs.open_run(workdir, 5)


def test_interpolation_starts_and_ends_on_samples(run):
    for path in (latents.spherical, latents.linear):
        walk = sample.interpolation(run, seed=0, rows=2, steps=5, path=path).reshape(2, 5, 2)
        ends = sample.samples(run, 0, 3)
        np.testing.assert_allclose(walk[:, 0], ends[:2], atol=1e-5)
        np.testing.assert_allclose(walk[:, -1], ends[1:], atol=1e-5)


def test_traversal_moves_one_dimension_and_holds_the_others(run):
    made = sample.traversal(run, seed=0, dimensions=(0, 3), steps=3).reshape(2, 3, 2)
    z = np.tile(sample.latents_of(run, 0, 1), (3, 1))
    for row, dimension in enumerate((0, 3)):
        moved = z.copy()
        moved[:, dimension] = (-1, 0, 1)
        np.testing.assert_allclose(made[row], sample.generate(run, jnp.asarray(moved)), atol=1e-6)


def test_truncation_bounds_every_value_and_keeps_the_rest_of_the_law(run):
    z = sample.latents_of(run, 0, 512, truncation=0.5)
    assert np.abs(z).max() <= 0.5 and np.abs(z).max() > 0.45 and np.std(z) > 0.25


def test_a_generator_that_truncates_by_itself_is_given_psi_and_whole_latents(run):
    def truncate(psi):
        return lambda ema, z: psi * run.system.sample(ema, z)

    truncating = run._replace(system=run.system._replace(truncate=truncate))
    np.testing.assert_array_equal(sample.latents_of(truncating, 0, 9, 0.1), sample.latents_of(run, 0, 9))
    whole = sample.samples(run, 0, 9)
    for psi in (0.0, 0.5, -1.0):
        np.testing.assert_allclose(sample.samples(truncating, 0, 9, psi), psi * whole, rtol=1e-6)
    np.testing.assert_array_equal(sample.samples(truncating, 0, 9), whole)
    with pytest.raises(ValueError, match="truncation=nan: give a finite number"):
        sample.samples(truncating, 0, 9, math.nan)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: sample.traversal(run, 0, (4,), 3), "dimension 4 does not exist; the latent has dimensions 0 to 3"),
        (lambda run: sample.interpolation(run, 0, 1, 1), "steps=1"),
        (lambda run: sample.interpolation(run, 0, 0, 3), "rows=0"),
        (lambda run: sample.traversal(run, 0, (), 3), "at least 2 steps and 1 dimension"),
        (lambda run: sample.samples(run, 0, 3, truncation=-1.0), "truncation=-1.0"),
        (lambda run: sample.samples(run, 0, 3, truncation=math.nan), "truncation=nan"),
        (lambda run: sample.samples(run, 0, 0), "count=0"),
        (lambda run: sample.samples(run, 0, 10**12), r"1,000,000,000,000 points: at least 2.4e\+04 GB"),
        (
            lambda run: sample.interpolation(run, 0, 10**6, 10**6),
            "1,000,000,000,000 points: .* ask for fewer",
        ),
        (lambda run: sample.latents_of(run, 0, 10**12), r"1,000,000,000,000 latents: at least 1.6e\+04 GB"),
        (
            lambda run: sample.generate(run, jnp.zeros((3, 5))),
            r"values have shape \(3, 5\): give latents \[n, 4\]",
        ),
    ],
)
def test_bad_requests_are_refused(run, call, message):
    with pytest.raises(ValueError, match=message):
        call(run)


def test_what_is_no_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a run directory"):
        runs.open_run(tmp_path)


def test_the_command_writes_each_kind(workdir, tmp_path):
    command.grid(workdir, Shared(out=tmp_path / "grid.png"), Draw())
    command.interpolation(workdir, Shared(out=tmp_path / "interpolation.png"), rows=2, steps=3)
    command.traversal(workdir, Shared(out=tmp_path / "traversal.png"), steps=3, dimensions=(0,))
    for name in ("grid", "interpolation", "traversal"):
        assert pictures.load_png(tmp_path / f"{name}.png").ndim == 3


def test_standing_statistics_are_estimated_before_sampling(workdir, tmp_path, run):
    for batches in (0, 3):
        command.npz(workdir, Shared(out=tmp_path / f"{batches}.npz", standing=batches), Draw(5))
    running, standing = (np.load(tmp_path / f"{batches}.npz")["image"] for batches in (0, 3))
    ema = game.standing(run.system, run.ema, 3, run.record["config"]["batch_size"])
    np.testing.assert_array_equal(standing, sample.samples(run._replace(ema=ema), 0, 5))
    assert not np.allclose(standing, running, atol=1e-3)


def test_an_npz_file_has_the_key_that_is_said(workdir, tmp_path, capsys):
    expected = sample.samples(runs.open_run(workdir), 0, 5)
    for key in ("image", "arr_0"):
        command.npz(workdir, Shared(out=tmp_path / "five.npz"), Draw(5), *([key] if key != "image" else []))
        assert capsys.readouterr().out == f"{tmp_path / 'five.npz'}: 5 points from step 6, under the key {key}\n"
        (found,) = np.load(tmp_path / "five.npz").items()
        assert found[0] == key
        np.testing.assert_array_equal(found[1], expected)
    with pytest.raises(UserError, match="--key 'file': NumPy cannot give an array this name"):
        command.npz(workdir, Shared(out=tmp_path / "five.npz"), Draw(5), "file")


@pytest.mark.parametrize(
    ("make", "shared", "options", "message"),
    [
        (command.grid, {}, {"draw": Draw(0)}, "count=0: give at least 1"),
        (command.npz, {}, {"draw": Draw(-3)}, "count=-3: give at least 1"),
        (command.reconstruction, {}, {"count": -3}, "--count -3: give at least 1"),
        (command.grid, {}, {"draw": Draw(10**12)}, "is needed, but this machine has"),
        (command.traversal, {}, {"steps": 10**13}, "is needed, but this machine has"),
        (command.traversal, {}, {"low": math.nan}, "--low nan, --high 1.0: give finite numbers"),
        (command.grid, {"seed": 2**32}, {"draw": Draw()}, "--seed 4294967296: give a number from 0 to 4294967295"),
        (command.grid, {"seed": -1}, {"draw": Draw()}, "--seed -1: give a number from 0 to 4294967295"),
        (command.grid, {"out": Path("a.jpg")}, {"draw": Draw()}, r"a.jpg: the output is a PNG file; .* ends in \.png"),
        (command.npz, {"out": Path("a")}, {"draw": Draw()}, r"a: the output is a NPZ file"),
        (command.grid, {"out": Path(".")}, {"draw": Draw()}, r"\. is a folder|ends in"),
        (command.grid, {}, {"draw": Draw(codes=("style=nan",))}, "--codes style=nan: give finite numbers"),
    ],
)
def test_what_cannot_be_made_is_refused_and_nothing_is_written(
    workdir, tmp_path, monkeypatch, make, shared, options, message
):
    monkeypatch.chdir(tmp_path)
    before = sorted(workdir.iterdir())
    with pytest.raises(UserError, match=message):
        make(workdir, Shared(**shared), **options)
    assert sorted(workdir.iterdir()) == before and not list(tmp_path.iterdir())


def test_a_run_that_is_read_only_is_sampled_elsewhere(workdir, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: workdir not in (Path(path), *Path(path).parents))
    with pytest.raises(UserError, match=r"is not writable; give another path with --out"):
        command.grid(workdir, Shared(), Draw())
    command.grid(workdir, Shared(out=tmp_path / "grid.png"), Draw(3))
