"""The data of an opened run: its training split, and the examples held out."""

from gan_jax.data import Dataset, load, names
from gan_jax.data.dataset import marks, same
from gan_jax.data.splits import of_split
from gan_jax.errors import NotFound, UserError
from gan_jax.runs.reopen import Restored


def dataset(run: Restored, split: str | None = None) -> Dataset:
    """Returns a split of the data that a run was trained on, by default the training split.

    If an image cannot be read, the next one replaces it, with a warning.

    Args:
        run: An opened run.
        split: Name of the split; None for the training split.

    Raises:
        UserError: If the data have moved or have another shape, or the training examples have changed; or if they were
            in memory only and the run was opened without them.
    """
    about = run.record["data"]
    try:
        data = _loaded(run, split or about["split"])
    except NotFound as error:
        if names.origin(about["name"]) == "memory":
            raise
        raise NotFound(
            f"{error}. The run was trained on {about['name']!r}; if the data have moved, give --dataset with their "
            "new name"
        ) from error
    if split in (None, about["split"]) and not same(marks(data), about):
        raise UserError(
            f"the contents of {about['name']!r} have changed since the run was trained; restore them, or give "
            "--dataset with their new location"
        )
    if list(data.spec.shape) != about["shape"]:
        raise UserError(
            f"the run was trained on examples of shape {about['shape']}, but those of {about['name']!r} have shape "
            f"{list(data.spec.shape)}; give --dataset with examples of shape {about['shape']}"
        )
    return data


def held_out(run: Restored) -> Dataset:
    """Returns the test split of a run's data; raises UserError if the run was trained on it."""
    data = dataset(run, "test")
    if same(marks(data), run.record["data"]):
        raise UserError(f"the run was trained on the test split of {data.name!r}, so no examples are held out")
    return data


def _loaded(run: Restored, split: str) -> Dataset:
    name = run.record["data"]["name"]
    if run.data is not None:
        return of_split(run.data, split)
    if not run.trusted and names.origin(name) == "function":
        raise UserError(
            f"--safe: the data {name!r} are made by code outside the package; if you trust it, leave --safe out, or "
            "give its name with --dataset"
        )
    return load(name, split, run.record["config"].get("resolution"), skip_damaged=True)
