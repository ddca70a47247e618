"""Calls: aggregates, which are collected, and models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from sqlglot import exp

from qtensor.bind.catalog import ModelSignature
from qtensor.bind.context import Context
from qtensor.bind.expressions import build
from qtensor.bind.expressions.build import Operand, plain
from qtensor.bind.expressions.model_calls import (
    Argument,
    called_name,
    in_order,
    is_small,
    is_taken,
    output_of,
    scores_of,
    written_values,
)
from qtensor.bind.select.aggregates import RowBinder, aggregate_name, bind_aggregate
from qtensor.bind.select.collected import AggregateRef, as_outer
from qtensor.bind.select.correlation import reads
from qtensor.bind.select.stars import is_several
from qtensor.bind.select.window_syntax import FUNCTIONS
from qtensor.bind.text.names import expression_name
from qtensor.bind.text.syntax import call_arguments
from qtensor.bind.text.words import quoted
from qtensor.errors import Span, suggestion, with_article
from qtensor.expressions import Call, Case, ColumnRef, Expr, Literal, Predict
from qtensor.functions.aggregates import AGGREGATES
from qtensor.logical import NamedAggregate
from qtensor.types import BIGINT, BOOLEAN, DOUBLE, NULL, TINYINT, VARCHAR, Array, Boolean, Decimal, Float, Integer, Null, Varchar

_SCALAR_FUNCTIONS = ("abs", "coalesce", "nullif", "if", "ifnull")


class Binder(RowBinder, Protocol):
    """The binder of a call's arguments, which knows those of the queries around."""

    def calls_around(self, depth: int) -> CallBinder: ...

    def starred(self, node: exp.Expr) -> list[Operand]: ...


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
        """The value of a call: of an aggregate, an `AggregateRef` to its position in `aggregates`.

        Raises:
            BindError: no such function, arguments that do not fit it, nested aggregates.
        """
        span = self.context.source.span(node)
        if aggregate_name(node) is not None:
            return self._aggregate(node, span)
        if isinstance(node, exp.Filter | exp.WithinGroup | exp.IgnoreNulls | exp.RespectNulls):
            raise self.context.error("FILTER belongs to an aggregate", span)
        if isinstance(node, exp.Grouping | exp.GroupingId):
            return plain(Call("grouping", tuple(self.rows.bind(key).expr for key in node.expressions), BIGINT, span), span)
        name = called_name(node, self.context.source)
        model = self.context.catalog.model(name)
        if model is not None and isinstance(node, exp.Func):
            return self.predict(model, node)
        if type(node) in FUNCTIONS:
            raise self.context.error(f"{FUNCTIONS[type(node)]} is a window function: it needs OVER", span)
        known = [*self.context.catalog.model_names(), *AGGREGATES, *_SCALAR_FUNCTIONS]
        place = Span(span.start, span.start + len(name)) if span else None
        raise self.context.error(f'no function or model "{name}"', place, suggestion(name, known))

    # --- models ---------------------------------------------------------------------------------------------------------------

    def predict(self, model: ModelSignature, node: exp.Expr, wanted: str | int | None = None) -> Operand:
        """What a model gives, or the output `wanted` of several, by its name or its number from 1 on."""
        span, nodes = self.context.source.span(node), call_arguments(node)
        output, result = output_of(self.context, model, wanted, span)
        given = [
            Argument(node, tuple(value for part in written_values(node) for value in self._model_values(part))) for node in nodes
        ]
        values = in_order(self.context, model, given, span)
        arguments = tuple(self._model_argument(model, position, value) for position, value in enumerate(values))
        taken = [is_taken(argument, model.whole.get(at)) for at, argument in enumerate(arguments)]
        unread = [
            at
            for at, argument in enumerate(arguments)
            if taken[at] and (at in model.unread or (at in model.unread_if_small and is_small(argument)))
        ]
        fails = model.fails or not all(taken)
        return plain(Predict(model.name, arguments, result, span, output, model.work, fails, tuple(unread)), span)

    def _model_values(self, node: exp.Expr) -> list[Operand]:
        """The values that a part of an argument stands for."""
        if is_several(node):
            return self.binder.starred(node)
        operand = self.binder.bind(node)
        if isinstance(operand.expr.type, Array):
            return [plain(score, operand.span) for score in scores_of(operand.expr)]
        return [Operand(operand.expr, operand.type, operand.span or self.context.source.span(node))]

    def _model_argument(self, model: ModelSignature, position: int, operand: Operand) -> Expr:
        """A value as a model takes it, and what it takes a NULL for."""
        number = self._model_text if position in model.texts else self._model_number
        value = number(model, position, operand)
        default = model.nulls[position] if model.nulls else None
        if default is None:
            return value.expr
        type = VARCHAR if isinstance(default, str) else DOUBLE if isinstance(default, float) else BIGINT
        return build.coalesce(self.context, [value, plain(Literal(default, type))], operand.span).expr

    def _model_number(self, model: ModelSignature, position: int, operand: Operand) -> Operand:
        match operand.expr.type:
            case Integer() | Decimal() | Float():
                return operand
            case Boolean():
                return plain(build.convert(self.context, operand, TINYINT), operand.span)
            case Null():
                return plain(build.convert(self.context, operand, DOUBLE), operand.span)
            case _ if position in model.unread:  # whatever it is, as a column that a pipeline drops: only NULL counts
                missing = Call("is_null", (operand.expr,), BOOLEAN, operand.span)
                return plain(Case(((missing, Literal(None, DOUBLE)),), Literal(0.0, DOUBLE), DOUBLE), operand.span)
            case other:
                shown = self._shown(operand)
                kind = "text column" if isinstance(other, Varchar) else "column"
                which = "this argument" if model.texts else "the arguments"
                message = (
                    f"{kind} into a model: {shown} is {with_article(other)}, and {which} of "
                    f'"{model.name}" {"is a number" if model.texts else "are numbers"}'
                )
                hint = f"Write CAST({shown} AS DOUBLE) if its texts are numbers." if isinstance(other, Varchar) else ""
                raise self.context.error(message, operand.span, hint)

    def _model_text(self, model: ModelSignature, position: int, operand: Operand) -> Operand:
        match operand.expr.type:
            case Varchar():
                return operand
            case Null():
                return plain(build.convert(self.context, operand, VARCHAR), operand.span)
            case other:
                shown = self._shown(operand)
                message = f'{shown} is {with_article(other)}, and argument {position + 1} of "{model.name}" is a text'
                raise self.context.error(message, operand.span, f"Write CAST({shown} AS VARCHAR).")

    def _shown(self, operand: Operand) -> str:
        """A value as it is written, or, of a star, the name of the column."""
        if isinstance(operand.expr, ColumnRef):
            return quoted(operand.expr.name)
        return self.context.source.sql[operand.span.start : operand.span.end] if operand.span else "an argument"

    # --- aggregates -----------------------------------------------------------------------------------------------------------

    def _aggregate(self, node: exp.Expr, span: Span | None) -> Operand:
        call = bind_aggregate(self.context, self.rows, node)
        if call is None:
            return plain(Literal(None, NULL), span)
        parts = (*call.arguments, *(key.expr for key in call.order), *((call.filter,) if call.filter else ()))
        depth = min((depth for part in parts for depth, _ in reads(part)), default=0)
        if depth:  # an aggregate of columns of a query further out is that query's
            found = self.rows.calls_around(depth).bind(node).expr
            assert isinstance(found, AggregateRef)
            return plain(as_outer(found, depth), span)
        position = next((i for i, known in enumerate(self.aggregates) if known.call == call), None)
        if position is None:
            position = len(self.aggregates)
            self.aggregates.append(NamedAggregate(expression_name(node, self.context.source), call))
        return plain(AggregateRef(position, call.type, self.aggregates[position].name), span)
