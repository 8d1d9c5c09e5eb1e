import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import few

from gan_jax.devices import parallel
from gan_jax.methods.image_pool import empty, swap

KEY = jax.random.key(0)
SHAPE = (2, 1, 1)


def images(first, count):
    """Images that tell their number."""
    return jnp.broadcast_to(jnp.arange(first, first + count, dtype=jnp.float32)[:, None, None, None], (count, *SHAPE))


def numbers(images):
    images = np.asarray(images)
    np.testing.assert_array_equal(images, np.broadcast_to(images[:, :1], images.shape))
    return images[:, 0, 0, 0].astype(int).tolist()


@functools.cache
def compiled():
    return jax.jit(swap)


@pytest.mark.parametrize(("size", "count"), [(4, 3), (3, 8), (1, 4), (5, 5)])
def test_it_is_the_pool_of_a_list_to_which_images_come_one_by_one(size, count):
    """Each judged image tells what was drawn; a list that follows it must end as the pool."""
    pool, held, olds, news = empty(size, SHAPE), [], 0, 0
    for call in range(12):
        judged, pool = compiled()(pool, images(1 + count * call, count), jax.random.fold_in(KEY, call))
        for new, given in zip(range(1 + count * call, 1 + count * (call + 1)), numbers(judged), strict=True):
            if len(held) < size:
                assert given == new
                held.append(new)
            elif given != new:
                held[held.index(given)] = new
                olds += 1
            else:
                news += 1
        assert int(pool["filled"]) == len(held)
        assert numbers(pool["images"])[: len(held)] == held
    assert olds and news


def test_half_of_the_images_are_swapped_for_ones_from_every_place_alike():
    size, count = 4, 8192
    pool = {"images": images(0, size), "filled": jnp.int32(size)}
    judged, after = compiled()(pool, images(size, count), KEY)
    judged, new = np.array(numbers(judged)), size + np.arange(count)
    old = judged != new
    assert abs(old.mean() - 0.5) < 4 * 0.5 / np.sqrt(count)
    assert len(set(judged)) == count  # nothing is given twice
    assert set(judged) | set(numbers(after["images"])) == set(range(size + count))  # and nothing is lost
    # an image that is swapped in leaves after n more swaps with probability (1 - 1/size)^(n - 1) / size
    swaps = np.cumsum(old)
    waits = np.array([swaps[i] - swaps[given - size] for i, given in enumerate(judged) if old[i] and given >= size])
    for n in (1, 2, 3):
        expected = (1 - 1 / size) ** (n - 1) / size
        assert abs((waits == n).mean() - expected) < 4 * np.sqrt(expected / len(waits))


def test_draws_of_another_key_are_others():
    pool = {"images": images(0, 4), "filled": jnp.int32(4)}
    one, two = (numbers(compiled()(pool, images(4, 16), jax.random.key(seed))[0]) for seed in (0, 1))
    assert one != two


@pytest.mark.parametrize("size", few([0, 3, 10], 3))
def test_the_number_of_devices_changes_nothing(size):
    def step(pool, new, key):
        judged, pool = swap(pool, parallel.local(new), key)
        return pool, parallel.gather(judged)

    results = []
    for way in (parallel.single, lambda f: parallel.simulated(f, 4), lambda f: parallel.pmapped(f)):
        pool, run, judged = empty(size, SHAPE), way(step), []
        for call in range(3):
            pool, given = run(pool, images(8 * call, 8), jax.random.fold_in(KEY, call))
            judged += numbers(given)
        results.append((judged, numbers(pool["images"]), int(pool["filled"])))
    assert results[0] == results[1] == results[2]
    assert size == 0 or set(results[0][1]) != {0}


def test_a_pool_of_none_gives_all_images_back_and_no_pool_passes_a_gradient():
    for size in (0, 2):
        pool, new = empty(size, SHAPE), images(1, 4)
        judged, after = compiled()(pool, new, KEY)
        if size == 0:
            np.testing.assert_array_equal(judged, new)
            assert after["images"].shape == (0, *SHAPE) and int(after["filled"]) == 0
        gradient = jax.grad(lambda x, pool=pool: jnp.sum(compiled()(pool, x, KEY)[0] ** 2))(new)
        np.testing.assert_array_equal(gradient, 0)


def test_sizes_and_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="size=-1"):
        empty(-1, SHAPE)
    with pytest.raises(ValueError, match=r"images have shape \(2, 1, 1\).*shape=\(3, 3, 1\)"):
        swap(empty(2, (3, 3, 1)), images(0, 2), KEY)
