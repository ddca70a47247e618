"""Plans as people read them: expressions like SQL, operators as a tree, pipelines line by line."""

from __future__ import annotations

from decimal import Decimal as PythonDecimal
from typing import assert_never

import numpy as np

from qtensor.expressions import (
    AggregateCall,
    Call,
    Case,
    Cast,
    ColumnRef,
    Expr,
    Frame,
    FrameBound,
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
    inputs,
)
from qtensor.row_numbers import without_numbers
from qtensor.types import Date, Decimal, IntervalValue, Timestamp

INFIX = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "floor_divide": "//",
    "modulo": "%",
    "add_interval": "+",
    "subtract_interval": "-",
    "equal": "=",
    "not_equal": "<>",
    "less": "<",
    "less_equal": "<=",
    "greater": ">",
    "greater_equal": ">=",
    "is_distinct_from": "IS DISTINCT FROM",
    "is_not_distinct_from": "IS NOT DISTINCT FROM",
    "like": "LIKE",
    "ilike": "ILIKE",
    "and": "AND",
    "or": "OR",
}


def expression_text(expr: Expr) -> str:
    """One expression.

    >>> from qtensor.types import BOOLEAN, DATE
    >>> day = ColumnRef(0, DATE, "day")
    >>> expression_text(Call("less", (day, Literal(8766, DATE)), BOOLEAN))
    "day < DATE '1994-01-01'"
    """
    match expr:
        case ColumnRef(index=index, name=name):
            return name or f"#{index}"
        case Literal():
            return literal_text(expr)
        case Call(function=function, arguments=arguments) if function in INFIX:
            return f" {INFIX[function]} ".join(operand_text(argument) for argument in arguments)
        case Call(function="not", arguments=(operand,)):
            return f"NOT {operand_text(operand)}"
        case Call(function="negate", arguments=(operand,)):
            return f"-{operand_text(operand)}"
        case Call(function="is_null", arguments=(operand,)):
            return f"{operand_text(operand)} IS NULL"
        case Call(function="is_not_null", arguments=(operand,)):
            return f"{operand_text(operand)} IS NOT NULL"
        case Call(function="in", arguments=(operand, *items)):
            return f"{operand_text(operand)} IN ({', '.join(expression_text(item) for item in items)})"
        case Call(function="subscript", arguments=(operand, index_expr)):
            return f"{operand_text(operand)}[{expression_text(index_expr)}]"
        case Call(function=function, arguments=arguments):
            return f"{function}({', '.join(expression_text(argument) for argument in arguments)})"
        case Predict(model=model, arguments=arguments, output=output):
            called = f"{model}({', '.join(expression_text(argument) for argument in arguments)})"
            return f"{called}.{output}" if output else called
        case Cast(operand=operand, type=type_, try_=try_):
            return f"{'TRY_' if try_ else ''}CAST({expression_text(operand)} AS {type_})"
        case Case(branches=branches, otherwise=otherwise):
            whens = " ".join(f"WHEN {expression_text(c)} THEN {expression_text(v)}" for c, v in branches)
            return f"CASE {whens} ELSE {expression_text(otherwise)} END"
        case OuterColumn(index=index, name=name, depth=depth):
            return "outer." * depth + (name or f"#{index}")
        case Subquery():
            return subquery_text(expr)
        case _:
            assert_never(expr)


def operand_text(expr: Expr) -> str:
    """An operand: in parentheses if it is an operation itself."""
    text = expression_text(expr)
    return f"({text})" if isinstance(expr, Call) and expr.function in (*INFIX, "not", "in") else text


def literal_text(literal: Literal) -> str:
    """A literal as SQL."""
    match literal:
        case Literal(value=None):
            return "NULL"
        case Literal(value=bool(value)):
            return "TRUE" if value else "FALSE"
        case Literal(value=int(value), type=Decimal(scale=scale)):
            return f"{PythonDecimal(value).scaleb(-scale):.{scale}f}"
        case Literal(value=int(value), type=Date()):
            return f"DATE '{np.datetime64(value, 'D')}'"
        case Literal(value=int(value), type=Timestamp()):
            return f"TIMESTAMP '{np.datetime64(value, 'us')}'"
        case Literal(value=str(value)):
            escaped = value.replace("'", "''")
            return f"'{escaped}'"
        case Literal(value=IntervalValue(months, days, microseconds)):
            return f"INTERVAL ({months} months {days} days {microseconds} µs)"
        case _:
            return str(literal.value)


