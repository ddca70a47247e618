"""How many rows plans have, and how many different values their columns: guesses from what is known of the tables.

Source: P. Selinger et al.: Access Path Selection in a Relational Database Management System. SIGMOD 1979, section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import exp, prod, sqrt
from typing import assert_never

from qtensor.expressions import MIRRORED, AggregateCall, Call, Cast, ColumnRef, Expr, Literal, conjuncts
from qtensor.logical import Aggregate, CommonScan, Filter, Join, Limit, OneRow, Plan, Project, Scan, Sort, Union, Window, With
from qtensor.optimise.facts.statistics import ColumnStatistics, PlanStatistics
from qtensor.optimise.facts.uniqueness import UniqueKeys
from qtensor.optimise.rewriting import columns_of

UNKNOWN = 1 / 3  # the fraction of rows for which a condition is true of which nothing is known
OF_ORDER = 1 / 2  # one value is less than another as often as not
OF_PATTERN = 0.1
DAYS_PER_YEAR = 365.25

# What is known of each column of the rows at hand, by its position.
Columns = Callable[[int], ColumnStatistics]


class Estimator:
    """Estimates over tables of which `statistics` tells; a column's are asked for only where a condition or key needs them."""

    def __init__(self, statistics: PlanStatistics, definitions: Mapping[int, Plan]) -> None:
        """definitions: what the plans' `CommonScan`s read."""
        self.statistics = statistics
        self.keys = UniqueKeys(statistics.unique, definitions)
        self._definitions = definitions
        self._rows: dict[int, tuple[Plan, float]] = {}
        self._columns: dict[tuple[int, int], ColumnStatistics] = {}

    def rows(self, plan: Plan) -> float:
        """How many rows `plan` has, about."""
        if id(plan) not in self._rows:
            self._rows[id(plan)] = (plan, self._rows_of(plan))  # the plan is kept, so that no other one gets its id
        return self._rows[id(plan)][1]

    def column(self, plan: Plan, index: int) -> ColumnStatistics:
        """What column `index` of `plan` is like, about."""
        rows = self.rows(plan)
        if (id(plan), index) not in self._columns:
            known = self._column_of(plan, index)
            self._columns[id(plan), index] = replace(known, distinct=max(1.0, min(known.distinct, rows)))
        return self._columns[id(plan), index]

    def columns(self, plan: Plan) -> Columns:
        return lambda index: self.column(plan, index)

    def _rows_of(self, plan: Plan) -> float:
        match plan:
            case Scan(table=table):
                return float(self.statistics.rows(table))
            case OneRow():
                return 1.0
            case CommonScan(number=number):
                return self.rows(self._definitions[number])
            case Filter(input=input, predicate=predicate):
                return self.rows(input) * selectivity(predicate, self.columns(input))
            case Project() | Sort() | Window() | With():
                return self.rows(plan.input)
            case Aggregate(input=input, keys=keys):
                groups = prod(value(key.expr, self.columns(input)).distinct for key in keys)
                return min(groups, max(1.0, self.rows(input))) if keys else 1.0
            case Limit(input=input, count=count):
                return self.rows(input) if count is None else min(self.rows(input), count)
            case Join():
                return self._rows_of_join(plan)
            case Union(branches=branches):
                return sum(self.rows(branch) for branch in branches)
            case _:
                assert_never(plan)

    def _rows_of_join(self, plan: Join) -> float:
        left, right = self.rows(plan.left), self.rows(plan.right)
        matching = [(value(key.left, self.columns(plan.left)), value(key.right, self.columns(plan.right))) for key in plan.keys]
        if plan.kind in ("semi", "anti"):
            found = prod(min(1.0, other.distinct / own.distinct) for own, other in matching)
            found *= selectivity_of(plan.condition, self._pair_columns(plan))
            return left * (found if plan.kind == "semi" else max(1 - found, 0.1))
        if plan.kind == "mark":
            return left
        pairs = left * right / composite([max(own.distinct, other.distinct) for own, other in matching], left, right)
        pairs *= selectivity_of(plan.condition, self._pair_columns(plan))
        match plan.kind:
            case "inner":
                return pairs
            case "full":
                return max(pairs, left, right)
            case _:
                return max(pairs, left)

    def _pair_columns(self, plan: Join) -> Columns:
        width = len(plan.left.schema)
        return lambda index: self.column(plan.left, index) if index < width else self.column(plan.right, index - width)

    def _column_of(self, plan: Plan, index: int) -> ColumnStatistics:
        match plan:
            case Scan(table=table, columns=columns):
                return self.statistics.column(table, columns[index])
            case Filter(input=input, predicate=predicate):
                own = [part for part in conjuncts(predicate) if columns_of(part) == {index}]
                known = self.column(input, index)
                return replace(known, distinct=known.distinct * selectivity_of_all(own, self.columns(input)))
            case Project(input=input, expressions=expressions):
                return value(expressions[index].expr, self.columns(input))
            case Sort() | Limit() | With():
                return self.column(plan.input, index)
            case CommonScan(number=number):
                return self.column(self._definitions[number], index)
            case Aggregate(input=input, keys=keys, aggregates=aggregates):
                if index < len(keys):
                    return value(keys[index].expr, self.columns(input))
                size = self.rows(input) / max(1.0, self.rows(plan))
                call = aggregates[index - len(keys)].call
                return replace(of_groups(call, size, self.columns(input)), distinct=self.rows(plan))
            case Window(input=input):
                return self.column(input, index) if index < len(input.schema) else ColumnStatistics(self.rows(plan))
            case Join(left=left, right=right):
                width = len(left.schema)
                if index < width:
                    return self.column(left, index)
                return ColumnStatistics(2) if plan.kind == "mark" else self.column(right, index - width)
            case Union(branches=branches):
                return ColumnStatistics(sum(self.column(branch, index).distinct for branch in branches))
            case OneRow():
                raise AssertionError("one row has no columns")
            case _:
                assert_never(plan)


