"""Joins against DuckDB: kinds, keys of all types, conditions, names of columns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from tests.oracle import Engines
from tests.sql.tables import every_type

KINDS = ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN"]
BOTH_SIDES = KINDS[:4]

LEFT = pa.table(
    {
        "i": pa.array([1, 1, 2, None, -3, 7, 0, 2], pa.int32()),
        "w": pa.array([1, 10**12, 2, None, -3, 7, 0, 2], pa.int64()),
        "t": pa.array([1, 1, 2, None, -3, 7, 0, 100], pa.int8()),
        "d": pa.array(
            [Decimal(v) if v else None for v in ["1.00", "1.50", "2.00", "-3.00", "7.25", "0.00", "2.00"]] + [None],
            pa.decimal128(9, 2),
        ),
        "x": pa.array([1.0, float("nan"), -0.0, None, 2.5, 0.0, float("inf"), 2.0], pa.float64()),
        "f": pa.array([1.0, 0.5, -0.0, None, 2.5, 0.0, float("nan"), 2.0], pa.float32()),
        "s": pa.array(["a", "b", None, "a", "", "é", "zz", "b"]),
        "c": pa.array(["red", "green", None, "red", "blue", "red", "green", "b"]).dictionary_encode(),
        "day": pa.array([date(2020, 1, 1), date(2020, 1, 2), None, date(1969, 12, 31)] * 2, pa.date32()),
        "b": pa.array([True, False, None, True, True, False, None, False]),
        "h": pa.array([Decimal(v) for v in (1, 2, 2, 10**17, -3, 7, 0, 5)], pa.decimal128(38, 0)),
        "id": pa.array(range(8), pa.int64()),
    }
)
RIGHT = pa.table(
    {
        "i": pa.array([2, 1, None, 1, 0, 5, None, -3, 2], pa.int32()),
        "w": pa.array([10**12, 1, None, 1, 0, 5, -(10**12), -3, 2], pa.int64()),
        "t": pa.array([2, 1, None, 1, 0, 5, None, -3, 2], pa.int8()),
        "d": pa.array(
            [Decimal(v) for v in ["2.000", "1.500", "0.000", "1.000", "7.250", "7.2"]] + [None] * 3, pa.decimal128(12, 3)
        ),
        "x": pa.array([float("nan"), 2.5, 0.0, None, 1.0, 1.0, -0.0, 0.5, -3.0], pa.float64()),
        "f": pa.array([float("nan"), 2.5, 0.0, None, 1.0, 1.0, -0.0, 0.5, -3.0], pa.float32()),
        "s": pa.array(["b", "zz", "q", None, "", "b", "A", "é", None]),
        "c": pa.array(["blue", "black", "red", None, "a", "b", "red", "é", "zz"]).dictionary_encode(),
        "day": pa.array([date(2020, 1, 2), None, date(2020, 1, 1)] * 3, pa.date32()),
        "moment": pa.array([datetime(2020, 1, 2), None, datetime(2020, 1, 1, 1)] * 3, pa.timestamp("us")),
        "b": pa.array([True, None, False] * 3),
        "h": pa.array([Decimal(v) for v in (10**17, 2, 0, 1, 1, 7, -3, 8, 9)], pa.decimal128(38, 0)),
        "id": pa.array(range(100, 109), pa.int64()),
    }
)
# Conditions over l and r: equalities of one type and of mixed types, several keys, more conditions, none.
CONDITIONS = [
    "l.i = r.i",
    "l.i = r.w",
    "l.t = r.w",
    "l.d = r.d",
    "l.i = r.d",
    "l.w = r.x",
    "l.x = r.x",
    "l.f = r.x",
    "l.d = r.x",
    "l.s = r.s",
    "l.c = r.s",
    "l.c = r.c",
    "l.day = r.day",
    "l.day = r.moment",
    "l.b = r.b",
    "l.b = r.i",
    "l.h = r.h",
    "l.i = r.i AND l.s = r.s",
    "l.i = r.i AND l.c = r.c AND l.b = r.b",
    "l.i = r.i AND l.id < r.id - 103",
    "l.i = r.i AND l.s <> r.s",
    "l.i = r.i AND l.id > 1 AND r.id < 107",
    "l.i + 1 = r.i * 2",
    "l.i = r.i OR l.s = r.s",
    "l.i < r.i",
    "l.x >= r.x",
    "l.i BETWEEN r.t AND r.w",
    "l.i IS NOT DISTINCT FROM r.i",
    "l.i IS NOT DISTINCT FROM r.i AND l.s IS DISTINCT FROM r.s",
    "upper(l.s) = upper(r.s)",
    "l.s || 'x' = r.c || 'x'",
    "l.s LIKE r.s || '%'",
    "l.i = 1",
    "r.id = 105",
    "l.i = r.i AND FALSE",
    "TRUE",
    "NULL",
    "coalesce(l.i, 0) = coalesce(r.i, 0)",
]

SHAPES = [
    "SELECT count(*), sum(l.id), sum(r.id) FROM l, r",
    "SELECT l.id, r.id FROM l CROSS JOIN r WHERE l.i = r.i AND l.s < r.s",
    "SELECT count(*) FROM l, r, l AS m WHERE l.i = r.i AND r.s = m.s",
    "SELECT a.id, b.id FROM l AS a JOIN l AS b ON a.i = b.i AND a.id < b.id",
    "SELECT a.id, b.id, c.id FROM l a LEFT JOIN r b ON a.i = b.i LEFT JOIN l c ON b.s = c.s",
    "SELECT unnamed_subquery.n, unnamed_subquery2.m, unnamed_subquery3.n"
    " FROM (SELECT count(*) AS n FROM l), (SELECT max(id) AS m FROM r) JOIN (SELECT count(*) AS n FROM r) ON n <> m + 100",
    "SELECT * FROM (SELECT i FROM l) NATURAL JOIN (SELECT DISTINCT i FROM r), (VALUES (7))",
    "SELECT a.id, b.id, c.id FROM l a LEFT JOIN (r b JOIN l c ON b.s = c.s) ON a.i = b.i",
    "SELECT a.id, b.id FROM l a LEFT JOIN r b ON a.i = b.i WHERE b.id IS NULL",
    "SELECT a.id, b.id FROM l a LEFT JOIN r b ON a.i = b.i WHERE b.t > 0 OR b.id IS NULL",
    "SELECT a.id, b.id FROM l a FULL JOIN r b ON a.i = b.i WHERE a.id IS NULL OR b.id IS NULL",
    "SELECT a.id, b.id FROM l a FULL JOIN r b ON a.i = b.i FULL JOIN l c ON c.i = b.i AND c.id = a.id",
    "SELECT a.i, count(*), count(b.id), sum(b.id) FROM l a LEFT JOIN r b ON a.i = b.i GROUP BY a.i",
    "SELECT b.s, count(*) FROM l a RIGHT JOIN r b USING (i) GROUP BY b.s ORDER BY b.s",
    "SELECT a.id, b.id FROM l a JOIN r b ON a.i = b.i ORDER BY a.id DESC, b.id LIMIT 4",
    "SELECT a.id, b.id FROM l a LEFT JOIN r b ON a.i = b.i ORDER BY b.id NULLS FIRST, a.id LIMIT 4 OFFSET 1",
    "SELECT DISTINCT a.i, b.s FROM l a JOIN r b ON a.i = b.i",
    "SELECT a.n, b.n FROM (SELECT i, count(*) AS n FROM l GROUP BY i) a JOIN (SELECT i, count(*) AS n FROM r GROUP BY i) b USING (i)",
    "SELECT a.k, b.id FROM (SELECT DISTINCT s AS k FROM l) a LEFT JOIN r b ON a.k = b.s",
    "SELECT x.id FROM (SELECT id, i FROM l ORDER BY id LIMIT 3) x JOIN r ON x.i = r.i",
    "WITH a AS (SELECT i, s, id FROM l WHERE id > 0) SELECT p.id, q.id FROM a p JOIN a q ON p.i = q.i",
    "SELECT a.id, a.i + b.i AS z FROM l a JOIN r b ON a.i = b.i WHERE z > 2",
    "SELECT 10 // (a.i - 1) FROM l a JOIN r b ON a.i = b.i AND a.i <> 1",
    "SELECT a.id, CASE WHEN b.id IS NULL THEN 'none' ELSE b.s END FROM l a LEFT JOIN r b ON a.i = b.i",
    "SELECT a.id FROM l a SEMI JOIN r b ON a.i = b.i ANTI JOIN r c ON a.s = c.s",
    "SELECT count(*) FROM l a JOIN r b ON a.i = b.i JOIN l c ON b.i = c.i JOIN r d ON c.i = d.i",
    "SELECT l.id FROM l JOIN (SELECT max(id) AS top FROM l) m ON l.id = m.top",
    "SELECT a.id, b.id, c.id FROM l a, r b LEFT JOIN l c ON b.i = c.i WHERE a.i = b.i",
]

NAMES = [
    "SELECT * FROM l JOIN r USING (i)",
    "SELECT * FROM l LEFT JOIN r USING (i, s)",
    "SELECT * FROM l RIGHT JOIN r USING (i, s)",
    "SELECT * FROM l FULL JOIN r USING (i, s)",
    "SELECT i, s, l.i, r.i FROM l FULL JOIN r USING (i, s)",
    "SELECT * FROM l JOIN (SELECT i AS w, s FROM r) q USING (w)",
    "SELECT * FROM (SELECT i, s FROM l) a NATURAL JOIN (SELECT s, i, id FROM r) b",
    "SELECT * FROM (SELECT i, s FROM l) a NATURAL LEFT JOIN (SELECT i, id FROM r) b",
    "SELECT * FROM (SELECT i, s FROM l) a NATURAL FULL JOIN (SELECT i, id FROM r) b",
    "SELECT a.*, b.id FROM l a JOIN r b ON a.i = b.i",
    "SELECT * FROM (SELECT i, s FROM l) a SEMI JOIN r USING (i)",
    "SELECT * FROM (SELECT i, s FROM l) a, (SELECT s FROM r) b WHERE a.s = b.s",
    "SELECT * FROM (SELECT t AS k FROM l) a JOIN (SELECT w AS k FROM r) b USING (k)",
    "SELECT * FROM (SELECT t AS k FROM l) a RIGHT JOIN (SELECT w AS k FROM r) b USING (k)",
    "SELECT * FROM (SELECT t AS k FROM l) a FULL JOIN (SELECT w AS k FROM r) b USING (k)",
    "SELECT * FROM (SELECT i AS k FROM l) a FULL JOIN (SELECT d AS k FROM r) b USING (k)",
    "SELECT * FROM (SELECT day AS k FROM l) a FULL JOIN (SELECT moment AS k FROM r) b USING (k)",
    "SELECT i FROM l a JOIN r b USING (i) JOIN (SELECT i FROM r) c USING (i)",
    "SELECT q.* FROM (SELECT a.id, b.id FROM l a JOIN r b USING (i)) q",
    "SELECT k, m FROM l a(k, m) JOIN r USING (id)",
]

REFUSED = [
    "SELECT * FROM l JOIN r",
    "SELECT * FROM l JOIN (SELECT 1 AS k) AS s",
    "SELECT * FROM l JOIN LATERAL (SELECT l.i AS k) AS s",
    "SELECT * FROM l, (r JOIN (VALUES (1)) AS v(k))",
    "SELECT id FROM l, r",
    "SELECT l.nothing FROM l, r",
    "SELECT m.id FROM l, r",
    "SELECT * FROM l JOIN r USING (nothing)",
    "SELECT * FROM l JOIN r ON l.i = m.i",
    "SELECT * FROM l JOIN r ON count(*) = 1",
    "SELECT r.id FROM l SEMI JOIN r USING (i)",
    "SELECT * FROM l JOIN r ON l.day = r.i",
    "SELECT * FROM (SELECT i AS k FROM l) a NATURAL JOIN (SELECT i AS m FROM r) b",
]

# A few groups, fewer than the slots that they are read in, before other rows: u. Then joins that find rows by their numbers.
AFTER_FEW = "(SELECT b, count(*) AS n FROM l GROUP BY b UNION ALL SELECT b, id FROM r) AS u(b, n)"
NUMBERED = [
    f"SELECT n FROM {AFTER_FEW} WHERE EXISTS (SELECT 1 FROM l WHERE l.w <> u.n AND u.n > 102)",
    f"SELECT n FROM {AFTER_FEW} WHERE NOT EXISTS (SELECT 1 FROM l WHERE l.w < u.n AND l.b <> u.b)",
    f"SELECT u.n, l.id FROM {AFTER_FEW} LEFT JOIN l ON l.w + 99 > u.n",
    f"SELECT u.n, l.id FROM {AFTER_FEW} FULL JOIN l ON l.b = u.b AND l.w + 99 > u.n",
    f"SELECT n, n < ANY (SELECT w + 103 FROM l WHERE l.b = u.b) FROM {AFTER_FEW}",
    f"SELECT n, (SELECT l.id FROM l WHERE l.id + 100 = u.n OR l.id < u.n - 107) FROM {AFTER_FEW}",
    f"SELECT v.n FROM (SELECT n FROM {AFTER_FEW} UNION ALL SELECT id FROM r) AS v WHERE EXISTS (SELECT 1 FROM l WHERE l.w > v.n)",
    "SELECT q.n, r.id FROM (SELECT b, sum(i) AS n FROM l GROUP BY b) AS q FULL JOIN r ON q.n < -9 "
    "WHERE EXISTS (SELECT 1 FROM l WHERE l.s <> r.s)",
]
# Keys of the rows that look for partners: integers of any size, few enough to be addresses, and with duplicates.
NOT_COMPUTED = [
    "SELECT n FROM t WHERE n * n IN (SELECT k FROM r)",
    "SELECT n FROM t WHERE n::TINYINT IN (SELECT s FROM r)",
    "SELECT n, s FROM t LEFT JOIN r ON n::TINYINT = s",
    "SELECT n, k FROM t LEFT JOIN r ON n::TINYINT = s AND n * n = k",
]


@pytest.fixture(scope="module", params=["both", "left empty", "right empty"])
def sides(request: pytest.FixtureRequest) -> Iterator[Engines]:
    """Both engines over l and r, one of which may be empty."""
    left = LEFT.slice(0, 0) if request.param == "left empty" else LEFT
    right = RIGHT.slice(0, 0) if request.param == "right empty" else RIGHT
    engines = Engines.over(threads=1, l=left, r=right)
    yield engines
    engines.close()


@pytest.fixture(scope="module")
def full_sides() -> Iterator[Engines]:
    """Both engines over l and r."""
    engines = Engines.over(threads=1, l=LEFT, r=RIGHT)
    yield engines
    engines.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_conditions(full_sides: Engines, kind: str, condition: str) -> None:
    columns = "l.id, r.id, l.s, r.x" if kind in BOTH_SIDES else "l.id, l.s"
    full_sides.check(f"SELECT {columns} FROM l {kind} r ON {condition}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("condition", ["l.i = r.i", "l.s = r.s AND l.id < r.id", "l.i < r.i"])
def test_an_empty_side(sides: Engines, kind: str, condition: str) -> None:
    columns = "l.id, r.id, l.s, r.s" if kind in BOTH_SIDES else "l.id, l.s"
    sides.check(f"SELECT {columns} FROM l {kind} r ON {condition}")


@pytest.mark.parametrize("query", [*SHAPES, *NAMES])
def test_shapes_and_names(full_sides: Engines, query: str) -> None:
    full_sides.check(query)


@pytest.mark.parametrize("query", NUMBERED)
def test_rows_after_a_few_groups(full_sides: Engines, query: str) -> None:
    full_sides.check(query)


@pytest.mark.parametrize("query", NOT_COMPUTED)
def test_keys_are_not_computed_where_there_is_no_partner(query: str) -> None:
    large = pa.table({"n": pa.array([3 * 10**12, None, 5], pa.int64())})
    few = pa.table({"k": pa.array([25, 1], pa.int64()), "s": pa.array([5, -1], pa.int8())})
    nulls = pa.table({"k": pa.array([None, None], pa.int64()), "s": pa.array([None, None], pa.int8())})
    for r in (nulls, few.slice(0, 0)):
        engines = Engines.over(threads=1, t=large, r=r)
        engines.check(query)
        engines.close()
    engines = Engines.over(threads=1, t=large, r=few)
    engines.check_refused(query, match="out of range|range or not such a value")
    engines.close()


@pytest.mark.parametrize("query", REFUSED)
def test_refused(full_sides: Engines, query: str) -> None:
    full_sides.check_refused(query)


@pytest.mark.parametrize("rows", [131_072, 131_073])
def test_rows_after_more_than_two_chunks(rows: int) -> None:
    numbers = pa.table({"n": pa.array(range(rows), pa.int64())})
    engines = Engines.over(threads=2, t=numbers, l=LEFT, r=RIGHT)
    union = "(SELECT sum(n) AS n FROM (SELECT n FROM t UNION ALL SELECT i FROM l) GROUP BY n UNION ALL SELECT id FROM r) AS u"
    engines.check(f"SELECT count(*), sum(n) FROM {union} WHERE EXISTS (SELECT 1 FROM l WHERE l.w <> u.n AND u.n % 1000 = 107)")
    engines.check(
        "SELECT * FROM (SELECT n FROM t UNION ALL SELECT i FROM l) AS u LEFT JOIN r ON r.w > u.n + r.i WHERE n % 4096 < 3"
    )
    engines.close()


@pytest.mark.parametrize("rows", [65_535, 65_537])
@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*), sum(a.id), sum(b.id) FROM t a JOIN t b ON a.id = b.id + 1",
        "SELECT count(*), sum(a.id), sum(b.g) FROM t a LEFT JOIN u b ON a.i16 = b.id",
        "SELECT count(*), sum(a.id), sum(b.id) FROM u a FULL JOIN t b ON a.s = b.s AND a.i16 = b.i16",
        "SELECT a.s, count(*), sum(b.id) FROM t a JOIN u b ON a.s = b.w GROUP BY a.s",
        "SELECT count(*), sum(id) FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.i64 < t.i64 AND u.g = t.g)",
        "SELECT count(*), sum(id) FROM t ANTI JOIN u USING (i16)",
    ],
)
def test_several_chunks(rows: int, query: str) -> None:
    engines = Engines.over(threads=2, t=every_type(rows), u=every_type(300, seed=1))
    engines.check(query)
    engines.close()
