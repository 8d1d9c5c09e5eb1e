import contextlib
import dataclasses
import itertools
import json

import jax
import numpy as np
import pytest
from PIL import Image
from toy import few

from experiments import loss_zoo, toy2d
from experiments.laboratory import LOSSES, PARTS, RULES, TERMS, Choice, build, play, scores, traced
from gan_jax import data, loop
from gan_jax.data import Spec, kinds

POINTS = Spec((2,), 0, kind=kinds.points)
SMALL = Choice(width=8, batch_size=16, steps=20, seeds=(0, 3))
# losses whose generator's part sees real logits
WHOLE = ("zero_sum", "relativistic", "relativistic_hinge", "relativistic_average", "softmax", "dual_contrastive")


def played(choice, spec=POINTS):
    """Traces an iteration; the state keeps its form."""
    state, after, metrics = traced(choice, spec)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(lambda x: (x.shape, x.dtype), state)
    return metrics


def whole(loss, rule):
    """A loss that the rule takes."""
    return "zero_sum" if rule == "unrolled" and loss not in WHOLE else loss


def pairs():
    """Every loss, term and rule with every other kind."""
    yield from ((loss, (term,), "alternating") for loss, term in itertools.product(LOSSES, TERMS))
    yield from ((whole(loss, rule), ("r1",), rule) for loss, rule in itertools.product(LOSSES, RULES))
    yield from (("relativistic", (term,), rule) for term, rule in itertools.product(TERMS, RULES))


@pytest.mark.slow
def test_every_loss_goes_with_every_term_and_rule():
    for loss, terms, rule in pairs():
        metrics = played(dataclasses.replace(SMALL, loss=loss, terms=terms, rule=rule))
        assert {"discriminator/loss", "generator/loss"} <= set(metrics), (loss, terms, rule)


@pytest.mark.slow
def test_a_loss_goes_with_all_terms_at_once_under_each_rule():
    for loss, rule in zip(("softmax", "flipped", "relativistic_average", "top_k", "kl", "energy"), RULES, strict=True):
        metrics = played(dataclasses.replace(SMALL, loss=loss, terms=tuple(TERMS), rule=rule, lookahead=5))
        assert {f"{player}/{name}" for name, both in TERMS.items() for player in both} <= set(metrics)


@pytest.mark.parametrize("rule", few(list(RULES), "alternating", "consensus"))
def test_all_parts_go_together_under_each_rule(rule):
    choice = dataclasses.replace(SMALL, loss="dual_contrastive", terms=("approximated_r1",), parts=tuple(PARTS))
    metrics = played(dataclasses.replace(choice, rule=rule))
    assert {"diffusion/probability", "pseudo_augmentation/probability"} <= set(metrics)


@pytest.mark.slow
def test_images_are_played_by_convolutions():
    choice = dataclasses.replace(SMALL, terms=("r1", "feature_matching"), d_norm="spectral", d_steps=2, width=4)
    played(choice, Spec((28, 28, 1), 10))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "hinged"}, "loss: 'hinged' is not on the menu; choose from minimax, "),
        ({"terms": ("r3",)}, "terms: 'r3' is not on the menu"),
        ({"rule": "random"}, "rule: 'random' is not on the menu"),
        ({"parts": ("ada",)}, "parts: 'ada' is not on the menu"),
        ({"d_norm": "batch"}, r"batch norm or"),
        ({"weight": -1.0}, "weight=-1.0"),
        ({"loss": "began", "d_norm": "spectral"}, "needs an autoencoder"),
        ({"rule": "consensus", "d_steps": 2}, "d_steps=2: rule 'consensus' moves all players at once"),
    ],
)
def test_choices_that_make_no_game_are_refused_when_built(changes, message):
    with pytest.raises(ValueError, match=message):
        build(dataclasses.replace(SMALL, **changes), POINTS)


