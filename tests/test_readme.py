"""The READMEs: their code runs, their links resolve, their numbers are those of the records."""

import importlib
import importlib.util
import json
import math
import os
import re
import runpy
import shlex
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import MagicMock

import jax
import optax
import pytest
from environment import FLAGS
from toy import few, gan, points_game

from experiments import loss_zoo
from experiments.__main__ import FAMILIES
from experiments.benchmarks import convolutions, costs, peers, populations, scaling
from experiments.reproduce import (
    comparison,
    conditional,
    fine_tuning,
    image_networks,
    inference,
    infogan,
    papers,
    scores,
    ssgan,
    stacked_mnist,
    translation,
)
from experiments.reproduce.__main__ import sentence
from gan_jax import cli, latents, loop, losses, runs
from gan_jax.data import load
from gan_jax.loop import rehearsal
from gan_jax.runs import log

ROOT = Path(__file__).parent.parent
ALONE = os.environ | {"XLA_FLAGS": FLAGS}  # one device
PAGES = [ROOT / "README.md", *sorted((ROOT / "gan_jax").rglob("README.md"))]
PAGES += sorted((ROOT / "experiments").rglob("README.md"))
README = "\n".join(page.read_text() for page in PAGES)  # each number and each block of code is on one page of these
RESULTS = sorted((ROOT / "experiments" / "results").glob("*.json"))
RECORDS = [path for path in RESULTS if "seeds" in json.loads(path.read_text())]


def recorded(name):
    return json.loads((ROOT / "experiments" / "results" / f"{name}.json").read_text())


def docstring(name):
    return " ".join((importlib.import_module(f"experiments.{name}").__doc__ or "").split())


def test_a_users_own_loss_term_rule_and_experiment_train_go_on_and_are_sampled(tmp_path, monkeypatch):
    section = README.split("## Your own loss, term, rule, experiment")[1].split("\n## ")[0]
    for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", section, re.DOTALL):
        (tmp_path / name).write_text(code)
    assert {path.name for path in tmp_path.iterdir()} == {"my_loss.py", "my_term.py", "my_rule.py", "my_gan.py"}
    (commands,) = re.findall(r"```\n(python my_gan.py.*?)```", section, re.DOTALL)
    *training, sampling = commands.strip().splitlines()
    for command in training:
        arguments = shlex.split(command.replace("000", "0"))[1:]  # a hundredth of the iterations
        subprocess.run([sys.executable, *arguments], cwd=tmp_path, env=ALONE, check=True, stdout=subprocess.DEVNULL)
    _, _, module, *arguments = shlex.split(sampling)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    monkeypatch.delitem(sys.modules, f"{module}.__main__", raising=False)  # Python warns of modules that it runs again
    runpy.run_module(module, run_name="__main__")
    run = tmp_path / "runs" / "my_gan-ring"
    events = [line for line in log.read(run) if "event" in line]
    assert [(line["event"], line["step"]) for line in events] == [("started", 0), ("resumed", 10)]
    assert (run / "grid-step20-seed0.png").exists()
    assert runs.open_run(run).step == 20  # from another working directory too


