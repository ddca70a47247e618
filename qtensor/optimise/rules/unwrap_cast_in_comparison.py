"""Rule: compare a column in its own type, not in the wider one that its partner, a literal, has."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from qtensor.expressions import MIRRORED, Call, Cast, Expr, Literal
from qtensor.logical import Plan
from qtensor.optimise.rewriting import map_expressions, transform
from qtensor.types import (
    DATE,
    INFINITE_DAY,
    MICROSECONDS_PER_DAY,
    Date,
    Decimal,
    Integer,
    SqlType,
    Timestamp,
    is_infinite,
    scale_of,
)


class Widening(NamedTuple):
    """A cast that multiplies by `factor` and cannot fail."""

    operand: Expr
    factor: int


def unwrap_cast_in_comparison(plan: Plan) -> Plan:
    """`CAST(x AS TIMESTAMP) <= '1998-09-02 00:00'` becomes `x <= '1998-09-02'` for a DATE x; likewise integers and decimals.

    Sound: the cast is x * factor, exact and strictly increasing. For a literal v that is a multiple of the factor,
    x * factor < v is x < v / factor; for any other v, x * factor < v and x * factor <= v are both x <= floor(v / factor).
    The infinities of one type are those of the other.

    >>> from qtensor.expressions import ColumnRef
    >>> from qtensor.types import BOOLEAN, DATE, TIMESTAMP
    >>> cast = Cast(ColumnRef(0, DATE), TIMESTAMP)
    >>> unwrap(Call("less", (cast, Literal(MICROSECONDS_PER_DAY, TIMESTAMP)), BOOLEAN)).arguments[1]
    Literal(value=1, type=Date())
    """
    return map_expressions(plan, lambda expr: transform(expr, unwrap))


def unwrap(expr: Expr) -> Expr:
    match expr:
        case Call(function=function, arguments=(Literal() as literal, Cast() as cast)) if function in MIRRORED:
            return unwrap(replace(expr, function=MIRRORED[function], arguments=(cast, literal)))
        case Call(function=function, arguments=(Cast() as cast, Literal(value=int(value)) as literal)) if function in MIRRORED:
            widening = widening_of(cast)
            if widening is None:
                return expr
            if is_infinite(value, literal.type):
                infinity = Literal(INFINITE_DAY if value > 0 else -INFINITE_DAY, DATE, literal.parameter)
                return replace(expr, arguments=(widening.operand, infinity))
            return narrowed(expr, widening, value, literal.parameter)
        case Call(function="in", arguments=(Cast() as cast, *items)):
            return unwrap_in(expr, cast, items)
        case _:
            return expr


def narrowed(call: Call, widening: Widening, value: int, parameter: str | None) -> Expr:
    quotient, rest = divmod(value, widening.factor)
    function = call.function
    if rest:
        if function in ("equal", "not_equal"):
            return never_equal(call, widening.operand, quotient, parameter)
        function = "less_equal" if function in ("less", "less_equal") else "greater"
    literal = Literal(quotient, widening.operand.type, parameter)
    return replace(call, function=function, arguments=(widening.operand, literal))


def never_equal(call: Call, operand: Expr, below: int, parameter: str | None) -> Expr:
    """x * factor = v for a v that is no multiple: false for every x but NULL, said without the cast, which may not
    fit a machine type.
    """
    literal = Literal(below, operand.type, parameter)
    equal = call.function == "equal"
    sides = ("less_equal", "greater") if not equal else ("less", "greater")
    comparisons = tuple(Call(side, (operand, literal), call.type, call.span) for side in sides)
    return Call("and" if equal else "or", comparisons, call.type, call.span)


def unwrap_in(call: Call, cast: Cast, items: list[Expr]) -> Expr:
    """An IN list whose values all have exact counterparts."""
    widening = widening_of(cast)
    if widening is None:
        return call
    literals: list[Expr] = []
    for item in items:
        if not isinstance(item, Literal) or not isinstance(item.value, int) or item.value % widening.factor:
            return call
        literals.append(Literal(item.value // widening.factor, widening.operand.type, item.parameter))
    return replace(call, arguments=(widening.operand, *literals))


def widening_of(cast: Cast) -> Widening | None:
    """The factor of a cast between exact types that loses nothing and never fails; None for any other."""
    source, target = cast.operand.type, cast.type
    match source, target:
        case Date(), Timestamp():
            return Widening(cast.operand, MICROSECONDS_PER_DAY) if not cast.try_ else None
        case (Integer() | Decimal(), Integer() | Decimal()):
            shift = scale_of(target) - scale_of(source)
            if shift >= 0 and largest(source) * 10**shift <= largest(target) and not lacks_sign(source, target):
                return Widening(cast.operand, 10**shift)
            return None
        case _:
            return None


def largest(type: SqlType) -> int:
    assert isinstance(type, Integer | Decimal)
    return max(type.maximum, -type.minimum - 1) if isinstance(type, Integer) else type.maximum


def lacks_sign(source: SqlType, target: SqlType) -> bool:
    unsigned = isinstance(target, Integer) and not target.signed
    return unsigned and not (isinstance(source, Integer) and not source.signed)
