"""Queries that need no more than the first rows of a table: of a LIMIT above a scan, with filters between them or without.

How many rows a filter leaves is known only by running it. So a query with one reads many rows at first, and more of them, in a
plan of its own, if they did not have enough.
"""

from __future__ import annotations

from collections.abc import Mapping

from qtensor.logical import Filter, Limit, Plan, Project, Scan
from qtensor.sources.table import Table

FILTERED = 1 << 20  # rows that a query with a filter reads at first: the row group of most files
MORE = 16  # times as many the next time


def tables_read(plan: Plan, tables: Mapping[str, Table], least: int = 0) -> dict[str, Table]:
    """`tables` as `plan` needs them: one of which it takes the first rows, and computes each from itself alone, is cut.

    least: so many rows of it are read, where fewer were too few.
    """
    wanted = _wanted(plan)
    if wanted is None:
        return dict(tables)
    name, rows, _ = wanted
    return {**tables, name: tables[name].head(max(rows, least))}


def rows_to_read_next(plan: Plan, tables: Mapping[str, Table], least: int, found: int) -> int | None:
    """How many rows are to be read where the `found` ones of the result are too few; None where more would not change it.

    least: as `tables_read` was told.
    """
    wanted = _wanted(plan)
    if wanted is None:
        return None
    name, rows, count = wanted
    read = tables[name].head(max(rows, least))
    return None if found >= count or read is tables[name] else MORE * read.rows


def reads_first_rows(plan: Plan) -> bool:
    """Whether so few rows are enough that they are read at once, however large their table is."""
    wanted = _wanted(plan)
    return wanted is not None and wanted[1] < FILTERED


def _wanted(plan: Plan) -> tuple[str, int, int] | None:
    """The table of which first rows are enough, how many at first, and how many rows the query gives; None if there is none."""
    if not isinstance(plan, Limit) or plan.count is None:
        return None
    below, rows = plan.input, plan.offset + plan.count
    while isinstance(below, Project | Filter):
        if isinstance(below, Filter):
            rows = max(rows, FILTERED)
        below = below.input
    return (below.table, rows, plan.count) if isinstance(below, Scan) else None