def composite(distinct: list[float], *sides: float) -> float:
    """How many different values several keys have together, which are hardly independent: no more than either side's rows."""
    if not distinct:
        return 1.0
    together = prod(distinct)
    return max(1.0, together if len(distinct) == 1 else max(*distinct, min(together, *sides)))


def value(expr: Expr, columns: Columns) -> ColumnStatistics:
    """What the values of `expr` are like."""
    match expr:
        case ColumnRef(index=index):
            return columns(index)
        case Literal():
            return ColumnStatistics(1)
        case Cast(operand=operand):
            return ColumnStatistics(value(operand, columns).distinct)
        case Call(function="year", arguments=(operand,)):
            known = value(operand, columns)
            years = known.distinct if known.minimum is None or known.maximum is None else known.maximum - known.minimum
            return ColumnStatistics(min(known.distinct, years / DAYS_PER_YEAR + 1))
        case _:
            return ColumnStatistics(prod(columns(index).distinct for index in columns_of(expr)))


def of_groups(call: AggregateCall, size: float, columns: Columns) -> ColumnStatistics:
    """What an aggregate gives for groups of `size` rows, as if values were spread evenly and rows had come upon groups by chance.

    The number of rows of a group is then Poisson distributed; the variance of a sum is `size` times the values' mean square.
    """
    unknown = ColumnStatistics(1)
    if call.filter is not None or call.distinct:
        return unknown
    match call.function:
        case "count_star":
            return replace(unknown, mean=size, deviation=sqrt(size))
        case "count":
            counted = size * (1 - value(call.arguments[0], columns).nulls)
            return replace(unknown, mean=counted, deviation=sqrt(counted))
        case "sum":
            known = value(call.arguments[0], columns)
            if known.minimum is None or known.maximum is None:
                return unknown
            counted = size * (1 - known.nulls)
            mean, variance = (known.minimum + known.maximum) / 2, (known.maximum - known.minimum) ** 2 / 12
            return replace(unknown, mean=counted * mean, deviation=sqrt(counted * (variance + mean**2)))
        case _:
            return unknown


