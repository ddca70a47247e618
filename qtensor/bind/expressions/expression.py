"""Scalar expressions: from sqlglot's syntax tree to typed `Expr`s over the columns of one relation."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal as Literals

from sqlglot import exp

from qtensor.bind.context import Context
from qtensor.bind.expressions import build
from qtensor.bind.expressions.build import Operand, plain
from qtensor.bind.expressions.data_types import sql_type
from qtensor.bind.expressions.functions import bind_function
from qtensor.bind.expressions.lists import bind_in, bind_quantified, in_brackets, is_parameter
from qtensor.bind.expressions.macros import interval_of_count
from qtensor.bind.expressions.model_calls import has_outputs
from qtensor.bind.expressions.scalars import bind_scalar, scalar_call
from qtensor.bind.expressions.score_lists import element
from qtensor.bind.expressions.tuples import bind_tuples, is_tuple
from qtensor.bind.select.aggregates import has_aggregate, has_window
from qtensor.bind.select.calls import CallBinder
from qtensor.bind.select.correlation import from_inside
from qtensor.bind.select.scope import ColumnScope, ColumnSpans
from qtensor.bind.select.stars import Stars
from qtensor.bind.select.windows import WindowBinder
from qtensor.bind.text.syntax import connected, is_counted_from_zero, is_text, schema_of, subscript_value, whole_number
from qtensor.errors import Span, UnsupportedError, suggestion
from qtensor.expressions import Call, ColumnRef, Expr, Literal, OuterColumn, Subquery
from qtensor.functions.operators import decimal_literal_type, integer_type, natural_type
from qtensor.logical import NamedExpr, Plan, Project
from qtensor.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTEGER,
    INTERVAL,
    NULL,
    VARCHAR,
    Array,
    Decimal,
    Float,
    Integer,
    IntervalValue,
    SqlType,
    Unsupported,
    Varchar,
)
from qtensor.values.intervals import interval_of, parse_interval, unit_name
from qtensor.values.texts import ConversionError

_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)

_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "equal",
    exp.NEQ: "not_equal",
    exp.LT: "less",
    exp.LTE: "less_equal",
    exp.GT: "greater",
    exp.GTE: "greater_equal",
    exp.NullSafeEQ: "is_not_distinct_from",
    exp.NullSafeNEQ: "is_distinct_from",
}
_UNCHAINED = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_DISTINCTIONS = (exp.NullSafeEQ, exp.NullSafeNEQ)
_ARITHMETIC: dict[type[exp.Expr], str] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.IntDiv: "//",
    exp.Mod: "%",
}


def no_alias(name: str, span: Span | None) -> Operand | None:
    """The look-up of aliases where there are none."""
    return None


_REGULAR = exp.RegexpFullMatch | exp.RegexpLike | exp.RegexpILike


@dataclass
class ExpressionBinder:
    """Binds expressions over the columns of `scope`; a name that is no column is looked up with `alias`.

    Aggregate calls are collected by `calls`, window functions by `windows`; for what stands in their place see
    `qtensor/bind/select/collected.py`. In a subquery, `outer` binds the expressions around it; `query` binds the queries inside
    of expressions.
    """

    context: Context
    scope: ColumnScope
    alias: Callable[[str, Span | None], Operand | None] = no_alias
    spans: ColumnSpans = field(default_factory=ColumnSpans)
    outer: ExpressionBinder | None = None
    query: Callable[[exp.Expr, ExpressionBinder], Plan] | None = None
    calls: CallBinder = field(init=False)
    windows: WindowBinder = field(init=False)

    def __post_init__(self) -> None:
        self.calls = CallBinder(self.context, self, self)
        self.windows = WindowBinder(self.context, self)

    def prefers_alias(self, column: ColumnRef) -> bool:
        """Whether a name means an alias before it means `column`."""
        return False

    def calls_around(self, depth: int) -> CallBinder:
        """What binds the calls of the query `depth` levels out."""
        binder = self
        for _ in range(depth):
            assert binder.outer is not None
            binder = binder.outer
        return binder.calls

    def span(self, node: exp.Expr) -> Span | None:
        """Where `node` stands in the query."""
        return self.context.source.span(node)

    def starred(self, node: exp.Expr) -> list[Operand]:
        """The values that `*`, `t.*` or COLUMNS(...) stands for."""
        listed = Stars(self.context, self.scope, self.spans).expanded(node)
        return [self.bind(item.found) if isinstance(item.found, exp.Expr) else item.found for item in listed]

    def condition(self, node: exp.Expr) -> Operand:
        """`node` as a BOOLEAN."""
        return plain(build.to_boolean(self.context, self.bind(node)), self.span(node))

    def bind(self, node: exp.Expr) -> Operand:
        """The expression that `node` means.

        Raises:
            BindError: a name means nothing here, or types do not go together.
            ExecutionError: a constant that does not convert.
        """
        match node:
            case exp.Column():
                return self._column(node)
            case exp.Literal():
                return self._literal(node)
            case exp.Paren():
                return self.bind(node.this)
            case exp.Binary() if type(node) in _ARITHMETIC:
                return self._arithmetic(node)
            case exp.Binary() if type(node) in _COMPARISONS:
                return self._comparison(node)
            case exp.And() | exp.Or():
                parts = tuple(self.condition(part).expr for part in connected(node))
                return self._boolean_call("and" if isinstance(node, exp.And) else "or", *parts, node=node)
            case exp.Not():
                return self._not(node)
            case exp.Neg():
                return self._negation(node)
            case exp.Null():
                return plain(Literal(None, NULL), self.span(node))
            case exp.Boolean():
                return plain(Literal(bool(node.this), BOOLEAN), self.span(node))
            case exp.Placeholder() | exp.Parameter():
                return self._parameter(node)
            case exp.Interval():
                return self._interval(node)
            case _:
                return self._other(node)

    def _other(self, node: exp.Expr) -> Operand:
        context, span = self.context, self.span(node)
        call = scalar_call(node, context.source, context.catalog)
        if call is not None:
            return bind_scalar(context, call, [self.bind(part) for part in call.arguments], span)
        match node:
            case exp.Between() if is_tuple(node.this):
                return bind_tuples(context, node, None, self.bind)
            case exp.Between():
                value, low, high = (self.bind(part) for part in (node.this, node.args["low"], node.args["high"]))
                return build.between(context, value, low, high, span)
            case exp.In() if node.args.get("query") is not None:
                return self._compared("any", "equal", node.this, node.args["query"], node)
            case exp.Exists():
                return plain(Subquery("exists", self._subquery(node.this), BOOLEAN, span=span), span)
            case exp.Subquery() | exp.Select():
                return self._scalar_subquery(node)
            case exp.In() if is_tuple(node.this):
                return bind_tuples(context, node, None, self.bind)
            case exp.In() if node.args.get("field") is not None or in_brackets(node, context.source):
                return bind_in(context, node, self.bind)
            case exp.In():
                return build.in_list(context, self.bind(node.this), [self.bind(part) for part in node.expressions], span)
            case exp.Is():
                return self._is(node, negated=False)
            case exp.Case():
                return self._case(node)
            case exp.If():
                if node.args.get("false") is None:
                    raise context.error("if takes 3 arguments, not 2", span)
                branch = (self.condition(node.this).expr, self.bind(node.args["true"]))
                return build.case(context, [branch], self._or_null(node.args.get("false")), span)
            case exp.Coalesce():
                return build.coalesce(context, [self.bind(part) for part in (node.this, *node.expressions)], span)
            case exp.Nullif():
                return build.null_if(context, self.bind(node.this), self.bind(node.expression), span)
            case exp.Cast():
                target = sql_type(context, node.to, span)
                if target is None:
                    return plain(Literal(None, NULL), span)
                return build.explicit_cast(context, self.bind(node.this), target, span, isinstance(node, exp.TryCast))
            case exp.Escape(this=exp.SimilarTo()):
                raise context.error("SIMILAR TO takes no ESCAPE", self.span(node.expression) or span)
            case exp.Like() | exp.ILike() | exp.Escape():
                return self._like(node)
            case exp.Dot(this=called) if model := has_outputs(called, context.source, context.catalog):
                return self.calls.predict(model, called.unnest(), node.expression.name)
            case exp.Bracket(this=called) if model := has_outputs(called, context.source, context.catalog):
                return self.calls.predict(model, called.unnest(), self._wanted_output(node))
            case exp.Bracket():
                return self._subscript(node)
            case exp.Try():
                return self._try(node)
            case exp.Abs():
                return build.numeric(context, "abs", self.bind(node.this), span)
            case exp.Window():
                return self.windows.bind(node)
            case exp.Filter() | exp.WithinGroup() | exp.IgnoreNulls() | exp.RespectNulls() | exp.Func():
                return self.calls.bind(node)
            case exp.Star():
                return self._lone_star(node, "* stands for columns only in a list of SELECT or in count(*)", span)
            case _:
                context.unsupported(f"{node.key} here", span)
                return plain(Literal(None, NULL), span)

    def _or_null(self, node: exp.Expr | None) -> Operand:
        return plain(Literal(None, NULL)) if node is None else self.bind(node)

    def _boolean_call(self, function: str, *arguments: Expr, node: exp.Expr) -> Operand:
        span = self.span(node)
        return plain(Call(function, arguments, BOOLEAN, span), span)

    # --- names ----------------------------------------------------------------------------------------------------------------

    def _column(self, node: exp.Column) -> Operand:
        span = self.span(node)
        if isinstance(node.this, exp.Star):
            return self._lone_star(node, f"{node.table}.* stands for columns only in a list of SELECT", span)
        column = self.local_column(node)
        if not node.table and (column is None or self.prefers_alias(column)):
            aliased = self.alias(node.name, span)
            if aliased is not None:
                return aliased
        if column is not None:
            if not is_passed_on(node, column.type) and self.context.refuse_type(column.name, column.type, span):
                return plain(Literal(None, NULL), span)
            self.spans.note(column, span)
            return plain(column, span)
        binder, depth = self.outer, 1
        while binder is not None:
            column = binder.local_column(node)
            if column is not None and self.context.refuse_type(column.name, column.type, span):
                return plain(Literal(None, NULL), span)
            if column is not None:
                binder.spans.note(column, span)
                return plain(OuterColumn(column.index, column.type, column.name, depth), span)
            aliased = None if node.table else binder.alias(node.name, span)
            if aliased is not None:
                return Operand(self._from_outside(aliased.expr, depth, span), aliased.type, span)
            binder, depth = binder.outer, depth + 1
        return self._unknown(node, span)

    def _lone_star(self, node: exp.Expr, message: str, span: Span | None) -> Operand:
        """A star where a value stands: an error, but before LIKE and its kin it chooses columns in DuckDB."""
        if not isinstance(node.parent, exp.Like | exp.ILike | exp.SimilarTo | exp.Glob | _REGULAR):
            raise self.context.error(message, span)
        self.context.unsupported("columns of * that are chosen by a pattern", span)
        return plain(Literal("", VARCHAR), span)

    def _from_outside(self, expr: Expr, depth: int, span: Span | None) -> Expr:
        """What an alias of the query `depth` levels out stands for, as a subquery sees it."""
        seen = None if has_window(expr) else from_inside(expr, depth)
        if seen is None:
            self.context.unsupported("a subquery that reads the alias of a subquery or of a window function", span)
        return seen or Literal(None, expr.type)

    def local_column(self, node: exp.Column) -> ColumnRef | None:
        """The column of this query's own FROM that `node` names, None if there is none.

        Raises:
            BindError: there are several.
        """
        if schema_of(node) and self.scope.relation(node.table) is not None:
            self._unknown_qualifier(node, self.span(node))
        if node.table:
            relation = self.scope.relation(node.table)
            return None if relation is None else relation.column(node.name)
        found = self.scope.columns(node.name)
        if len(found) > 1:
            owners = " and ".join(f'"{owner}"' for owner in self.scope.owners(node.name))
            hint = f"Write {self.scope.owners(node.name)[0]}.{node.name}, for example."
            raise self.context.error(f'the column "{node.name}" is ambiguous: {owners} have one', self.span(node), hint)
        return found[0] if found else None

    def _unknown(self, node: exp.Column, span: Span | None) -> Operand:
        if node.table:
            relation = self.scope.relation(node.table)
            if relation is None or schema_of(node):
                self._unknown_qualifier(node, span)
            else:
                hint = suggestion(node.name, [field.name for field in relation.fields])
                raise self.context.error(f'no column "{node.name}" in {relation.qualifiers[0]}', span, hint)
        return self._unknown_column(node.name, span)

    def _unknown_qualifier(self, node: exp.Column, span: Span | None) -> None:
        of_relation = len(node.parts) > 2 and self.scope.relation(node.parts[0].name) is not None
        column = self.scope.column(node.parts[1 if of_relation else 0].name)
        if column is not None and isinstance(column.type, Unsupported):
            raise UnsupportedError("not supported yet: fields of structs", self.context.source.sql, [span] if span else [])
        if column is not None:
            raise self.context.error(f'"{column.name}" is no table and no struct: it is a column of type {column.type}', span)
        shown = ".".join(part.name for part in node.parts[:-1])
        known = ", ".join(f'"{name}"' for name in self.scope.qualifiers)
        tables = "tables in FROM are" if len(self.scope.qualifiers) > 1 else "table in FROM is"
        hint = suggestion(shown, self.scope.qualifiers) or (f"The {tables} {known}." if known else "There is no FROM.")
        raise self.context.error(f'no table "{shown}" in FROM', self.span(node.parts[-2]) or span, hint)

    def _unknown_column(self, name: str, span: Span | None) -> Operand:
        if not self.scope.relations:
            raise self.context.error(f'no column "{name}": the query has no FROM', span)
        if self.scope.relation(name) is not None:
            self.context.unsupported("a whole row as one value", span)
            return plain(Literal(None, NULL), span)
        hint = suggestion(name, self.scope.names)
        raise self.context.error(f'no column "{name}" in {" or ".join(self.scope.qualifiers)}', span, hint)

    # --- subqueries -----------------------------------------------------------------------------------------------------------

    def _subquery(self, node: exp.Expr) -> Plan:
        """The plan of a query inside an expression, which sees the columns around it."""
        assert self.query is not None
        return self.query(node, self)

    def _scalar_subquery(self, node: exp.Expr) -> Operand:
        plan, span = self._subquery(node), self.span(node)
        if len(plan.schema) != 1:
            raise self.context.error(f"a subquery used as a value has one column, not {len(plan.schema)}", span)
        return plain(Subquery("scalar", plan, plan.schema[0].type, span=span), span)

    def _quantified(self, function: str, left: exp.Expr, quantifier: exp.Any | exp.All, node: exp.Expr) -> Operand:
        """A comparison with ANY or ALL rows of a subquery."""
        kind: Literals["any", "all"] = "any" if isinstance(quantifier, exp.Any) else "all"
        inner = quantifier.this
        if is_parameter(inner):
            return bind_quantified(self.context, function, self.bind(left), quantifier, self.span(node))
        if not isinstance(inner.unnest() if isinstance(inner, exp.Paren) else inner, exp.Query):
            self.context.unsupported(f"{kind.upper()} of a list", self.span(node))
            return plain(Literal(None, BOOLEAN), self.span(node))
        return self._compared(kind, function, left, inner, node)

    def _compared(self, kind: Literals["any", "all"], function: str, left: exp.Expr, inner: exp.Expr, node: exp.Expr) -> Operand:
        """Operands compared with the rows of a subquery, both cast to common types."""
        span = self.span(node)
        unwrapped = left.unnest()
        values = [self.bind(part) for part in (unwrapped.expressions if isinstance(unwrapped, exp.Tuple) else [left])]
        plan = self._subquery(inner)
        if len(values) != len(plan.schema):
            message = f"{len(values)} value{'s are' if len(values) > 1 else ' is'} compared with {len(plan.schema)} columns"
            raise self.context.error(message, span)
        operands, columns = [], []
        for position, (value, given) in enumerate(zip(values, plan.schema, strict=True)):
            column = plain(ColumnRef(position, given.type, given.name), span)
            compared = build.comparison(self.context, function, value, column, span).expr
            assert isinstance(compared, Call)
            operands.append(compared.arguments[0])
            columns.append(NamedExpr(given.name, compared.arguments[1]))
        if not all(isinstance(column.expr, ColumnRef) for column in columns):
            plan = Project(plan, tuple(columns))
        return plain(Subquery(kind, plan, BOOLEAN, tuple(operands), function, span), span)

    # --- values ---------------------------------------------------------------------------------------------------------------

    def _literal(self, node: exp.Literal, sign: int = 1) -> Operand:
        span = self.span(node)
        text = node.name
        if node.is_string:
            return build.literal(Literal(text, VARCHAR), span)
        if text.isdecimal():
            number = whole_number(text)
            chosen = None if number is None else integer_type(sign * number)
            if number is None or chosen is None:
                self.context.unsupported("integers beyond HUGEINT", span)
                return plain(Literal(None, BIGINT), span)
            return build.literal(Literal(sign * number, chosen), span)
        if not _NUMBER.fullmatch(text):
            raise self.context.error(f'"{text}" is not a number', span)
        if "e" in text.lower():
            return plain(Literal(sign * float(text), DOUBLE), span)
        written = self.context.source.number_text(node).replace("_", "")
        chosen_type = decimal_literal_type(written)
        value = sign * int(written.replace(".", "")) if isinstance(chosen_type, Decimal) else sign * float(written)
        return plain(Literal(value, chosen_type), span)

    def _parameter(self, node: exp.Expr) -> Operand:
        span = self.context.source.parameter_span(node.name)
        value = self.context.parameter(node.name)
        # A text parameter converts as a text literal does; a number keeps the type of the Python value.
        return build.literal(value, span) if value.type == VARCHAR else plain(value, span)

    def _interval(self, node: exp.Interval) -> Operand:
        span = self.span(node)
        quantity = self.bind(node.this).expr if node.this else None
        unit = node.args.get("unit")
        if not isinstance(quantity, Literal) and quantity is not None and unit is not None and unit_name(unit.name) is not None:
            return interval_of_count(self.context, unit_name(unit.name) or "", plain(quantity, span), span)
        if not isinstance(quantity, Literal):
            self.context.unsupported("intervals of several units that are not constant", span)
            return plain(Literal(IntervalValue(), INTERVAL), span)
        if unit is not None and unit_name(unit.name) is None:
            raise self.context.error(f'"{unit.name.lower()}" is not a unit of time', span)
        try:
            if quantity.value is None:
                return plain(Literal(None, INTERVAL), span)
            whole = node.meta.get("written")
            if unit is None or (whole is not None and whole != node.this.unnest().name):
                return plain(Literal(parse_interval(whole or str(quantity.value)), INTERVAL), span)
            written = node.this.unnest().name if quantity.type != INTEGER else str(quantity.value)
            return plain(Literal(interval_of(written or str(quantity.value), unit.name), INTERVAL), span)
        except ConversionError as error:
            raise self.context.conversion_error(error, span) from error

    # --- operators ------------------------------------------------------------------------------------------------------------

    def _arithmetic(self, node: exp.Expr) -> Operand:
        context, span = self.context, self.span(node)
        left, right = self.bind(node.this), self.bind(node.args["expression"])
        operator = _ARITHMETIC[type(node)]
        if isinstance(node, exp.Div):
            if node.args.get("safe"):  # dialects in which x / 0 is NULL
                right = build.null_if(context, right, build.literal(Literal(0, INTEGER), None), right.span)
            integers = isinstance(natural_type(left.type), Integer) and isinstance(natural_type(right.type), Integer)
            if node.args.get("typed") and integers:
                operator = "//"  # dialects in which integers divide to an integer
        return build.arithmetic(context, operator, left, right, span)

    def _comparison(self, node: exp.Expr) -> Operand:
        span, operands = self.span(node), (node.this, node.args["expression"])
        chained = _UNCHAINED if isinstance(node, _UNCHAINED) else _DISTINCTIONS
        if any(isinstance(self._without_own_paren(operand), chained) for operand in operands):
            raise self.context.error("comparisons cannot be chained", span, "Combine them with AND, or put one in parentheses.")
        if isinstance(operands[1], exp.Any | exp.All):
            return self._quantified(_COMPARISONS[type(node)], operands[0], operands[1], node)
        if is_tuple(node.this):
            return bind_tuples(self.context, node, _COMPARISONS[type(node)], self.bind)
        left, right = (self.bind(operand) for operand in operands)
        return build.comparison(self.context, _COMPARISONS[type(node)], left, right, span)

    def _without_own_paren(self, node: exp.Expr) -> exp.Expr:
        """`node`, or what is in it if it is a parenthesis that sqlglot has put in."""
        return node.this if isinstance(node, exp.Paren) and self.span(node) == self.span(node.this) else node

    def _negation(self, node: exp.Neg) -> Operand:
        inner, span = node.this.unnest(), self.span(node)
        if isinstance(inner, exp.Literal) and not inner.is_string:
            negative = self._literal(inner, sign=-1)
            return Operand(negative.expr, negative.type, span)
        operand = self.bind(inner)
        value = operand.expr
        if isinstance(value, Literal) and isinstance(value.value, int) and not isinstance(value.value, bool):
            chosen = integer_type(-value.value) if not isinstance(value.type, Decimal) else None
            if isinstance(inner, exp.Neg) and chosen is not None:
                return build.literal(Literal(-value.value, chosen), span)
        match value:
            case Literal(IntervalValue() as interval, _):
                return plain(Literal(IntervalValue(*(-part for part in interval)), INTERVAL), span)
            case Literal(float() | int() as number, Float() | Decimal()):
                return plain(Literal(-number, value.type), span)
            case _:
                pass
        return build.numeric(self.context, "negate", operand, span)

    def _not(self, node: exp.Not) -> Operand:
        inner = node.this.unnest()
        if isinstance(inner, exp.Is):
            return self._is(inner, negated=True)
        return self._boolean_call("not", self.condition(inner).expr, node=node)

    def _is(self, node: exp.Is, negated: bool) -> Operand:
        span, right = self.span(node), node.expression
        operand = self.bind(node.this)
        match right:
            case exp.Null():
                return self._boolean_call("is_not_null" if negated else "is_null", operand.expr, node=node)
            case exp.Boolean():
                truth = build.TRUE if right.this else build.FALSE
                condition = build.to_boolean(self.context, operand)
                return self._boolean_call("is_distinct_from" if negated else "is_not_distinct_from", condition, truth, node=node)
            case _:
                self.context.unsupported(f"IS {right.sql('duckdb')}", span)
                return plain(build.TRUE, span)

    def _case(self, node: exp.Case) -> Operand:
        context, span = self.context, self.span(node)
        subject = self.bind(node.this) if node.this else None
        branches = []
        for branch in node.args["ifs"]:
            if subject is None:
                condition = self.condition(branch.this)
            else:
                condition = build.comparison(context, "equal", subject, self.bind(branch.this), self.span(branch))
            branches.append((condition.expr, self.bind(branch.args["true"])))
        return build.case(context, branches, self._or_null(node.args.get("default")), span)

    def _like(self, node: exp.Like | exp.ILike | exp.Escape) -> Operand:
        like_node = node.this if isinstance(node, exp.Escape) else node
        escape = self.bind(node.expression) if isinstance(node, exp.Escape) else None
        value, pattern = self.bind(like_node.this), self.bind(like_node.expression)
        matched = build.like(self.context, value, pattern, escape, isinstance(like_node, exp.ILike), self.span(node))
        return self._boolean_call("not", matched.expr, node=node) if like_node.args.get("negate") else matched

    def _try(self, node: exp.Try) -> Operand:
        """TRY(value): NULL where the value is an error."""
        operand, span = self.bind(node.this), self.span(node)
        if has_aggregate(operand.expr):
            raise self.context.error("aggregates are not allowed inside TRY", span)
        return plain(Call("try", (operand.expr,), operand.expr.type, span), span)

    def _characters(self, node: exp.Bracket, text: Operand) -> Operand:
        """text[position] or text[first:last], counted from 1, from the end if negative."""
        index, span = node.expressions[0].unnest(), self.span(node)
        if isinstance(index, exp.Slice):
            first, last = index.args.get("this"), index.args.get("expression")
            bounds = [
                plain(Literal(default, BIGINT)) if part is None else self.bind(part) for part, default in ((first, 1), (last, -1))
            ]
            if index.args.get("step") is not None:
                self.context.unsupported("slices with a step", span)
            return bind_function(self.context, "array_slice", [text, *bounds], span)
        position = subscript_value(node)
        if isinstance(index, exp.Column | exp.Null):  # which sqlglot leaves as it is
            return bind_function(self.context, "array_extract", [text, self.bind(index)], span)
        if position is None:
            self.context.unsupported("subscripts that are not constant", span)
        return bind_function(self.context, "array_extract", [text, plain(Literal(position, BIGINT))], span)

    def _wanted_output(self, node: exp.Bracket) -> str | int:
        """The output that `m(x)[2]` or `m(x)['risk']` chooses."""
        index = node.expressions[0].unnest()
        number = index.name if is_text(index) else subscript_value(node)
        if number is None:
            raise self.context.error("an output of a model is chosen by its name or its number", self.span(node))
        return number

    def _subscript(self, node: exp.Bracket) -> Operand:
        context, span = self.context, self.span(node)
        operand = self.bind(node.this)
        if isinstance(operand.expr.type, Varchar):
            return self._characters(node, operand)
        if not isinstance(operand.expr.type, Array):
            context.unsupported(f"subscripts of {operand.expr.type}", span)
            return plain(Literal(None, NULL), span)
        length = operand.expr.type.length
        index = subscript_value(node)
        if index is None:
            place = self.bind(node.expressions[0])
            if is_counted_from_zero(node):
                place = build.arithmetic(context, "+", place, plain(Literal(1, BIGINT)), span)
            return element(context, operand, place, span)
        position = index + length + 1 if index < 0 else index
        if not 1 <= position <= length:
            raise context.error(f"no score [{index}]: there are {length}, counted from 1", span)
        arguments = (operand.expr, Literal(position, INTEGER))
        return plain(Call("subscript", arguments, operand.expr.type.element, span), span)


_PASSING = (exp.Select, exp.Count, exp.First, exp.Last, exp.AnyValue)


def is_passed_on(node: exp.Column, type: SqlType) -> bool:
    """Whether a column of a type that nothing computes with stands where its values are only passed on, or asked for NULL."""
    if not isinstance(type, Unsupported) or type.arrow is None:
        return False
    parent = node.parent
    while isinstance(parent, exp.Paren | exp.Alias | exp.IgnoreNulls):
        parent = parent.parent
    return isinstance(parent, _PASSING) or (isinstance(parent, exp.Is) and isinstance(parent.expression, exp.Null))
