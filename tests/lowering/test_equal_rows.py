"""Equal rows, found by hashing and by sorting, against NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest

from qtensor.lowering.program.sinks.equal_rows import FEWEST_ROWS, SLOT_BITS, FewWords, by_hashing, equal_rows
from tests.oracle import Engines


def check(words: list[np.ndarray], radices: list[int | None], live: np.ndarray) -> None:
    """The classes are those of equal rows, numbered from 0 without gaps, each with one row that stands for it."""
    with jax.enable_x64(True):
        found = jax.jit(lambda words, live: equal_rows(words, radices, live))(
            [jnp.asarray(word) for word in words], jnp.asarray(live)
        )
    rows, number, alive, starts = (np.asarray(part) for part in found)
    kept = rows[alive]
    assert sorted(kept.tolist()) == np.flatnonzero(live).tolist()
    values = np.stack(words, 1)[kept]
    _, expected = np.unique(values, axis=0, return_inverse=True) if len(kept) else (None, np.array([], int))
    classes = expected.max() + 1 if len(kept) else 0
    pairs = np.unique(np.stack([number[alive], expected.reshape(-1)], 1), axis=0)
    assert len(pairs) == classes == len(set(number[alive].tolist()))
    assert sorted(number[alive].tolist())[-1:] == ([classes - 1] if classes else [])
    assert sorted(number[starts].tolist()) == list(range(classes))
    for chosen in np.flatnonzero(starts)[:50]:  # of equal rows the first comes first
        assert rows[chosen] == min(kept[number[alive] == number[chosen]])


@pytest.mark.parametrize("rows", [64, FEWEST_ROWS - 64, FEWEST_ROWS, 3 * FEWEST_ROWS])
@pytest.mark.parametrize("different", [1, 100, 1 << SLOT_BITS, 1 << 60])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_equal_rows(rows: int, different: int, share: float) -> None:
    random = np.random.default_rng(rows + different)
    word = random.integers(0, different, rows) * (1 << 3) - 5
    check([word], [None], random.random(rows) < share)


def test_several_words() -> None:
    random = np.random.default_rng(1)
    rows = 2 * FEWEST_ROWS
    words = [
        random.integers(0, 5, rows),
        random.integers(-(1 << 62), 1 << 62, 30)[random.integers(0, 30, rows)],
        random.integers(0, 2, rows),
    ]
    check(words, [5, None, 2], random.random(rows) < 0.9)


def test_words_that_differ_in_high_bits_only() -> None:
    rows = 2 * FEWEST_ROWS
    check([(np.arange(rows) % 1_000) << 52], [None], np.ones(rows, bool))


def test_many_different_words_are_left_to_sorting() -> None:
    words = np.random.default_rng(2).integers(0, 1 << 60, 1 << 20)
    few = words % 1_000
    with jax.enable_x64(True):
        _, left = by_hashing(FewWords([jnp.asarray(words)]), jnp.ones(len(words), jnp.bool_))
        found, none_left = by_hashing(FewWords([jnp.asarray(few)]), jnp.ones(len(words), jnp.bool_))
    assert left > 0
    assert none_left == 0
    assert (few[np.asarray(found)] == few).all()


@pytest.mark.parametrize("rows", [64, 2_048, 65_536])
def test_last_row_of_a_full_chunk(rows: int) -> None:
    """Rows that a filter drops must not disturb others, whose number their sort word may decode to."""
    table = pa.table(
        {
            "k": [(n % 5) * 1e10 for n in range(rows)],
            "v": [n % 11 for n in range(rows)],
            "keep": [n % 3 > 0 or n == rows - 1 for n in range(rows)],
        }
    )
    engines = Engines.over(t=table)
    engines.check("SELECT k, count(DISTINCT v), sum(DISTINCT v), median(v) FROM t WHERE keep GROUP BY k")
    engines.close()
