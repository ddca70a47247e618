"""Random tables, expressions and queries for hypothesis: everything that SQL here knows, except what raises errors."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from decimal import Decimal

import pyarrow as pa
from hypothesis import strategies as st

Draw = st.DrawFn

# Few different values, so that groups, equalities and duplicates happen. Sums of the floats are exact in any order.
COLUMNS: dict[str, tuple[pa.DataType, st.SearchStrategy[object]]] = {
    "i": (pa.int32(), st.integers(-3, 3)),
    "j": (pa.int16(), st.sampled_from([-300, -7, 0, 1, 2, 300])),
    "u": (pa.uint8(), st.sampled_from([0, 1, 2, 255])),
    "x": (pa.float64(), st.sampled_from([0.0, 0.5, -0.5, 2.0, -1.25, 1024.0, math.inf, -math.inf, math.nan])),
    "f": (pa.float32(), st.sampled_from([0.0, 0.5, -1.5, 3.0])),
    "d": (pa.decimal128(6, 2), st.integers(-999, 999).map(lambda value: Decimal(value).scaleb(-2))),
    "e": (pa.decimal128(5, 3), st.sampled_from([Decimal("0.005"), Decimal("-0.005"), Decimal("1.500"), Decimal("-12.345")])),
    "s": (pa.string(), st.sampled_from(["", "a", "b", "ab", "B", "é", "a%"])),
    "w": (pa.string(), st.sampled_from(["a", "ab", "c", "10", "-3"])),
    "p": (pa.bool_(), st.booleans()),
    "t": (pa.date32(), st.integers(-800, 800).map(lambda days: datetime.date(1970, 1, 1) + datetime.timedelta(days=days * 7))),
    "m": (
        pa.timestamp("us"),
        st.integers(-50, 50).map(lambda n: datetime.datetime(1970, 1, 1) + datetime.timedelta(hours=n * 12)),
    ),
}
INTEGERS, DECIMALS, FLOATS, TEXTS, DATES, MOMENTS = ("i", "j", "u"), ("d", "e"), ("x", "f"), ("s", "w"), ("t",), ("m",)


@st.composite
def tables(draw: Draw, most_rows: int = 12) -> pa.Table:
    """A table of the columns above; some without NULLs, some of NULLs alone."""
    rows = draw(st.integers(0, most_rows))
    columns = {"id": pa.array(range(rows), pa.int64())}
    for name, (type, values) in COLUMNS.items():
        kind = draw(st.sampled_from(["nullable", "nullable", "full", "full", "null"]))
        element = {"nullable": st.none() | values, "full": values, "null": st.none()}[kind]
        columns[name] = pa.array(draw(st.lists(element, min_size=rows, max_size=rows)), type)
    return pa.table(columns)


def either(draw: Draw, *choices: Callable[[], str]) -> str:
    return draw(st.sampled_from(choices))()


def pick(draw: Draw, *choices: str) -> str:
    return draw(st.sampled_from(choices))


def integer(draw: Draw, depth: int) -> str:
    """An integer; BIGINT where it is computed, so that it does not overflow."""
    if depth <= 0:
        return either(draw, lambda: pick(draw, *INTEGERS), lambda: str(draw(st.integers(-5, 300))), lambda: "NULL::INTEGER")

    def operand() -> str:
        return f"{integer(draw, depth - 1)}::BIGINT"

    return either(
        draw,
        lambda: f"({operand()} {pick(draw, '+', '-')} {operand()})",
        lambda: f"({operand()} * {pick(draw, '2', '-3', 'i', 'u')})",
        lambda: f"({operand()} {pick(draw, '//', '%')} {pick(draw, '2', '-3', 'nullif(i, 0)', 'nullif(u, 0)')})",
        lambda: f"abs({operand()})",
        lambda: f"-({operand()})",
        lambda: f"nullif({integer(draw, depth - 1)}, {integer(draw, depth - 1)})",
        lambda: f"TRY_CAST({pick(draw, 'w', 's', 'x', 'd', 'e', 'j')} AS {pick(draw, 'TINYINT', 'INTEGER', 'BIGINT')})",
        lambda: f"{condition(draw, depth - 1)}::INTEGER",
        lambda: f"({date(draw, 0)} - {date(draw, 0)})",
        lambda: branched(draw, integer, depth),
        lambda: integer(draw, 0),
    )


def decimal(draw: Draw, depth: int) -> str:
    if depth <= 0:
        return either(draw, lambda: pick(draw, *DECIMALS), lambda: pick(draw, "1.5", "-0.005", "0.00", "12.34"))
    return either(
        draw,
        lambda: f"({decimal(draw, 0)} {pick(draw, '+', '-')} {decimal(draw, depth - 1)})",
        lambda: f"({decimal(draw, 0)} * {pick(draw, *DECIMALS, '1.5', '-2', 'i')})",
        lambda: f"({decimal(draw, 0)} % {pick(draw, '0.7', '3', 'nullif(d, 0)')})",
        lambda: f"{pick(draw, *DECIMALS, *INTEGERS, 'f')}::DECIMAL({pick(draw, '9, 1', '9, 2', '12, 4', '7, 0')})",
        lambda: f"abs({decimal(draw, depth - 1)})",
        lambda: branched(draw, decimal, depth),
        lambda: decimal(draw, 0),
    )


def floating(draw: Draw, depth: int) -> str:
    if depth <= 0:
        return either(draw, lambda: pick(draw, *FLOATS), lambda: pick(draw, "0.5e0", "-2e0", "'nan'::DOUBLE", "'inf'::DOUBLE"))
    return either(
        draw,
        lambda: f"({floating(draw, depth - 1)} {pick(draw, '+', '-', '*', '/')} {number(draw, depth - 1)})",
        lambda: f"({integer(draw, depth - 1)} / {number(draw, depth - 1)})",
        lambda: f"{number(draw, depth - 1)}::DOUBLE",
        lambda: f"-({floating(draw, depth - 1)})",
        lambda: branched(draw, floating, depth),
        lambda: floating(draw, 0),
    )


def number(draw: Draw, depth: int) -> str:
    return either(draw, lambda: integer(draw, depth), lambda: decimal(draw, depth), lambda: floating(draw, depth))


def text(draw: Draw, depth: int) -> str:
    if depth <= 0:
        return either(draw, lambda: pick(draw, *TEXTS), lambda: pick(draw, "'a'", "'zz'", "''"))
    return either(
        draw,
        lambda: f"nullif({text(draw, depth - 1)}, {text(draw, depth - 1)})",
        lambda: branched(draw, text, depth),
        lambda: text(draw, 0),
    )


def date(draw: Draw, depth: int) -> str:
    if depth <= 0:
        return either(draw, lambda: "t", lambda: pick(draw, "DATE '1970-01-01'", "DATE '1968-02-29'"))
    return either(
        draw,
        lambda: f"({date(draw, depth - 1)} {pick(draw, '+', '-')} {pick(draw, 'i', '31')})",
        lambda: branched(draw, date, depth),
    )


def moment(draw: Draw, depth: int) -> str:
    if depth <= 0:
        return either(draw, lambda: pick(draw, "m"), lambda: "TIMESTAMP '1970-01-03 12:00:00'")
    interval = pick(draw, "1 MONTH", "13 MONTH", "2 YEAR", "36 HOUR", "5 DAY")
    return either(
        draw,
        lambda: f"({pick(draw, 't', 'm')} {pick(draw, '+', '-')} INTERVAL {interval})",
        lambda: f"{date(draw, 0)}::TIMESTAMP",
        lambda: branched(draw, moment, depth),
    )


def branched(draw: Draw, value: Callable[[Draw, int], str], depth: int) -> str:
    first, second = value(draw, depth - 1), value(draw, depth - 1)
    return either(
        draw,
        lambda: f"CASE WHEN {condition(draw, depth - 1)} THEN {first} ELSE {second} END",
        lambda: f"CASE WHEN {condition(draw, depth - 1)} THEN {first} WHEN {condition(draw, 0)} THEN {second} END",
        lambda: f"coalesce({first}, {second})",
    )


COMPARABLE = [number, text, date, moment]
COMPARISONS = ("=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM")


def condition(draw: Draw, depth: int) -> str:
    if depth <= 0:
        return either(draw, lambda: "p", lambda: pick(draw, "(i > 0)", "(x < 1)", "(s = 'a')", "(d <= 1.005)", "TRUE"))
    value = draw(st.sampled_from(COMPARABLE))

    def operand() -> str:
        return value(draw, depth - 1)

    return either(
        draw,
        lambda: f"({operand()} {pick(draw, *COMPARISONS)} {operand()})",
        lambda: f"({operand()} {pick(draw, *COMPARISONS)} {operand()})",
        lambda: f"({operand()} {pick(draw, 'BETWEEN', 'NOT BETWEEN')} {operand()} AND {operand()})",
        lambda: f"({operand()} {pick(draw, 'IN', 'NOT IN')} ({operand()}, {operand()}, {pick(draw, 'NULL', operand())}))",
        lambda: f"({text(draw, depth - 1)} {pick(draw, 'LIKE', 'NOT LIKE', 'ILIKE')} {pick(draw, *PATTERNS)})",
        lambda: f"({operand()} {pick(draw, 'IS NULL', 'IS NOT NULL')})",
        lambda: f"({condition(draw, depth - 1)} {pick(draw, 'AND', 'OR')} {condition(draw, depth - 1)})",
        lambda: f"(NOT {condition(draw, depth - 1)})",
        lambda: f"({condition(draw, depth - 1)} {pick(draw, 'IS TRUE', 'IS NOT FALSE', 'IS NULL', '= p', '<> p')})",
        lambda: branched(draw, condition, depth),
    )


PATTERNS = ("'a%'", "'%b'", "'_'", "''", "'a$%' ESCAPE '$'", "'%'")
VALUES = [integer, decimal, floating, text, date, moment, condition]


def value(draw: Draw, depth: int) -> str:
    return draw(st.sampled_from(VALUES))(draw, depth)


def aggregate(draw: Draw) -> str:
    """Sums and averages are of exact numbers or of columns, whose floats add up exactly."""
    summand = either(draw, lambda: integer(draw, 1), lambda: decimal(draw, 1), lambda: pick(draw, *FLOATS))
    extreme = either(draw, lambda: number(draw, 0), lambda: text(draw, 1), lambda: date(draw, 1), lambda: condition(draw, 1))
    distinct = pick(draw, "", "", "DISTINCT ")
    call = either(
        draw,
        lambda: "count(*)",
        lambda: f"count({distinct}{value(draw, 1)})",
        lambda: f"{pick(draw, 'sum', 'avg')}({distinct}{summand})",
        lambda: f"{pick(draw, 'min', 'max')}({extreme})",
    )
    call = either(draw, lambda: call, lambda: call, lambda: statistic(draw, distinct))
    return call + either(draw, str, str, lambda: f" FILTER (WHERE {condition(draw, 1)})")


def statistic(draw: Draw, distinct: str) -> str:
    """The other aggregates, but for those of which several answers are right. Moments are of small exact numbers: DuckDB loses
    digits in others, and of equal ones makes up a variance.
    """
    small, ordered = pick(draw, "i", "j", "u"), either(draw, lambda: number(draw, 0), lambda: pick(draw, "t", "m"))
    fraction = pick(draw, "0.5", "0", "1", "0.31", "-0.2", "0.75e0")
    return either(
        draw,
        lambda: f"{pick(draw, 'stddev', 'var_pop', 'var_samp', 'stddev_pop')}({distinct}{small})",
        lambda: (
            f"{pick(draw, 'covar_pop', 'covar_samp', 'regr_count', 'regr_avgx', 'regr_sxx')}({small}, {pick(draw, 'i', 'j')})"
        ),
        lambda: f"{pick(draw, 'bool_and', 'bool_or', 'count_if')}({condition(draw, 1)})",
        lambda: f"{pick(draw, 'bit_and', 'bit_or', 'bit_xor')}({distinct}{integer(draw, 1)})",
        lambda: f"{pick(draw, 'first', 'last', 'any_value')}({value(draw, 1)} ORDER BY {value(draw, 0)}, id)",
        lambda: f"{pick(draw, 'arg_min', 'arg_max')}({value(draw, 1)}, id)",
        lambda: f"{pick(draw, 'quantile_cont', 'quantile_disc')}({distinct}{ordered}, {fraction})",
        lambda: f"median({distinct}{ordered})",
        lambda: f"count(DISTINCT ({value(draw, 1)}, {value(draw, 0)}))",
        lambda: f"avg({pick(draw, 't', 'm')})",
    )


@st.composite
def row_queries(draw: Draw) -> str:
    """A query whose rows are rows of the table."""
    outputs = ", ".join(f"{value(draw, 2)} AS c{number}" for number in range(draw(st.integers(1, 3))))
    where = either(draw, str, lambda: f" WHERE {condition(draw, 2)}")
    order = either(  # coalesce: DuckDB refuses to order by a literal
        draw, str, lambda: f" ORDER BY coalesce({value(draw, 1)}) {pick(draw, 'ASC', 'DESC')} {pick(draw, '', 'NULLS FIRST')}, id"
    )
    limit = pick(draw, "", " LIMIT 3", " LIMIT 5 OFFSET 2") if order else ""
    return f"SELECT id, {outputs} FROM t{where}{order}{limit}"


@st.composite
def group_queries(draw: Draw) -> str:
    """A query with GROUP BY, perhaps inside another one, perhaps without keys."""
    keys = [f"{value(draw, 1)} AS k{number}" for number in range(draw(st.integers(0, 2)))]
    aggregates = [f"{aggregate(draw)} AS a{number}" for number in range(draw(st.integers(1, 3)))]
    where = either(draw, str, lambda: f" WHERE {condition(draw, 2)}")
    listed = ", ".join(f"k{number}" for number in range(len(keys)))
    group = (
        pick(draw, f" GROUP BY {listed}", f" GROUP BY {listed}", f" GROUP BY {pick(draw, 'ROLLUP', 'CUBE')} ({listed})")
        if keys
        else ""
    )
    having = pick(draw, "", " HAVING count(*) > 1", " HAVING max(i) > 0 OR min(s) IS NULL")
    inner = f"SELECT {', '.join([*keys, *aggregates])} FROM t{where}{group}{having}"
    return either(
        draw,
        lambda: inner,
        lambda: inner,
        lambda: f"SELECT a0, count(*) FROM ({inner}) GROUP BY a0",
        lambda: f"SELECT count(*), min(a0), max(a0) FROM ({inner}) WHERE a0 IS NOT NULL",
        lambda: f"SELECT DISTINCT a0 FROM ({inner})",
    )


@st.composite
def conditions(draw: Draw) -> str:
    return condition(draw, 3)