@pytest.mark.slow
def test_a_seed_of_many_is_the_run_of_that_seed(tmp_path):
    # the same as the loop makes of it, in calls of any length, up to rounding
    choice = dataclasses.replace(SMALL, dataset="ring")
    _, states, seen = play(choice, lambda system, state: state.step, every=10)
    np.testing.assert_array_equal(seen, [[0, 10, 20]] * 2)

    @dataclasses.dataclass(frozen=True)
    class Config:
        batch_size: int = choice.batch_size
        seed: int = 3
        run: loop.Run = loop.Run(steps=20, steps_per_call=7, workdir=tmp_path, devices=1)

    alone = loop.run(lambda config, spec: build(choice, spec), data.load("ring"), Config())
    second = jax.tree.map(lambda x: x[1], states)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5), alone.params, second.params)
    first = jax.tree.map(lambda x: x[0], states)
    apart = jax.tree.map(lambda a, b: float(abs(a - b).max()), first.params, second.params)
    assert max(jax.tree.leaves(apart)) > 0.1  # seeds differ


@pytest.mark.slow
def test_unrolling_takes_the_losses_of_the_menu_whose_generator_sees_the_data():
    for loss in ("relativistic_average", "top_k"):  # the others: tests/test_game_dynamics.py
        choice = dataclasses.replace(SMALL, loss=loss, rule="unrolled", width=4)
        with contextlib.nullcontext() if loss in WHOLE else pytest.raises(ValueError, match=r"^loss: .*zero_sum"):
            traced(choice, POINTS)


@pytest.mark.slow
def test_zero_centred_penalties_cover_the_ring():
    choice = Choice(terms=("r1", "r2"), loss="relativistic", weight=3.0, width=64, steps=2000, seeds=(0,))
    system, states, _ = play(choice)
    (score,) = scores(choice, system, states)
    assert score["covered"] == 8 and score["reverse_kl"] < 0.02 and score["high_quality"] > 0.2, score


@pytest.mark.slow
def test_toy2d_writes_scores_and_an_animation(tmp_path):
    toy2d.main(toy2d.Config(choice=dataclasses.replace(SMALL, dataset="moons"), frames=4, workdir=tmp_path))
    record = json.loads((tmp_path / "scores.json").read_text())
    assert [set(line) for line in record["scores"]] == [{"high_quality"}] * 2
    with Image.open(tmp_path / "animation.gif") as animation:
        assert getattr(animation, "n_frames", 1) == 5
    assert (tmp_path / "samples.png").exists()
    with pytest.raises(ValueError, match="dataset=digits: toy2d draws only points in the plane"):
        toy2d.main(toy2d.Config(choice=dataclasses.replace(SMALL, dataset="digits")))


@pytest.mark.slow
def test_the_zoo_writes_medians_and_ranges(tmp_path, capsys):
    out = tmp_path / "zoo.json"
    loss_zoo.main(("ring",), ("hinge",), ("r1+r2",), ("extragradient",), SMALL, out)
    (row,) = json.loads(out.read_text())["rows"]
    assert row["game"] == "hinge, r1+r2, extragradient" and row["choice"]["terms"] == ["r1", "r2"]
    assert f"| {row['game']} | " in out.with_suffix(".md").read_text()
    row = {"scores": {"covered": [8.0, 8.0, 8.0], "reverse_kl": [0.5, 0.1, 0.2]}}
    assert loss_zoo.cells(row) == ["8", "0.2 (0.1 to 0.5)"]
    with pytest.raises(ValueError, match="loss: the loss zoo trains several of them; give losses"):
        loss_zoo.main(choice=dataclasses.replace(SMALL, loss="hinge"))
    with pytest.raises(ValueError, match="'hing' is not on the menu"):  # before the others are played
        loss_zoo.main(("ring",), ("hinge", "hing"), choice=SMALL, out=tmp_path / "none.json")
    assert not (tmp_path / "none.json").exists()
    assert "a perfect" in capsys.readouterr().out
