"""Constants against DuckDB: the values that texts, numbers and parameters become, and casts of constants among all types."""

from __future__ import annotations

import datetime
import decimal
import itertools
import random
from collections.abc import Iterator

import duckdb
import pytest

from qtensor import types as t
from qtensor.bind import bind
from qtensor.expressions import Cast, Expr, Literal
from qtensor.logical import Project
from qtensor.values.literals import convert_literal
from qtensor.values.texts import ConversionError, format_value, parse_text
from tests.bind.catalog import MemoryCatalog
from tests.literal_values import python_value, same


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


def bound(expression: str, parameters: list[object] | None = None) -> Expr:
    plan = bind(f"SELECT {expression}", MemoryCatalog(), parameters)
    assert isinstance(plan, Project)
    return plan.expressions[0].expr


def bound_literal(expression: str, parameters: list[object] | None = None) -> Literal:
    literal = bound(expression, parameters)
    assert isinstance(literal, Literal)
    return literal


@pytest.mark.parametrize(
    "expression",
    [
        "1", "-1", "1.50", "-0.06", ".5", "1e-3", "-(-5)", "true", "'it''s'", "NULL", "1_000", "9223372036854775808", "1e999",
        "date '1994-01-01'", "'1969-12-31'::DATE", "'  2020-1-2 '::DATE", "'2020/01/02'::DATE", "'2020-01-02 10:00:00'::DATE",
        "'0001-01-01'::DATE", "'9999-12-31'::DATE", "timestamp '2020-01-02'", "'2020-01-02T10:00:00Z'::TIMESTAMP",
        "'2020-01-02 10:00'::TIMESTAMP", "'2020-01-02 1:2:3.1234567'::TIMESTAMP", "'2020-01-02 10:00:00+02:30'::TIMESTAMP",
        "'1900-01-02 10:00:00.5'::TIMESTAMP", "date '2020-01-01'::TIMESTAMP", "'2020-01-02 24:00:00'::TIMESTAMP",
        "'1.5'::INTEGER", "'2.5'::INTEGER", "'-2.5'::INTEGER", "'1e2'::INTEGER", "' 12 '::INTEGER", "'+5'::INTEGER",
        "'0x1F'::INTEGER", "'1_000'::INTEGER", "'1.555'::DECIMAL(9,2)", "'-1.545'::DECIMAL(9,2)", "'1e2'::DECIMAL(9,2)",
        "'yes'::BOOLEAN", "'F'::BOOLEAN", "'1'::BOOLEAN", "'nan'::DOUBLE", "'-Infinity'::DOUBLE", "'1.1'::FLOAT", "'1e39'::FLOAT",
        "1.1::FLOAT", "0.07::DOUBLE", "5::DOUBLE", "7::DECIMAL(5,2)", "1.5::DECIMAL(9,4)", "true::INTEGER", "100::TINYINT",
        "1.5::INTEGER", "1.555::DECIMAL(3,2)", "16777217::FLOAT", "2.5e0::INTEGER", "2.5::INTEGER", "0.285e0::DECIMAL(5,2)",
        "-(2.5::DOUBLE)", "-(0.0::DOUBLE)", "'-0.0'::DOUBLE", "-(1.5::DECIMAL(9,4))", "1.50::VARCHAR", "1e16::VARCHAR", "5::BOOLEAN",
        "timestamp '1969-12-31 23:59:59'::DATE", "NULL::INTEGER", "NULL::VARCHAR",
        "TRY_CAST('abc' AS INTEGER)", "TRY_CAST('300' AS TINYINT)", "TRY_CAST('x' AS DATE)", "TRY_CAST(300 AS TINYINT)",
        "TRY_CAST('nan'::DOUBLE AS INTEGER)",
        "'a' || 'b'", "'a' || 'b' || ''", "'a' || NULL", "1 || 2.50 || true", "date '2020-01-01' || '!'", "1e0 || 'x'",
        "'a' || CAST(NULL AS VARCHAR)", "('2020' || '-01-01')::DATE", "'it''s' || ('x' || 'y')",
    ],
)  # fmt: skip
def test_value(connection: duckdb.DuckDBPyConnection, expression: str) -> None:
    row = connection.execute(f"SELECT {expression}").fetchone()
    assert row is not None
    assert same(python_value(bound_literal(expression)), row[0])


