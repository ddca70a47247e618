"""Parameters of exported queries: other values give what DuckDB gives, and what cannot be another value says so."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from qtensor.aot.artifact.parameters import bound_parameters, find_parameters
from qtensor.bind import bind
from qtensor.catalog import Registry, Scope
from qtensor.errors import ArtifactError
from qtensor.logical import Plan
from tests.aot.exports import Exports, answer_of, check

QUERY = """
SELECT id, i16 > $a + 1 AS folded, i16 < -$a AS negative, x > $f AS above, s = $t AS same, s LIKE $p AS fits,
       s IN ($t, 'b', $u) AS among, day >= $day AS late, moment < $moment AS early, d > $d AS more, CAST($a AS DOUBLE) AS floating,
       CASE WHEN i16 > $a THEN $t ELSE s END AS chosen, $f AS given
FROM t WHERE i16 >= $a OR s < $u
"""
VALUES: dict[str, Any] = {
    "a": 5,
    "f": 0.5,
    "t": "a",
    "p": "a%",
    "u": "zz",
    "day": datetime.date(1980, 1, 1),
    "moment": datetime.datetime(1985, 5, 5, 12),
    "d": Decimal("1.25"),
}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"a": 6},
        {"a": -100},
        {"a": 2**31 - 2},
        {"f": -2.5},
        {"f": float("inf")},
        {"f": float("nan")},
        {"f": -0.0},
        {"t": ""},
        {"t": "nothing has this text"},
        {"t": "\U0001f600", "u": "ÄÖ"},
        {"p": "%"},
        {"p": "a\\%c"},
        {"p": ""},
        {"day": datetime.date(1968, 2, 29)},
        {"moment": datetime.datetime(1970, 1, 1, 0, 0, 0, 1)},
        {"d": Decimal("-9.99")},
        {"d": Decimal("0")},
        {"a": 7, "f": 1e300, "t": "b", "p": "_", "u": "A", "day": datetime.date(1999, 12, 31), "d": Decimal("1.3")},
    ],
    ids=str,
)
def test_other_values(values: dict[str, Any], exports: Exports, rows: pa.Table, schema: pa.Schema) -> None:
    check(exports.of(QUERY, schema, VALUES), rows.slice(3, 2_100), values)


def test_zeros_are_told_apart(exports: Exports, rows: pa.Table, schema: pa.Schema) -> None:
    """0.0 and -0.0 are equal to Python: neither may be given the inputs that were kept for the other."""
    artifact = exports.of("SELECT $f AS f, x FROM t", schema, {"f": 0.0})
    table = rows.slice(0, 1)
    for value in (0.0, -0.0, 0.0, float("nan"), -0.0):
        assert str(artifact(table, f=value)["f"][0].as_py()) == str(value)


def test_names_have_no_case(exports: Exports, rows: pa.Table, schema: pa.Schema) -> None:
    artifact = exports.of(QUERY, schema, VALUES)
    part = rows.slice(0, 100)
    assert answer_of(artifact, artifact(part, A=9, DAY=datetime.date(1975, 1, 1))) == answer_of(
        artifact, artifact(part, a=9, day=datetime.date(1975, 1, 1))
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dya": 1}, 'no parameter "dya".*Did you mean "day"'),
        ({"a": None}, "the parameter a was a INTEGER when the query was exported; None is none"),
        ({"a": 2.5}, "the parameter a was a INTEGER.*2.5 is none"),
        ({"a": "text"}, "the parameter a"),
        ({"a": 2**40}, "the parameter a"),
        ({"a": [1]}, "the parameter a: a list has no SQL type"),
        ({"f": "x"}, "the parameter f"),
        ({"d": Decimal("1.234")}, "the parameter d"),
        ({"d": Decimal("1E+30")}, "the parameter d"),
        ({"day": "no day"}, "the parameter day"),
        ({"day": datetime.datetime(1980, 1, 1, 5)}, "the parameter day"),
        ({"moment": datetime.datetime(1980, 1, 1, tzinfo=datetime.UTC)}, "time zone"),
    ],
)
def test_refused(values: dict[str, Any], message: str, exports: Exports, rows: pa.Table, schema: pa.Schema) -> None:
    artifact = exports.of(QUERY, schema, VALUES)
    with pytest.raises(ArtifactError, match=message):
        artifact(rows.slice(0, 10), **values)
    with pytest.raises(ArtifactError, match=message):
        artifact.stream(rows.slice(0, 10), **values)


def test_what_decided_the_plan_is_fixed(exports: Exports, rows: pa.Table, schema: pa.Schema) -> None:
    artifact = exports.of("SELECT id FROM t ORDER BY i64, id LIMIT $n", schema, {"n": 3})
    assert check(artifact, rows.slice(0, 500), {"n": 3}).rows
    with pytest.raises(ArtifactError, match=r"the parameter n decided the plan.*export it again"):
        artifact(rows.slice(0, 500), n=4)


def test_numbered(exports: Exports, rows: pa.Table, schema: pa.Schema) -> None:
    artifact = exports.of("SELECT count(*) AS n, sum(i16) AS s FROM t WHERE i16 > ? AND w = ?", schema, [0, "a"])
    assert artifact.parameters == {"1": 0, "2": "a"}
    for first, second in ((0, "a"), (100, "b"), (-300, "none")):
        check(artifact, rows.slice(5, 2_100), {"1": first, "2": second})


def test_a_folded_interval(exports: Exports, rows: pa.Table, schema: pa.Schema) -> None:
    sql = "SELECT count(*) AS n FROM t WHERE day <= CAST($day AS DATE) - INTERVAL 90 DAY"
    artifact = exports.of(sql, schema, {"day": "1998-12-01"})
    for day in ("1998-12-01", "1980-02-29"):
        try:
            check(artifact, rows.slice(5, 100), {"day": day})
        except ArtifactError as error:
            assert "decided the plan" in str(error)
    with pytest.raises(ArtifactError):
        artifact(rows.slice(0, 5), day="no day")


def test_in_arithmetic(exports: Exports, rows: pa.Table, schema: pa.Schema) -> None:
    """A parameter may be any value of its type: of more bits than the one at export, of the other sign, equal to another's."""
    artifact = exports.of("SELECT id, i16 + $a AS more, $a - $b AS less FROM t WHERE i64 > $b", schema, {"a": 5, "b": 5})
    for a, b in ((7, 5), (500, 4), (-1, -1), (0, 1), (2**31 - 400, 2**20)):
        check(artifact, rows.slice(0, 300), {"a": a, "b": b})


