"""How a source is cut into parts: units that are read as a whole, put together or cut into slices."""

from __future__ import annotations

from collections.abc import Sequence

from qtensor.errors import CapacityError

MOST_PARTS = 1 << 20  # a damaged file may say that it has any number of rows


def put_together(sizes: Sequence[int], rows: int) -> list[range]:
    """Consecutive units of these sizes, together up to `rows` rows, or one that is larger; at least one range.

    >>> put_together([3, 3, 3, 9, 1], 6)
    [range(0, 2), range(2, 3), range(3, 4), range(4, 5)]
    """
    found = []
    first = taken = 0
    for number, size in enumerate(sizes):
        if number > first and taken + size > rows:
            found.append(range(first, number))
            first, taken = number, 0
        taken += size
    return [*found, range(first, len(sizes))]


def slices(size: int, rows: int) -> list[range]:
    """`size` rows cut into pieces of `rows` rows, the last one shorter; at least one. Raises CapacityError: too many.

    >>> slices(5, 2), slices(0, 2)
    ([range(0, 2), range(2, 4), range(4, 5)], [range(0, 0)])
    """
    if -(-size // rows) > MOST_PARTS:
        raise CapacityError(f"{size:,} rows would be read in more than {MOST_PARTS:,} parts of {rows:,} rows")
    return [range(start, min(start + rows, size)) for start in range(0, max(size, 1), rows)]