def aggregate_text(call: AggregateCall) -> str:
    arguments = "*" if call.function == "count_star" else ", ".join(map(expression_text, call.arguments))
    distinct = "DISTINCT " if call.distinct else ""
    order = f" ORDER BY {', '.join(map(sort_key_text, call.order))}" if call.order else ""
    condition = "" if call.filter is None else f" FILTER (WHERE {expression_text(call.filter)})"
    return f"{call.function.removesuffix('_star')}({distinct}{arguments}{order}){condition}"


def sort_key_text(key: SortKey) -> str:
    order = " DESC" if key.descending else ""
    return f"{expression_text(key.expr)}{order}{' NULLS FIRST' if key.nulls_first else ''}"


def named_text(name: str, text: str) -> str:
    return text if text == name else f"{text} AS {name}"


def node_text(plan: Plan) -> str:
    """One operator, without its input."""
    match plan:
        case Scan(table=table, fields=fields):
            return without_numbers(f"Scan {table} ({', '.join(field.name for field in fields)})")
        case OneRow():
            return "OneRow"
        case CommonScan(number=number, fields=fields):
            return f"CommonScan #{number} ({', '.join(field.name for field in fields)})"
        case With(definitions=definitions):
            return "With " + ", ".join(f"#{item.number}" for item in definitions)
        case Filter(predicate=predicate):
            return f"Filter {expression_text(predicate)}"
        case Project(expressions=expressions):
            return "Project " + ", ".join(named_text(named.name, expression_text(named.expr)) for named in expressions)
        case Aggregate(keys=keys, aggregates=aggregates):
            by = ", ".join(named_text(key.name, expression_text(key.expr)) for key in keys)
            values = ", ".join(named_text(item.name, aggregate_text(item.call)) for item in aggregates)
            return " ".join(part for part in ("Aggregate", f"by {by}:" if by else "", values) if part)
        case Sort(keys=sort_keys):
            return "Sort " + ", ".join(sort_key_text(key) for key in sort_keys)
        case Limit(count=count, offset=offset):
            return f"Limit {'all' if count is None else count}" + (f" offset {offset}" if offset else "")
        case Join():
            return join_text(plan)
        case Union():
            return "Union"
        case Window(partition=partition, order=order, functions=functions):
            by = ", ".join(map(expression_text, partition))
            ordered = ", ".join(map(sort_key_text, order))
            calls = ", ".join(named_text(item.name, window_text(item.call)) for item in functions)
            return "Window " + "".join(f"{word} {part}: " for word, part in (("by", by), ("ordered", ordered)) if part) + calls
        case _:
            assert_never(plan)


def join_text(join: Join) -> str:
    pairs = (
        f"{expression_text(key.left)} {'IS NOT DISTINCT FROM' if key.null_safe else '='} {expression_text(key.right)}"
        for key in join.keys
    )
    condition = () if join.condition is None else (expression_text(join.condition),)
    return " ".join((f"Join {join.kind}", " AND ".join((*pairs, *condition)))).rstrip()


def window_text(call: WindowCall) -> str:
    arguments = ", ".join(map(expression_text, call.arguments)) or ("*" if call.function == "count_star" else "")
    condition = "" if call.filter is None else f" FILTER (WHERE {expression_text(call.filter)})"
    frame = "" if call.frame == Frame() else f" {call.frame.unit} {bound_text(call.frame.start)} to {bound_text(call.frame.end)}"
    nulls = " IGNORE NULLS" if call.ignore_nulls else ""
    return f"{call.function.removesuffix('_star')}({arguments}{nulls}){condition}{frame}"


def bound_text(bound: FrameBound) -> str:
    offset = "" if bound.kind == "current" else "unbounded " if bound.offset is None else f"{expression_text(bound.offset)} "
    return offset + bound.kind


def subquery_text(subquery: Subquery) -> str:
    plan = "; ".join(line.strip() for line in plan_text(subquery.plan).splitlines())
    operands = ", ".join(map(expression_text, subquery.operands))
    return f"{subquery.kind}({operands} {subquery.comparison} [{plan}])" if operands else f"{subquery.kind}[{plan}]"


def plan_text(plan: Plan) -> str:
    """The operators, each above its inputs.

    >>> print(plan_text(Limit(OneRow(), 1)))
    Limit 1
    └─ OneRow
    """
    lines = [node_text(plan)]
    below = inputs(plan)
    for number, input in enumerate(below, 1):
        first, *rest = plan_text(input).splitlines()
        last = number == len(below)
        lines.append(("└─ " if last else "├─ ") + first)
        lines += [("   " if last else "│  ") + line for line in rest]
    return "\n".join(lines)
