"""A guard against divergence: health signals of a run's log, and alarms when they are bad for long.

The signals are computed in the compiled step and averaged over the iterations between two log records:

    diversity         standard deviation of the fakes' pixels over the batch, relative to that of the real images
    feature variance  the same for the discriminator's features, or its logits
    accuracy          of the discriminator, on its own batches
    logit gap         absolute difference of the mean logits of real images and of fakes
    gradient norms    of the players
    score             if the run is evaluated

Whether a score is the best so far, and how many evaluations ago that was, is counted here too.

The guard is a fold over log records. Each checkpoint holds the guard's memory at that step, so that a resumed run
decides as though it had never stopped, even if its log is lost.
"""

import math
import operator
import statistics
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Policy = Literal["off", "warn", "stop", "rollback"]
RUNAWAY = ("gradient_norm", "logit_gap")  # signals without an absolute scale, compared with their own median


class Limits(NamedTuple):
    """Thresholds of the alarms, chosen on a few seeds of digits and tested on others.

    See `tests/test_loop_guard_judged.py`.

    Attributes:
        diversity: Below it the samples have collapsed.
        features: Feature variance below which they have collapsed for the discriminator, if diversity is suspect too.
        accuracy: Above it the discriminator has won, if diversity is suspect too; a strong critic alone does no harm.
        suspect: Below it diversity is suspect.
        runaway: Largest multiple of its median so far that a gradient norm or the logit gap may reach.
        score: Largest multiple of the best score that a score may reach; the inverse if higher is better.
        errors: Standard errors that a bad score must also be away from the best: near 0 a factor means nothing.
        evaluations: Number of bad scores in a row that raises the alarm.
        grace: Share of the run, at least 100 iterations, in which signals do not count: a fresh generator has no
            diversity yet.
        patience: Share of the run for which a signal must be bad without a break.
    """

    diversity: float = 0.2
    features: float = 0.05
    accuracy: float = 0.99
    suspect: float = 0.5
    runaway: float = 100.0
    score: float = 2.0
    errors: float = 4.0
    evaluations: int = 3
    grace: float = 0.03
    patience: float = 0.02


LIMITS = Limits()


class Memory(NamedTuple):
    """The guard's state after the records so far.

    Attributes:
        at: Step of the newest record.
        since: Bad signal -> step at which it became bad.
        told: Signals that have raised an alarm, and are still bad.
        past: Signal -> its last 1,000 values, for signals that are compared with their median.
        best: Best score so far.
        worse: Evaluations in a row that were far worse.
        stale: Evaluations in a row without a new best.
    """

    at: int = 0
    since: Mapping[str, int] = {}
    told: frozenset[str] = frozenset()
    past: Mapping[str, tuple[float, ...]] = {}
    best: float | None = None
    worse: int = 0
    stale: int = 0


class Stale(NamedTuple):
    """The end of a run because its score no longer improves.

    Attributes:
        step: Step at which the run ends.
        message: Description for the user.
    """

    step: int
    message: str


class Alarm(NamedTuple):
    """A detected divergence.

    Attributes:
        step: Step at which it was detected.
        since: Step at which it began: later checkpoints are of no use.
        signal: Name of the signal.
        message: Description for the user.
    """

    step: int
    since: int
    signal: str
    message: str


def signals(record: Mapping[str, Any]) -> dict[str, float]:
    """Returns the signals of a log record, without those that it lacks."""
    values = {name: record[name] for name in record if name.endswith("/gradient_norm")}
    for name in ("diversity", "feature_variance"):
        real = record.get(f"discriminator/{name}_real", math.nan)
        fake = record.get(f"generator/{name}_fake", math.nan)
        values[name] = math.sqrt(max(fake, 0) / real) if real > 0 else math.nan
    real, fake = (record.get(f"discriminator/logit_{side}", math.nan) for side in ("real", "fake"))
    values["logit_gap"] = abs(real - fake)
    values["accuracy"] = sum(record.get(f"discriminator/accuracy_{side}", math.nan) for side in ("real", "fake")) / 2
    return {name: value for name, value in values.items() if math.isfinite(value)}


