import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_loop import train

from gan_jax import latents, pictures, runs, sample


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
    np.testing.assert_allclose(sample.generate(run, z), run.system.generate(run.ema, z), rtol=1e-5, atol=1e-6)
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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: sample.traversal(run, 0, (4,), 3), "dimension 4: the latent has 4"),
        (lambda run: sample.interpolation(run, 0, 1, 1), "steps=1"),
        (lambda run: sample.interpolation(run, 0, 0, 3), "rows=0"),
        (lambda run: sample.traversal(run, 0, (), 3), "at least 2 steps and 1 dimension"),
        (lambda run: sample.samples(run, 0, 3, truncation=-1.0), "truncation=-1.0"),
        (lambda run: sample.samples(run, 0, 0), "count=0"),
        (
            lambda run: sample.generate(run, jnp.zeros((3, 5))),
            r"values \(3, 5\): this generator takes latents \[n, 4\]",
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
    for what in ("grid", "interpolation", "traversal"):
        sample.main(workdir, what, rows=2, steps=3, dimensions=(0,), out=tmp_path / f"{what}.png")
        assert pictures.load_png(tmp_path / f"{what}.png").ndim == 3
    sample.main(workdir, "npz", count=5, out=tmp_path / "five.npz")
    np.testing.assert_array_equal(np.load(tmp_path / "five.npz")["image"], sample.samples(runs.open_run(workdir), 0, 5))
