"""The page of a run holds what the run left, nothing from elsewhere, and never fails on what is missing."""

import base64
import json
import re
import subprocess
import sys
from html import escape

import numpy as np
import pytest

from gan_jax import pictures
from gan_jax.loop import snapshots
from gan_jax.runs import figures, report

ABOUT = {
    "experiment": {"module": "experiments.dcgan", "file": "experiments/dcgan.py"},
    "config": {"steps": 300, "note": "<script>alert('&')</script>", "optimizer": {"name": "adam", "b1": 0.5}},
    "data": {"name": "mnist<", "split": "train", "shape": [28, 28, 1], "classes": 10, "count": 60000},
    "environment": {"gan_jax": "0.1.0", "device": "H100 & co", "devices": 8, "command": "python -m x > log"},
}


def records(steps):
    noise = np.random.default_rng(0).normal(size=(len(steps), 3))
    for step, (a, b, c) in zip(steps, noise, strict=True):
        yield {
            "step": step,
            "seconds": step * 0.6,
            "images_per_second": 640.0 + c,
            "discriminator/loss": 1.3 + 0.1 * a,
            "generator/loss": 0.7 + 0.1 * b,
            "discriminator/accuracy_real": 0.8,
            "discriminator/accuracy_fake": 0.7,
        }


def log(run, *lines):
    with open(run / "metrics.jsonl", "a") as stream:
        stream.writelines(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)


@pytest.fixture
def run(tmp_path):
    """The directory of a run that says what it is, and has done nothing yet."""
    (tmp_path / "run.json").write_text(json.dumps(ABOUT, indent=1))
    return tmp_path


@pytest.fixture
def finished(run):
    frames = [pictures.grid(np.full((4, 8, 8, 1), value, np.uint8)) for value in range(0, 210, 10)]
    for step, frame in zip(range(0, 315, 15), frames, strict=True):
        pictures.save_png(run / "samples" / f"{step:08d}.png", frame)
    pictures.save_gif(run / "animation.gif", frames)
    log(run, *records(range(1, 301)))
    return run


def page(run):
    path = report.write(run)
    assert path == run / "report.html"
    return path.read_text("utf-8")


def encoded(path):
    return base64.b64encode(path.read_bytes()).decode()


def charts(html):
    """Titles of the charts, in order, each with the labels of its lines."""
    found = re.findall(r"<figure><h3>(.*?) <small>.*?</h3><div>(.*?)</div>", html)
    return {title: [label.strip() for label in re.findall(r"<span[^>]*>(.*?) <b>", legend)] for title, legend in found}


def test_shows_the_last_grid_the_animation_and_a_handful_of_steps(finished):
    html = page(finished)
    assert encoded(finished / "samples" / "00000300.png") in html
    assert encoded(finished / "animation.gif") in html
    evolution = re.search(r"<h2>Evolution</h2>(.*?)</section>", html, re.DOTALL)
    assert evolution
    steps = [int(step) for step in re.findall(r"<figcaption>step (\d+)<", evolution[1])]
    assert steps == sorted(set(steps)) and 5 <= len(steps) <= 8
    assert steps[0] == 0 and steps[-1] == 300
    assert np.all(np.diff(steps)[1:] >= np.diff(steps)[:-1])  # logarithmic: denser at the start


def test_states_the_run_in_its_head(finished):
    html = page(finished)
    assert "<h1>dcgan</h1>" in html
    for term, fact in {
        "data set": "mnist&lt;",
        "steps": "300",
        "minutes": "3.0",
        "device": "H100 &amp; co × 8",
    }.items():
        assert f"<dt>{term}</dt><dd>{fact}</dd>" in html
    assert f"python -m gan_jax.sample {finished}" in html


def test_says_how_far_a_run_in_progress_is(run):
    log(run, *records(range(1, 101)))
    assert "<dd>100</dd>" in page(run)


def test_escapes_all_text(finished):
    log(finished, {"step": 300, "event": "<stop>", "message": "<img src=x>"}, {"step": 300, "<b>/a<i>": 1.0})
    html = page(finished)
    for text in ("<script>", "<img src=x>", "<stop>", "a<i>", "<b>/", "mnist<<"):
        assert text not in html
    assert escape(str(ABOUT["config"]["note"])) in html
    assert "optimizer.b1" in html and "&lt;img src=x&gt;" in html and "python -m x &gt; log" in html


def test_needs_nothing_but_itself(finished):
    html = page(finished)
    assert "http" not in html and "@import" not in html and "<script" not in html and "<link" not in html
    assert all(target.startswith(("data:", "#")) for target in re.findall(r'(?:src|href)="([^"]*)', html))
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)", html))


