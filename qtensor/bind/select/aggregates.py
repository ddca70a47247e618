"""Calls of aggregates: their arguments, DISTINCT, ORDER BY and FILTER as one of the aggregates that plans know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from sqlglot import exp

from qtensor.bind.context import Context
from qtensor.bind.expressions import build
from qtensor.bind.expressions.build import Operand
from qtensor.bind.select.collected import AggregateRef, WindowRef
from qtensor.bind.select.correlation import reads
from qtensor.bind.text.syntax import call_arguments
from qtensor.errors import Span
from qtensor.expressions import AggregateCall, Call, Expr, Literal, SortKey, children
from qtensor.functions.aggregates import ALIASES, ARITIES, IDEMPOTENT, resolve_aggregate
from qtensor.functions.operators import TypeRuleError, natural_type
from qtensor.types import BIGINT, BOOLEAN, DOUBLE, Boolean, Decimal, Float, Integer, Interval, Null, SqlType, Varchar

# The aggregates that sqlglot has a class for, whatever the query calls them.
CLASSES: dict[type[exp.Expr], str] = {
    exp.Count: "count",
    exp.Sum: "sum",
    exp.Avg: "avg",
    exp.Min: "min",
    exp.Max: "max",
    exp.Stddev: "stddev_samp",
    exp.StddevSamp: "stddev_samp",
    exp.StddevPop: "stddev_pop",
    exp.Variance: "var_samp",
    exp.VariancePop: "var_pop",
    exp.Corr: "corr",
    exp.CovarPop: "covar_pop",
    exp.CovarSamp: "covar_samp",
    exp.RegrCount: "regr_count",
    exp.RegrAvgx: "regr_avgx",
    exp.RegrAvgy: "regr_avgy",
    exp.RegrSxx: "regr_sxx",
    exp.RegrSyy: "regr_syy",
    exp.RegrSxy: "regr_sxy",
    exp.RegrSlope: "regr_slope",
    exp.RegrIntercept: "regr_intercept",
    exp.RegrR2: "regr_r2",
    exp.LogicalAnd: "bool_and",
    exp.LogicalOr: "bool_or",
    exp.AnyValue: "any_value",
    exp.First: "first",
    exp.Last: "last",
    exp.ArgMin: "arg_min",
    exp.ArgMax: "arg_max",
    exp.CountIf: "count_if",
    exp.BitwiseAndAgg: "bit_and",
    exp.BitwiseOrAgg: "bit_or",
    exp.BitwiseXorAgg: "bit_xor",
    exp.Median: "median",
    exp.PercentileCont: "quantile_cont",
    exp.PercentileDisc: "quantile_disc",
    exp.Quantile: "quantile_disc",
    exp.Mode: "mode",
    exp.ApproxDistinct: "approx_count_distinct",
    exp.GroupConcat: "string_agg",
}


class RowBinder(Protocol):
    """What binds expressions over the rows that calls are computed of."""

    def bind(self, node: exp.Expr) -> Operand: ...
    def condition(self, node: exp.Expr) -> Operand: ...


def aggregate_name(node: exp.Expr) -> str | None:
    """The aggregate that `node` calls, None if it calls none."""
    match node:
        case exp.Filter() | exp.WithinGroup() | exp.IgnoreNulls() | exp.RespectNulls():
            return aggregate_name(node.this)
        case exp.Anonymous():
            name = node.name.lower()
            if name.startswith("percentile_"):  # without WITHIN GROUP, DuckDB has no such function
                return None
            name = ALIASES.get(name, name)
            return name if name in ARITIES else None
        case _:
            return CLASSES.get(type(node))


def has_window(expr: Expr) -> bool:
    """Whether `expr` refers to a window function."""
    return isinstance(expr, WindowRef) or any(has_window(child) for child in children(expr))


def has_aggregate(expr: Expr) -> bool:
    """Whether `expr` refers to an aggregate call, or asks for GROUPING."""
    return asks_for_grouping(expr) or any(depth == 0 and isinstance(column, AggregateRef) for depth, column in reads(expr))


def asks_for_grouping(expr: Expr) -> bool:
    """Whether `expr` calls GROUPING."""
    return (isinstance(expr, Call) and expr.function == "grouping") or any(asks_for_grouping(child) for child in children(expr))


def _is_function_of(expr: Expr, arguments: Sequence[Expr]) -> bool:
    """Whether `expr` is computed of `arguments` alone."""
    parts = children(expr)
    return expr in arguments or isinstance(expr, Literal) or (bool(parts) and all(_is_function_of(p, arguments) for p in parts))


@dataclass
class Written:
    """A call as the query writes it."""

    name: str
    arguments: list[exp.Expr]
    distinct: bool = False
    ordered: Sequence[exp.Ordered] = ()
    condition: exp.Expr | None = None
    in_group: bool = False  # WITHIN GROUP: what is ordered by is the argument


def read_call(node: exp.Expr, name: str) -> Written:
    """The parts of a call, wherever sqlglot hangs them."""
    condition = None
    within: Sequence[exp.Ordered] | None = None
    while isinstance(node, exp.Filter | exp.WithinGroup | exp.IgnoreNulls | exp.RespectNulls):
        if isinstance(node, exp.Filter):
            condition = node.expression.this
        elif isinstance(node, exp.WithinGroup):
            within = node.expression.expressions
        node = node.this
    written = Written(name, [], condition=condition)
    for argument in call_arguments(node) if isinstance(node, exp.Func) else []:
        while isinstance(argument, exp.Order):  # `x ORDER BY y` hangs on the last argument
            written.ordered = argument.expressions
            argument = argument.this
        if isinstance(argument, exp.Distinct):
            written.distinct = True
            inner = argument.expressions
            if inner and isinstance(inner[-1], exp.Order):
                written.ordered = inner[-1].expressions
                inner = [*inner[:-1], inner[-1].this]
            written.arguments += inner
        else:
            written.arguments.append(argument)
    if within is not None:
        written.ordered, written.in_group = within, True
    return written


def bind_aggregate(context: Context, rows: RowBinder, node: exp.Expr, windowed: bool = False) -> AggregateCall | None:
    """The call at `node`, of which `aggregate_name` knows the name; None if it is not supported, which the context remembers.

    windowed: it is a window function, over rows that may be groups: other aggregates may stand in its arguments.

    Raises:
        BindError: arguments that do not fit the aggregate, or aggregates among them.
    """
    name = aggregate_name(node)
    assert name is not None
    return AggregateBinder(context, rows, context.source.span(node), read_call(node, name), windowed).bind()


@dataclass
class AggregateBinder:
    """Binds one call."""

    context: Context
    rows: RowBinder
    span: Span | None
    written: Written
    windowed: bool = False

    def bind(self) -> AggregateCall | None:
        written = self.written
        condition = None if written.condition is None else self.row_condition(written.condition)
        order = tuple(self.sort_key(ordered) for ordered in written.ordered)
        nodes = written.arguments
        if written.name == "string_agg" and len(nodes) == 1:
            nodes.append(exp.Literal.string(","))
        if written.in_group and not self.take_from_group(nodes):
            return None
        if written.name in ("count", "count_star") and (not nodes or isinstance(nodes[0], exp.Star)):
            if len(nodes) > 1:
                raise self.context.error("count(*) takes no other argument", self.span)
            if written.distinct:
                self.context.unsupported("count(DISTINCT *)", self.span)
            return AggregateCall("count_star", (), BIGINT, filter=condition, span=self.span)
        if len(nodes) == 1 and isinstance(nodes[0], exp.Tuple):
            return self.count_rows(nodes[0], condition)
        if not self.fits(len(nodes)):
            return None
        call = self.bound(written.name, [self.row_value(node) for node in nodes], condition, order)
        return None if call is None else replace(call, span=self.span)

    # --- parts ----------------------------------------------------------------------------------------------------------------

    def row_condition(self, node: exp.Expr) -> Expr:
        operand = self.rows.condition(node)
        if has_aggregate(operand.expr) and not self.windowed:
            raise self.context.error("aggregates are not allowed in FILTER", operand.span)
        self.reject_window(operand)
        return operand.expr

    def row_value(self, node: exp.Expr) -> Operand:
        operand = self.rows.bind(node)
        if has_aggregate(operand.expr) and not self.windowed:
            raise self.context.error("aggregate function calls cannot be nested", self.span)
        self.reject_window(operand)
        return operand

    def reject_window(self, operand: Operand) -> None:
        if has_window(operand.expr):
            raise self.context.error("aggregate function calls cannot contain window functions", operand.span or self.span)

    def sort_key(self, ordered: exp.Ordered) -> SortKey:
        constant = ordered.this.unnest()
        integer = isinstance(constant, exp.Literal) and not constant.is_string and constant.name.isdecimal()
        if isinstance(constant, exp.Literal | exp.Boolean | exp.Null) and not integer:
            raise self.context.error("ORDER BY a constant has no effect", self.context.source.span(ordered) or self.span)
        expr = self.row_value(ordered.this).expr
        return SortKey(expr, bool(ordered.args.get("desc")), bool(ordered.args.get("nulls_first")))

    def take_from_group(self, nodes: list[exp.Expr]) -> bool:
        """`percentile_cont(f) WITHIN GROUP (ORDER BY x)` as quantile_cont(x, f); DESC counts from the top."""
        ordered = self.written.ordered[0]
        if self.written.name not in ("quantile_cont", "quantile_disc", "mode") or len(self.written.ordered) != 1:
            self.context.unsupported("WITHIN GROUP here", self.span)
            return False
        nodes.insert(0, ordered.this)
        return True

    def fits(self, given: int) -> bool:
        """Whether the aggregate takes so many arguments; False where that would be right but is not supported."""
        name, wanted = self.written.name, ARITIES[self.written.name]
        if given == wanted:
            return True
        if name == "count" and self.written.distinct:
            hint = "The different rows of several columns are counted by count(DISTINCT (a, b))."
            raise self.context.error(f"count takes one argument, not {given}", self.span, hint)
        if name in ("min", "max", "arg_min", "arg_max") and given == wanted + 1:
            self.context.unsupported(f"{name} of several values", self.span)
            return False
        words = {0: "no argument", 1: "one argument", 2: "two arguments"}
        raise self.context.error(f"{name} takes {words[wanted]}, not {given}", self.span)

    def count_rows(self, row: exp.Tuple, condition: Expr | None) -> AggregateCall | None:
        """count of (a, b): rows are never NULL, even where all their fields are."""
        if self.written.name != "count":
            self.context.unsupported("tuples", self.span)
            return None
        fields = tuple(self.row_value(node).expr for node in row.expressions)
        if not self.written.distinct:
            return AggregateCall("count_star", (), BIGINT, filter=condition, span=self.span)
        return AggregateCall("count", fields, BIGINT, distinct=True, filter=condition, span=self.span)

    # --- by name --------------------------------------------------------------------------------------------------------------

    def bound(
        self, name: str, operands: list[Operand], condition: Expr | None, order: tuple[SortKey, ...]
    ) -> AggregateCall | None:
        distinct = self.written.distinct
        if distinct and not all(_is_function_of(key.expr, [operand.expr for operand in operands]) for key in order):
            raise self.context.error("with DISTINCT, ORDER BY takes the arguments and what is computed of them", self.span)
        match name:
            case "any_value":
                return self.bound("first", operands, self.valid(operands, condition), order)
            case "arg_min" | "arg_max" | "arg_min_null" | "arg_max_null":
                value, by = operands
                needed = [by] if name.endswith("_null") else operands
                extreme = SortKey(by.expr, descending="max" in name)
                self.written.distinct = False  # equal pairs have one extreme
                return self.bound("first", [value], self.valid(needed, condition), (extreme, *order))
            case "bool_and" | "bool_or" | "count_if":
                self.signature(name, operands)
                truth = Operand(build.convert(self.context, operands[0], BOOLEAN), BOOLEAN, self.span)
                function = {"bool_and": "min", "bool_or": "max", "count_if": "sum"}[name]
                return self.bound(function, [truth], condition, ())
            case "approx_count_distinct":
                call = self.bound("count", operands, condition, ())
                return None if call is None else replace(call, distinct=True)
            case "median":
                continuous = not isinstance(natural_type(operands[0].type), Varchar | Boolean)
                half = Operand(Literal(0.5, DOUBLE), DOUBLE, self.span)
                return self.bound("quantile_cont" if continuous else "quantile_disc", [operands[0], half], condition, ())
            case "quantile_cont" | "quantile_disc":
                return self.quantile(name, operands, condition, order)
            case "string_agg":
                return self.joined_texts(operands, condition, order)
            case "mode" if distinct:  # each value is there once: of those that are equally frequent it is the first
                return self.bound("any_value", operands, condition, order)
            case "avg" if isinstance(operands[0].expr.type, Interval):
                self.context.unsupported("avg of an INTERVAL", self.span)
                return None
            case _:
                arguments, result = self.signature(name, operands)
                added = name in ("sum", "avg", "product") and isinstance(arguments[0].type, Float)
                kept = order if name in ("first", "last", "mode") or added else ()  # what floats add up to depends on their order
                # Equal values once or more often: the least and the greatest are the same.
                return AggregateCall(name, arguments, result, distinct and name not in IDEMPOTENT, condition, kept)

    def signature(self, name: str, operands: list[Operand]) -> tuple[tuple[Expr, ...], SqlType]:
        """The arguments converted to what the aggregate takes, and the type of its result."""
        try:
            signature = resolve_aggregate(name, [operand.type for operand in operands])
        except TypeRuleError as error:
            raise self.context.error(str(error), self.span) from error
        pairs = zip(operands, signature.arguments, strict=True)
        return tuple(build.convert(self.context, operand, type) for operand, type in pairs), signature.result

    def valid(self, operands: list[Operand], condition: Expr | None) -> Expr:
        """`condition`, and no operand is NULL."""
        present = [Call("is_not_null", (operand.expr,), BOOLEAN, self.span) for operand in operands]
        parts = (*([] if condition is None else [condition]), *present)
        return parts[0] if len(parts) == 1 else Call("and", parts, BOOLEAN, self.span)

    def quantile(
        self, name: str, operands: list[Operand], condition: Expr | None, order: tuple[SortKey, ...]
    ) -> AggregateCall | None:
        value, fraction = operands
        if order and (len(order) > 1 or order[0].expr != value.expr):
            self.context.unsupported(f"{name} ordered by something else than its argument", self.span)
            return None
        literal = self.fraction(fraction, descending=bool(order) and order[0].descending)
        if literal is None:
            return None
        (argument,), result = self.signature(name, [value])
        return AggregateCall(name, (argument, literal), result, self.written.distinct, condition)

    def joined_texts(self, operands: list[Operand], condition: Expr | None, order: tuple[SortKey, ...]) -> AggregateCall | None:
        """string_agg: the separator is one text for all rows."""
        value, separator = operands
        if not isinstance(separator.expr, Literal) or not isinstance(separator.expr.value, str):
            self.context.unsupported("string_agg with a separator that is not a text or a parameter", separator.span or self.span)
            return None
        (argument,), result = self.signature("string_agg", [value])
        if self.written.distinct and order:  # equal texts are neighbours once the last key is the text itself
            last = next((place for place, key in enumerate(order) if key.expr == value.expr), len(order))
            order = (*order, SortKey(value.expr))[: last + 1]
        return AggregateCall("string_agg", (argument, separator.expr), result, self.written.distinct, condition, order)

    def fraction(self, operand: Operand, descending: bool) -> Literal | None:
        """The fraction of a quantile: a DECIMAL as written, for exact positions, or a DOUBLE; negated if `descending`."""
        literal = operand.expr
        if not isinstance(literal, Literal):
            self.context.unsupported("quantiles at a fraction that is not a number or a parameter", operand.span or self.span)
            return None
        if isinstance(literal.type, Null):
            raise self.context.error("the fraction of a quantile cannot be NULL", operand.span or self.span)
        if not isinstance(literal.type, Integer | Decimal | Float) or not isinstance(literal.value, int | float):
            raise self.context.error("the fraction of a quantile is a number", operand.span or self.span)
        unit = 10**literal.type.scale if isinstance(literal.type, Decimal) else 1
        if not -unit <= literal.value <= unit:
            raise self.context.error("the fraction of a quantile lies in [-1, 1]", operand.span or self.span)
        if self.written.in_group and literal.value < 0:
            raise self.context.error("the fraction of a percentile lies in [0, 1]", operand.span or self.span)
        return replace(literal, value=-literal.value) if descending else literal
