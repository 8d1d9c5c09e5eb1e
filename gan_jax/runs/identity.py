"""Checks that a directory holds the run that is to be continued, and that JAX draws the same numbers for it."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from gan_jax.data import names
from gan_jax.data.dataset import same
from gan_jax.errors import UserError
from gan_jax.runs import records
from gan_jax.runs.records import Record


def require_same(
    record: Record,
    previous: Record,
    directory: Path,
    defaults: dict[str, Any] | None = None,
    changeable: Callable[[list[str]], bool] = lambda fields: False,
) -> None:
    """Checks that a directory's checkpoints belong to this run.

    Of a setting that was changed during the run, the first value and the newest are both accepted.

    Args:
        record: The run's record.
        previous: The checkpoints' record.
        directory: The run directory.
        defaults: Values of fields that an older record lacks, if the experiment has gained some.
        changeable: Whether some fields could change to their values here by `--change`, for the message.

    Raises:
        UserError: If they differ; it names the difference and the remedies.
    """
    remedy = "give another --workdir, or --fresh to move the old run aside"
    name, old_name = (records.stem(r["experiment"]) for r in (record, previous))
    if name != old_name:
        raise UserError(f"{directory} holds a run of {old_name}, but this is a run of {name}: {remedy}")
    config, before = record["config"], defaults or {}
    first = {name: before[name] for name in config if name in before} | records.settings(previous, config)
    old = first | records.changed(previous)
    differ = [key for key in old | config if config.get(key) not in (first.get(key), old.get(key))]
    if differ and not (differ == ["dataset"] and same(record["data"], previous["data"])):  # renamed or moved
        theirs, ours = (", ".join(f"{key}={values.get(key)!r}" for key in differ) for values in (old, config))
        flags = " ".join(f"--{key.replace('_', '-')} {old.get(key)}" for key in differ)
        ways = f"{remedy}, or {flags} to continue it"
        if changeable(differ):
            changes = " ".join(f"{key}={config[key]}" for key in differ)
            ways += f", or add --change {changes} to change it from here on"
        raise UserError(f"{directory} holds a run with {theirs}, but this one has {ours}: {ways}")
    if (theirs := previous.get("freeze", [])) != (ours := record.get("freeze", [])):
        theirs, ours = (" ".join(["--freeze", *frozen]) if frozen else "no --freeze" for frozen in (theirs, ours))
        raise UserError(
            f"{directory} holds a run with {theirs}, but this one has {ours}: {remedy}, or {theirs} to continue it"
        )
    if not same(record["data"], previous["data"]):
        raise UserError(f"{directory} holds a run on different contents of {record['data']['name']!r}: {remedy}")
    now, then = record["data"]["name"], names.resolved(previous["data"]["name"])
    if now != then:
        warnings.warn(f"the data set of {directory} was called {then} and is now called {now}", stacklevel=2)


def require_same_numerics(previous: Record, directory: Path) -> None:
    """Checks that JAX has the run's settings, without which the same seed gives other numbers.

    Raises:
        UserError: If it has others; it names the environment variables to set.
    """
    settings = records.NUMERICS | previous["environment"].get("numerics", {})
    now = {name: getattr(jax.config, name) for name in settings}
    if differ := [name for name in settings if settings[name] != now[name]]:
        pairs = (settings, now)
        theirs, ours = (" ".join(f"{name.upper()}={int(values[name])}" for name in differ) for values in pairs)
        raise UserError(
            f"{directory} was trained with {theirs}, but this process has {ours}, which gives different numbers for "
            f"the same seed: set {theirs} in the environment"
        )