def test_a_users_own_networks_train_without_a_warning():
    section = README.split("## Your own network\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    shown: dict = {}
    exec(code, shown)
    game = gan(shown["networks"], losses.hinge(), latents.normal(8), optax.sgd(0.1))
    digits = load("digits")
    rehearsal.update(game, rehearsal.state(game, digits.spec), digits, 4)


def test_the_parts_that_are_shown_together_make_a_game():
    (code,) = re.findall(r"```python\n(from gan_jax import augment.*?)```", README, re.DOTALL)
    shown: dict = {}
    exec(code, shown)
    game = shown["built"]
    state = jax.eval_shape(game.init, jax.random.key(0))
    batch = {"image": jax.ShapeDtypeStruct((8, 28, 28, 1), "float32")}
    _, metrics = jax.eval_shape(game.update, state, batch, jax.random.key(0))
    assert {"discriminator/r1", "discriminator/r2"} <= set(metrics) and "lookahead" in state.extra


@pytest.mark.slow
def test_several_parts_that_are_shown_together_make_a_game():
    (code,) = re.findall(r"```python\n(from gan_jax import latents, losses, terms\n.*?)```", README, re.DOTALL)
    shown: dict = {}
    exec(code, shown)
    game = shown["built"]
    state = jax.eval_shape(game.init, jax.random.key(0))
    batch = {"image": jax.ShapeDtypeStruct((8, 28, 28, 1), "float32")}
    after, metrics = jax.eval_shape(game.update, state, batch, jax.random.key(0))
    assert jax.tree.map(jax.numpy.shape, after) == jax.tree.map(jax.numpy.shape, state)
    assert {"diffusion/probability", "apa/probability", "discriminator/approximated_r1"} <= set(metrics)


def test_recorded_commands_name_modules_that_exist():
    commands = [m for path in RESULTS for m in re.findall(r'"command": "python -m ([a-z_.0-9]+)[ "]', path.read_text())]
    assert len(commands) > 20 and all(importlib.util.find_spec(module) for module in commands)


def test_the_verdicts_shown_are_those_given():
    (code,) = re.findall(r"```python\n(import optax.*?)```", README, re.DOTALL)
    shown: dict = {}
    exec(code, shown)
    assert re.findall(r'# "(\w+)"', code) == [shown["plain"], shown["held"]]


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_what_is_said_of_a_run_is_what_was_recorded(path):
    record = json.loads(path.read_text())
    said = sentence(record)
    assert said in " ".join(README.split()), f"a README must say: {said}"
    experiment = re.match(r"python -m experiments\.(\w+)", record["command"])
    assert experiment
    assert said in docstring(experiment[1]), f"the docstring of {experiment[1]} must say: {said}"


def test_the_throughput_table_is_what_was_measured():
    measured = recorded("throughput")
    for name, row in measured["rows"].items():
        cells = (
            f"| {name} | {row['batch_size']} | {row['gan_jax']:,.0f} | {row['stock']:,.0f} | {row['ratio'][0]:.2f} |"
        )
        assert cells in README, f"a README must have the row {cells}"


def test_the_standing_table_is_what_was_measured_and_shows_what_is_known():
    rows = recorded("toys")["rows"]
    table = loss_zoo.markdown(rows)
    assert table in README, f"a README must have the tables\n{table}"
    scores = {(row["data"], row["game"]): row["scores"] for row in rows}
    assert {game for _, game in scores} == set(loss_zoo.STANDING)
    for data, modes, limit in (("ring", 8, 0.02), ("grid", 25, 0.10)):  # zero-centred penalties cover, of every seed
        for game in ("non-saturating, R1", "relativistic, R1 and R2"):
            assert min(scores[data, game]["covered"]) == modes and max(scores[data, game]["reverse_kl"]) < limit
    plain = {data: max(scores[data, "non-saturating"]["reverse_kl"]) for data in ("ring", "grid")}
    assert plain["ring"] > 0.02 and plain["grid"] > 0.10  # the unregularised loss does not


def test_the_comparison_is_what_was_measured_in_readme_and_docstrings():
    record = recorded("comparison")
    assert set(record["runs"]) == set(comparison.EXPERIMENTS)
    assert {len(runs) for runs in record["runs"].values()} == {3}
    table = comparison.markdown(record)
    assert table in README, f"a README must have the table\n{table}"
    assert not comparison.by_other_judges(record)
    for name in record["runs"]:
        said = comparison.sentence(record, name)
        assert said in docstring(name), f"the docstring of experiments.{name} must say: {said}"


def test_the_scores_by_class_are_what_was_measured_and_reach_what_was_asked():
    made = recorded("conditional")
    assert conditional.markdown(made) in README
    for record, goal in zip(made, (0.9, 0.95), strict=True):
        name = record["experiment"]
        assert conditional.sentence(record) in docstring(name), conditional.sentence(record)
        agreement = record["samples"]["agreement"]
        assert agreement["overall"][0] >= goal and min(agreement["per_class"]) >= 0.8
        assert (
            record["samples"]["intra_recall"]["overall"][0]
            >= record["training images"]["intra_recall"]["overall"][0] / 2
        )


def test_the_translations_are_what_was_measured_and_both_terms_help():
    far = {}
    for name in ("pix2pix", "cyclegan"):
        record = recorded(name)
        assert translation.markdown(record) in README, translation.markdown(record)
        assert translation.sentence(record) in docstring(name), translation.sentence(record)
        far |= {row["way"]: (row["l1"], row["features"]) for row in record["rows"]}
        far[f"{name} by chance"] = (record["chance"]["l1"], record["chance"]["features"])
    better = [("L1 + cGAN", "cGAN"), ("cGAN", "pix2pix by chance"), ("CycleGAN", "cyclegan by chance")]
    better += [("CycleGAN", "cycle alone"), ("CycleGAN", "GAN alone")]
    for one, other in better:
        assert far[one][0] < far[other][0] and far[one][1] < far[other][1], (one, other)


def test_the_codes_are_what_was_measured_and_mean_digits():
    record = recorded("infogan")
    said = infogan.sentence(record)
    assert said in docstring("infogan") and said in " ".join(README.split()), said
    assert len(record["rows"]) == 3
    assert all(row["bound"] > math.log(10) - 0.1 for row in record["rows"])
    assert max(row["accuracy"] for row in record["rows"]) >= 0.9


def test_the_errors_of_few_labels_are_what_was_measured_and_unlabelled_images_help():
    record = recorded("ssgan")
    said = ssgan.sentence(record)
    assert said in docstring("ssgan") and said in " ".join(README.split()), said
    wrong = [row["semi-supervised"]["wrong"] for row in record["rows"]]
    assert len(wrong) == 3 and statistics.median(wrong) <= 300
    assert all(row["semi-supervised"]["wrong"] < row["supervised"]["wrong"] / 2 for row in record["rows"])


def test_the_encoders_are_what_was_measured():
    record = recorded("inference")
    assert inference.markdown(record) in README, inference.markdown(record)
    for name in inference.ENCODERS:
        assert inference.sentence(record, name) in docstring(name), inference.sentence(record, name)
        (row,) = [each for each in record["rows"] if each["name"] == name]
        assert row["l1"] < record["chance"]["l1"] / 2 and row["features"] < record["chance"]["features"] / 2


def test_the_table_beside_the_papers_is_of_what_was_measured():
    assert papers.markdown() in README, f"a README must have the table\n{papers.markdown()}"


def test_the_costs_are_what_was_measured():
    record = recorded("costs")
    table = costs.markdown(record)
    assert table in README, f"a README must have the table\n{table}"


def test_the_modes_of_stacked_digits_are_what_was_counted_and_packs_cover_more():
    record = recorded("stacked_mnist")
    table = stacked_mnist.markdown(record)
    assert table in README, f"a README must have the table\n{table}"
    modes = {pack: [row["classes"] for row in record["rows"] if row.get("pack") == pack] for pack in (1, 2)}
    assert min(modes[2]) > 1.5 * max(modes[1]) and record["training images"]["classes"] == 1000


def test_the_scores_over_time_are_what_was_measured():
    record = recorded("scores")
    table = scores.markdown(record)
    assert table in README, f"a README must have the table\n{table}"
    for dataset, curve in record["curves"].items():
        values = {(weights, step): value for weights, step, value, _ in curve["fid"]}
        steps = sorted(step for weights, step in values if weights == "raw")
        floor = values["training images", None]
        assert floor < values["averaged", steps[-1]] < values["averaged", steps[0]], dataset
        better = [values["averaged", step] < values["raw", step] for step in steps]
        assert sum(better) >= 0.9 * len(better), "averaging helps"


def test_the_fine_tuned_runs_are_what_was_measured_and_start_nearer():
    record = recorded("fine_tuning")
    table = fine_tuning.markdown(record)
    assert table in README, f"a README must have the table\n{table}"
    first = min(step for step, _ in record["fid"]["from scratch"])
    assert dict(record["fid"]["fine-tuned"])[first] < dict(record["fid"]["from scratch"])[first]


def test_the_image_networks_learn_as_was_measured():
    record = recorded("image_networks")
    table = image_networks.markdown(record)
    assert table in README, f"a README must have the table\n{table}"
    for name, run in record["runs"].items():
        values = [value for _, value, _ in run["fid"]]
        assert run["training images"] < values[-1] < values[0], name


def test_the_first_page_is_short_and_lists_every_experiment():
    page = (ROOT / "README.md").read_text()
    assert len(page.splitlines()) <= 250
    names = {path.stem for path in (ROOT / "experiments").glob("*.py")} - {"__init__", "__main__"}
    assert names == {name for names in FAMILIES.values() for name in names}
    pages = {"experiments/": page, "": (ROOT / "experiments" / "README.md").read_text()}
    for folder, text in pages.items():
        index, family = {}, ""
        for title, links in re.findall(rf"^\| ([^|]*)\| (\[`\w+`\]\({folder}\w+\.py\)[^|]*)\|", text, re.MULTILINE):
            family = title.strip() or family
            index.setdefault(family, []).extend(re.findall(rf"\({folder}(\w+)\.py\)", links))
        assert {family: tuple(names) for family, names in index.items()} == FAMILIES


def test_ci_runs_the_readmes_commands():
    page = (ROOT / "README.md").read_text()
    install, test = re.findall(r'```\n(pip install -e "\.\[test\]") && (pytest)\n```', page)[0]
    steps = (ROOT / ".ci" / "run").read_text()
    assert install.removeprefix("pip install ") in steps and f"\n{test}\n" in steps


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", page.read_text()):
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not anchor or anchor in headings(file), f"{target}#{anchor}"


def headings(page):
    """Returns the anchors of a page, as GitHub names them."""
    texts = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts}


