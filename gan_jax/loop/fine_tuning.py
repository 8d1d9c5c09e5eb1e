"""Fine-tuning: a new run that starts from another run's networks, and frozen layers.

`--init-from RUN` takes what fits by name and shape; `--freeze discriminator=first:3` freezes layers, as in FreezeD
(Mo et al. 2020, arXiv:2002.10964).
"""

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import trees
from gan_jax.data import kinds
from gan_jax.data.dataset import fingerprint
from gan_jax.errors import NotFound, UserError, listed, nearest
from gan_jax.networks import order
from gan_jax.rules import freezing
from gan_jax.runs import checkpoint, records
from gan_jax.runs.records import Record
from gan_jax.types import Network, PyTree, System, TrainState

PARTS = ("params", "stats")  # of a network in a state
LEAST = 0.01  # share of parameters and statistics that must fit; any less is biases that fit by chance


def begun(
    run: Path | None,
    record: Record,
    previous: Record | None,
    system: System,
    like: TrainState,
    init: Callable[[], TrainState],
) -> tuple[Callable[[], TrainState], Record, str]:
    """Returns how a run begins: with the networks of another run's newest checkpoint, if one is given.

    Parameters and running statistics are the other run's where name, shape and type match, and fresh elsewhere; the
    averages are the other run's averages. Optimisers, slots and the step are new.

    Args:
        run: The directory of the other run; None for fresh networks.
        record: The record of this run.
        previous: The record of the checkpoint from which this run is resumed; None in a new run.
        system: The system to train.
        like: Its state's shapes.
        init: Returns its initial state; not called if all arrays are the other run's.

    Returns:
        The function that returns the first state; for the record, "parent": path, step and fingerprint of the other
        run's networks; and what fits, as text.

    Raises:
        NotFound: If `run` is no run directory, or has no checkpoint.
        UserError: If the other run is of another kind, less than `LEAST` fits, or the run to be resumed began from
            other networks.
    """
    if previous is not None:
        parent = previous.get("parent")
        if run is not None and (parent is None or Path(parent["path"]) != run.resolve()):
            began = f"the networks of {parent['path']}" if parent else "fresh networks"
            raise UserError(
                f"--init-from {run}: the run to be continued began with {began}; leave --init-from out to continue it, "
                "or give another --workdir"
            )
        return init, {"parent": parent} if parent else {}, ""
    if run is None:
        return init, {}, ""
    if not run.is_dir():
        raise NotFound(f"--init-from {run}: there is no such directory; give that of a run")
    if not checkpoint.steps(run / "checkpoints"):
        raise NotFound(f"--init-from {run}: it has no checkpoint; give the directory of a run that has saved one")
    arrays, meta = checkpoint.restore_arrays(run / "checkpoints")
    _require_kind(run, record["data"], meta["data"])
    networks = {path: x for path, x in arrays.items() if path.startswith(("params/", "stats/", "ema/"))}
    wanted = trees.flat({part: getattr(like, part) for part in PARTS})
    fitting = {path for path, x in wanted.items() if path in networks and _form(networks[path]) == _form(x)}
    _require_fit(run, record, meta, wanted, fitting)

    def first() -> TrainState:
        fresh = like if len(fitting) == len(wanted) else init()
        params, stats = (_filled(part, getattr(fresh, part), networks) for part in PARTS)
        state = system.begin(params, stats)
        return jax.tree.map(jnp.array, replace(state, ema=_filled("ema", state.ema, networks)))

    parent = {"path": str(run.resolve()), "step": meta["step"], "fingerprint": fingerprint(networks)}
    lines = _compared(wanted, {path: x for path, x in networks.items() if not path.startswith("ema/")}, fitting)
    return first, {"parent": parent}, f"starts from the networks of {run}, step {meta['step']}:\n{lines}"


def _require_fit(run: Path, ours: Record, theirs: Record, wanted: Mapping[str, Any], fitting: Set[str]) -> None:
    """Refuses networks of which almost nothing fits; names both experiments, or the settings that differ."""
    whole, part = (sum(math.prod(wanted[path].shape) for path in paths) for paths in (wanted, fitting))
    if part >= LEAST * whole and fitting:
        return
    their_name, our_name = (records.stem(each["experiment"]) for each in (theirs, ours))
    why, remedy = f"it is a run of {their_name}, and this is a run of {our_name}", f"give a run of {our_name}"
    if their_name == our_name:
        old = theirs["config"] | records.changed(theirs)
        pairs = {field: (old[field], new) for field, new in ours["config"].items() if field in old and field != "seed"}
        differ = [f"{field} {its} there, {new} here" for field, (its, new) in pairs.items() if its != new]
        why, remedy = f"its settings differ ({listed(differ)})", "give a run with the same networks"
    raise UserError(
        f"--init-from {run}: its networks have other arrays: of this run's {whole:,} parameters and statistics, "
        f"{part:,} fit by name and shape; {why}: {remedy}, or leave --init-from out"
    )


