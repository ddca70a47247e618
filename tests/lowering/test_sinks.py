"""Compaction and the best rows, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtensor.lowering.ir.physical import SortWord, TopKSink
from qtensor.lowering.program.sinks.base import Batch, Extent
from qtensor.lowering.program.sinks.live_rows import live_rows
from qtensor.lowering.program.sinks.packed_sort import LAST, sorted_rows
from qtensor.lowering.program.sinks.top_k import TopK


@settings(max_examples=25)
@given(
    density=st.sampled_from([0.0, 0.01, 0.5, 0.99, 1.0]),
    words=st.integers(1, 20),
    capacity=st.integers(1, 1500),
    seed=st.integers(0, 999),
)
def test_live_rows_are_the_first_in_order(density: float, words: int, capacity: int, seed: int) -> None:
    live = np.random.default_rng(seed).random(64 * words) < density
    with jax.enable_x64(True):
        rows, count = live_rows(jnp.asarray(live), capacity)
    expected = np.flatnonzero(live)
    assert int(count) == len(expected)
    kept = min(capacity, len(expected))
    assert np.asarray(rows)[:kept].tolist() == expected[:kept].tolist()


@pytest.mark.parametrize("radices", [[None], [1000], [3, None], [3, 1 << 40], [1 << 53], [None, None], [1 << 61, 5, None]])
def test_sorted_rows_are_stable_and_put_the_dead_last(radices: list[int | None]) -> None:
    random = np.random.default_rng(1)
    length = 640
    words = [random.integers(0, min(radix or 50, 50), length) for radix in radices]
    if radices == [None]:
        words = [random.choice([LAST, -LAST, 0], length)]  # the value that marks dead rows elsewhere is a value here
    live = random.random(length) < 0.7
    with jax.enable_x64(True):
        rows, _ = sorted_rows([jnp.asarray(word) for word in words], radices, jnp.asarray(live))
    assert sorted(np.asarray(rows).tolist()) == list(range(length)), "every row occurs once, the dead ones too"
    order = sorted(np.flatnonzero(live), key=lambda row: tuple(int(word[row]) for word in words))
    assert np.asarray(rows)[: len(order)].tolist() == order


@pytest.mark.parametrize("distribution", ["random", "descending", "ties", "few live"])
@pytest.mark.parametrize("count", [64, 256])
@pytest.mark.parametrize("width", [1, 2])
def test_top_k_over_chunks(distribution: str, count: int, width: int) -> None:
    random = np.random.default_rng(7)
    chunks, length = 5, 4096
    first = random.integers(-(2**62), 2**62, (chunks, length))
    if distribution == "descending":
        first = -np.sort(-first.reshape(-1)).reshape(chunks, length)
    if distribution == "ties":
        first = random.integers(0, 3, (chunks, length))
    second = random.integers(0, 10**6, (chunks, length))
    live = random.random((chunks, length)) < (0.002 if distribution == "few live" else 0.8)
    words = [first, second][:width]
    sink = TopK(TopKSink(tuple(SortWord(ref, None) for ref in range(width)), (0, 1), count))
    with jax.enable_x64(True):
        state = sink.init(Extent(["int64", "int64"], 1, length))
        step = jax.jit(lambda state, columns, live: sink.step(state, Batch(lambda ref: columns[ref], live, jnp.int32(0))))
        for chunk in range(chunks):
            state = step(state, (jnp.asarray(first[chunk]), jnp.asarray(second[chunk])), jnp.asarray(live[chunk]))
        result = sink.finish(state)
    found = np.asarray(result.live)
    keys = sorted(tuple(int(word[place]) for word in words) for place in zip(*np.nonzero(live), strict=True))[:count]
    columns = [np.asarray(column)[found] for column in result.columns[:width]]
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == keys
