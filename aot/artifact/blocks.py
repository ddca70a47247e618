"""The sizes that a query's forms are compiled for, and how a table is cut into blocks of them."""

from __future__ import annotations

from collections.abc import Sequence

from qtensor.lowering.storage.layout import CHUNK, Layout

SMALL = 1 << 11
BLOCK = 1 << 20
LADDER = tuple(1 << bits for bits in (11, 16, 18, 20, 22, 24, 26))


LARGEST = 1 << 30


def sizes_of_several(tables: Sequence[tuple[int, bool]]) -> list[tuple[int, ...]]:
    """For queries over several tables, the sizes of their forms: how many rows each table may have, the smallest first.

    tables: how many rows each had at export, and whether that is unknown.

    >>> sizes_of_several([(10_000, False), (5, False)])
    [(16384, 2048), (65536, 8192)]
    >>> sizes_of_several([(10_000, False), (0, True)])
    [(16384, 2048), (65536, 65536), (262144, 1048576)]
    """
    unknown = (SMALL, CHUNK, BLOCK)
    steps = len(unknown) if any(only_types for _, only_types in tables) else 2
    own = [max(SMALL, 1 << max(0, rows - 1).bit_length()) for rows, _ in tables]
    return [
        tuple(
            unknown[step] if only_types else min(size << 2 * step, max(size, LARGEST))
            for size, (_, only_types) in zip(own, tables, strict=True)
        )
        for step in range(steps)
    ]


def layout_of(rows: int, size: int) -> Layout:
    """How `rows` rows are cut into blocks of `size`: shares of a layout, at least one."""
    chunk = min(size, CHUNK)
    return Layout(rows, max(1, -(-rows // size)), size // chunk, chunk)