def test_a_truth_value_is_fixed(exports: Exports, rows: pa.Table, schema: pa.Schema) -> None:
    """It is part of the program, as TRUE and FALSE are."""
    artifact = exports.of("SELECT count(*) AS n FROM t WHERE b = $b", schema, {"b": True})
    check(artifact, rows.slice(0, 300), {"b": True})
    with pytest.raises(ArtifactError, match=r"the parameter b|with b = False"):
        artifact(rows.slice(0, 300), b=False)


def test_without_a_table(exports: Exports) -> None:
    artifact = exports.of("SELECT $x AS x, $t AS t, $x = 1 AS one", None, {"x": 41, "t": "a"})
    assert artifact().to_pylist() == [{"x": 41, "t": "a", "one": False}]
    assert artifact(x=42, t="ß").to_pylist() == [{"x": 42, "t": "ß", "one": False}]


def test_a_parameter_named_like_the_table(exports: Exports, rows: pa.Table, schema: pa.Schema) -> None:
    artifact = exports.of("SELECT count(*) AS n FROM t WHERE s = $t", schema, {"t": "a"})
    assert artifact(rows, t="b").to_pylist() != artifact(rows, t="no such text").to_pylist() == [{"n": 0}]


def test_defaults_are_shown_as_they_were_given(exports: Exports, schema: pa.Schema) -> None:
    assert exports.of(QUERY, schema, VALUES).parameters == VALUES


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (Decimal("0"), Decimal("9")),
        (Decimal("0.00"), Decimal("1.25")),
        (Decimal("5"), Decimal("-3")),
        (Decimal("100"), Decimal("-250")),
        (Decimal("NaN"), 1.5),
        (2.5, -1.0),
        (float("inf"), 0.0),
        (float("nan"), 1.0),
        (np.int64(3), 4),
        (np.float32(0.5), 1.5),
        (-(2**31) - 1, -(2**40)),
        (2**31, 2**33),
        (-(2**63), 2**62),
    ],
    ids=repr,
)
def test_no_value_is_fixed_by_chance(value: Any, other: Any, schema: pa.Schema) -> None:
    """Whether a parameter may change is tried out with another value of its type, whatever it was given."""

    def bound(parameters: Mapping[str, object]) -> Plan:
        return bind("SELECT id, x FROM t WHERE x > $v", Scope(Registry(), {"t": schema.empty_table()}), parameters, "duckdb")

    (parameter,) = find_parameters(bound({"v": value}), {"v": value}, bound)
    assert not parameter.fixed
    assert bound_parameters((parameter,), {"v": other})["v"].value is not None
