"""Window functions: calls with OVER, which are collected, and the Window plans that compute them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal as Literals

from sqlglot import exp

from qtensor.bind.context import Context
from qtensor.bind.expressions import build
from qtensor.bind.expressions.build import Operand, plain
from qtensor.bind.select.aggregates import RowBinder, aggregate_name, bind_aggregate, has_window
from qtensor.bind.select.collected import WindowRef
from qtensor.bind.select.window_syntax import FUNCTIONS, WindowError, WrittenBound, WrittenWindow, written_window
from qtensor.bind.text.names import expression_name
from qtensor.bind.text.syntax import call_arguments
from qtensor.errors import Span, with_article
from qtensor.expressions import ColumnRef, Expr, Frame, FrameBound, Literal, SortKey, WindowCall, map_window_call
from qtensor.functions.operators import common_type, implicit_cast_cost, natural_type
from qtensor.logical import NamedWindow, Plan, Window
from qtensor.optimise.rewriting import transform
from qtensor.types import BIGINT, DOUBLE, NULL, Null, SqlType

_ARITIES = {
    **dict.fromkeys(("row_number", "rank", "dense_rank", "percent_rank", "cume_dist"), (0, 0)),
    **dict.fromkeys(("ntile", "first_value", "last_value"), (1, 1)),
    **dict.fromkeys(("lag", "lead"), (1, 3)),
    "nth_value": (2, 2),
}
_IGNORING_NULLS = ("lag", "lead", "first_value", "last_value", "nth_value")


@dataclass(frozen=True)
class WindowEntry:
    """A call, and what it is computed over."""

    partition: tuple[Expr, ...]
    order: tuple[SortKey, ...]
    named: NamedWindow


@dataclass
class WindowBinder:
    """Binds the calls of one SELECT, and keeps each distinct one once.

    In expressions a call stands as the `WindowRef` of its position in `entries`, until `plan` says which column it is.
    """

    context: Context
    rows: RowBinder
    entries: list[WindowEntry] = field(default_factory=list)

    def bind(self, node: exp.Window) -> Operand:
        """The value of a call with OVER.

        Raises:
            BindError: the function or its arguments do not fit, the window makes no sense, or calls are nested.
        """
        span = self.context.source.span(node) or self.context.source.find_words("OVER")
        try:
            written = written_window(node)
        except WindowError as error:
            raise self.context.error(str(error), span) from error
        partition = tuple(self.value(part).expr for part in written.partition)
        order = tuple(self.sort_key(key) for key in written.order)
        if written.unit == "GROUPS" and (written.start.offset is not None or written.end.offset is not None):
            order = (SortKey(self.number_of_peers(partition, order, span)),)
        call = self.call(node.this, written, order, span)
        if call is None:
            return plain(Literal(None, NULL), span)
        entry = WindowEntry(partition, order, NamedWindow(expression_name(node, self.context.source), call))
        return plain(self.kept(entry), span)

    def kept(self, entry: WindowEntry) -> WindowRef:
        """What stands for the call of `entry`."""
        call = entry.named.call
        same = [known for known in self.entries if replace(known, named=entry.named) == entry and known.named.call == call]
        if not same:
            self.entries.append(entry)
        position = self.entries.index(same[0] if same else entry)
        return WindowRef(position, call.type, entry.named.name)

    def number_of_peers(self, partition: tuple[Expr, ...], order: tuple[SortKey, ...], span: Span | None) -> WindowRef:
        """Rows that are peers counted as one: by this number, a frame of GROUPS is one of RANGE."""
        return self.kept(WindowEntry(partition, order, NamedWindow("peers", WindowCall("dense_rank", (), BIGINT, span=span))))

    def value(self, node: exp.Expr) -> Operand:
        operand = self.rows.bind(node)
        if has_window(operand.expr):
            raise self.context.error("window function calls cannot be nested", operand.span)
        return operand

    def condition(self, node: exp.Expr) -> Operand:
        operand = self.rows.condition(node)
        if has_window(operand.expr):
            raise self.context.error("window function calls cannot be nested", operand.span)
        return operand

    def sort_key(self, ordered: exp.Ordered) -> SortKey:
        if isinstance(ordered.this, exp.Var) and ordered.this.name.upper() == "ALL":
            raise self.context.error("a window cannot be ordered by ALL", self.context.source.span(ordered))
        expr = self.value(ordered.this).expr
        return SortKey(expr, bool(ordered.args.get("desc")), bool(ordered.args.get("nulls_first")))

    # --- calls ----------------------------------------------------------------------------------------------------------------

    def call(self, node: exp.Expr, written: WrittenWindow, order: tuple[SortKey, ...], span: Span | None) -> WindowCall | None:
        """The call, None if it is not supported, which the context remembers."""
        inner, ignore_nulls, filtered = node, False, False
        while isinstance(inner, exp.Filter | exp.IgnoreNulls | exp.RespectNulls):
            ignore_nulls = ignore_nulls or isinstance(inner, exp.IgnoreNulls)
            filtered = filtered or isinstance(inner, exp.Filter)
            inner = inner.this
        name = FUNCTIONS.get(type(inner))
        if name is None and aggregate_name(node) is None:
            shown = self.context.source.text(inner) or expression_name(inner, self.context.source)
            raise self.context.error(f"{shown.split('(')[0]} is no window function", span)
        if filtered and name is not None:
            raise self.context.error("FILTER belongs to an aggregate, also in a window", span)
        frame = self.frame(written, order, span)
        if name is None:
            if ignore_nulls and not isinstance(inner, exp.AnyValue):  # which sqlglot always wraps so
                raise self.context.error("IGNORE NULLS does not go with an aggregate", span)
            return self.aggregate(node, frame, span)
        arguments = call_arguments(inner)
        if any(isinstance(argument, exp.Distinct) for argument in arguments):
            raise self.context.error(f"{name} cannot be DISTINCT", span)
        if any(isinstance(argument, exp.Order) for argument in arguments):
            self.context.unsupported(f"ORDER BY inside {name}", span)
            return None
        if ignore_nulls and name not in _IGNORING_NULLS:
            raise self.context.error(f"IGNORE NULLS does not go with {name}", span)
        call = self.plain_call(name, [self.value(argument) for argument in arguments], span)
        uses_frame = name in ("first_value", "last_value", "nth_value")
        return replace(call, frame=frame if uses_frame else Frame(), ignore_nulls=ignore_nulls)

    def plain_call(self, name: str, operands: list[Operand], span: Span | None) -> WindowCall:
        least, most = _ARITIES[name]
        if not least <= len(operands) <= most:
            wanted = f"{least} to {most} arguments" if most > least else f"{least} argument{'' if least == 1 else 's'}"
            raise self.context.error(f"{name} takes {wanted}, not {len(operands)}", span)
        match name:
            case "row_number" | "rank" | "dense_rank":
                return WindowCall(name, (), BIGINT, span=span)
            case "percent_rank" | "cume_dist":
                return WindowCall(name, (), DOUBLE, span=span)
            case "ntile":
                return WindowCall(name, (self.number(name, operands[0]),), BIGINT, span=span)
            case "first_value" | "last_value":
                return WindowCall(name, (operands[0].expr,), operands[0].expr.type, span=span)
            case "nth_value":
                return WindowCall(name, (operands[0].expr, self.number(name, operands[1])), operands[0].expr.type, span=span)
            case _:
                value, *rest = operands
                offset = self.number(name, rest[0]) if rest else Literal(1, BIGINT)
                default = rest[1] if len(rest) > 1 else plain(Literal(None, NULL), span)
                target = value.expr.type
                return WindowCall(name, (value.expr, offset, build.convert(self.context, default, target)), target, span=span)

    def number(self, name: str, operand: Operand) -> Expr:
        if implicit_cast_cost(operand.type, BIGINT) is None:
            raise self.context.error(f"{name} counts by a BIGINT, not {with_article(natural_type(operand.type))}", operand.span)
        return build.convert(self.context, operand, BIGINT)

    def aggregate(self, node: exp.Expr, frame: Frame, span: Span | None) -> WindowCall | None:
        call = bind_aggregate(self.context, self.rows, node, windowed=True)
        if call is None:
            return None
        if call.function in ("mode", "sum", "avg", "product") and call.order:  # what floats add up to depends on their order
            self.context.unsupported(f"ORDER BY inside {call.function} in a window", span)
            return None
        if call.function in ("first", "last"):
            if call.order and not isinstance(node.find(exp.ArgMin, exp.ArgMax), exp.Expr):
                self.context.unsupported("ORDER BY inside a window function", span)
                return None
            if not call.order:
                function = f"{call.function}_value"
                return WindowCall(function, call.arguments, call.type, frame, call.filter, span=span)
        return WindowCall(call.function, call.arguments, call.type, frame, call.filter, False, call.order, call.distinct, span)

    # --- frames ---------------------------------------------------------------------------------------------------------------

    def frame(self, written: WrittenWindow, order: tuple[SortKey, ...], span: Span | None) -> Frame:
        if written.unit == "ROWS":
            return Frame("rows", self.rows_away(written.start), self.rows_away(written.end))
        if written.start.offset is None and written.end.offset is None:
            return Frame("range", FrameBound(kind_of(written.start)), FrameBound(kind_of(written.end)))
        if len(order) != 1:
            raise self.context.error("RANGE with an offset needs exactly one ORDER BY expression", span)
        key = plain(order[0].expr, self.context.source.span(written.order[0].this) if written.unit == "RANGE" else span)
        counted = written.unit == "GROUPS"
        ends = [self.key_away(bound, key, order[0].descending, counted) for bound in (written.start, written.end)]
        types = [end.type for end in ends if end is not None]
        target = common_type([key.type, *types])
        if target is None or isinstance(target, Null):
            raise self.context.error(f"RANGE cannot count from a {key.expr.type}", key.span or span)
        start, end = (self.bound_at(*pair, target) for pair in zip((written.start, written.end), ends, strict=True))
        return Frame("range", start, end, build.convert(self.context, key, target))

    def rows_away(self, bound: WrittenBound) -> FrameBound:
        if bound.offset is None:
            return FrameBound(kind_of(bound))
        operand = self.value(bound.offset)
        return FrameBound(kind_of(bound), build.convert(self.context, operand, BIGINT))

    def key_away(self, bound: WrittenBound, key: Operand, descending: bool, counted: bool) -> Operand | None:
        """The key at the bound, None where it has no offset; `counted`: the offset is a whole number."""
        if bound.offset is None:
            return None
        offset = self.value(bound.offset)
        if isinstance(offset.expr, Literal) and offset.expr.value is None:
            raise self.context.error("the offset of RANGE cannot be NULL", offset.span)
        if counted:
            offset = plain(build.convert(self.context, offset, BIGINT), offset.span)
        operator = "-" if (bound.side == "PRECEDING") != descending else "+"
        return build.arithmetic(self.context, operator, key, offset, offset.span)

    def bound_at(self, bound: WrittenBound, end: Operand | None, target: SqlType) -> FrameBound:
        return FrameBound(kind_of(bound), None if end is None else build.convert(self.context, end, target))

    # --- plans ----------------------------------------------------------------------------------------------------------------

    def rewrite(self, function: Callable[[Expr], Expr]) -> None:
        """Apply `function` to all that the calls read: to move them above groups."""
        self.entries = [
            WindowEntry(
                tuple(function(part) for part in entry.partition),
                tuple(replace(key, expr=function(key.expr)) for key in entry.order),
                replace(entry.named, call=map_window_call(entry.named.call, function)),
            )
            for entry in self.entries
        ]

    def plan(self, plan: Plan) -> tuple[Plan, Callable[[Expr], Expr]]:
        """One Window over `plan` for each partition and order, and what puts the calls' columns into an expression.

        Those that are ordered by the column of another call come after it.
        """
        groups: dict[tuple[tuple[Expr, ...], tuple[SortKey, ...]], list[int]] = {}
        for number, entry in enumerate(self.entries):
            groups.setdefault((entry.partition, entry.order), []).append(number)
        columns: dict[int, int] = {}

        def placed(expr: Expr) -> Expr:
            return ColumnRef(columns[expr.index], expr.type, expr.name) if isinstance(expr, WindowRef) else expr

        for (partition, order), numbers in sorted(
            groups.items(), key=lambda group: any(has_window(key.expr) for key in group[0][1])
        ):
            width = len(plan.schema)
            keys = tuple(replace(key, expr=transform(key.expr, placed)) for key in order)
            calls = (self.entries[number].named for number in numbers)
            named = tuple(replace(one, call=map_window_call(one.call, lambda expr: transform(expr, placed))) for one in calls)
            plan = Window(plan, partition, keys, named)
            columns |= {number: width + position for position, number in enumerate(numbers)}
        return plan, lambda expr: transform(expr, placed)


def kind_of(bound: WrittenBound) -> Literals["preceding", "following", "current"]:
    match bound.side:
        case "PRECEDING":
            return "preceding"
        case "FOLLOWING":
            return "following"
        case _:
            return "current"
