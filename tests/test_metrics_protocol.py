import json
import math

import pytest

from gan_jax.metrics import protocol
from gan_jax.metrics.protocol import Score

SCORE = Score(
    "fid", 12.5, 0.5, "abc", "classifier of digits", "none", "", "def", "digits", "test", 2000, 1000, "averaged", 500, 0
)


def test_equal_protocols_are_compared_with_their_error():
    other = SCORE._replace(value=10.0, error=1.2, step=900, weights="raw", seed=3)
    found = protocol.compare(SCORE, other)
    assert found.value == 2.5 and found.error == pytest.approx(1.3)
    assert protocol.compare(other, SCORE).value == -2.5


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metric", "kid"),
        ("features", "other"),
        ("resize", "clean"),
        ("settings", "k=3"),
        ("data", "other"),
        ("split", "train"),
        ("real", 1999),
        ("fake", 999),
    ],
)
def test_unlike_protocols_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f"^{field}: .*the protocols differ"):
        protocol.compare(SCORE, SCORE._replace(**{field: value}))


def test_scores_are_kept_and_later_ones_of_equal_identity_replace_earlier(tmp_path):
    assert protocol.read(tmp_path) == []
    raw, yardstick = SCORE._replace(weights="raw"), SCORE._replace(step=None, error=math.nan)
    protocol.write(tmp_path, [SCORE, raw])
    protocol.write(tmp_path, [yardstick, SCORE._replace(value=11.0)])
    found = protocol.read(tmp_path)
    assert found[:2] == [SCORE._replace(value=11.0), raw]
    assert math.isnan(found[2].error) and found[2]._replace(error=0.0) == yardstick._replace(error=0.0)
    for line in (tmp_path / "scores.jsonl").read_text().splitlines():
        assert set(json.loads(line)) == set(Score._fields) and "NaN" not in line


def test_scores_of_later_steps_are_dropped_and_yardsticks_stay(tmp_path):
    scores = [SCORE._replace(step=step) for step in (None, 100, 200, 300)]
    protocol.write(tmp_path, scores)
    protocol.drop_after(tmp_path, 200)
    assert protocol.read(tmp_path) == scores[:3]


def test_a_line_that_is_no_score_is_named(tmp_path):
    (tmp_path / "scores.jsonl").write_text('{"metric": "fid"}\n')
    with pytest.raises(ValueError, match="line 1 is not a score"):
        protocol.read(tmp_path)