def _require_kind(run: Path, ours: Record, theirs: Record) -> None:
    """Refuses the networks of a run on another kind of examples, or of a translator in place of a generator."""

    def kind(data: Record) -> str:
        return f"{'a translator' if 'source' in data else 'a generator'} of {kinds.of_record(data)}"

    if kind(ours) != kind(theirs):
        raise UserError(
            f"--init-from {run}: it is {kind(theirs)} (data {theirs['name']}), but this run is {kind(ours)} (data "
            f"{ours['name']}); give a run of the same kind"
        )


def frozen(system: System, like: TrainState, texts: Sequence[str]) -> tuple[System, str]:
    """Returns a system in which some layers are frozen, and their names as text.

    Args:
        system: The system.
        like: Its state, or the shapes of it.
        texts: NETWORK, or NETWORK=first:N for the first N layers with weights in the order of the forward pass, each
            with its bias and the normalisations before the next one.

    Raises:
        UserError: If there is no such network, or it has fewer layers.
    """
    paths: dict[str, list[str]] = {}
    lines = []
    for text in texts:
        name = text.partition("=")[0]
        if name in paths:
            raise UserError(f"--freeze: {name} is given twice; give each network once")
        if name not in system.networks:
            raise UserError(
                f"--freeze {text}: there is no network {name!r}; the networks are {list(system.networks)}."
                f"{nearest(name, system.networks)}"
            )
        sizes = {path: x.size for path, x in trees.flat(like.params[name]).items()}
        paths[name], layers = _held(text, system.networks[name], like.params[name])
        held = sum(sizes[path] for path in paths[name])
        lines.append(f"{name} {layers} ({held:,} of {sum(sizes.values()):,} parameters)")
    if not paths:
        return system, ""
    whole = {f"{name}/{path}" for name, parameters in paths.items() for path in parameters}
    return system._replace(update=freezing.frozen(system.update, whole)), f"frozen: {'; '.join(lines)}"


def _held(text: str, network: Network, params: PyTree) -> tuple[list[str], str]:
    """Returns the paths of a network's frozen parameters, and the names of their layers."""
    name, _, which = text.partition("=")
    if not which:
        return [*trees.flat(params)], "all layers"
    layers, count = sum(order.modules(network).values()), which.removeprefix("first:")
    if count == which or not count.isdecimal() or not 1 <= int(count) <= layers:
        raise UserError(f"--freeze {text}: give {name}, or {name}=first:N with N from 1 to {layers}")
    chosen = order.first(network, int(count))
    return order.parameters(params, chosen), ", ".join("/".join(path) or name for path in chosen)


def _filled(prefix: str, tree: PyTree, arrays: Mapping[str, np.ndarray]) -> PyTree:
    """Returns a tree whose leaves are replaced by the arrays of their paths, where shape and type are the same."""

    def leaf(path: tuple, fresh: Any) -> Any:
        inherited = arrays.get(f"{prefix}/{trees.path(path)}")
        return jnp.asarray(inherited) if inherited is not None and _form(inherited) == _form(fresh) else fresh

    return jax.tree_util.tree_map_with_path(leaf, tree)


def _compared(wanted: Mapping[str, Any], there: Mapping[str, np.ndarray], fitting: Set[str]) -> str:
    """Returns text, a line for each network: how many arrays fit, and the first of those that do not."""
    lines = []
    for network in sorted({path.split("/")[1] for path in [*wanted, *there]}):
        ours, theirs = ([path for path in side if path.split("/")[1] == network] for side in (wanted, there))
        fit = [path for path in ours if path in fitting]
        other = [
            f"{_short(path)} {_form(there[path])} there, {_form(wanted[path])} here"
            for path in ours
            if path in there and path not in fitting
        ]
        missing, unused = ([_short(p) for p in a if p not in b] for a, b in ((ours, there), (theirs, wanted)))
        sets = {"other shape": other, "missing there": missing, "not used": unused}
        parts = [f"{name}: {listed(sorted(paths), 2)}" for name, paths in sets.items() if paths]
        lines.append("; ".join([f"  {network}: {len(fit)} of {len(ours)} arrays fit", *parts]))
    return "\n".join(lines)


def _short(path: str) -> str:
    """Returns the path of an array within its network."""
    return path.split("/", 2)[2]


def _form(x: Any) -> str:
    return f"{np.dtype(x.dtype).name}{list(x.shape)}"
