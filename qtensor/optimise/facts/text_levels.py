"""What a plan needs of the codes of each text column: known before the columns are encoded, so that no more is done than that.

Sound because it errs on one side: whatever is not known here to need less is given codes in the order of the strings. That a
column is weaker than an operation needs is an InternalError there (`Lowerer.require`), never a wrong row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, assert_never

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
    children,
)
from qtensor.functions.scalars.registry import SCALARS
from qtensor.logical import Aggregate, CommonScan, Filter, Join, Limit, OneRow, Plan, Project, Scan, Sort, Union, Window, With
from qtensor.lowering.storage.levels import Level, strongest
from qtensor.types import Varchar

TextLevels: TypeAlias = Mapping[tuple[str, int], Level]  # by table and the column's position there

_EQUALITIES = ("equal", "not_equal", "is_distinct_from", "is_not_distinct_from", "in")


def text_levels(plan: Plan) -> TextLevels:
    """The level that each text column must have for `plan`, which is optimised; a table's column has one for the whole plan.

    >>> from qtensor.expressions import ColumnRef
    >>> from qtensor.logical import SortKey
    >>> from qtensor.types import VARCHAR, Field
    >>> scan = Scan("t", (Field("a", VARCHAR), Field("b", VARCHAR)), (0, 1))
    >>> text_levels(Sort(scan, (SortKey(ColumnRef(1, VARCHAR)),)))
    {('t', 0): 'plain', ('t', 1): 'ordered'}
    """
    found = _Found({}, {})
    _visit(plan, _Needs(["plain"] * len(plan.schema)), found)
    return found.columns


@dataclass
class _Found:
    """The levels of tables' columns, and of those of the definitions of a `With`, as far as is known yet."""

    columns: dict[tuple[str, int], Level]
    definitions: dict[int, list[Level]]


@dataclass
class _Needs:
    """The level that each column of some rows must have, as far as is known yet."""

    levels: list[Level]

    def use(self, expr: Expr, needed: Level) -> None:
        """`expr` is computed of the rows, and if it is text, its codes must be of the level `needed`."""
        match expr:
            case ColumnRef(index=index):
                self.levels[index] = strongest(self.levels[index], needed)
            case Literal():
                pass
            case Call(function=function, arguments=arguments):
                below = _of_arguments(function, arguments, needed)
                for argument in arguments:
                    self.use(argument, below)
            case Cast(operand=operand, type=type):
                self.use(operand, needed if isinstance(type, Varchar) else "plain")
            case Case(branches=branches, otherwise=otherwise):
                for condition, value in branches:
                    self.use(condition, "plain")
                    self.use(value, needed)
                self.use(otherwise, needed)
            case Predict(arguments=arguments):
                for argument in arguments:  # of a text what it is looked up by
                    self.use(argument, "plain")
            case OuterColumn() | Subquery():
                for child in children(expr):
                    self.use(child, "ordered")
            case _:
                assert_never(expr)

    def aggregate(self, call: AggregateCall, needed: Level) -> None:
        if call.function == "count":
            level: Level = "unique" if call.distinct else "plain"
        elif call.function in ("first", "last"):
            level = needed
        elif call.function == "string_agg":
            level = "ordered" if call.distinct else "plain"
        else:
            level = "ordered"
        for argument in call.arguments:
            self.use(argument, level)
        for key in call.order:
            self.use(key.expr, "ordered")
        if call.filter is not None:
            self.use(call.filter, "plain")


def _of_arguments(function: str, arguments: tuple[Expr, ...], needed: Level) -> Level:
    """What a function needs of the codes of its text arguments."""
    known = SCALARS.get(function)
    if known is not None and known.evaluate is not None:
        return "plain"  # evaluated for each string of the dictionary
    match function:
        case "like" | "ilike" | "is_null" | "is_not_null" | "and" | "or" | "not":
            return "plain"
        case "coalesce":
            return needed
        case _ if function in _EQUALITIES:
            rows = sum(not isinstance(argument, Literal) or argument.value is None for argument in arguments)
            return "plain" if rows <= 1 else "unique"  # a literal is looked up in the dictionary
        case _:
            return "ordered"


def _visit(plan: Plan, needs: _Needs, found: _Found) -> None:
    """needs: what is needed of the plan's own columns."""
    levels = needs.levels
    match plan:
        case Scan(table=table, columns=columns, fields=fields):
            for index, column, level in zip(columns, fields, levels, strict=True):
                if isinstance(column.type, Varchar):
                    found.columns[table, index] = strongest(found.columns.get((table, index), "plain"), level)
        case OneRow():
            pass
        case CommonScan(number=number):
            known = found.definitions.setdefault(number, list(levels))
            found.definitions[number] = [strongest(*pair) for pair in zip(known, levels, strict=True)]
        case With(definitions=definitions, input=input):
            _visit(input, needs, found)
            for item in reversed(definitions):
                _visit(item.plan, _Needs(found.definitions.get(item.number, ["plain"] * len(item.plan.schema))), found)
        case Filter(input=input, predicate=predicate):
            needs.use(predicate, "plain")
            _visit(input, needs, found)
        case Project(input=input, expressions=expressions):
            below = _Needs(["plain"] * len(input.schema))
            for named, level in zip(expressions, levels, strict=True):
                below.use(named.expr, level)
            _visit(input, below, found)
        case Aggregate(input=input, keys=keys, aggregates=aggregates):
            below = _Needs(["plain"] * len(input.schema))
            for named, level in zip(keys, levels[: len(keys)], strict=True):
                below.use(named.expr, strongest("unique", level))
            for aggregate, level in zip(aggregates, levels[len(keys) :], strict=True):
                below.aggregate(aggregate.call, level)
            _visit(input, below, found)
        case Sort(input=input, keys=keys):
            for key in keys:
                needs.use(key.expr, "ordered")
            _visit(input, needs, found)
        case Limit(input=input):
            _visit(input, needs, found)
        case Join():
            _visit_join(plan, levels, found)
        case Union(branches=branches):
            for branch in branches:
                _visit(branch, _Needs(list(levels)), found)
        case Window(input=input):
            below = _Needs(list(levels[: len(input.schema)]))
            calls = [function.call for function in plan.functions]
            read = [expr for call in calls for expr in (*call.arguments, *(key.expr for key in call.order))]
            filters = [call.filter for call in calls if call.filter is not None]
            for expr in (*plan.partition, *(key.expr for key in plan.order), *read, *filters):
                below.use(expr, "ordered")
            _visit(input, below, found)
        case _:
            assert_never(plan)


def _visit_join(join: Join, levels: list[Level], found: _Found) -> None:
    width, other = len(join.left.schema), len(join.right.schema)
    shown = levels if join.kind not in ("semi", "anti", "mark") else levels[:width]
    both = _Needs([*shown, *(["plain"] * (width + other - len(shown)))])  # type: ignore[list-item]
    if join.condition is not None:
        both.use(join.condition, "plain")
    left, right = _Needs(both.levels[:width]), _Needs(both.levels[width:])
    for key in join.keys:
        left.use(key.left, "unique")
        right.use(key.right, "unique")
    _visit(join.left, left, found)
    _visit(join.right, right, found)
