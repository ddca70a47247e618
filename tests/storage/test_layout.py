"""How tables are cut into shares and chunks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtensor.errors import InternalError
from qtensor.lowering.storage import CHUNK, Layout, layout_for
from qtensor.lowering.storage.layout import most_parts

ROWS = st.one_of(st.integers(0, 3 * CHUNK), st.integers(0, 10**10))


@given(ROWS, st.integers(1, 64))
def test_shares_hold_every_row_once_and_in_order(rows: int, threads: int) -> None:
    layout = layout_for(rows, threads)
    held = [layout.rows_in_share(share) for share in range(layout.shares)]
    assert sum(held) == rows
    assert held == sorted(held, reverse=True)
    assert max(held) <= layout.chunks * layout.chunk


@given(ROWS, st.integers(1, 64))
def test_little_is_wasted(rows: int, threads: int) -> None:
    layout = layout_for(rows, threads)
    assert layout.shares <= threads
    if rows <= CHUNK:
        assert layout == Layout(rows, 1, 1, layout.chunk)
        assert layout.chunk == 64 or layout.chunk // 2 < rows <= layout.chunk
    else:
        needed = -(-rows // (CHUNK * layout.shares))
        assert layout.chunk == CHUNK
        assert needed <= layout.chunks <= needed * 1.125
        assert layout.shares == 1 or layout.chunks >= 2


@given(st.integers(0, CHUNK), st.integers(1, 64))
def test_a_chunk_is_cut_evenly_into_aligned_views(rows: int, threads: int) -> None:
    layout = layout_for(rows, threads)
    cut = layout.split(most_parts(layout.chunk, threads))
    held = [cut.rows_in_share(share) for share in range(cut.shares)]
    firsts = [cut.first_row(share) for share in range(cut.shares)]
    assert cut.shares <= threads
    assert cut.capacity == layout.chunk
    assert sum(held) == rows
    assert all(first % 64 == 0 and first + cut.chunk <= layout.chunk for first in firsts)
    assert all(first == sum(held[:share]) or not held[share] for share, first in enumerate(firsts))
    assert max(held) <= cut.chunk
    assert max(held) - rows / cut.shares < 64


@pytest.mark.parametrize("rows", [CHUNK + 1, 100_000, 2 * CHUNK - 1, 2 * CHUNK])
def test_chunks_of_one_share_are_cut_evenly(rows: int) -> None:
    layout = layout_for(rows, threads=2)
    cut = layout.split(2)
    held = [cut.rows_in_share(share) for share in (0, 1)]
    assert cut.shape == (2, 1, CHUNK)
    assert sum(held) == rows
    assert held[0] == cut.first_row(1)
    assert cut.first_row(1) + CHUNK <= layout.capacity
    assert 0 <= held[0] - held[1] < 128


def test_only_one_share_is_cut() -> None:
    large = layout_for(5 * CHUNK, threads=2)
    assert large.split(2) is large
    with pytest.raises(InternalError, match="cannot be cut into 4 shares"):
        large.split(4)


def test_growing_tables_keep_their_shape() -> None:
    shapes = {layout_for(rows, threads=2).shape for rows in range(CHUNK, 500 * CHUNK, CHUNK // 2)}
    assert len(shapes) < 60


def test_shares_begin_with_two_chunks_for_each() -> None:
    assert [layout_for(chunks * CHUNK, threads=4).shares for chunks in (1, 2, 3, 4, 6, 7, 8, 100)] == [1, 1, 1, 2, 3, 3, 4, 4]
