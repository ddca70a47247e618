"""What a logical plan means, row by row in Python: the oracle for rules, which compare a plan's rows before and after.

It knows subqueries and outer columns, which nothing else can run. Values are None, bool, int and str.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cmp_to_key
from itertools import islice
from typing import Any, assert_never

from qtensor.expressions import (
    AggregateCall,
    Call,
    Case,
    Cast,
    ColumnRef,
    Expr,
    Literal,
    OuterColumn,
    Predict,
    Subquery,
    WindowCall,
)
from qtensor.logical import (
    Aggregate,
    CommonScan,
    Filter,
    Join,
    JoinKey,
    Limit,
    OneRow,
    Plan,
    Project,
    Scan,
    Sort,
    SortKey,
    Union,
    Window,
    With,
)

Row = tuple[Any, ...]
Tables = Mapping[str, Sequence[Row]]
# The rows around a subquery, the next one first.
Outer = tuple[Row, ...]


class TwoRowsError(Exception):
    """A scalar subquery, or a left row of a single join, has two rows."""


def run(plan: Plan, tables: Tables, outer: Outer = ()) -> list[Row]:
    """The rows of `plan`."""
    match plan:
        case Scan(table=table, columns=columns):
            return [tuple(row[index] for index in columns) for row in tables[table]]
        case OneRow():
            return [()]
        case Filter(input=input, predicate=predicate):
            return [row for row in run(input, tables, outer) if evaluate(predicate, row, tables, outer) is True]
        case Project(input=input, expressions=expressions):
            rows = run(input, tables, outer)
            return [tuple(evaluate(named.expr, row, tables, outer) for named in expressions) for row in rows]
        case Aggregate():
            return aggregate_rows(plan, tables, outer)
        case Sort(input=input, keys=keys):
            return in_order(run(input, tables, outer), keys, tables, outer)
        case Limit(input=input, count=count, offset=offset):
            stop = None if count is None else offset + count
            return list(islice(run(input, tables, outer), offset, stop))
        case Join():
            return join_rows(plan, tables, outer)
        case Union(branches=branches):
            return [row for branch in branches for row in run(branch, tables, outer)]
        case Window():
            return window_rows(plan, tables, outer)
        case CommonScan(number=number, fields=fields):
            assert all(len(row) == len(fields) for row in tables[definition(number)])
            return list(tables[definition(number)])
        case With(definitions=definitions, input=input):
            for item in definitions:
                tables = {**tables, definition(item.number): run(item.plan, tables, outer)}
            return run(input, tables, outer)
        case _:
            assert_never(plan)


def definition(number: int) -> str:
    """The name under which the rows of a definition are kept."""
    return f"#{number}"


def evaluate(expr: Expr, row: Row, tables: Tables, outer: Outer) -> Any:
    """The value of `expr` for `row`."""
    match expr:
        case ColumnRef(index=index):
            return row[index]
        case OuterColumn(index=index, depth=depth):
            return outer[depth - 1][index]
        case Literal(value=value):
            return value
        case Call(function=function, arguments=arguments):
            return FUNCTIONS[function](*(evaluate(argument, row, tables, outer) for argument in arguments))
        case Case(branches=branches, otherwise=otherwise):
            for condition, value in branches:
                if evaluate(condition, row, tables, outer) is True:
                    return evaluate(value, row, tables, outer)
            return evaluate(otherwise, row, tables, outer)
        case Cast(operand=operand):
            return evaluate(operand, row, tables, outer)
        case Subquery():
            return subquery_value(expr, row, tables, outer)
        case Predict(arguments=arguments):
            values = [evaluate(argument, row, tables, outer) for argument in arguments]
            return None if None in values else sum(5**at * value for at, value in enumerate(values)) % 7
        case _:
            assert_never(expr)


def subquery_value(subquery: Subquery, row: Row, tables: Tables, outer: Outer) -> Any:
    rows = run(subquery.plan, tables, (row, *outer))
    if subquery.kind == "exists":
        return bool(rows)
    if subquery.kind == "scalar":
        if len(rows) > 1:
            raise TwoRowsError
        return rows[0][0] if rows else None
    operands = [evaluate(operand, row, tables, outer) for operand in subquery.operands]
    compare = FUNCTIONS[subquery.comparison]
    answers = [both(*(compare(a, b) for a, b in zip(operands, values, strict=True))) for values in rows]
    return either(*answers) if subquery.kind == "any" else both(*answers)


def both(*parts: bool | None) -> bool | None:
    return False if False in parts else None if None in parts else True


def either(*parts: bool | None) -> bool | None:
    return True if True in parts else None if None in parts else False


def strict(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *values: None if None in values else function(*values)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": strict(lambda a, b: a + b),
    "subtract": strict(lambda a, b: a - b),
    "multiply": strict(lambda a, b: a * b),
    "floor_divide": strict(lambda a, b: a // b),
    "equal": strict(lambda a, b: a == b),
    "not_equal": strict(lambda a, b: a != b),
    "less": strict(lambda a, b: a < b),
    "less_equal": strict(lambda a, b: a <= b),
    "greater": strict(lambda a, b: a > b),
    "greater_equal": strict(lambda a, b: a >= b),
    "is_distinct_from": lambda a, b: a != b,
    "is_not_distinct_from": lambda a, b: a == b,
    "and": both,
    "or": either,
    "not": strict(lambda a: not a),
    "is_null": lambda a: a is None,
    "is_not_null": lambda a: a is not None,
    "in": lambda a, *items: either(*(None if None in (a, item) else a == item for item in items)),
    "coalesce": lambda *values: next((value for value in values if value is not None), None),
}


# --- joins ----------------------------------------------------------------------------------------------------------------------


def join_rows(join: Join, tables: Tables, outer: Outer) -> list[Row]:
    left, right = run(join.left, tables, outer), run(join.right, tables, outer)

    def pairs_with(a: Row, b: Row) -> bool:
        if not all(key_matches(key, a, b, tables, outer) for key in join.keys):
            return False
        return join.condition is None or evaluate(join.condition, a + b, tables, outer) is True

    partners = [[at for at, b in enumerate(right) if pairs_with(a, b)] for a in left]
    nulls = (None,) * len(join.right.schema)
    match join.kind:
        case "semi" | "anti":
            return [a for a, found in zip(left, partners, strict=True) if bool(found) == (join.kind == "semi")]
        case "mark":
            return [(*a, bool(found)) for a, found in zip(left, partners, strict=True)]
        case "single" if any(len(found) > 1 for found in partners):
            raise TwoRowsError
        case _:
            pass
    rows = [a + right[at] for a, found in zip(left, partners, strict=True) for at in found]
    if join.kind != "inner":
        rows += [a + nulls for a, found in zip(left, partners, strict=True) if not found]
    if join.kind == "full":
        used = {at for found in partners for at in found}
        rows += [(None,) * len(join.left.schema) + b for at, b in enumerate(right) if at not in used]
    return rows


def key_matches(key: JoinKey, a: Row, b: Row, tables: Tables, outer: Outer) -> bool:
    left, right = evaluate(key.left, a, tables, outer), evaluate(key.right, b, tables, outer)
    return left == right and (key.null_safe or left is not None)


# --- groups, order, windows -----------------------------------------------------------------------------------------------------


def aggregate_rows(plan: Aggregate, tables: Tables, outer: Outer) -> list[Row]:
    groups: dict[Row, list[Row]] = {} if plan.keys else {(): []}
    for row in run(plan.input, tables, outer):
        groups.setdefault(tuple(evaluate(key.expr, row, tables, outer) for key in plan.keys), []).append(row)
    return [(*key, *(aggregate(item.call, rows, tables, outer) for item in plan.aggregates)) for key, rows in groups.items()]


def aggregate(call: AggregateCall, rows: Iterable[Row], tables: Tables, outer: Outer) -> Any:
    if call.filter is not None:
        rows = [row for row in rows if evaluate(call.filter, row, tables, outer) is True]
    if not call.arguments:
        return len(list(rows))
    values = [evaluate(call.arguments[0], row, tables, outer) for row in rows]
    return aggregate_values(call.function, values, call.distinct)


def aggregate_values(function: str, values: list[Any], distinct: bool = False) -> Any:
    known = [value for value in values if value is not None]
    known = list(dict.fromkeys(known)) if distinct else known
    if function == "count":
        return len(known)
    return {"sum": sum, "min": min, "max": max}[function](known) if known else None


def in_order(rows: list[Row], keys: Sequence[SortKey], tables: Tables, outer: Outer) -> list[Row]:
    def compare(a: Row, b: Row) -> int:
        for key in keys:
            x, y = (evaluate(key.expr, row, tables, outer) for row in (a, b))
            if x == y:
                continue
            if x is None or y is None:
                return -1 if (x is None) == key.nulls_first else 1
            return -1 if (x < y) != key.descending else 1
        return 0

    return sorted(rows, key=cmp_to_key(compare))


def window_rows(plan: Window, tables: Tables, outer: Outer) -> list[Row]:
    partitions: dict[Row, list[Row]] = {}
    for row in run(plan.input, tables, outer):
        partitions.setdefault(tuple(evaluate(part, row, tables, outer) for part in plan.partition), []).append(row)
    found = []
    for rows in partitions.values():
        ordered = in_order(rows, plan.order, tables, outer)
        found += [
            (*row, *(window_value(item.call, at, ordered, tables, outer) for item in plan.functions))
            for at, row in enumerate(ordered)
        ]
    return found


def window_value(call: WindowCall, at: int, rows: list[Row], tables: Tables, outer: Outer) -> Any:
    """row_number, or an aggregate over the whole partition, which is what a frame without ORDER BY is."""
    if call.function == "row_number":
        return at + 1
    return aggregate_values(call.function, [evaluate(call.arguments[0], row, tables, outer) for row in rows])
