"""Parameters of an exported query: which of them may change without another plan, and a plan with other values in it."""

from __future__ import annotations

import datetime
import decimal
import numbers
from collections.abc import Callable, Mapping
from dataclasses import replace

from qtensor.aot.artifact.manifest import Parameter
from qtensor.errors import ArtifactError, QTensorError, suggestion
from qtensor.expressions import Expr, Literal, Subquery
from qtensor.logical import Plan
from qtensor.optimise.rewriting import map_expressions, map_plan, transform
from qtensor.values.literals import convert_literal, listed, parameter_literal
from qtensor.values.texts import ConversionError

Values = Mapping[str, Literal]

_LAST_OF_A_TYPE = frozenset((2**31 - 1, 2**63 - 1, 2**64 - 1, 2**127 - 1, -(2**31), -(2**63), -(2**127)))


def with_values(plan: Plan, values: Values) -> Plan:
    """A bound plan in which each parameter's literals hold another value, converted as the old one was.

    Raises ConversionError: a value does not convert to the type that its place has.
    """

    def replaced(expr: Expr) -> Expr:
        if isinstance(expr, Literal) and expr.parameter is not None and expr.parameter in values:
            return convert_literal(values[expr.parameter], expr.type)
        return replace(expr, plan=with_values(expr.plan, values)) if isinstance(expr, Subquery) else expr

    return map_plan(plan, lambda node: map_expressions(node, lambda expr: transform(expr, replaced)))


def find_parameters(
    bound: Plan, given: Mapping[str, object], bind_again: Callable[[Mapping[str, object]], Plan]
) -> list[Parameter]:
    """The parameters `given` to a query by lower-case name, whose plan is `bound`.

    A parameter is fixed when it decided more than literals (a LIMIT, a folded interval): tried out, by binding once more with
    another value and comparing that with the old plan after substitution. Lists keep their values, and are not among them.
    """
    found = []
    for name, value in given.items():
        if listed(value) is not None:
            continue
        literal = Literal(parameter_literal(value).value, parameter_literal(value).type, name)
        found.append(Parameter(name, literal, not changes_freely(bound, name, value, given, bind_again)))
    return found


def changes_freely(
    bound: Plan, name: str, value: object, given: Mapping[str, object], bind_again: Callable[[Mapping[str, object]], Plan]
) -> bool:
    other = neighbour(value)
    if other is None:
        return False
    try:
        literal = parameter_literal(other)
        return with_values(bound, {name: Literal(literal.value, literal.type, name)}) == bind_again({**given, name: other})
    except (QTensorError, ConversionError):
        return False


def neighbour(value: object) -> object | None:
    """Another value of the same SQL type; None where none is known.

    >>> neighbour(7), neighbour(-(2**31)), neighbour(2.5), neighbour(decimal.Decimal("0.00"))
    (8, -2147483647, 1.0, Decimal('0.01'))
    """
    match value:
        case bool():
            return not value
        case numbers.Integral():
            number = int(value)
            away_from_zero = -1 if number < 0 else 1
            return number - away_from_zero if number in _LAST_OF_A_TYPE else number + away_from_zero
        case decimal.Decimal() if value.is_finite():
            return -value if value else decimal.Decimal(1).scaleb(int(value.as_tuple().exponent))
        case numbers.Real() | decimal.Decimal():
            return 0.5 if float(value) == 1.0 else 1.0
        case str():
            try:
                return (datetime.date.fromisoformat(value) + datetime.timedelta(days=1)).isoformat()
            except (ValueError, OverflowError):
                return f"{value}a"
        case datetime.date():
            return value + datetime.timedelta(days=-1 if value.year > 2000 else 1)
        case _:
            return None


def bound_parameters(parameters: tuple[Parameter, ...], given: Mapping[str, object]) -> dict[str, Literal]:
    """The literals of a call, by lower-case name: those given, and for the others their value at export.

    Raises ArtifactError: an unknown name, a fixed parameter, a value of another type.
    """
    known = {parameter.name: parameter for parameter in parameters}
    values = {parameter.name: parameter.value for parameter in parameters}
    for name, value in given.items():
        parameter = known.get(name.lower())
        if parameter is None:
            hint = suggestion(name, known) or (f"Its parameters: {', '.join(known)}." if known else "It has no parameters.")
            raise ArtifactError(f'the query has no parameter "{name}". {hint}')
        values[parameter.name] = typed(parameter, value)
        if parameter.fixed and values[parameter.name] != parameter.value:
            raise ArtifactError(
                f"the parameter {name} decided the plan when the query was exported (as LIMIT does), and cannot be another: "
                "export it again"
            )
    return values


def typed(parameter: Parameter, value: object) -> Literal:
    """`value` as a literal of the parameter's type; a value that would be another one in that type is refused."""
    try:
        literal = parameter_literal(value)
        converted = convert_literal(literal, parameter.value.type)
        if literal.value is not None and convert_literal(converted, literal.type) == literal:
            return Literal(converted.value, converted.type, parameter.name)
    except ConversionError as error:
        raise ArtifactError(f"the parameter {parameter.name}: {error}") from error
    raise ArtifactError(
        f"the parameter {parameter.name} was a {parameter.value.type} when the query was exported; {value!r} is none"
    )
