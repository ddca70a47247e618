"""Rule: no ORDER BY where nobody sees the order."""

from __future__ import annotations

from typing import assert_never

from qtensor.logical import (
    Aggregate,
    CommonScan,
    Filter,
    Join,
    Limit,
    OneRow,
    Plan,
    Project,
    Scan,
    Sort,
    Union,
    Window,
    With,
    with_inputs,
)

# The aggregates whose value does not depend on the order of rows, but for rounding.
# fmt: off
OF_ANY_ORDER = frozenset((
    "count_star", "count", "sum", "avg", "min", "max", "product", "bit_and", "bit_or", "bit_xor", "stddev_samp",
    "stddev_pop", "var_samp", "var_pop", "sem", "corr", "covar_samp", "covar_pop", "regr_slope", "regr_intercept",
    "regr_r2", "regr_avgx", "regr_avgy", "regr_sxx", "regr_syy", "regr_sxy", "regr_count", "quantile_cont", "quantile_disc",
))
# fmt: on


def drop_unseen_order(plan: Plan) -> Plan:
    """Leave out sorts below what orders anew or needs no order: other sorts, joins' right sides, most aggregates.

    Sound: of rows that are equal by the keys of a sort, SQL promises no order. A LIMIT sees the order, and so do the result,
    a window without one of its own, and aggregates like `first` without ORDER BY.

    >>> from qtensor.expressions import ColumnRef
    >>> from qtensor.logical import SortKey
    >>> from qtensor.types import BIGINT, Field
    >>> table, key = Scan("t", (Field("x", BIGINT),), (0,)), SortKey(ColumnRef(0, BIGINT))
    >>> drop_unseen_order(Sort(Sort(table, (key,)), (key,))) == Sort(table, (key,))
    True
    """
    return without_order(plan, True, set())


def without_order(plan: Plan, seen: bool, ordered: set[int]) -> Plan:
    """seen: whether the order of the plan's rows matters. ordered: the definitions whose order does, to be added to."""
    match plan:
        case With(definitions=definitions, input=input):
            below = without_order(input, seen, ordered)
            kept = [without_order(item.plan, item.number in ordered, ordered) for item in reversed(definitions)]
            return with_inputs(plan, [*reversed(kept), below])
        case CommonScan(number=number):
            ordered |= {number} if seen else set()
            return plan
        case Sort(input=input):
            return with_inputs(plan, [without_order(input, False, ordered)]) if seen else without_order(input, False, ordered)
        case Filter() | Project():
            return with_inputs(plan, [without_order(plan.input, seen, ordered)])
        case Limit():
            return with_inputs(plan, [without_order(plan.input, True, ordered)])
        case Window(order=order):
            return with_inputs(plan, [without_order(plan.input, seen or not order, ordered)])
        case Aggregate(aggregates=aggregates):
            by_order = any(item.call.function not in OF_ANY_ORDER and not item.call.order for item in aggregates)
            return with_inputs(plan, [without_order(plan.input, by_order, ordered)])
        case Join(left=left, right=right):
            return with_inputs(plan, [without_order(left, seen, ordered), without_order(right, False, ordered)])
        case Union(branches=branches):
            return with_inputs(plan, [without_order(branch, seen, ordered) for branch in branches])
        case Scan() | OneRow():
            return plan
        case _:
            assert_never(plan)