@pytest.mark.parametrize("expression", ["'abc'::INTEGER", "300::TINYINT", "1.555::DECIMAL(2,2)", "1e39::FLOAT", "'x'::DATE"])
def test_what_does_not_convert_is_left_to_the_rows_that_reach_it(expression: str) -> None:
    cast = bound(expression)
    assert isinstance(cast, Cast)
    assert isinstance(cast.operand, Literal)
    assert cast.span is not None
    assert f"SELECT {expression}"[cast.span.start : cast.span.end] == expression


# --- among all types ----------------------------------------------------------------------------------------------------------

TYPES: tuple[t.SqlType, ...] = (
    t.BOOLEAN, t.TINYINT, t.SMALLINT, t.INTEGER, t.BIGINT, t.HUGEINT, t.UTINYINT, t.USMALLINT, t.UINTEGER, t.UBIGINT,
    t.FLOAT, t.DOUBLE, t.Decimal(4, 1), t.Decimal(9, 2), t.Decimal(18, 3), t.Decimal(38, 4), t.Decimal(3, 3), t.DATE, t.TIMESTAMP,
    t.VARCHAR,
)  # fmt: skip
FLOATS = [
    0.0, -0.0, 1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 0.05, 0.285, 1.005, 127.5, 127.49, -128.5, 255.5, 9.3e18, -9.3e18, 1e38, 3.5e38, 1e300,
    5e-324, 1e-45, float("nan"), float("inf"), float("-inf"), 2.0**63, 2.0**53 + 2, 0.49999999999999994, 1e15, 1e16, 1e-4, 1e-5, 9999.95,
]  # fmt: skip


