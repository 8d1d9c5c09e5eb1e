"""What surrounds a run: git, the home directory, notebooks, JAX's settings, other packages."""

import importlib.metadata
import linecache
import pwd
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jax
import numpy as np
import pytest
import toy_experiment
from test_loop import config

from gan_jax import data, latents, rng
from gan_jax.data import cache
from gan_jax.errors import UserError
from gan_jax.runs import identity, importing, records, report

ROOT = Path(__file__).parents[1]


def repository(directory):
    for command in ("init -q", "commit -q --allow-empty -m first"):
        name = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", directory, *name, *command.split()], check=True)
    return directory


def test_without_git_there_is_no_commit(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert records.environment()["commit"] is None


def test_a_commit_is_of_the_repository_that_tracks_the_file(tmp_path):
    repository(tmp_path)
    file = tmp_path / "site-packages" / "experiment.py"
    file.parent.mkdir()
    file.touch()
    assert records._commit(file) is None  # someone else's repository, which the file only lies in
    subprocess.run(["git", "-C", tmp_path, "add", file], check=True)
    assert re.fullmatch("[0-9a-f]{7,}(-dirty)?", records._commit(file) or "")


def test_an_experiment_of_a_prompt_is_kept_or_its_run_says_what_it_needs_to_be_opened(tmp_path, monkeypatch):
    source = Path(toy_experiment.__file__).read_text()
    cell = "/tmp/ipykernel_1/123.py"  # a name that a notebook gives, of no file
    monkeypatch.setattr(linecache, "cache", {cell: (len(source), None, source.splitlines(keepends=True), cell)})
    module: dict = {"__name__": "__main__"}
    exec(compile(source.replace('if __name__ == "__main__":', "if False:"), cell, "exec"), module)
    settings = module["Config"](run=config(tmp_path).run)
    record = records.describe(module["build"], data.load("ring"), settings)
    records.write(record, tmp_path / "kept", 0)
    report.write(tmp_path / "kept")
    assert "def build" not in (tmp_path / "kept" / "report.html").read_text()
    assert importing.load_experiment(record, tmp_path / "kept").build
    linecache.cache.clear()
    with pytest.warns(UserWarning, match=r"neither in a file nor in cells.*keeps no copy.*experiment\.py"):
        record = records.describe(module["build"], data.load("ring"), settings)
    records.write(record, tmp_path, 0)
    assert (tmp_path / "run.json").exists() and not (tmp_path / "experiment.py").exists()
    with pytest.raises(UserError, match=r"not defined in a file.*write Config, build.*experiment\.py"):
        importing.load_experiment(record, tmp_path)
    (tmp_path / "experiment.py").write_text(source)
    assert importing.load_experiment(record, tmp_path).build


@pytest.fixture
def homeless(monkeypatch):
    """Makes this the process of a user that the system does not know."""

    def unknown(uid):
        raise KeyError(uid)

    for name in ("GAN_JAX_CACHE", "XDG_CACHE_HOME", "HOME", "TFDS_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_without_a_home_prepared_sets_are_asked_for(homeless):
    with pytest.raises(UserError, match=r"TFDS_DATA_DIR: .* needs a home directory"):
        data.load("mnist")


def test_a_package_that_is_only_on_the_path_has_no_version(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert records.environment()["gan_jax"] is None


def test_without_a_home_the_cache_is_this_processes_own(homeless):
    directory = cache.directory()
    assert directory == cache.directory() and directory.stat().st_mode & 0o777 == 0o700
    assert cache.cached("name", 1, lambda: {"a": np.ones(1)})["a"] == 1
    assert cache.cached("name", 1, lambda: {})["a"] == 1


def test_keys_are_threefry_whatever_the_default():
    with jax.default_prng_impl("rbg"):
        drawn = latents.numbered(latents.normal(3), 0, 2)
        assert rng.key(5).dtype == jax.random.key(5, impl="threefry2x32").dtype
    np.testing.assert_array_equal(drawn, latents.numbered(latents.normal(3), 0, 2))


def test_keys_are_made_in_one_place():
    sources = [*ROOT.glob("gan_jax/**/*.py"), *ROOT.glob("experiments/**/*.py")]
    assert sources
    made = [path.name for path in sources if re.search(r"random\.(key|PRNGKey)\(", path.read_text())]
    assert made == ["rng.py"]


def test_a_run_from_before_settings_were_recorded_was_made_with_jaxs_own():
    identity.require_same_numerics({"environment": {}}, Path("run"))
    with jax.threefry_partitionable(False), pytest.raises(UserError, match="JAX_THREEFRY_PARTITIONABLE=1"):
        identity.require_same_numerics({"environment": {}}, Path("run"))


def test_only_the_package_is_installed():
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert found["packages"]["find"]["include"] == ["gan_jax*"] and set(found["package-data"]) == {"gan_jax"}


def test_a_run_opens_where_the_package_of_its_experiment_is_not_on_the_path(tmp_path, monkeypatch):
    folder = tmp_path / "a_package_of_mine"
    folder.mkdir()
    (folder / "shared.py").write_text("VALUE = 5")
    (folder / "own.py").write_text("from a_package_of_mine.shared import VALUE")
    monkeypatch.setattr(sys, "path", [*sys.path])
    experiment = {"module": "a_package_of_mine.own", "file": str(folder / "own.py")}
    assert importing.load_experiment({"experiment": experiment}, tmp_path / "run").VALUE == 5