def values_compared(expr: Expr, columns: Columns) -> float:
    """How many different values `expr` has, where it is compared with some: of what a function makes of a column, few."""
    known = value(expr, columns).distinct
    return min(known, 1 / OF_PATTERN) if isinstance(expr, Call) and expr.function != "year" else known


def selectivity_of(condition: Expr | None, columns: Columns) -> float:
    return 1.0 if condition is None else selectivity(condition, columns)


def selectivity_of_all(parts: Sequence[Expr], columns: Columns) -> float:
    """Conditions that must all be true, as if they were independent, but for the two ends of a range."""
    found = 1.0
    ends: dict[Expr, tuple[float, float]] = {}
    for part in parts:
        fraction = selectivity(part, columns)
        match part:
            case Call(function="less" | "less_equal", arguments=(operand, Literal())):
                below, above = ends.get(operand, (1.0, 1.0))
                ends[operand] = (min(below, fraction), above)
            case Call(function="greater" | "greater_equal", arguments=(operand, Literal())):
                below, above = ends.get(operand, (1.0, 1.0))
                ends[operand] = (below, min(above, fraction))
            case _:
                found *= fraction
    return found * prod(below + above - 1 if below + above > 1 else below * above for below, above in ends.values())


def selectivity(condition: Expr, columns: Columns) -> float:
    """The fraction of rows, 0 to 1, for which `condition` is true."""
    match condition:
        case Literal(value=constant):
            return 1.0 if constant is True else 0.0
        case Call(function="and", arguments=parts):
            return selectivity_of_all(parts, columns)
        case Call(function="or", arguments=parts):
            return 1 - prod(1 - selectivity(part, columns) for part in parts)
        case Call(function="not", arguments=(operand,)):
            return 1 - selectivity(operand, columns)
        case Call(function="is_null", arguments=(operand,)):
            return value(operand, columns).nulls
        case Call(function="is_not_null", arguments=(operand,)):
            return 1 - value(operand, columns).nulls
        case Call(function="equal" | "is_not_distinct_from", arguments=(one, other)):
            return 1 / max(1.0, values_compared(one, columns), values_compared(other, columns))
        case Call(function="not_equal", arguments=(one, other)):
            return 1 - 1 / max(2.0, values_compared(one, columns), values_compared(other, columns))
        case Call(function="in", arguments=(operand, *items)):
            return min(1.0, len(items) / max(1.0, values_compared(operand, columns)))
        case Call(function="less" | "less_equal" | "greater" | "greater_equal"):
            return fraction_of_range(condition, columns)
        case Call(function="like" | "ilike"):
            return OF_PATTERN
        case _:
            return UNKNOWN


def fraction_of_range(call: Call, columns: Columns) -> float:
    """A comparison of order: with a literal, the part of the column's range that it leaves."""
    match call.arguments:
        case (Literal(), Literal()):
            return UNKNOWN
        case (Literal() as literal, operand):
            return fraction_of_range(replace(call, function=MIRRORED[call.function], arguments=(operand, literal)), columns)
        case (operand, Literal(value=int() | float() as bound)):
            known = value(operand, columns)
            if known.mean is not None:
                below = fraction_below(bound, known.mean, known.deviation)
            elif known.minimum is None or known.maximum is None or known.maximum <= known.minimum:
                return UNKNOWN
            else:
                below = min(1.0, max(0.0, (bound - known.minimum) / (known.maximum - known.minimum)))
            return max(below if call.function in ("less", "less_equal") else 1 - below, 1e-6)
        case _:
            return OF_ORDER


def fraction_below(bound: float, mean: float, deviation: float) -> float:
    """The fraction of values below `bound` in a Laplace distribution: groups differ more than chance alone would have it, and
    in a normal distribution there would be hardly any value far from the mean.

    >>> fraction_below(10, 10, 1), round(fraction_below(13, 10, 1), 3)
    (0.5, 0.993)
    """
    if not deviation:
        return float(bound >= mean)
    away = sqrt(2) * (bound - mean) / deviation
    return exp(away) / 2 if away < 0 else 1 - exp(-away) / 2
