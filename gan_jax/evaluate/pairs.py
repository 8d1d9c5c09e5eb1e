"""Scores of any set of examples against any other."""

from pathlib import Path

from gan_jax import runs
from gan_jax.cli import Checkpoint
from gan_jax.data import Dataset
from gan_jax.errors import UserError
from gan_jax.evaluate import sets
from gan_jax.evaluate.checkpoints import show
from gan_jax.evaluate.requests import MOST, Request, metrics_of, planned, require_consistent
from gan_jax.evaluate.sets import NamedSet
from gan_jax.files import require_writable
from gan_jax.metrics import protocol, scoring
from gan_jax.metrics.features import Plan
from gan_jax.metrics.menu import require
from gan_jax.metrics.protocol import Score
from gan_jax.metrics.scorer import Origin, scorer

REMEDY = "raise --count or give a larger set, or --metrics without fid, or --few to compute fid anyway"


def pair(
    samples: str,
    real: str,
    /,
    request: Request,
    checkpoint: Checkpoint,
    seed: int = 0,
    resolution: int | None = None,
    key: str | None = None,
    train: str | None = None,
    dataset: str | None = None,
    out: Path | None = None,
) -> list[Score]:
    """FID, KID and others of the images SAMPLES against REAL: each a run, a folder, an .npz file or a data set.

    A data set is its test split, and a folder all its images, unless :train, :test or another split follows the name.
    Scores are comparable with those of runs against the same split.

    Args:
        seed: Selects a run's samples, or --count images of a larger set.
        resolution: Side of the square to which images of both sets are resized and cropped; by default that of a run.
        key: Name of the array in .npz files; by default image, or the only array.
        train: The generator's training images, which copying needs; by default those of a run.
        dataset: New name of a run's data, if they have moved.
        out: Directory to whose scores.jsonl the scores are added, for RUNS ... compare.

    Raises:
        UserError: If a flag does not apply, or the sets cannot be scored as asked.
    """
    require_consistent(request)
    if out is not None:
        require_writable(out / protocol.FILE)
    fake, truth = (sets.by_name(word, checkpoint, key, dataset=dataset) for word in (samples, real))
    opened = [each.run for each in (truth, fake) if each.run is not None]
    if dataset and not opened:
        raise UserError(f"--dataset {dataset}: it names the data of a run, but neither set is one; leave it out")
    _require_applicable(request, checkpoint, key, train, fake, truth)
    if resolution is None:
        resolution = next((run.record["config"].get("resolution") for run in opened), None)
    reference = sets.loaded(truth, next((run.spec.kind for run in opened), None), resolution, MOST, seed)
    plan = _planned(request, reference, opened, resolution)
    metrics, kind = metrics_of(request, plan), reference.spec.kind
    asked = {} if request.count is None else {"samples": request.count}
    require(metrics, plan, {"real images": reference.count} | asked, REMEDY, few=request.few)

    count = min(reference.count, MOST) if request.count is None else request.count
    scored = sets.loaded(fake, kind, resolution, count, seed)
    if scored.count < (request.count or 0):
        raise UserError(
            f"--count {request.count}: {samples} has {scored.count:,} {kind.noun}; give at most that, or leave it out"
        )
    examples = sets.alike(scored, reference)
    if fake.run is None:
        examples = scoring.drawn(examples, request.count or scored.count, seed)
    training = None
    if "copying" in metrics:
        source = fake if train is None else sets.by_name(train, checkpoint, key, "train")
        training = runs.dataset(source.run) if source.run else sets.loaded(source, kind, resolution, 0, seed)
    held_out = training is not None and training.fingerprint != reference.fingerprint
    require(metrics, plan, {"samples": len(examples)}, REMEDY, few=request.few, held_out=held_out)

    origin = Origin("averaged", fake.run.step, seed) if fake.run else Origin(samples, None, seed, scored.fingerprint)
    scores = scorer(plan.load(), metrics, reference, training, few=request.few).examples(examples, origin)
    print(f"{samples} against {real}: {protocol.described(scores[0]._replace(settings=''))}")
    show(scores)
    if len(examples) != reference.count and request.count is None:
        fewer = min(len(examples), reference.count)
        print(
            f"note: {samples} has {len(examples):,} {kind.noun} here, and {real} {reference.count:,}. FID, precision, "
            "recall and others depend on both numbers: compare these scores only with scores of the same numbers"
            f"{f', or give --count {fewer} for as many samples' if len(examples) > fewer else ''}"
        )
    if out is not None:
        protocol.write(out, scores)
        print(f"{out / protocol.FILE}: {len(scores)} scores")
    return scores


def _require_applicable(
    request: Request, checkpoint: Checkpoint, key: str | None, train: str | None, fake: NamedSet, truth: NamedSet
) -> None:
    """Refuses flags that do not apply to the sets, and scores known to be impossible before the sets are loaded."""
    if not (fake.run or truth.run) and (checkpoint.step is not None or checkpoint.best):
        raise UserError("--step and --best select the checkpoint of a run, but neither set is one; leave them out")
    arrays = [each for each in (fake, truth) if each.array is not None]
    if key and not arrays and not (train or "").endswith(".npz"):
        raise UserError(f"--key {key}: it names an array of an .npz file, but neither set is one; leave it out")
    copying = "copying" in request.metrics
    if copying and train is None and fake.run is None:
        raise UserError("--metrics copying needs the generator's training images; give them with --train")
    if train and not copying:
        raise UserError(f"--train {train}: only copying needs it; leave it out, or add copying to --metrics")
    if request.features == "inception":  # its size is known before a data set is downloaded
        plan = scoring.of_inception(request.inception, request.resize or "reference")
        counts = {"samples": fake.most if request.count is None else request.count, "real images": truth.most}
        known = {name: count for name, count in counts.items() if count is not None}
        require(metrics_of(request, plan), plan, known, REMEDY, few=request.few)


def _planned(request: Request, real: Dataset, opened: list[runs.Restored], resolution: int | None) -> Plan:
    """Returns the features; by default the classifier of the real images or, without labels, of a run's data."""
    sources = [(real.name, real.spec, None), *((run.record["data"]["name"], run.spec, run.data) for run in opened)]
    name, spec, data = next((source for source in sources if source[1].classes), sources[0])
    return planned(request, name, spec, resolution, data)
