"""Rows evaluated in batches of one size: equal to the whole, one program, no row dependent on the number of rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.devices import batched

ROWS = np.random.default_rng(0).normal(size=(23, 5)).astype(np.float32)
WEIGHTS = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 23])
def test_a_row_is_the_same_to_the_bit_for_every_count_and_one_program_serves_all(count):
    traced = []

    @jax.jit
    def function(rows):
        traced.append(rows.shape)
        return {"product": jnp.tanh(rows @ WEIGHTS), "sum": rows.sum(1)}

    every, some = (batched.in_batches(function, 8, rows) for rows in (ROWS, ROWS[:count]))
    assert {name: x.shape for name, x in some.items()} == {"product": (count, 3), "sum": (count,)}
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[:count], strict=True), some, every)
    np.testing.assert_allclose(every["product"], np.tanh(ROWS @ WEIGHTS), rtol=1e-5)
    assert traced == [(8, 5)]


def test_arrays_are_cut_alike_and_padding_is_zero_and_left_out():
    seen = []

    def function(rows, numbers):
        seen.append((rows, numbers))
        return rows[:, 0] * numbers

    found = batched.in_batches(function, 10, ROWS, np.arange(23))
    np.testing.assert_array_equal(found, ROWS[:, 0] * np.arange(23))
    assert [rows.shape for rows, _ in seen] == 3 * [(10, 5)]
    assert not seen[-1][0][3:].any() and not seen[-1][1][3:].any()


def test_no_rows_give_no_outputs_of_the_same_type():
    assert batched.in_batches(jax.jit(lambda x: x @ WEIGHTS), 8, ROWS[:0]).shape == (0, 3)


def test_a_stream_is_one_batch_ahead_and_no_more():
    calls = []
    stream = batched.stream(lambda rows: calls.append(len(calls)) or rows, 8, ROWS)
    assert calls == []
    assert [(len(batch), len(calls)) for batch in stream] == [(8, 2), (8, 3), (7, 3)]
