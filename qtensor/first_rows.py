"""Queries that need no more than the first rows of a table: of a LIMIT right above a scan."""

from __future__ import annotations

from collections.abc import Mapping

from qtensor.logical import Limit, Plan, Project, Scan
from qtensor.table import Table


def tables_read(plan: Plan, tables: Mapping[str, Table]) -> dict[str, Table]:
    """`tables` as `plan` needs them: one of which it takes the first rows, and computes each from itself alone, is cut."""
    if not isinstance(plan, Limit) or plan.count is None:
        return dict(tables)
    below = plan.input
    while isinstance(below, Project):
        below = below.input
    if not isinstance(below, Scan):
        return dict(tables)
    return {**tables, below.table: tables[below.table].head(plan.offset + plan.count)}
