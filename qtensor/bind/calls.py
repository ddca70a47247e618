"""Calls: aggregates, which are collected, and models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from sqlglot import exp

from qtensor.bind import build
from qtensor.bind.build import Operand, plain
from qtensor.bind.catalog import ModelSignature
from qtensor.bind.context import Context
from qtensor.bind.names import expression_name
from qtensor.bind.support import AGGREGATES
from qtensor.bind.syntax import call_arguments
from qtensor.errors import Span, suggestion
from qtensor.expressions import AggregateCall, ColumnRef, Expr, Literal, Predict, children
from qtensor.functions import TypeRuleError, resolve_aggregate
from qtensor.logical import NamedAggregate
from qtensor.types import BIGINT, DOUBLE, TINYINT, Boolean, Date, Decimal, Float, Integer, Interval, Null, Timestamp, Varchar

_AGGREGATE_CLASSES: dict[type[exp.Expr], str] = {
    exp.Count: "count",
    exp.Sum: "sum",
    exp.Avg: "avg",
    exp.Min: "min",
    exp.Max: "max",
}
_SCALAR_FUNCTIONS = ("abs", "coalesce", "nullif", "if", "ifnull")


class Binder(Protocol):
    """The binder of a call's arguments."""

    def bind(self, node: exp.Expr) -> Operand: ...
    def condition(self, node: exp.Expr) -> Operand: ...


def has_aggregate(expr: Expr) -> bool:
    """Whether `expr` refers to an aggregate call, which stands in it as a column of negative index."""
    return (isinstance(expr, ColumnRef) and expr.index < 0) or any(has_aggregate(child) for child in children(expr))


@dataclass
class CallBinder:
    """Binds calls of aggregates and models, and keeps each distinct aggregate call once.

    `binder` binds the arguments of models, `rows` those of aggregates, which are computed for each row of the input.
    """

    context: Context
    binder: Binder
    rows: Binder
    aggregates: list[NamedAggregate] = field(default_factory=list)

    def bind(self, node: exp.Expr) -> Operand:
        """The value of a call: of an aggregate, a reference to column -1 - its position in `aggregates`.

        Raises:
            BindError: no such function, arguments that do not fit it, nested aggregates.
        """
        span = self.context.source.span(node)
        if isinstance(node, exp.Filter):
            return self._aggregate(node.this, span, node)
        if type(node) in _AGGREGATE_CLASSES:
            return self._aggregate(node, span, None)
        name = node.name if isinstance(node, exp.Anonymous) else self.context.source.text(node) or ""
        if isinstance(node, exp.Anonymous) and name.lower() in AGGREGATES:
            return self._aggregate(node, span, None)
        model = self.context.catalog.model(name)
        if model is not None and isinstance(node, exp.Func):
            return self._predict(model, call_arguments(node), span)
        if name.lower() == "iff" and isinstance(node, exp.Anonymous):
            return self._iff(node, span)
        known = [*self.context.catalog.model_names(), *AGGREGATES, *_SCALAR_FUNCTIONS]
        place = Span(span.start, span.start + len(name)) if span else None
        raise self.context.error(f'no function or model "{name}"', place, suggestion(name, known))

    def _iff(self, node: exp.Anonymous, span: Span | None) -> Operand:
        if len(node.expressions) != 3:
            raise self.context.error("iff takes a condition and two values", span)
        condition, then, otherwise = node.expressions
        branch = (self.binder.condition(condition).expr, self.binder.bind(then))
        return build.case(self.context, [branch], self.binder.bind(otherwise), span)

    # --- models ---------------------------------------------------------------------------------------------------------------

    def _predict(self, model: ModelSignature, nodes: list[exp.Expr], span: Span | None) -> Operand:
        if len(nodes) != model.arguments:
            wanted = f"{model.arguments} argument{'s' if model.arguments != 1 else ''}"
            raise self.context.error(f'the model "{model.name}" takes {wanted}, not {len(nodes)}', span)
        arguments = tuple(self._model_argument(model, node) for node in nodes)
        return plain(Predict(model.name, arguments, model.result, span), span)

    def _model_argument(self, model: ModelSignature, node: exp.Expr) -> Expr:
        operand = self.binder.bind(node)
        match operand.expr.type:
            case Integer() | Decimal() | Float():
                return operand.expr
            case Boolean():
                return build.convert(self.context, operand, TINYINT)
            case Null():
                return build.convert(self.context, operand, DOUBLE)
            case other:
                shown = expression_name(node, self.context.source)
                kind = "text column" if isinstance(other, Varchar) else "column"
                message = f'{kind} into a model: {shown} is a {other}, and the arguments of "{model.name}" are numbers'
                raise self.context.error(message, operand.span or self.context.source.span(node))

    # --- aggregates -----------------------------------------------------------------------------------------------------------

    def _aggregate(self, node: exp.Expr, span: Span | None, filtered: exp.Filter | None) -> Operand:
        name = _AGGREGATE_CLASSES.get(type(node)) or node.name.lower()
        name = {"mean": "avg"}.get(name, name)
        if name not in AGGREGATES:
            raise self.context.error("FILTER belongs to an aggregate", span)
        condition = self._filter(filtered.expression.this) if filtered is not None else None
        arguments = _arguments(node)
        if name in ("count", "count_star") and (not arguments or isinstance(arguments[0], exp.Star)):
            if isinstance(node.this, exp.Distinct):
                self.context.unsupported("count(DISTINCT *)", span)
            return self._collected(AggregateCall("count_star", None, BIGINT, filter=condition, span=span), node, filtered)
        if len(arguments) != 1:
            raise self.context.error(f"{name} takes one argument, not {len(arguments)}", span)
        operand = self.rows.bind(arguments[0])
        self._reject_nested(operand.expr, span)
        if name == "avg" and isinstance(operand.expr.type, Date | Timestamp | Interval):
            self.context.unsupported(f"avg of a {operand.expr.type}", span)
            return plain(Literal(None, operand.expr.type), span)
        try:
            signature = resolve_aggregate(name, operand.type)
        except TypeRuleError as error:
            raise self.context.error(str(error), span) from error
        argument = build.convert(self.context, operand, signature.operands[0])
        # Equal values once or more often: the least and the greatest are the same.
        distinct = isinstance(node.this, exp.Distinct) and name not in ("min", "max")
        return self._collected(AggregateCall(name, argument, signature.result, distinct, condition, span), node, filtered)

    def _filter(self, node: exp.Expr) -> Expr:
        operand = self.rows.condition(node)
        if has_aggregate(operand.expr):
            raise self.context.error("aggregates are not allowed in FILTER", operand.span)
        return operand.expr

    def _reject_nested(self, argument: Expr, span: Span | None) -> None:
        if has_aggregate(argument):
            raise self.context.error("aggregate function calls cannot be nested", span)

    def _collected(self, call: AggregateCall, node: exp.Expr, filtered: exp.Filter | None) -> Operand:
        position = next((i for i, known in enumerate(self.aggregates) if known.call == call), None)
        if position is None:
            position = len(self.aggregates)
            self.aggregates.append(NamedAggregate(expression_name(filtered or node, self.context.source), call))
        name = self.aggregates[position].name
        return plain(ColumnRef(-1 - position, call.type, name), call.span)


def _arguments(node: exp.Expr) -> list[exp.Expr]:
    if isinstance(node, exp.Anonymous):
        return list(node.expressions)
    if isinstance(node.this, exp.Distinct):
        return list(node.this.expressions)
    return [part for part in (node.this, *node.expressions) if part is not None]
