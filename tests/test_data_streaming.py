import itertools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments import mlp_gan
from gan_jax import data, loop, rng
from gan_jax.data import streaming
from gan_jax.data.reading import images
from gan_jax.runs import log

SIDE, COUNT = 8, 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root, draw = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for i in range(COUNT):
        path = root / "ab"[i % 2] / f"{i:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(path)
    return root


def calls(capacity, steps):
    return lambda step: min(capacity, steps - step)


def taken(stream, batch_size=8, repeats=2, start=0, steps=9, capacity=4, share=(0, 1)):
    """Reads a stream as a run does, and draws its batches from it."""
    key = rng.named(jax.random.key(3), "data")
    draw, found = streaming.draw(repeats), []
    read = streaming.reader(stream, key, batch_size, repeats, share)
    with streaming.feed(read, start, calls(capacity, steps), capacity, lambda arrays: arrays) as take:
        step = start
        while step < steps:
            chunk, _ = take()
            for at in range(step, step + calls(capacity, steps)(step)):
                found.append(jax.tree.map(np.asarray, draw(chunk, key, jnp.asarray(at))))
            step += calls(capacity, steps)(step)
    return found


def assert_near(a, b):
    np.testing.assert_allclose(a, b, atol=1e-7)  # compiled or not, bytes are scaled with or without a reciprocal


def test_a_streams_batches_are_those_from_memory_wherever_it_begins_and_whoever_reads(folder):
    whole, stream = data.load(str(folder)), data.stream(str(folder))
    assert (stream.count, stream.spec) == (whole.count, whole.spec) and stream.spec.classes == 2
    draw = data.batches(whole.count, 8, 2)
    key, arrays = rng.named(jax.random.key(3), "data"), jax.tree.map(jnp.asarray, whole.arrays)
    expected = [jax.tree.map(np.asarray, draw(arrays, key, jnp.asarray(t))) for t in range(9)]
    for start in (0, 5):  # nine steps of two batches are more than two epochs
        jax.tree.map(assert_near, expected[start:], taken(stream, start=start))
    halves = [taken(stream, share=(process, 2)) for process in (0, 1)]
    joined = [jax.tree.map(lambda a, b: np.concatenate([a, b], axis=1), *both) for both in zip(*halves, strict=True)]
    jax.tree.map(assert_near, expected, joined)


def test_tfds_is_streamed_by_the_same_numbers_as_from_memory():
    try:
        whole, stream = data.load("fashion_mnist", "test"), data.stream("fashion_mnist", "test")
    except (ConnectionError, FileNotFoundError):
        pytest.skip("fashion_mnist is not prepared in TFDS_DATA_DIR")
    few = streaming.evenly_spaced(stream, 50)
    numbers = np.linspace(0, whole.count - 1, 50).round().astype(int)
    np.testing.assert_array_equal(few.arrays["image"], whole.arrays["image"][numbers])
    np.testing.assert_array_equal(few.arrays["label"], whole.arrays["label"][numbers])


def train(folder, workdir, **options: Any):
    run = loop.Run(
        **{"steps": 7, "steps_per_call": 3, "log_every": 4, "save_every": 4, "devices": 1, "workdir": workdir} | options
    )
    source = data.stream if run.stream else data.load
    return loop.run(
        mlp_gan.build, source(str(folder)), mlp_gan.Config(str(folder), batch_size=8, latent_size=4, run=run)
    )


@pytest.mark.slow
def test_a_streamed_run_is_the_run_from_memory_also_in_parts_and_on_several_devices(folder, tmp_path):
    whole = train(folder, tmp_path / "whole")
    train(folder, tmp_path / "streamed", stream=True, steps=4)
    state = train(folder, tmp_path / "streamed", stream=True)
    jax.tree.map(np.testing.assert_array_equal, whole.params, state.params)
    assert all(0 <= line["waiting_for_data"] < 1 for line in log.read(tmp_path / "streamed") if "seconds" in line)
    spread = train(folder, tmp_path / "spread", stream=True, devices=4)
    # Adam turns rounding into steps of its own size, 2e-4; seven of them stay far below what another batch would do
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3), whole.params, spread.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), whole.stats, spread.stats)