def samples(source: t.SqlType) -> list[str]:
    """Texts of values of `source`, at its ends, at roundings, and anywhere."""
    chance = random.Random(str(source))
    match source:
        case t.Boolean():
            return ["true", "false"]
        case t.Integer(minimum=low, maximum=high):
            corners = {
                0,
                1,
                -1,
                127,
                128,
                255,
                256,
                1 << 24,
                (1 << 24) + 1,
                (1 << 25) + 3,
                1 << 53,
                (1 << 53) + 1,
                10**18,
                low,
                high,
            }
            anywhere = {chance.randrange(-1 << 62, 1 << 62) >> chance.randrange(62) for _ in range(50)}
            # DuckDB rounds a negative HUGEINT twice on its way to a DOUBLE.
            beyond = {number for number in anywhere if low < -1 << 64 and number < -1 << 53}
            return [str(number) for number in (corners | anywhere) - beyond if low <= number <= high]
        case t.Decimal(precision, maximum=most):
            corners = {0, 1, -1, 5, -5, 15, -15, 25, 45, 55, 95, most, -most, most // 2}
            anywhere = {chance.randrange(-most, most) // 10 ** chance.randrange(precision) for _ in range(80)}
            return [format_value(unscaled, source) for unscaled in corners | anywhere]
        case t.Float():
            anywhere_floats = [chance.uniform(-1, 1) * 10 ** chance.randrange(-20, 25) for _ in range(80)]
            return [repr(parse_text(repr(number), source)) for number in FLOATS + anywhere_floats]
        case t.Date():
            return ["1970-01-01", "2020-02-29", "0001-01-01", "9999-12-31", "1969-12-31", "1582-10-10"]
        case t.Timestamp():
            return ["1970-01-01 00:00:00", "2020-02-29 12:34:56.789", "0001-01-01 00:00:00.000001", "1969-12-31 23:59:59.5"]
        case _:
            return ["", "it's", "5", "1.5", "true", "2020-01-01"]


@pytest.mark.parametrize("source", TYPES, ids=str)
def test_casts_among_types(connection: duckdb.DuckDBPyConnection, source: t.SqlType) -> None:
    """Compared as texts, which every value has; a FLOAT as a DOUBLE."""
    texts, targets = samples(source), [target for target in TYPES if target != t.VARCHAR or source != t.FLOAT]
    converted = 0
    for target in targets:
        exact = "::DOUBLE" if target == t.FLOAT else ""
        query = f"SELECT TRY_CAST(text::{source} AS {target}){exact}::VARCHAR FROM unnest(?::VARCHAR[]) given(text)"
        try:
            theirs = [row[0] for row in connection.execute(query, [texts]).fetchall()]
        except duckdb.BinderException:
            theirs = [None] * len(texts)
        if isinstance(target, t.Decimal) and source == t.BOOLEAN and target.precision == target.scale:
            theirs = [None if text == ".001" else text for text in theirs]  # DuckDB: true is 0.001
        assert [cast_text(text, source, target) for text in texts] == theirs, target
        converted += sum(text is not None for text in theirs)
    assert converted > len(texts)


def cast_text(text: str, source: t.SqlType, target: t.SqlType) -> str | None:
    """CAST(text::source AS target) as a text, None where that fails."""
    try:
        literal = convert_literal(Literal(parse_text(text, source), source), target)
    except ConversionError:
        return None
    assert literal.type == target
    assert literal.value is not None
    assert not isinstance(literal.value, t.IntervalValue)
    return format_value(literal.value, t.DOUBLE if isinstance(target, t.Float) else target)


# --- texts --------------------------------------------------------------------------------------------------------------------

NUMBERS = ["0", "1", "5", "9", "12", "00", "+", "-", ".", "e", "E", "_", "0x", "0b", " ", "127", "128", "nan", "inf", "\t", "f"]
DAYS = [
    "2020-02-29",
    "2020-1-2",
    "1999/12/31",
    "20-01-01",
    "2020-13-01",
    "2020-02-30",
    "02020-01-01",
    "2020-001-01",
    "2020-1-2x",
    "x",
]
SEPARATORS = ["", " ", "T", "  ", "T ", "x"]
TIMES = ["", "10:00", "1:2:3", "10:00:00.1234567", "24:00:00", "24:00:01", "23:59:60", "10:60", "10", "10:00:00.", "10:00:00,5"]
ZONES = ["", "Z", "+02", "+02:30", " UTC", "-0530", "+2", " ", "x"]
# DuckDB reads what stands after an exponent's point, a sign before a sign, and the sign of zero beside spaces.
LAX = ("e", "E", "+-", "-0", "-.0")


def number_texts() -> list[str]:
    chance = random.Random(3)
    made = ["".join(chance.choices(NUMBERS, k=chance.randrange(6))) for _ in range(2_000)]
    long = [
        "true",
        "T",
        "F",
        "no",
        "yes",
        "n",
        " y",
        "maybe",
        "9" * 50,
        "1" * 5_000,
        "0x" + "f" * 40,
        "1e1000000000000000000000",
        "1e-400",
        "0e99",
    ]
    return [
        text for text in {*made, *long} if not any((lax in text and "." in text) or text.lstrip().startswith(lax) for lax in LAX)
    ]


@pytest.mark.parametrize(
    "target",
    [t.BOOLEAN, t.TINYINT, t.UBIGINT, t.HUGEINT, t.Decimal(4, 1), t.Decimal(38, 10), t.FLOAT, t.DOUBLE, t.DATE, t.TIMESTAMP],
    ids=str,
)
def test_texts(connection: duckdb.DuckDBPyConnection, target: t.SqlType) -> None:
    moments = ["".join(parts) for parts in itertools.product(DAYS, SEPARATORS, TIMES, ZONES)]
    texts = moments if isinstance(target, t.Date | t.Timestamp) else number_texts()
    exact = "::DOUBLE" if target == t.FLOAT else ""
    query = f"SELECT TRY_CAST(text AS {target}){exact}::VARCHAR FROM unnest(?::VARCHAR[]) given(text)"
    theirs = {text: row[0] for text, row in zip(texts, connection.execute(query, [texts]).fetchall(), strict=True)}
    ours = {text: cast_text(text, target, target) for text in texts}
    assert {text: value for text, value in ours.items() if value != theirs[text]} == {}
    assert sum(value is not None for value in theirs.values()) > 5


@pytest.mark.parametrize(
    ("text", "target", "says"),
    [
        ("abc", t.INTEGER, "cannot convert 'abc' to INTEGER"),
        ("300", t.TINYINT, "'300' is out of range of TINYINT"),
        ("abc", t.DATE, "cannot convert 'abc' to DATE: a date is written YYYY-MM-DD"),
        ("2020-02-30", t.DATE, "cannot convert '2020-02-30' to DATE: there is no such day"),
        ("5881581-01-01", t.DATE, "cannot convert '5881581-01-01' to DATE: years go from 5877642 (BC) to 5881580"),
        ("2020-01-01 25:00:00", t.TIMESTAMP, "a time of day is written HH:MM:SS"),
        ("maybe", t.BOOLEAN, "cannot convert 'maybe' to BOOLEAN"),
        ("12345", t.Decimal(4, 1), "'12345' is out of range of DECIMAL(4,1)"),
        ("x", t.DOUBLE, "cannot convert 'x' to DOUBLE"),
        ("soon", t.INTERVAL, "cannot convert 'soon' to INTERVAL"),
        ("99999999999 days", t.INTERVAL, "an INTERVAL has at most"),
        ("1", t.NULL, "cannot convert '1' to"),
    ],
)
def test_messages(text: str, target: t.SqlType, says: str) -> None:
    with pytest.raises(ConversionError) as caught:
        convert_literal(Literal(text, t.VARCHAR), target)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("literal", "target", "says"),
    [
        (Literal(300, t.INTEGER), t.TINYINT, "300 is out of range of TINYINT"),
        (Literal(12345, t.Decimal(5, 2)), t.Decimal(3, 2), "123.45 is out of range of DECIMAL(3,2)"),
        (Literal(float("nan"), t.DOUBLE), t.INTEGER, "nan is out of range of INTEGER"),
        (Literal(1e39, t.DOUBLE), t.FLOAT, "1e+39 is out of range of FLOAT"),
        (Literal(200_000_000, t.DATE), t.TIMESTAMP, "549551-05-28 is out of range of TIMESTAMP"),
        (Literal(1, t.INTEGER), t.DATE, "cannot convert a INTEGER to DATE"),
    ],
)
def test_messages_of_values(literal: Literal, target: t.SqlType, says: str) -> None:
    with pytest.raises(ConversionError, match=says.replace("(", r"\(").replace(")", r"\)").replace("+", r"\+")):
        convert_literal(literal, target)


@pytest.mark.parametrize(
    "text",
    [
        "interval '1' year", "interval '1.5' day", "interval 1.5 hour", "interval 1.7 month", "interval 2 quarter",
        "interval '-3' day", "interval 5 milliseconds", "interval '1.25' second", "interval 1 decade", "interval (3) weeks",
        "interval '1 year 2 months -3 days 04:05:06.5'", "interval '3 days 2 hours'", "'1'::INTERVAL", "'-01:30'::INTERVAL",
        "-interval 1 day", "'2 mons 1 min'::INTERVAL", "interval '1 ms 2 msecond 3 mseconds 4 usecond 5 useconds'",
        "interval '1 mil 2 cent 3 dec 4 c 5 mils 6 decs'", "interval '1 w 2 weeks'", "interval '@ 2mons 1H'",
        "interval '2Y 4 days 1 MinUteS 3S 20mS 16uS ago'", "'-1 day  AGO '::INTERVAL",
    ],
)  # fmt: skip
def test_interval(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    months = "date_part('year', i) * 12 + date_part('month', i)"
    microseconds = "(date_part('hour', i) * 60 + date_part('minute', i)) * 60_000_000 + date_part('microsecond', i)"
    row = connection.execute(f"SELECT {months}, date_part('day', i), {microseconds} FROM (SELECT {text} AS i)").fetchone()
    assert bound_literal(text).value == row


@pytest.mark.parametrize(
    "value",
    [
        3, -(2**40), 2**63, 1.5, "x", True, None, decimal.Decimal("1.50"), decimal.Decimal("1E+2"), decimal.Decimal("-0.001"),
        datetime.date(1960, 2, 29), datetime.datetime(2020, 1, 1, 1, 2, 3, 4),
    ],
)  # fmt: skip
def test_parameter(connection: duckdb.DuckDBPyConnection, value: object) -> None:
    literal = bound_literal("?", [value])
    described = connection.execute("SELECT typeof(?), ?", [value, value]).fetchone()
    assert described is not None
    assert (str(literal.type), python_value(literal)) == described


def test_literals_that_differ_in_the_sign_of_zero_are_two() -> None:
    zero, negative = Literal(0.0, t.DOUBLE), Literal(-0.0, t.DOUBLE)
    assert zero != negative
    assert Literal(float("nan"), t.DOUBLE) == Literal(float("nan"), t.DOUBLE)
    assert len({zero, negative, Literal(0.0, t.DOUBLE), Literal(0, t.INTEGER), Literal(False, t.BOOLEAN)}) == 4
