import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import rng
from gan_jax.data import batches, permutation
from gan_jax.devices import parallel

KEY = jax.random.key(0)


def epochs(count, size, number):
    """Draws epochs of the numbers 0 to count - 1, `[number, batches, size]`."""
    draw, data = batches(count, size), {"image": jnp.arange(count)}
    drawn = jax.jit(jax.vmap(lambda t: draw(data, KEY, t)["image"]))(jnp.arange(number * (count // size)))
    return np.asarray(drawn).reshape(number, count // size, size)


@pytest.mark.parametrize("count", [1, 2, 7, 1000, 65_537])
def test_permutation_is_a_bijection(count):
    keys = jax.vmap(jax.random.key)(jnp.arange(3))
    for elements in jax.jit(jax.vmap(lambda key: permutation(key, count, jnp.arange(count))))(keys):
        np.testing.assert_array_equal(np.sort(elements), np.arange(count))


@pytest.mark.parametrize(("count", "orders"), [(2, 2), (4, 24)])
def test_every_order_of_a_few_is_about_equally_likely(count, orders):
    keys = rng.numbered(KEY, 1000 * orders)
    drawn = jax.jit(jax.vmap(lambda key: permutation(key, count, jnp.arange(count))))(keys)
    _, counts = np.unique(np.asarray(drawn), axis=0, return_counts=True)
    assert len(counts) == orders
    assert np.abs(counts / 1000 - 1).max() < 0.2  # 6 standard deviations


@pytest.mark.parametrize("count", [64, 6000])
def test_permutation_looks_random(count):
    number = 100
    keys = rng.numbered(KEY, number)
    orders = np.asarray(jax.jit(jax.vmap(lambda key: permutation(key, count, jnp.arange(count))))(keys)).astype(float)
    centred = orders - (count - 1) / 2
    variance = (count**2 - 1) / 12

    def correlation(x, y):
        return (x * y).mean() / variance

    tolerance = 5 / np.sqrt(number * count)
    assert abs(correlation(centred[:, :-1], centred[:, 1:]) + 1 / count) < tolerance  # neighbours within an epoch
    assert abs(correlation(centred[:-1], centred[1:])) < tolerance  # the same place in two epochs
    assert abs(correlation(centred, np.arange(count) - (count - 1) / 2)) < tolerance  # place and element
    assert (
        0.5 < (orders == np.arange(count)).sum(1).mean() < 1.5
    )  # a random permutation has one fixed point, on average
    assert 0.5 < (np.diff(orders, axis=1) == 1).sum(1).mean() < 1.5  # and one pair of successors


def test_first_batches_of_epochs_take_every_example_equally_often():
    count, size, number = 100, 10, 2000
    draw, data = batches(count, size), {"image": jnp.arange(count)}
    first = jax.jit(jax.vmap(lambda t: draw(data, KEY, t)["image"]))(jnp.arange(number) * (count // size))
    counts = np.bincount(np.asarray(first).ravel(), minlength=count)
    chi_square = ((counts - number * size / count) ** 2 / (number * size / count)).sum() / (1 - size / count)
    assert abs(chi_square - 99) < 5 * np.sqrt(2 * 99)


@pytest.mark.parametrize(("count", "size"), [(64, 8), (7, 7), (7, 1), (1, 1), (60_000, 60)])
def test_an_epoch_has_every_example_once(count, size):
    first, second = epochs(count, size, 2)
    np.testing.assert_array_equal(np.sort(first.ravel()), np.arange(count))
    np.testing.assert_array_equal(np.sort(second.ravel()), np.arange(count))
    if count > 1:
        assert not np.array_equal(first, second)


def test_the_remainder_is_another_one_each_epoch():
    left = [set(range(10)) - set(drawn.ravel().tolist()) for drawn in epochs(10, 4, 20)]
    assert all(len(rest) == 2 for rest in left)
    assert set().union(*left) == set(range(10))


def test_a_batch_depends_on_key_and_step_alone():
    data = {"image": jnp.arange(1000)}
    draw = jax.jit(batches(1000, 32))
    scanned = jax.jit(lambda: jax.lax.scan(lambda c, t: (c, draw(data, KEY, t)["image"]), 0, jnp.arange(40))[1])()
    np.testing.assert_array_equal(scanned[37], draw(data, KEY, jnp.int32(37))["image"])
    assert not np.array_equal(scanned[37], draw(data, jax.random.key(1), jnp.int32(37))["image"])


def test_repeats_are_consecutive_draws():
    data = {"image": jnp.arange(50)}
    one, three = jax.jit(batches(50, 8)), jax.jit(batches(50, 8, repeats=3))
    for step in range(5):  # crosses epochs within a step
        expected = jnp.stack([one(data, KEY, jnp.int32(3 * step + r))["image"] for r in range(3)])
        np.testing.assert_array_equal(three(data, KEY, jnp.int32(step))["image"], expected)


def test_rows_stay_together_and_bytes_are_scaled():
    image = np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1)
    data = {"image": image, "label": np.arange(256, dtype=np.int32), "weight": np.arange(256, dtype=np.float32)}
    batch = jax.jit(batches(256, 256))(data, KEY, jnp.int32(0))
    assert {name: x.dtype for name, x in batch.items()} == {"image": "float32", "label": "int32", "weight": "float32"}
    np.testing.assert_array_equal(batch["weight"], batch["label"])
    scaled = np.asarray(batch["image"])[np.argsort(batch["label"])].ravel()
    np.testing.assert_allclose(scaled, np.arange(256) / 127.5 - 1, rtol=0, atol=1e-7)
    assert scaled[0] == -1 and scaled[255] == 1
    np.testing.assert_array_equal(scaled, -scaled[::-1])


@pytest.mark.parametrize("repeats", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_the_number_of_devices_does_not_change_the_batch(repeats):
    data = {"image": jnp.arange(103)}
    draw = batches(103, 8, repeats)

    def step(total, key, t):
        image = draw(data, key, t)["image"]
        assert image.shape == ((repeats,) if repeats > 1 else ()) + (8 // parallel.size(),)
        return total + 1, parallel.gather(jnp.moveaxis(image, -1, 0))

    one, four = parallel.single(step), parallel.simulated(step, 4)
    for t in range(40):  # some epochs
        np.testing.assert_array_equal(one(jnp.zeros(()), KEY, t)[1], four(jnp.zeros(()), KEY, t)[1])


def drawn(draw, data, steps, key=KEY):
    """Batches of the first steps, each `[steps, ...]`."""
    found = jax.jit(jax.vmap(lambda t: draw(data, key, t)))(jnp.arange(steps))
    return {name: np.asarray(x) for name, x in found.items()}


APART = (("source",), ("few_image", "few_label"))
GROUPS = {
    "image": jnp.arange(24),
    "label": -jnp.arange(24),
    "source": jnp.arange(18),
    "few_image": jnp.arange(7),
    "few_label": -jnp.arange(7),
}


@pytest.fixture(scope="module")
def beside():
    return drawn(batches(24, 6, apart=APART), GROUPS, 12)


def orders(key, count, size, steps):
    """What `steps` batches should be: permutations of an epoch each, without their remainders."""
    per_epoch = count // size
    keys = jax.vmap(lambda epoch: jax.random.fold_in(key, epoch))(jnp.arange(steps // per_epoch))
    found = jax.jit(jax.vmap(lambda key: permutation(key, count, jnp.arange(per_epoch * size))))(keys)
    return np.asarray(found).reshape(steps, size)


def test_what_is_drawn_together_is_the_plain_permutation_whatever_is_drawn_apart(beside):
    plain = drawn(batches(24, 6), {name: GROUPS[name] for name in ("image", "label")}, 12)
    for batch in (plain, beside):
        np.testing.assert_array_equal(batch["image"], orders(KEY, 24, 6, 12))
        np.testing.assert_array_equal(batch["label"], -batch["image"])


def test_a_group_has_epochs_of_its_own_rows_under_a_key_of_its_name(beside):
    np.testing.assert_array_equal(beside["few_label"], -beside["few_image"])  # rows of a group stay together
    for name, count in (("source", 18), ("few_image", 7)):
        np.testing.assert_array_equal(beside[name], orders(rng.named(KEY, f"apart {name}"), count, 6, 12))
    for epoch in beside["source"].reshape(4, 18):
        np.testing.assert_array_equal(np.sort(epoch), np.arange(18))


def test_groups_as_large_as_each_other_are_in_unlike_orders():
    data = {name: jnp.arange(1000) for name in ("image", "source", "other")}
    batch = drawn(batches(1000, 100, apart=(("source",), ("other",))), data, 10)
    for first, second in (("image", "source"), ("image", "other"), ("source", "other")):
        correlation = np.corrcoef(batch[first].ravel(), batch[second].ravel())[0, 1]
        assert abs(correlation) < 5 / np.sqrt(1000)


def test_repeats_of_a_group_are_consecutive_draws(beside):
    triple = drawn(batches(24, 6, repeats=3, apart=APART), GROUPS, 4)
    for name in GROUPS:
        np.testing.assert_array_equal(triple[name].reshape(12, 6), beside[name])


def test_the_number_of_devices_does_not_change_what_is_drawn_apart():
    draw = batches(24, 4, apart=APART[1:])
    data = {name: array for name, array in GROUPS.items() if name != "source"}

    def step(total, key, t):
        return total + 1, {name: parallel.gather(x) for name, x in draw(data, key, t).items()}

    one, four = parallel.single(step), parallel.simulated(step, 4)
    for t in range(12):  # some epochs of every group
        jax.tree.map(np.testing.assert_array_equal, *(f(jnp.zeros(()), KEY, t)[1] for f in (one, four)))


@pytest.mark.parametrize(
    ("size", "arrays", "message"),
    [
        (8, {}, r"batch_size=8 exceeds the 7 rows of few_image, few_label.*separately; use at most 7, or"),
        (
            4,
            {"few_label": jnp.zeros(8)},
            r"few_image, few_label have 7, 8 rows; arrays of one group must have the same number",
        ),
        (4, {"label": jnp.zeros(7)}, r"arrays\['label'\] has 7 rows.*count=24"),
    ],
)
def test_groups_that_cannot_be_drawn_are_refused(size, arrays, message):
    with pytest.raises(ValueError, match=message):
        batches(24, size, apart=APART)(GROUPS | arrays, KEY, jnp.int32(0))


def test_groups_must_be_there_once():
    with pytest.raises(ValueError, match=r"apart=.*has an array twice"):
        batches(24, 4, apart=(("source", "image"), ("source",)))
    with pytest.raises(ValueError, match=r"no array few_image, few_label; the arrays are image, source"):
        batches(24, 4, apart=APART)({name: GROUPS[name] for name in ("image", "source")}, KEY, jnp.int32(0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((10, 11), "batch_size=11.*10 examples"), ((10, 0), "batch_size=0"), ((10, 2, 0), "repeats=0")],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        batches(*arguments)


def test_an_array_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"arrays\['label'\] has 9 rows.*count=10"):
        batches(10, 2)({"image": jnp.zeros(10), "label": jnp.zeros(9)}, KEY, jnp.int32(0))


@pytest.mark.parametrize(("size", "near"), [(6, "4 or 8"), (3, "--batch-size 4")])
def test_a_batch_that_devices_cannot_share_is_refused(size, near):
    draw = batches(10, size)
    step = parallel.simulated(lambda s: (s, parallel.pmean(draw({"image": jnp.zeros(10)}, KEY, s)["image"])), 4)
    with pytest.raises(ValueError, match=f"batch_size={size} .*4 devices.*{near}"):
        step(jnp.int32(0))
