"""Aggregates in two steps: what each block gives of them, and what becomes of that.

    partial     the aggregate's keys and some aggregates, over the rows of a block
    merged      the same columns of the same types, over the rows that blocks gave
    finished    the aggregate itself, over merged rows

What cannot be put together of parts (quantiles, DISTINCT, texts in order) has no such steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from qtensor.expressions import AggregateCall, Call, Case, Cast, ColumnRef, Expr, Frame, FrameBound, Literal, WindowCall
from qtensor.functions.aggregates import VARIANCES, resolve_aggregate
from qtensor.logical import Aggregate, NamedAggregate, NamedExpr, NamedWindow, Plan, Project, Window
from qtensor.types import BIGINT, BOOLEAN, DOUBLE, HUGEINT, Field, Schema, SqlType, Timestamp

_ALONE = ("min", "max", "product", "bit_and", "bit_or", "bit_xor")
_WHOLE = Frame("rows", FrameBound("preceding"), FrameBound("following"))


@dataclass(frozen=True)
class Piece:
    """An aggregate that blocks give, and how several of its values become one.

    type: of its values between the steps. together: over columns of the pieces of its aggregate; None where it is a mean of
    those of blocks, weighted by their numbers of rows.
    """

    call: AggregateCall
    type: SqlType
    together: Callable[[Sequence[Expr]], AggregateCall] | None


@dataclass(frozen=True)
class InPieces:
    """An aggregate in pieces; finish: its value, of the merged pieces."""

    pieces: tuple[Piece, ...]
    finish: Callable[[Sequence[Expr]], Expr]


@dataclass(frozen=True)
class TwoSteps:
    """An aggregate over any number of blocks."""

    whole: Aggregate
    parts: tuple[InPieces, ...]

    @property
    def _pieces(self) -> list[Piece]:
        return [piece for part in self.parts for piece in part.pieces]

    @property
    def schema(self) -> Schema:
        """The columns between the steps."""
        keys = (Field(key.name, key.expr.type) for key in self.whole.keys)
        return (*keys, *(Field(f"piece {number}", piece.type) for number, piece in enumerate(self._pieces)))

    def partial(self, input: Plan) -> Plan:
        """What a block gives; `input`: the aggregate's."""
        calls = tuple(NamedAggregate(f"piece {number}", piece.call) for number, piece in enumerate(self._pieces))
        return self._typed(Aggregate(input, self.whole.keys, calls))

    def merged(self, rows: Plan) -> Plan:
        """The rows that blocks gave, those of equal keys as one."""
        return self._typed(self._together(rows))

    def finished(self, rows: Plan) -> Plan:
        """The aggregate's rows."""
        together = self._together(rows)
        columns: list[Expr] = [ColumnRef(position, field.type, field.name) for position, field in enumerate(together.schema)]
        results = [NamedExpr(key.name, column) for key, column in zip(self.whole.keys, columns, strict=False)]
        place = len(results)
        for named, part in zip(self.whole.aggregates, self.parts, strict=True):
            finished = part.finish(columns[place : place + len(part.pieces)])
            results.append(NamedExpr(named.name, cast(finished, named.call.type)))
            place += len(part.pieces)
        return Project(together, tuple(results))

    def _together(self, rows: Plan) -> Aggregate:
        """What `merged` gives, of the types that aggregates have."""
        columns: list[Expr] = [ColumnRef(position, field.type, field.name) for position, field in enumerate(self.schema)]
        keys = tuple(NamedExpr(key.name, column) for key, column in zip(self.whole.keys, columns, strict=False))
        rows, added = self._with_weights(rows, columns)
        calls, place = [], len(keys)
        for part in self.parts:
            own = columns[place : place + len(part.pieces)]
            for piece in part.pieces:
                call = AggregateCall("sum", (added[place],), DOUBLE) if piece.together is None else piece.together(own)
                calls.append(NamedAggregate(f"piece {place - len(keys)}", call))
                place += 1
        return Aggregate(rows, keys, tuple(calls))

    def _typed(self, plan: Aggregate) -> Plan:
        """The columns of the types that they have between the steps."""
        expressions = [
            NamedExpr(field.name, cast(ColumnRef(position, found.type, field.name), field.type))
            for position, (found, field) in enumerate(zip(plan.schema, self.schema, strict=True))
        ]
        return Project(plan, tuple(expressions))

    def _with_weights(self, rows: Plan, columns: Sequence[Expr]) -> tuple[Plan, dict[int, Expr]]:
        """Rows with how many values there are in all, for each variance, and what each row adds to its mean and to itself.

        Of blocks with n_i values, means m_i and variances v_i, the mean is m, the sum of w_i m_i for w_i = n_i / n, and the
        variance that of w_i (v_i + (m_i - m)^2).
        Source: T. Chan, G. Golub, R. LeVeque: Updating Formulae and a Pairwise Algorithm for Computing Sample Variances. 1979.
        """
        functions: list[NamedWindow] = []
        added: dict[int, Expr] = {}
        place, width = len(self.whole.keys), len(columns)
        for part in self.parts:
            if any(piece.together is None for piece in part.pieces):
                count, mean, spread = columns[place : place + 3]
                values: Expr = ColumnRef(width + len(functions), HUGEINT)
                total: Expr = ColumnRef(width + len(functions) + 1, DOUBLE)
                functions.append(NamedWindow("values", WindowCall("sum", (count,), HUGEINT, _WHOLE)))
                weighted = arithmetic("multiply", cast(count, DOUBLE), mean)
                functions.append(NamedWindow("total", WindowCall("sum", (weighted,), DOUBLE, _WHOLE)))
                weight = arithmetic("divide", cast(count, DOUBLE), cast(values, DOUBLE))
                apart = arithmetic("subtract", mean, arithmetic("divide", total, cast(values, DOUBLE)))
                spread = arithmetic("add", spread, arithmetic("multiply", apart, apart))
                added[place + 1] = arithmetic("multiply", weight, mean)
                added[place + 2] = arithmetic("multiply", weight, spread)
            place += len(part.pieces)
        if not functions:
            return rows, added
        keys = tuple(columns[: len(self.whole.keys)])
        return Window(rows, keys, (), tuple(functions)), added


