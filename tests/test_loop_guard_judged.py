"""The guard's limits, judged on runs and data that they were not fixed on: minutes long.

The limits were fixed on dcgan on digits, seeds 0 to 4, healthy and with rates far too high; grace and patience also on
seed 10, which broke out of its collapse for a moment just before the first ones had run out.
"""

from typing import Any

import jax.numpy as jnp
import pytest

from experiments import dcgan, mlp_gan
from gan_jax import data, latents, loop
from gan_jax.runs import log
from gan_jax.types import Latent

pytestmark = pytest.mark.slow
HEALTHY, ILL = 2_000, 5_000  # iterations; ill runs are stopped within a tenth of theirs


def fired(experiment, workdir, steps, dataset="digits", **settings):
    """Trains until the guard stops it, if it does; returns when it alarmed."""
    intervals: dict[str, Any] = dict(log_every=20, sample_every=steps, save_every=steps)
    run = loop.Run(steps, workdir, guard="stop", devices=1, **intervals)
    loop.run(experiment.build, data.load(dataset), experiment.Config(dataset=dataset, run=run, **settings))
    return [line["from"] for line in log.read(workdir) if line.get("event") == "stopped"]


@pytest.mark.parametrize("seed", [5, 6, 7])
def test_healthy_convolutional_runs_are_left_alone(seed, tmp_path):
    assert fired(dcgan, tmp_path, HEALTHY, seed=seed) == []


@pytest.mark.parametrize("settings", [{"seed": 8}, {"seed": 9, "d_steps": 2, "d_norm": "spectral"}])
def test_healthy_fully_connected_runs_are_left_alone(settings, tmp_path):
    assert fired(mlp_gan, tmp_path, HEALTHY, **settings) == []


@pytest.mark.parametrize(
    ("experiment", "settings"),
    [(dcgan, {"g_learning_rate": 0.1, "d_learning_rate": 0.1}), (mlp_gan, {"learning_rate": 0.05})],
)
def test_a_learning_rate_far_too_high_is_noticed_within_a_tenth_of_the_run(experiment, settings, tmp_path):
    (step,) = fired(experiment, tmp_path, ILL, seed=12, **settings)
    assert step <= ILL / 10


@pytest.mark.parametrize("experiment", [dcgan, mlp_gan])
def test_a_generator_of_one_mode_is_noticed_within_a_tenth_of_the_run(experiment, tmp_path, monkeypatch):
    def blind(_, size):
        return Latent(size, lambda keys, truncation=None: jnp.zeros((len(keys), size)))

    monkeypatch.setattr(latents, "latent", blind)
    (step,) = fired(experiment, tmp_path, ILL, seed=13)
    assert step <= ILL / 10
