"""The log of a run: for people, so that no line of it is lost, and cheap to go on with."""

import struct

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]

from gan_jax import pictures
from gan_jax.runs import log


def write(run, at, *steps):
    with log.writer(run, at) as out:
        for step in steps:
            out.record({"step": step, "loss": step / 8})


def events(path):
    """Reads the records of a TensorBoard file: length, its checksum, event, its checksum."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        yield Event.FromString(data[at + 12 : at + 12 + length])
        at += 12 + length + 4


def test_a_line_that_is_no_record_costs_itself_alone(tmp_path):
    path = tmp_path / "metrics.jsonl"
    bad = [b'{"step": 2, "loss"', b"\xff", b"[1]", b'{"loss": 1.0}', b""]
    path.write_bytes(b"\n".join([b'{"step": 1}', *bad, b'{"step": 3}', b'{"step": 4}', b'{"st']))
    with pytest.warns(
        UserWarning, match=r"metrics\.jsonl: skipped lines that are not records: 2, 3, 4, 5, 6"
    ) as caught:
        assert [record["step"] for record in log.read(tmp_path)] == [1, 3, 4]
    assert caught[0].filename == __file__
    write(tmp_path, 3, 5)
    assert path.read_bytes() == b"\n".join([b'{"step": 1}', *bad, b'{"step": 3}', b'{"step": 5, "loss": 0.625}', b""])


def test_a_log_that_ends_where_the_run_stands_is_not_written_anew(tmp_path):
    write(tmp_path, 0, 1, 2)
    before = (tmp_path / "metrics.jsonl").stat()
    write(tmp_path, 2)
    after = (tmp_path / "metrics.jsonl").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_tensorboard_files_are_kept_and_a_new_one_says_from_where_they_no_longer_count(tmp_path):
    write(tmp_path, 0, 1, 2, 3, 4)
    (first,) = (tmp_path / "tensorboard").iterdir()
    before = first.read_bytes()
    write(tmp_path, 2, 3)  # within the same second
    old, new = sorted((tmp_path / "tensorboard").iterdir())
    assert old == first and old.read_bytes() == before
    starts = [event.step for event in events(new) if event.session_log.status == SessionLog.START]
    assert starts == [3]  # TensorBoard drops what older files hold from here on
    scalars = [(event.step, value.tag, value.simple_value) for event in events(new) for value in event.summary.value]
    assert scalars == [(3, "loss", 0.375)]
    assert [record["step"] for record in log.read(tmp_path)] == [1, 2, 3]


def test_tensorboard_shows_pictures_and_settings_and_no_numbers_of_events(tmp_path):
    pictures.save_png(tmp_path / "grid.png", np.full((4, 6, 3), 7, np.uint8))
    with log.writer(tmp_path, 0, {"learning_rate": 1e-3}) as out:
        out.picture(5, tmp_path / "grid.png")
        out.record({"step": 5, "generator/learning_rate": 1e-3})
        out.record({"step": 5, "event": "changed", "old": 1e-3, "new": 1e-4})
    (file,) = (tmp_path / "tensorboard").iterdir()
    values = [(event.step, value) for event in events(file) for value in event.summary.value]
    assert [(step, value.tag) for step, value in values] == [
        (0, "settings/text_summary"), (5, "samples"), (5, "generator/learning_rate"),
    ]  # fmt: skip
    assert b"| learning_rate | 0.001 |" in values[0][1].tensor.string_val[0]
    image = values[1][1].image
    assert (image.height, image.width) == (4, 6)
    assert image.encoded_image_string == (tmp_path / "grid.png").read_bytes()