@pytest.mark.parametrize("benchmark", [peers, populations, scaling, convolutions])
def test_the_benchmarks_tables_are_what_was_measured(benchmark):
    name = benchmark.__name__.rpartition(".")[2]
    table = benchmark.markdown(recorded(name))
    assert table in README, f"a README must have the table\n{table}"


def test_the_commands_that_train_have_flags_that_their_experiments_take():
    shells = (code for language, code in re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL) if not language)
    blocks = "\n".join(shells)
    lines = re.findall(r"^python -m experiments\.\w+(?: .*)?$", blocks, re.MULTILINE)
    commands = [(words[2], words[3:]) for words in (shlex.split(line, comments=True) for line in lines)]
    modules = [(importlib.import_module(name), flags) for name, flags in commands]
    trains = [(module, flags) for module, flags in modules if hasattr(module, "Config")]
    assert len(trains) >= 10
    for module, flags in trains:
        cli.parsed(module.Config, flags, module.__name__, presets=getattr(module, "PRESETS", None))


@pytest.mark.parametrize("service", few(["wandb", "mlflow", "aim"], "wandb"))
def test_a_run_is_followed_by_the_callbacks_shown(service, monkeypatch, tmp_path, capsys):
    page = (ROOT / "gan_jax" / "loop" / "README.md").read_text()
    stand_in = MagicMock()
    monkeypatch.setitem(sys.modules, service, stand_in)
    shown: dict = {}
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        if f"import {service}" in code or "def follow(event: loop.Event)" in code:
            exec(code, shown)
    (lines,) = re.findall(rf"(def tracked_by_{service}.*?)```", page, re.DOTALL)
    assert len(lines.strip().splitlines()) <= 12
    tried = Tried("ring", loop.Run(steps=2, workdir=tmp_path, log_every=1, sample_every=2, devices=1))
    shown[f"tracked_by_{service}"](lambda config, spec: points_game(), tried)
    assert "error: callback" not in capsys.readouterr().err
    numbers = {"wandb": "init().__enter__().log", "mlflow": "log_metrics", "aim": "Run().track"}[service]
    calls = [call for call in stand_in.mock_calls if call[0] == numbers]
    assert {call.kwargs["step"] for call in calls} == {0, 1, 2}
    assert "generator/loss" in str([(call.args, call.kwargs) for call in calls])
    grids = {"wandb": "Image", "mlflow": "log_artifact", "aim": "Image"}[service]
    assert [call.args[0] for call in stand_in.mock_calls if call[0] == grids] == [
        str(tmp_path / "samples" / f"{step:08d}.png") for step in (0, 2)
    ]


@dataclass(frozen=True)
class Tried:
    """The config of a short run."""

    dataset: str
    run: loop.Run
    batch_size: int = 8
    seed: int = 0