def watch(
    memory: Memory,
    record: Mapping[str, Any],
    steps: int,
    metric: str = "",
    higher: bool = False,
    limits: Limits = LIMITS,
) -> tuple[Memory, Alarm | None]:
    """Updates the guard with one log record.

    Args:
        memory: The guard's state after the records before; `Memory()` at the start.
        record: "step", and metrics by name; or a score as "score/METRIC", with its "score/METRIC_error".
        steps: Iterations of the whole run.
        metric: The score to watch.
        higher: Whether a higher score is better.
        limits: Thresholds of the alarms.

    Returns:
        The new state; and an alarm, once for each bad stretch of each signal, the gravest first.
    """
    if f"score/{metric}" in record:
        value, error = (record.get(f"score/{metric}{part}", 0.0) for part in ("", "_error"))
        return _score(memory, record["step"], value, error, higher, limits)
    now, step = signals(record), record["step"]
    if "event" in record or not now:
        return memory, None
    medians = {name: statistics.median(values) for name, values in memory.past.items()}
    messages = _bad(now, medians, limits)
    begun = memory.at >= max(100, limits.grace * steps)
    since = {name: memory.since.get(name, memory.at) for name in messages if begun}
    due = [name for name in since if step - since[name] >= limits.patience * steps and name not in memory.told]
    past = {name: (*memory.past.get(name, ())[-999:], now[name]) for name in now if name.endswith(RUNAWAY)}
    told = memory.told & set(since) | set(due[:1])
    memory = memory._replace(at=step, since=since, told=told, past=past)
    if not due:
        return memory, None
    return memory, Alarm(step, since[due[0]], due[0], f"{messages[due[0]]} since step {since[due[0]]}")


def stale(memory: Memory, step: int, metric: str, patience: int) -> Stale | None:
    """Returns the end of a run whose best score is `patience` evaluations old, else None; 0 allows any number."""
    if not patience or memory.stale < patience:
        return None
    return Stale(step, f"the best {metric}, {memory.best:.4g}, has not improved for {memory.stale} evaluations")


def packed(memory: Memory) -> dict[str, Any]:
    """Converts a memory to JSON types, for a checkpoint."""
    return memory._asdict() | {"told": sorted(memory.told)}


def unpacked(values: Mapping[str, Any]) -> Memory:
    """Inverts `packed`."""
    past = {name: tuple(series) for name, series in values["past"].items()}
    return Memory(**{**values, "told": frozenset(values["told"]), "past": past})


def replay(records: list[dict[str, Any]], steps: int, metric: str = "", higher: bool = False) -> Memory:
    """Returns the guard's state after all records of a log."""
    memory = Memory()
    for record in records:
        memory, _ = watch(memory, record, steps, metric, higher)
    return memory


def _bad(now: Mapping[str, float], medians: Mapping[str, float], limits: Limits) -> dict[str, str]:
    """Returns bad signal -> message, the gravest first."""
    messages, none = {}, math.nan  # which compares false with everything
    diversity, accuracy = now.get("diversity", none), now.get("accuracy", none)
    collapsed = f"samples have {diversity:.3g} times the variance of real images"
    if diversity < limits.diversity:
        messages["collapse"] = collapsed
    elif diversity < limits.suspect and now.get("feature_variance", none) < limits.features:
        messages["collapse"] = f"{collapsed}, and their features {now['feature_variance']:.3g} times"
    elif diversity < limits.suspect and accuracy > limits.accuracy:
        messages["collapse"] = f"{collapsed}, and the discriminator's accuracy is {accuracy:.1%}"
    for name, median in medians.items():
        if now.get(name, none) > limits.runaway * median > 0:
            messages[name] = f"the {name} is {now[name]:.3g}, {now[name] / median:.0f} times its median"
    return messages


def _score(
    memory: Memory, step: int, value: float, error: float, higher: bool, limits: Limits
) -> tuple[Memory, Alarm | None]:
    """Updates the guard with one score."""
    value = value if math.isfinite(value) else -math.inf if higher else math.inf
    best, worse = memory.best, operator.lt if higher else operator.gt
    if best is None or worse(best, value):
        return memory._replace(best=value, worse=0, stale=0), None
    # an unbiased distance may be negative: multiples of such a best mean nothing
    multiple = best / limits.score if higher else best * limits.score
    far = best > 0 and worse(value, multiple) and abs(value - best) > limits.errors * error
    memory = memory._replace(worse=memory.worse + 1 if far else 0, stale=memory.stale + 1)
    if memory.worse != limits.evaluations:
        return memory, None
    message = f"the score is {value:.4g}, far worse than its best, {best:.4g}, for {memory.worse} evaluations"
    return memory, Alarm(step, step, "score", message)
