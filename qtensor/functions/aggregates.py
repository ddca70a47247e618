"""DuckDB's aggregates: their names, to what they cast their arguments, and the types of their results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtensor.functions.operators import OperandType, TypeRuleError, implicit_cast_cost, natural_type
from qtensor.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    HUGEINT,
    INTEGER,
    TIMESTAMP,
    UINTEGER,
    VARCHAR,
    Boolean,
    Date,
    Decimal,
    Float,
    Integer,
    Null,
    SqlType,
    Timestamp,
)

# Other names of the same aggregates.
ALIASES = {
    "mean": "avg",
    "stddev": "stddev_samp",
    "variance": "var_samp",
    "arbitrary": "first",
    "argmin": "arg_min",
    "min_by": "arg_min",
    "argmax": "arg_max",
    "max_by": "arg_max",
    "countif": "count_if",
    "quantile": "quantile_disc",
    "percentile_cont": "quantile_cont",
    "percentile_disc": "quantile_disc",
    "group_concat": "string_agg",
    "listagg": "string_agg",
}
VARIANCES = ("stddev_samp", "stddev_pop", "var_samp", "var_pop", "sem")
REGRESSIONS = (
    "regr_count",
    "regr_avgx",
    "regr_avgy",
    "regr_sxx",
    "regr_syy",
    "regr_sxy",
    "regr_slope",
    "regr_intercept",
    "regr_r2",
)
PAIRS = ("corr", "covar_samp", "covar_pop", *REGRESSIONS)
_OF_ONE = (
    *("count", "sum", "avg", "min", "max", "product", "bit_and", "bit_or", "bit_xor", "first", "last", "mode", *VARIANCES),
    *("any_value", "bool_and", "bool_or", "count_if", "median", "approx_count_distinct"),
)
_OF_TWO = (*PAIRS, "arg_min", "arg_max", "arg_min_null", "arg_max_null", "quantile_cont", "quantile_disc", "string_agg")
ARITIES = {"count_star": 0} | dict.fromkeys(_OF_ONE, 1) | dict.fromkeys(_OF_TWO, 2)
AGGREGATES = frozenset({*ARITIES, *ALIASES})
# One row more of the same arguments changes nothing: DISTINCT has no effect.
IDEMPOTENT = frozenset({"min", "max", "bit_and", "bit_or", "first", "last"})


@dataclass(frozen=True)
class AggregateSignature:
    """The types to which an aggregate's arguments are cast, and the type of its result."""

    arguments: tuple[SqlType, ...]
    result: SqlType


def resolve_aggregate(name: str, operands: Sequence[OperandType]) -> AggregateSignature:
    """The types of an aggregate of `AggregateCall`, a fraction of quantiles not among the operands.

    >>> print(resolve_aggregate("sum", [INTEGER]).result, resolve_aggregate("quantile_cont", [Decimal(9, 2)]).result)
    HUGEINT DECIMAL(9,2)

    Raises:
        TypeRuleError: the aggregate is not defined for such arguments.
    """
    types = tuple(natural_type(operand) for operand in operands)
    if name in VARIANCES or name in PAIRS or name == "product":
        if any(implicit_cast_cost(operand, DOUBLE) is None for operand in operands):
            raise TypeRuleError(f"{name} takes numbers, not {' and '.join(str(type) for type in dict.fromkeys(types))}")
        return AggregateSignature((DOUBLE,) * len(types), UINTEGER if name == "regr_count" else DOUBLE)
    if name == "count":
        return AggregateSignature(types, BIGINT)
    (argument,) = types
    match name:
        case "min" | "max" | "first" | "last" | "mode" | "quantile_disc":
            return AggregateSignature((argument,), argument)
        case "sum":
            return _sum(argument)
        case "avg":
            return _average(argument)
        case "bit_and" | "bit_or" | "bit_xor":
            return _bits(name, operands[0])
        case "bool_and" | "bool_or" | "count_if":
            if implicit_cast_cost(operands[0], BOOLEAN) is None:
                raise TypeRuleError(f"{name} takes a BOOLEAN, not {argument}")
            return AggregateSignature((BOOLEAN,), BOOLEAN)
        case "quantile_cont":
            return _interpolated(argument)
        case "string_agg":
            return AggregateSignature((VARCHAR,), VARCHAR)
        case _:
            raise TypeRuleError(f"there is no aggregate {name}")


def _sum(argument: SqlType) -> AggregateSignature:
    match argument:
        case Boolean():
            return AggregateSignature((INTEGER,), HUGEINT)
        case Integer():
            return AggregateSignature((argument,), HUGEINT)
        case Decimal(_, scale):
            return AggregateSignature((argument,), Decimal(38, scale))
        case Null():
            return AggregateSignature((BIGINT,), HUGEINT)
        case Float():
            return AggregateSignature((DOUBLE,), DOUBLE)
        case _:
            raise TypeRuleError(f"sum takes a number, not {argument}")


def _average(argument: SqlType) -> AggregateSignature:
    match argument:
        case Integer() | Decimal():
            return AggregateSignature((argument,), DOUBLE)
        case Float() | Null():
            return AggregateSignature((DOUBLE,), DOUBLE)
        case Date() | Timestamp():
            return AggregateSignature((TIMESTAMP,), TIMESTAMP)
        case _:
            raise TypeRuleError(f"avg takes a number, a date or a time, not {argument}")


def _bits(name: str, operand: OperandType) -> AggregateSignature:
    match natural_type(operand):
        case Integer() as argument:
            return AggregateSignature((argument,), argument)
        case Null():
            return AggregateSignature((BIGINT,), BIGINT)
        case other:
            raise TypeRuleError(f"{name} takes an integer, not {other}")


def _interpolated(argument: SqlType) -> AggregateSignature:
    match argument:
        case Integer():
            return AggregateSignature((argument,), DOUBLE)
        case Null():
            return AggregateSignature((DOUBLE,), DOUBLE)
        case Decimal() | Float():
            return AggregateSignature((argument,), argument)
        case Date() | Timestamp():
            return AggregateSignature((TIMESTAMP,), TIMESTAMP)
        case _:
            raise TypeRuleError(f"quantile_cont takes a number, a date or a time, not {argument}: quantile_disc takes any type")