@pytest.mark.slow
def test_a_folder_of_thousands_of_photographs_streams_where_it_does_not_fit_in_memory(tmp_path, monkeypatch):
    count, sizes = 4096, [(500, 375), (375, 500), (640, 427), (333, 500)]  # as ImageNet's
    for i in range(count):  # each in a colour of its own
        colour = tuple(16 * (i // 16**place % 16) + 8 for place in range(3))
        path = tmp_path / f"n{i % 8:08d}" / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", sizes[i % 4], colour).save(path, quality=90)
    monkeypatch.setattr(images, "LIMIT", 16 * 2**20)  # of 48 MiB that they take at 64 pixels
    with pytest.raises(ValueError, match="more than the limit of 0 GiB for data in memory"):
        data.load(str(tmp_path), "all", 64)
    stream = data.stream(str(tmp_path), "all", 64)
    assert (stream.count, stream.spec.shape, stream.spec.classes) == (count, (64, 64, 3), 8)
    seen = []
    for batch in taken(stream, batch_size=64, repeats=1, steps=count // 64, capacity=8):
        assert batch["image"].shape == (64, 64, 64, 3)
        levels = np.round(((batch["image"].mean((1, 2)) + 1) * 127.5 - 8) / 16).astype(int)
        number = levels @ [1, 16, 256]
        np.testing.assert_array_equal(batch["label"], number % 8)
        seen += number.tolist()
    assert sorted(seen) == list(range(count)) and seen != sorted(seen)  # an epoch, in an order of its own


def test_a_damaged_image_is_named_or_skipped(folder, tmp_path):
    for path in folder.rglob("*.png"):
        (tmp_path / path.parent.name).mkdir(exist_ok=True)
        (tmp_path / path.parent.name / path.name).write_bytes(path.read_bytes())
    damaged = tmp_path / "a" / "20.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    stream = data.stream(str(tmp_path), "all")
    with pytest.raises(
        ValueError, match=r"cannot read the image .*a/20\.png.*--skip-damaged"
    ):  # in a thread of Grain's
        taken(stream, steps=4)
    with pytest.warns(UserWarning, match=r"skipped: cannot read the image .*a/20\.png"):
        batches = taken(stream._replace(skip_damaged=True), steps=4)
    with pytest.warns(UserWarning, match=r"skipped: .*a/20\.png"):
        assert len(streaming.evenly_spaced(stream._replace(skip_damaged=True), COUNT).arrays["image"]) == COUNT
    sound = data.stream(str(folder), "all")
    for ours, theirs in zip(batches, taken(sound, steps=4), strict=True):
        same = (ours["image"] == theirs["image"]).all(axis=(2, 3, 4))
        assert (~same).sum() <= 1  # the one after it in its place


def test_images_of_unlike_size_and_sets_made_in_memory_are_refused(folder, tmp_path):
    for i, side in enumerate((8, 9)):
        Image.fromarray(np.zeros((side, side), np.uint8)).save(tmp_path / f"{i}.png")
    with pytest.raises(ValueError, match=r"images differ in size.*--resolution"):
        streaming.evenly_spaced(data.stream(str(tmp_path), "all"), 2)
    assert data.stream(str(tmp_path), "all", 8).spec.shape == (8, 8, 1)
    with pytest.raises(ValueError, match="digits is small and always in memory"):
        data.stream("digits")


def test_reading_keeps_ahead_of_what_eats():
    def slow(step):
        time.sleep(0.02)  # as a slow disk
        return {"image": np.zeros((1, 4, SIDE, SIDE, 3), np.uint8)}

    with streaming.feed(slow, 0, calls(5, 40), 5, lambda arrays: arrays) as take:
        waits = []
        for _ in range(8):
            waits.append(take()[1]["waiting_for_data"])
            time.sleep(0.3)  # a call lasts longer than reading what the next one eats, by four threads
    assert max(waits[1:]) < 0.1 < sum(itertools.repeat(0.02, 40)) / 4
