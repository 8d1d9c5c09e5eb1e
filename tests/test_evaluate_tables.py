"""Tables of recorded scores: a column is one protocol, and differences have the error of independent samples."""

import csv
import math

import pytest
from test_metrics_protocol import SCORE

from gan_jax.errors import UserError
from gan_jax.evaluate import compare, tables
from gan_jax.metrics import protocol
from gan_jax.metrics.scoring import TRAINING


def recorded(directory, *scores):
    directory.mkdir()
    protocol.write(directory, scores)
    return directory


@pytest.fixture
def runs(tmp_path):
    """Two runs of one protocol and a third of another, with the scores of training images."""
    floor = SCORE._replace(weights=TRAINING, step=None, value=1.0, error=0.1)
    first = recorded(
        tmp_path / "first", SCORE._replace(step=100, value=30.0), SCORE._replace(value=10.0, error=0.3), floor
    )
    second = recorded(tmp_path / "second", SCORE._replace(step=900, value=8.0, error=0.4), floor)
    other = recorded(tmp_path / "other", SCORE._replace(step=900, value=7.0, fake=9000))
    return first, second, other


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_newest_scores_are_shown_with_their_difference_from_the_first(runs, tmp_path, capsys):
    compare(runs[:2], out=(tmp_path / "table.md", tmp_path / "table.csv"))
    first, second, training = table(tmp_path / "table.csv")
    assert (first["step"], float(first["fid"]), first["fid difference"]) == ("500", 10.0, "")
    assert (second["step"], float(second["fid"]), float(second["fid difference"])) == ("900", 8.0, -2.0)
    assert float(second["fid difference error"]) == pytest.approx(0.5)
    assert (training["weights"], float(training["fid"])) == (TRAINING, 1.0)
    assert first["fid protocol"] == second["fid protocol"] == protocol.described(SCORE)
    page = (tmp_path / "table.md").read_text()
    assert page == capsys.readouterr().out and "8 ± 0.4 (-2 ± 0.5)" in page
    assert page.endswith("- in brackets: the difference from the first row with a score in that column\n")
    assert f"- fid: {protocol.described(SCORE)}" in page and "2,000 real of digits (test, def), 1,000 samples" in page
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 3 and len({len(line) for line in rows}) == 1


def test_scores_of_unlike_protocols_are_in_columns_of_their_own_without_a_difference(runs, tmp_path):
    compare(runs, out=(tmp_path / "table.csv",))
    first, _, other, _ = table(tmp_path / "table.csv")
    assert float(first["fid [1]"]) == 10.0 and first["fid [2]"] == ""
    assert float(other["fid [2]"]) == 7.0 and other["fid [1]"] == other["fid [2] difference"] == ""
    assert "9,000 samples" in other["fid [2] protocol"]


def test_other_steps_metrics_and_weights(runs, tmp_path):
    protocol.write(runs[0], [SCORE._replace(metric="kid", value=math.nan), SCORE._replace(weights="raw", value=20.0)])
    compare(runs[:1], step=100, metrics=("fid",), out=(tmp_path / "table.csv",))
    with pytest.raises(UserError, match=r"--step 100: .*second has scores of steps 900"):
        compare(runs[:2], step=100)
    assert [float(row["fid"]) for row in table(tmp_path / "table.csv")] == [30.0, 1.0]
    compare(runs[:1], out=(tmp_path / "table.csv",))
    assert [row["weights"] for row in table(tmp_path / "table.csv")] == ["averaged", "raw", TRAINING]
    with pytest.raises(UserError, match="--metrics recall: no run has such"):
        compare(runs[:1], metrics=("recall",))


def test_a_run_without_scores_is_scored_first_and_what_is_no_run_is_refused_before(runs, tmp_path, monkeypatch):
    new, scored = tmp_path / "new", []
    (new / "checkpoints").mkdir(parents=True)
    monkeypatch.setattr(tables, "samples", lambda run, *_: scored.append(run) or protocol.write(run, [SCORE]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty has no scores\.jsonl"):
        compare((new, tmp_path / "empty"))
    assert not scored
    compare((runs[0], new))
    assert scored == [new]
    with pytest.raises(UserError, match=r"--out .*table\.txt: give names that end in \.md or \.csv"):
        compare(runs, out=(tmp_path / "table.txt",))