def two_steps(plan: Aggregate) -> TwoSteps | None:
    """The aggregate in two steps; None if it has none."""
    parts = [in_pieces(named.call) for named in plan.aggregates]
    known = tuple(part for part in parts if part is not None)
    return TwoSteps(plan, known) if len(known) == len(parts) else None


def in_pieces(call: AggregateCall) -> InPieces | None:
    """An aggregate as pieces that blocks give; None where it needs all rows at once."""
    if call.distinct and call.function not in ("min", "max", "bit_and", "bit_or"):
        return None
    match call.function:
        case "count_star" | "count":
            return InPieces((counted(call),), lambda pieces: or_zero(pieces[0]))
        case "sum" if not call.order:
            return InPieces((summed(call),), lambda pieces: pieces[0])
        case "avg" if not (call.order or isinstance(call.type, Timestamp)):
            sums = replace(call, function="sum", type=resolve_aggregate("sum", [call.arguments[0].type]).result)
            pieces = summed(sums), counted(replace(call, function="count", type=BIGINT))
            return InPieces(pieces, lambda found: arithmetic("divide", cast(found[0], DOUBLE), cast(found[1], DOUBLE)))
        case "first" | "last":
            return first_or_last(call)
        case function if function in _ALONE and not (call.order and function == "product"):
            return InPieces((Piece(call, call.type, lambda own: AggregateCall(function, (own[0],), call.type)),), only)
        case function if function in VARIANCES:
            return variance(call)
        case _:
            return None


def only(pieces: Sequence[Expr]) -> Expr:
    return pieces[0]


def counted(call: AggregateCall, place: int = -1) -> Piece:
    """A count; `place`: where it stands among the pieces of its aggregate."""
    return Piece(call, BIGINT, lambda own: AggregateCall("sum", (own[place],), HUGEINT))


def summed(call: AggregateCall) -> Piece:
    """A sum, of integers in 64 bits between the steps: what does not fit is an error there, and then there are no two steps."""
    between = BIGINT if call.type == HUGEINT else call.type
    return Piece(call, between, lambda own: AggregateCall("sum", (own[0],), call.type))


def first_or_last(call: AggregateCall) -> InPieces:
    """The value of a row, with what it is ordered by, and of how many rows it is one: a group's rows may lie in few blocks."""

    def piece(expr: Expr, number: int) -> Piece:
        own = replace(call, arguments=(expr,), type=expr.type)

        def together(columns: Sequence[Expr]) -> AggregateCall:
            order = tuple(replace(key, expr=columns[1 + place]) for place, key in enumerate(call.order))
            there = Call("greater", (columns[-1], Literal(0, BIGINT)), BOOLEAN)
            return AggregateCall(call.function, (columns[number],), expr.type, filter=there, order=order)

        return Piece(own, expr.type, together)

    exprs = [call.arguments[0], *(key.expr for key in call.order)]
    rows = AggregateCall("count_star", (), BIGINT, filter=call.filter)
    return InPieces((*(piece(expr, number) for number, expr in enumerate(exprs)), counted(rows)), only)


def variance(call: AggregateCall) -> InPieces:
    """How many values, their mean, and their variance, which are merged by weight (`TwoSteps`)."""
    pieces = (
        counted(replace(call, function="count", type=BIGINT), 0),
        Piece(replace(call, function="avg", type=DOUBLE), DOUBLE, None),
        Piece(replace(call, function="var_pop", type=DOUBLE), DOUBLE, None),
    )

    def finish(found: Sequence[Expr]) -> Expr:
        count, population = cast(found[0], DOUBLE), found[2]
        sample = arithmetic("divide", arithmetic("multiply", population, count), arithmetic("subtract", count, number(1.0)))
        match call.function:
            case "var_pop":
                return population
            case "stddev_pop":
                return root(population)
            case "sem":
                return arithmetic("divide", root(population), root(count))
            case _:
                several = Call("greater", (cast(found[0], BIGINT), Literal(1, BIGINT)), BOOLEAN)
                value = sample if call.function == "var_samp" else root(sample)
                return Case(((several, value),), Literal(None, DOUBLE), DOUBLE)

    return InPieces(pieces, finish)


def arithmetic(function: str, left: Expr, right: Expr) -> Expr:
    return Call(function, (left, right), DOUBLE)


def root(of: Expr) -> Expr:
    return Call("sqrt", (of,), DOUBLE)


def number(value: float) -> Expr:
    return Literal(value, DOUBLE)


def or_zero(count: Expr) -> Expr:
    return Call("coalesce", (cast(count, BIGINT), Literal(0, BIGINT)), BIGINT)


def cast(expr: Expr, type: SqlType) -> Expr:
    return expr if expr.type == type else Cast(expr, type)
