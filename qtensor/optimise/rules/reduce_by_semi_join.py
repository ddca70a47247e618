"""Rule: rows that find no partner in a selective join are dropped before they are grouped or brought in order for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from qtensor.expressions import ColumnRef
from qtensor.logical import Aggregate, Filter, Join, JoinKey, Plan, Project, Scan, definitions_of, inputs, with_inputs
from qtensor.optimise.facts.estimates import Estimator
from qtensor.optimise.facts.statistics import NoStatistics, PlanStatistics
from qtensor.optimise.rewriting import column, named_columns
from qtensor.optimise.rules.push_semi_join_down import push_semi_join_down

MANY = 1 << 16  # rows: fewer are grouped in no time
SHARE = 4  # at most one in so many may be left, or it is not worth asking


def reduce_by_semi_join(plan: Plan, statistics: PlanStatistics | None = None) -> Plan:
    """Restrict a side of a join to the keys that the other side has, where that is an aggregate, or is looked up by several keys,
    and few of its rows are expected to stay.

    Sound: a row of a join's side that equals no row of the other side makes no row of an inner join, nor a partner in a left,
    semi or anti join. Every value that a column of the other side has is also one of the columns it came from, and of those
    that it was joined with, so the smallest of these may stand for it. A group that is dropped loses all its rows.

    Source: P. Bernstein, D. Chiu: Using Semi-Joins to Solve Relational Queries. Journal of the ACM 28 (1981); as "magic sets":
    C. Beeri, R. Ramakrishnan: On the Power of Magic. PODS 1987.
    """
    return reduced(plan, Estimator(statistics or NoStatistics(), definitions_of(plan)))


def reduced(plan: Plan, estimator: Estimator) -> Plan:
    """Every join in `plan`, inputs first."""
    plan = with_inputs(plan, [reduced(input, estimator) for input in inputs(plan)])
    if not isinstance(plan, Join) or plan.kind not in ("inner", "left", "single", "semi", "anti"):
        return plan
    for key in plan.keys:
        right = restricted(plan.right, key.right, plan.left, key.left, key.null_safe, len(plan.keys) > 1, estimator)
        if right is not None:
            return replace(plan, right=right)
        if plan.kind == "inner":
            left = restricted(plan.left, key.left, plan.right, key.right, key.null_safe, False, estimator)
            if left is not None:
                return replace(plan, left=left)
    return plan


def restricted(
    side: Plan, own: object, other: Plan, theirs: object, null_safe: bool, is_sorted: bool, estimator: Estimator
) -> Plan | None:
    """`side` with fewer rows, by the values of its key `own` that `other` has as `theirs`; None where that is not worth it.

    is_sorted: whether `side` is a build side that must be sorted, since it has several keys.
    """
    if not isinstance(own, ColumnRef) or not isinstance(theirs, ColumnRef):
        return None
    place = below_groups(side, own.index)
    if place is None and is_sorted and is_simple(side):
        place = Place(side, own.index)
    if place is None or estimator.rows(place.plan) < MANY:
        return None
    origins = list(origins_of(other, theirs.index))
    wanted = values_of_all(place, origins, estimator) / SHARE
    usable = [origin for origin in origins if place.groups or is_simple(origin.plan)]
    few = [origin for origin in usable if estimator.column(origin.plan, origin.column).distinct <= wanted]
    few = [origin for origin in few if estimator.rows(origin.plan) * SHARE <= estimator.rows(place.plan)]
    if not few:
        return None
    best = min(few, key=lambda origin: (not is_simple(origin.plan), estimator.column(origin.plan, origin.column).distinct))
    values = Project(best.plan, named_columns(best.plan, [best.column]))
    join_key = JoinKey(column(place.plan, place.column), column(values, 0), null_safe)
    return substituted(side, place.plan, push_semi_join_down(Join(place.plan, values, "semi", (join_key,))))


@dataclass(frozen=True)
class Place:
    """A column of a plan. groups: whether rows are grouped above it."""

    plan: Plan
    column: int
    groups: bool = False


def below_groups(plan: Plan, index: int) -> Place | None:
    """Where the rows of the lowest aggregate in `plan` come from that groups by what is column `index` of `plan`."""
    match plan:
        case Filter(input=input):
            return below_groups(input, index)
        case Project(input=input, expressions=expressions):
            expr = expressions[index].expr
            return below_groups(input, expr.index) if isinstance(expr, ColumnRef) else None
        case Aggregate(input=input, keys=keys) if index < len(keys):
            expr = keys[index].expr
            return (below_groups(input, expr.index) or Place(input, expr.index, True)) if isinstance(expr, ColumnRef) else None
        case _:
            return None


def origins_of(plan: Plan, index: int) -> Iterator[Place]:
    """Columns that have all the values which column `index` of `plan` has, NULL aside."""
    yield Place(plan, index)
    match plan:
        case Filter(input=input):
            yield from origins_of(input, index)
        case Project(input=input, expressions=expressions):
            expr = expressions[index].expr
            if isinstance(expr, ColumnRef):
                yield from origins_of(input, expr.index)
        case Join(kind="inner" | "semi" | "anti" | "left" | "single" | "mark", left=left) if index < len(left.schema):
            yield from origins_of(left, index)
            if plan.kind in ("inner", "semi"):
                for key in plan.keys:
                    if isinstance(key.left, ColumnRef) and isinstance(key.right, ColumnRef) and key.left.index == index:
                        yield from origins_of(plan.right, key.right.index)
        case Join(kind="inner", left=left, right=right):
            yield from origins_of(right, index - len(left.schema))
            for key in plan.keys:
                if isinstance(key.left, ColumnRef) and key.right == column(right, index - len(left.schema)):
                    yield from origins_of(left, key.left.index)
        case _:
            pass


def values_of_all(place: Place, origins: Sequence[Place], estimator: Estimator) -> float:
    """How many different values the column at `place` has: hardly more than a whole table that it is compared with, since it
    mostly holds that table's keys; bounds of its own may be far too high.
    """
    tables = [origin for origin in origins if isinstance(origin.plan, Scan)]
    return min(estimator.column(known.plan, known.column).distinct for known in (place, *tables))


def is_simple(plan: Plan) -> bool:
    """Whether a plan is one table, read row by row."""
    match plan:
        case Scan():
            return True
        case Filter() | Project():
            return is_simple(plan.input)
        case _:
            return False


def substituted(plan: Plan, old: Plan, new: Plan) -> Plan:
    """`plan` with `new` in the place of `old`, which is above no other occurrence of it."""
    if plan is old:
        return new
    return with_inputs(plan, [substituted(input, old, new) for input in inputs(plan)])