def test_groups_metrics_by_name_and_real_with_fake(run):
    log(run, *records(range(1, 20)), {"step": 20, "ema/fid": 12.5, "temperature": 1, "name": "x", "flag": True})
    assert charts(page(run)) == {
        "loss": ["discriminator", "generator"],
        "accuracy": ["discriminator real", "discriminator fake"],
        "fid": ["ema"],
        "images per second": [""],
        "temperature": [""],
    }


def test_draws_each_point_of_a_short_log_and_thins_a_long_one(run):
    def line(html):
        return max(re.findall(r' d="(M [^"]*)"', html), key=len).count("\n")

    log(run, *({"step": step, "x": step % 7} for step in range(1, 51)))
    assert line(page(run)) == 50
    log(run, *({"step": step, "x": step % 7} for step in range(51, 20_001)))
    assert line(page(run)) <= 610


def test_says_which_peaks_it_cuts_off(run):
    log(run, *({"step": step, "x": step % 7 if step != 60 else 1e6} for step in range(1, 200)))
    assert "outside the chart: 1e+06" in page(run)


def test_the_last_word_on_a_step_counts(run):
    log(run, {"step": 1, "x": 1.0}, {"step": 2, "x": 2.0}, {"step": 2, "event": "resumed"}, {"step": 2, "x": 7.0})
    assert "<b>7</b>" in page(run)


def test_draws_what_is_finite_and_names_what_is_not(run):
    log(run, {"step": 1, "x": 1.0, "y": float("inf")}, {"step": 2, "x": float("nan"), "y": 1e300})
    html = page(run)
    assert "<b>nan</b>" in html and "<b>1e+300</b>" in html


@pytest.mark.parametrize("value", [0.0, 0.5, -3.0])
def test_draws_a_constant(run, value):
    log(run, *({"step": step, "generator/accuracy": value, "y": value + (step == 70)} for step in range(1, 400)))
    assert charts(page(run)) == {"accuracy": ["generator"], "y": [""]}


def test_lists_events_and_keeps_them_out_of_the_curves(run):
    log(run, *records([1, 2]), {"step": 1200, "event": "stopped", "message": "by a signal", "loss": 1.0})
    html = page(run)
    assert re.search(r"<h2>Events</h2>.*1,200 stopped</th><td>by a signal, loss 1.0<", html, re.DOTALL)
    assert charts(html)["loss"] == ["discriminator", "generator"]


@pytest.mark.parametrize(
    "line", ['{"step": 9, "gener', '{"step": 9, "x', "[1, 2]\n", "12\n", '{"x": 1}\n', "\n", '{"step"']
)
def test_skips_a_line_that_is_no_record(run, line):
    log(run, *({"step": step, "generator/loss": 1.0} for step in range(1, 9)))
    before = page(run)
    log(run, line)
    assert page(run) == before
    if not line.endswith("\n"):  # the process that came after wrote on from where the other was killed
        log(run, "\n", {"step": 9, "generator/loss": 42.0})
        assert "<b>42</b>" in page(run)


def test_files_of_others_in_the_folders_of_a_run_are_not_looked_at(finished):
    (finished / "explore").mkdir()
    before = page(finished)
    names = ["samples/._00000000.png", "samples/copy of 00000300.png", "samples/12.png", "samples/00000001.png.part"]
    names += ["explore/notes.txt", "explore/._directions-step300-seed0.png", "checkpoints/.DS_Store"]
    for name in names:
        (finished / name).parent.mkdir(exist_ok=True)
        (finished / name).write_text("of another")
    snapshots.drop_after(finished, 300)
    snapshots.animate(finished)
    assert page(finished) == before
    assert all((finished / name).exists() for name in names)
    snapshots.drop_after(finished, 0)
    assert [path.name for path in pictures.by_step(finished / "samples").values()] == ["00000000.png"]


@pytest.mark.parametrize("missing", ["samples", "animation.gif", "metrics.jsonl"])
def test_shows_the_rest_where_something_is_missing(finished, missing):
    if missing == "samples":
        for path in (finished / "samples").iterdir():
            path.unlink()
    else:
        (finished / missing).unlink()
    html = page(finished)
    titles = {"samples": "Evolution", "animation.gif": "", "metrics.jsonl": "Curves"}
    expected = {"Samples", "Evolution", "Curves", "Sampling", "Configuration", "Data", "Environment"} - {
        titles[missing]
    }
    assert set(re.findall("<h2>(.*?)</h2>", html)) == expected


