"""DISTINCT and DISTINCT ON: one row of those that agree in some columns."""

from __future__ import annotations

from collections.abc import Sequence

from qtensor.expressions import AggregateCall, ColumnRef
from qtensor.logical import Aggregate, NamedAggregate, NamedExpr, Plan, Project, SortKey


def references(plan: Plan) -> list[ColumnRef]:
    """New references to all columns of `plan`."""
    return [ColumnRef(position, field.type, field.name) for position, field in enumerate(plan.schema)]


def distinct_rows(plan: Plan, keys: Sequence[int] | None = None, order: Sequence[SortKey] = ()) -> Plan:
    """For each different value of the columns `keys` (None: of all) the first row by `order`; NULLs are one value.

    Columns are those of `plan`. Of rows that `order` does not tell apart, the first that the input has.
    """
    columns = references(plan)
    chosen = list(range(len(columns))) if keys is None else sorted(set(keys))
    others = [position for position in range(len(columns)) if position not in chosen]
    grouped = tuple(NamedExpr(columns[position].name, columns[position]) for position in chosen)
    firsts = tuple(
        NamedAggregate(column.name, AggregateCall("first", (column,), column.type, order=tuple(order)))
        for column in (columns[position] for position in others)
    )
    result = Aggregate(plan, grouped, firsts)
    places = {position: place for place, position in enumerate((*chosen, *others))}
    if all(position == place for position, place in places.items()):
        return result
    return Project(result, tuple(NamedExpr(c.name, ColumnRef(places[c.index], c.type, c.name)) for c in columns))
