"""Texts whose order is that of a list, ENUM, made into plain texts and their places in the list, before a plan is optimised.

Stored, joined and grouped they are texts. Only what orders them is another: a key of ORDER BY and the like becomes the place of
the text, a whole number, and so do the sides of a comparison and the argument of a maximum. Beside anything else DuckDB makes a
VARCHAR of an ENUM, which the binder has done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from typing import Any

from qtensor.errors import UnsupportedError
from qtensor.expressions import AggregateCall, Call, Cast, ColumnRef, Expr, Literal, SortKey, Subquery, WindowCall
from qtensor.logical import Aggregate, NamedExpr, Plan, Project, Window
from qtensor.types import INTEGER, VARCHAR, Enum
from qtensor.values.texts import ConversionError

PLACE = "place in enum"  # (VARCHAR, VARCHAR literal: the list) -> INTEGER; no name that SQL has
TEXT = "text of enum"  # (INTEGER, the list) -> VARCHAR
MEMBER = "member of enum"  # (VARCHAR, the list) -> VARCHAR: the text itself, if it is one of the list

_BETWEEN = "\0\n"
_COMPARISONS = ("less", "less_equal", "greater", "greater_equal")
_EXTREMES = ("min", "max", "quantile_disc")


def without_enums(plan: Plan) -> Plan:
    """`plan` with VARCHAR for every ENUM, its rows the same, in the same order; the same object if it has none.

    Raises:
        UnsupportedError: an ENUM is ordered by what has no key for it.
    """
    return _Rewriting().plan(plan) if _has_enums(plan) else plan


def _has_enums(plan: Plan) -> bool:
    """Whether there is an ENUM anywhere in `plan`. No recursion: expressions may be deep."""
    pending: list[object] = [plan]
    seen: set[int] = set()
    while pending:
        node = pending.pop()
        if isinstance(node, Enum):
            return True
        if isinstance(node, tuple):
            pending += node
        elif is_dataclass(node) and not isinstance(node, type) and id(node) not in seen:
            seen.add(id(node))
            pending += [getattr(node, part.name) for part in fields(node)]
    return False


class _Rewriting:
    """One pass over a plan; what is shared in it is shared in its result."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[object, Any]] = {}

    def plan(self, plan: Plan) -> Plan:
        result: Plan = self._visit(plan)
        return result

    def _visit(self, node: Any) -> Any:
        if isinstance(node, Enum):
            return VARCHAR
        if type(node) is tuple:
            parts = tuple(self._visit(part) for part in node)
            return node if all(new is old for new, old in zip(parts, node, strict=True)) else parts
        if not is_dataclass(node) or isinstance(node, type):
            return node
        if id(node) not in self._seen:
            self._seen[id(node)] = node, self._rewritten(node)
        return self._seen[id(node)][1]

    def _rewritten(self, node: Any) -> Any:
        match node:
            case Cast(operand, Enum() as target) if not isinstance(operand.type, Enum):
                return Call(MEMBER, (self._visit(operand), _listed(target)), VARCHAR, node.span)
            case Cast(operand, type) if isinstance(operand.type, Enum) and type == VARCHAR:
                return self._visit(operand)
            case SortKey(expr) if isinstance(expr.type, Enum):
                return replace(node, expr=self._place(expr))
            case Call(function, (left, right)) if function in _COMPARISONS and isinstance(left.type, Enum):
                return replace(node, arguments=(self._place(left), self._place(right)))
            case Call("greatest" | "least" as function, arguments, Enum() as enum):
                places = tuple(map(self._place, arguments))
                return _text_at(Call(function, places, INTEGER, node.span), enum)
            case Aggregate(keys=keys, aggregates=aggregates):
                return self._with_texts(node, len(keys), [item.call for item in aggregates])
            case Window(input=input, functions=functions):
                return self._with_texts(node, len(input.schema), [item.call for item in functions])
            case AggregateCall(function, arguments, Enum()) | WindowCall(function, arguments, Enum()) if function in _EXTREMES:
                first, *others = arguments
                return replace(self._parts(node), arguments=(self._place(first), *self._visit(tuple(others))), type=INTEGER)
            case Subquery(operands=operands, comparison=comparison) if comparison in _COMPARISONS and any(
                isinstance(operand.type, Enum) for operand in operands
            ):
                spans = [] if node.span is None else [node.span]
                raise UnsupportedError("not supported yet: ANY and ALL of an ENUM; cast it to VARCHAR", "", spans)
            case _:
                return self._parts(node)

    def _parts(self, node: Any) -> Any:
        """`node` with its fields rewritten."""
        changes = {
            part.name: new
            for part in fields(node)
            if part.init and (new := self._visit(old := getattr(node, part.name))) is not old
        }
        return replace(node, **changes) if changes else node

    def _place(self, expr: Expr) -> Expr:
        assert isinstance(expr.type, Enum)
        return Call(PLACE, (self._visit(expr), _listed(expr.type)), INTEGER)

    def _with_texts(self, node: Aggregate | Window, width: int, calls: Sequence[AggregateCall | WindowCall]) -> Plan:
        """`node`, whose calls begin at column `width`: those that give places of an ENUM made texts again above it."""
        enums = {
            width + index: call.type
            for index, call in enumerate(calls)
            if isinstance(call.type, Enum) and call.function in _EXTREMES
        }
        plan: Aggregate | Window = self._parts(node)
        if not enums:
            return plan
        columns = [ColumnRef(index, field.type, field.name) for index, field in enumerate(plan.schema)]
        return Project(
            plan,
            tuple(
                NamedExpr(column.name, _text_at(column, enums[index]) if index in enums else column)
                for index, column in enumerate(columns)
            ),
        )


def _text_at(place: Expr, enum: Enum) -> Expr:
    """The text at a place; that there are no more of them tells the remainder, which changes nothing."""
    bounded = Call("modulo", (place, Literal(max(1, len(enum.values)), INTEGER)), INTEGER)
    return Call(TEXT, (bounded, _listed(enum)), VARCHAR)


def _listed(enum: Enum) -> Literal:
    return Literal(_BETWEEN.join(enum.values), VARCHAR)


def place(text: str, listed: str) -> int:
    """Where `text` stands in the list. Raises ConversionError: nowhere."""
    found = _places(listed).get(text)
    if found is None:
        raise ConversionError(f"'{text}' is not one of the ENUM's values")
    return found


def member(text: str, listed: str) -> str:
    """`text`, which is in the list. Raises ConversionError: it is not."""
    place(text, listed)
    return text


def text_at(place: int, listed: str) -> str:
    """The text at a place, "" beyond the last one."""
    values = _values(listed)
    return values[place] if place < len(values) else ""


@lru_cache(maxsize=64)
def _values(listed: str) -> tuple[str, ...]:
    return tuple(listed.split(_BETWEEN))


@lru_cache(maxsize=64)
def _places(listed: str) -> dict[str, int]:
    return {value: index for index, value in enumerate(_values(listed))}