def test_a_run_that_has_only_begun_has_a_page(run):
    (run / "run.json").write_text("{}")
    assert f"<h1>{run.name}</h1>" in page(run)


@pytest.mark.parametrize("text", [None, '{"config": {', "[]"])
def test_names_the_file_that_makes_a_run(tmp_path, text):
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "run.json"))):
        report.write(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_equal_runs_have_equal_pages(finished):
    assert page(finished) == page(finished)


def test_shows_pixels_unless_there_are_more_than_it_has_room_for(run):
    for step, scale in ((0, 1), (1, 12)):
        pictures.save_png(
            run / "samples" / f"{step:08d}.png", pictures.grid(np.zeros((64, 8, 8, 1), np.uint8), scale=scale)
        )
    few, many = (f'src="data:image/png;base64,{encoded(run / "samples" / f"{step:08d}.png")}' for step in (0, 1))
    html = page(run)
    assert f'<img alt="step 0" width="320" {few}' in html and f'<img alt="step 1" width="320" {many}' in html
    assert f'<img class="pixels" alt="step 1" width="786" {many}' in html


def test_the_command_writes_the_page_and_says_where(run):
    command = [sys.executable, "-m", "gan_jax.runs.report", str(run)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == str(
        run / "report.html"
    )


def score(**fields):
    """A line of scores.jsonl."""
    about = {"features": "0123456789abcdef", "features_name": "classifier of digits", "resize": "none"}
    about |= {"settings": "", "data": "d" * 16, "data_name": "digits", "split": "test", "real": 2000, "fake": 1000}
    return {"metric": "fid", "value": 3.0, "error": 0.5, "weights": "averaged", "step": 100, "seed": 0} | about | fields


def scored(run, *scores):
    """Titles of the charts of scores, each with its note and its lines: label -> last value."""
    (run / "scores.jsonl").write_text("".join(json.dumps(each) + "\n" for each in scores))
    section = re.search(r"<h2>Scores</h2>(.*?)</section>", page(run), re.DOTALL)
    assert section
    found = re.findall(r"<figure><h3>(.*?) <small>(.*?)</small></h3><div>(.*?)</div>", section[1])
    return [(title, note, dict(re.findall(r"<span[^>]*>(.*?) <b>(.*?)</b>", legend))) for title, note, legend in found]


def test_scores_are_drawn_over_steps_by_kind_of_weights_beside_the_yardstick(run):
    lines = [score(step=step, value=10 / step, weights=kind) for kind in ("averaged", "raw") for step in (1, 2, 5)]
    yardstick = score(step=None, value=0.25, weights="training images")
    assert scored(run, *lines, yardstick) == [
        (
            "fid",
            "classifier of digits 01234567, 2,000 test examples of digits, 1,000 samples",
            {"averaged": "2", "raw": "2", "training images": "0.25"},
        )
    ]
    assert page(run).count("stroke-dasharray: ") == 1  # the yardstick, and nothing else
    assert "<dd>5</dd>" in page(run)


def test_scores_of_unlike_protocols_are_not_in_one_chart(run):
    unlike = [{}, {"fake": 500}, {"split": "train"}, {"features": "f" * 16}, {"resize": "clean"}, {"settings": "k=3"}]
    found = scored(run, *(score(**fields) for fields in unlike), score(step=200), score(step=None, weights="training"))
    assert len(found) == len(unlike) == len({note for _, note, _ in found})
    assert set(found[0][2]) == {"averaged", "training"}


def test_the_last_word_on_a_score_counts_and_seeds_are_kept_apart(run):
    ((_, _, lines),) = scored(run, score(value=9.0), score(value=8.0, seed=1), score(value=7.0))
    assert lines == {"averaged": "7", "averaged, seed 1": "8"}


def test_scores_that_are_no_numbers_are_left_out_and_unknown_errors_are_none(run):
    ((_, _, lines),) = scored(run, score(value=None), score(value="x", step=200), score(error=None, step=300), {"a": 1})
    assert lines == {"averaged": "3"}


def test_scores_in_the_log_are_not_drawn_twice(run):
    log(run, {"step": 1, "generator/loss": 1.0, "score/fid": 3.0})
    assert charts(page(run)) == {"loss": ["generator"]}


def test_gathers_what_was_explored_at_the_newest_step_and_says_how_to_make_the_rest(run):
    colours = {}
    for i, name in enumerate(
        [
            "collapse-pixels-step9-seed0",
            "collapse-pixels-step10-seed0",
            "collapse-pixels-step10-seed3",
            "other",
            "x<-step7-seed0",
        ]
    ):
        colours[name] = run / "explore" / f"{name}.png"
        pictures.save_png(colours[name], np.full((4, 4, 3), i, np.uint8))
    pictures.save_gif(run / "explore" / "interpolation-step9-seed0.gif", [np.zeros((4, 4, 3), np.uint8)])
    html = page(run)
    captions = re.findall("<figcaption>(.*?)</figcaption>", html)
    assert captions == [
        "collapse, pixels; step 10, seed 0",
        "collapse, pixels; step 10, seed 3",
        "interpolation; step 9, seed 0",
        "x&lt;; step 7, seed 0",
    ]
    assert [encoded(path) in html for path in colours.values()] == [False, True, True, False, True]
    asked = re.findall(r"gan_jax.explore \S+ (\w+)", html)
    assert asked == [kind for kind in figures.EXPLORATIONS if kind not in ("collapse", "interpolation")]


def test_points_are_not_asked_to_be_explored(run):
    (run / "run.json").write_text(json.dumps(ABOUT | {"data": ABOUT["data"] | {"shape": [2]}}))
    assert "gan_jax.explore" not in page(run)


def about(run, **entries):
    """Writes a record with further entries."""
    (run / "run.json").write_text(json.dumps(ABOUT | entries))


def test_says_how_much_memory_was_used_and_how_large_the_networks_are(run):
    about(run, parameters={"generator": 12345, "discriminator": 678})
    log(run, {"step": 1, "peak_bytes": 2.5e9}, {"step": 2, "peak_bytes": 1e9})
    html = page(run)
    assert "<dt>peak memory</dt><dd>2.5 GB</dd>" in html
    assert "<dt>parameters</dt><dd>generator 12,345, discriminator 678</dd>" in html
    assert charts(html) == {"peak memory": [""]} and "<b>1000</b>" in html
    assert ">MB</text>" in html


def test_labels_the_axes_of_every_chart(finished):
    html = page(finished)
    labels = re.findall(r">(iteration|loss|accuracy|images/s)</text>", html)
    assert labels.count("iteration") == len(charts(html)) == 3
    assert {"loss", "accuracy", "images/s"} <= set(labels)


def test_marks_settings_that_are_no_defaults_and_those_that_changed_in_mid_run(run):
    change = {"step": 1500, "field": "rate", "old": 0.5, "new": 0.25}
    config, defaults = {"rate": 0.5, "size": 4, "own": True}, {"rate": 0.1, "size": 4}
    about(run, config=config, defaults=defaults, changes=[change], freeze=["critic=first:3"])
    html = page(run)
    marked = dict(re.findall(r"<tr class=set><th>(.*?)</th><td>(.*?)</td>", html))
    assert marked["rate"] == "0.5<small>default: 0.1, from step 1,500: 0.25</small>"
    assert marked["freeze"].startswith("[&quot;critic=first:3&quot;]") and set(marked) == {"rate", "freeze"}


def test_real_examples_are_beside_the_samples_and_captions_say_what_rows_and_columns_are(finished):
    pictures.save_png(finished / "real.png", np.full((20, 30, 3), 9, np.uint8))
    pictures.save_png(finished / "codes.png", np.full((20, 30, 3), 8, np.uint8))
    about(finished, captions={"samples": "columns by label: 0, 1", "codes": "one code varied a row, from the top: a"})
    assert f"python -m gan_jax.sample {finished} grid --labels 0 1\n" in page(finished)
    html = page(finished)
    section = re.search(r"<h2>Samples</h2>(.*?)</section>", html, re.DOTALL)
    assert section
    assert re.findall("<figcaption>(.*?)</figcaption>", section[1]) == [
        "step 300; columns by label: 0, 1", "real examples", "steps 0 to 300"
    ]  # fmt: skip
    assert encoded(finished / "real.png") in section[1]
    assert "<figcaption>one code varied a row, from the top: a</figcaption>" in html


@pytest.mark.parametrize(("pixels", "width"), [(30, 450), (242, 484), (530, 530), (2000, 1000)])
def test_small_sheets_are_enlarged_by_a_whole_factor(run, pixels, width):
    pictures.save_png(run / "sheet.png", np.zeros((4, pixels, 3), np.uint8))
    plain, whole = figures.figure(run / "sheet.png", ""), figures.figure(run / "sheet.png", "", most=None)
    assert f'width="{width}"' in plain and ("pixels" in plain) == (pixels <= figures.PAGE)
    assert f'class="whole" alt="" width="{pixels}"' in whole or pixels <= figures.PAGE  # text in it stays legible
