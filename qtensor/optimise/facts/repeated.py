"""Which parts of a plan are the same: they are computed once."""

from __future__ import annotations

from qtensor.logical import Aggregate, Join, Limit, Plan, Sort, Union, Window, inputs


def repeated(plan: Plan) -> list[Plan]:
    """The plans that occur more than once in `plan`, and are worth keeping."""
    seen: dict[Plan, int] = {}

    def count(part: Plan) -> None:
        seen[part] = seen.get(part, 0) + 1
        if seen[part] == 1:
            for below in inputs(part):
                count(below)

    count(plan)
    return [part for part, times in seen.items() if times > 1 and is_costly(part)]


def is_costly(plan: Plan) -> bool:
    """Whether a plan does more than to read a table row by row."""
    return isinstance(plan, Aggregate | Join | Limit | Sort | Union | Window) or any(is_costly(part) for part in inputs(plan))
