"""The sizes that a query's forms are compiled for, and how a table is cut into blocks of them."""

from __future__ import annotations

from qtensor.lowering.storage.layout import CHUNK, Layout

SMALL = 1 << 11
BLOCK = 1 << 20
LADDER = tuple(1 << bits for bits in (11, 16, 18, 20, 22, 24, 26))


def layout_of(rows: int, size: int) -> Layout:
    """How `rows` rows are cut into blocks of `size`: shares of a layout, at least one."""
    chunk = min(size, CHUNK)
    return Layout(rows, max(1, -(-rows // size)), size // chunk, chunk)
