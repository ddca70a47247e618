"""Queries over text columns that are held as they are, or without order, against DuckDB: each must ask for what it needs."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

import qtensor
from qtensor.errors import InternalError
from qtensor.lowering.storage import Level, encode_column, layout_for
from qtensor.lowering.storage import text as storage_text
from qtensor.optimise.facts import text_levels
from qtensor.types import VARCHAR
from tests.oracle import Engines

TEXTS = ["b", "", "ab", None, "é", "a", "b", "ß", "a", "\U0001f600", "zz ", None, "ÄÖ", "A", "10", "-3", "a%c", "b"]
OTHERS = ["a", None, "zz ", "b", "b", "new", "", "é"]

QUERIES = [
    "SELECT id, s FROM t",
    "SELECT s FROM t WHERE id > 3 AND s IS NOT NULL",
    "SELECT id FROM t WHERE s LIKE 'a%' OR s NOT LIKE '%b%' OR s ILIKE 'ä_'",
    "SELECT id, s = 'b', 'b' = s, s <> 'a', s = 'none', s IN ('a', 'b', NULL), s NOT IN ('', 'é'), s IS DISTINCT FROM 'b' FROM t",
    "SELECT id, s = NULL, s IN (NULL), s IS NOT DISTINCT FROM NULL FROM t",
    "SELECT id, s < 'b', s >= 'a', 'a' > s, s BETWEEN 'A' AND 'b' FROM t",
    "SELECT id, s = v, s <> v, s < v, s = s, s <= s, s IN (v, 'a'), s IS DISTINCT FROM v FROM t",
    "SELECT upper(s), length(s), s || '!', substring(s, 1, 1), try_cast(s AS INTEGER) FROM t",
    "SELECT CASE WHEN id > 5 THEN s ELSE 'other' END, CASE WHEN id > 5 THEN s END, coalesce(s, v), coalesce(s, ''), "
    "nullif(s, 'b'), greatest(s, v), least(s, 'b') FROM t",
    "SELECT s, count(*) AS n FROM t GROUP BY s",
    "SELECT s, v, count(*), min(id) FROM t GROUP BY s, v",
    "SELECT upper(s), count(s), count(DISTINCT s), min(s), max(s) FROM t GROUP BY upper(s)",
    "SELECT min(s), max(v), count(DISTINCT s), count(s), any_value(v) IS NULL FROM t",
    "SELECT arg_min(s, id), arg_max(v, id), arg_max(id, s), first(s ORDER BY id), last(s ORDER BY v, id) FROM t",
    "SELECT mode(s) FROM t WHERE s = 'b' OR s = 'é'",
    "SELECT DISTINCT s FROM t",
    "SELECT DISTINCT s FROM t ORDER BY s",
    "SELECT id, s FROM t ORDER BY s DESC NULLS LAST, id",
    "SELECT id, s FROM t ORDER BY s, id LIMIT 5",
    "SELECT x.id, x.s, y.id FROM t AS x JOIN t AS y ON x.s = y.s",
    "SELECT t.id, t.s, u.s, u.k FROM t JOIN u ON t.s = u.s",
    "SELECT t.id, t.s, u.k FROM t LEFT JOIN u ON t.s = u.s AND u.k > 2 AND t.v < u.s",
    "SELECT id, s FROM t WHERE s IN (SELECT s FROM u) OR id = 2",
    "SELECT id FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.s = t.s)",
    "SELECT t.s, q.n FROM t LEFT JOIN (SELECT s, count(*) AS n FROM u GROUP BY s) AS q ON t.s = q.s",
    "SELECT s FROM (SELECT s, max(v) AS m FROM t GROUP BY s) WHERE m > 'a'",
    "SELECT s, v, count(*) FROM t GROUP BY ROLLUP (s, v)",
    "SELECT s FROM t UNION ALL SELECT s FROM u",
    "SELECT s, id FROM t UNION ALL SELECT s, 0 FROM t",
    "SELECT s FROM t EXCEPT SELECT s FROM u",
    "SELECT s FROM t INTERSECT SELECT v FROM t",
    "SELECT id, s, row_number() OVER (PARTITION BY s ORDER BY v, id), lag(v) OVER (ORDER BY s, id), "
    "max(s) OVER (PARTITION BY v) FROM t",
    "SELECT a < 'b', count(*) FROM (SELECT CASE WHEN id > 2 THEN s END AS a FROM t) GROUP BY 1",
]

NATURAL = {"FEW_STRINGS": storage_text.FEW_STRINGS, "_DISTINCT_SHARE": storage_text._DISTINCT_SHARE}


@pytest.fixture(scope="module", params=["plain", "unique"])
def engines(request: pytest.FixtureRequest) -> Iterator[Engines]:
    """Both engines over small tables whose text is held as only that of large ones is otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage_text, "FEW_STRINGS", -1)
        patch.setattr(storage_text, "_DISTINCT_SHARE", 0.0 if request.param == "plain" else 2.0)
        t = pa.table({"id": range(len(TEXTS)), "s": TEXTS, "v": TEXTS[7:] + TEXTS[:7]})
        u = pa.table({"k": range(len(OTHERS)), "s": OTHERS})
        engines = Engines.over(threads=2, t=t, u=u, empty=t.slice(0, 0), blank=pa.table({"s": pa.nulls(3, pa.string())}))
        assert level_of(t["s"]) == request.param
        yield engines
        engines.close()


def level_of(values: pa.ChunkedArray) -> Level:
    """The level that a column of a table comes with."""
    return encode_column("s", values, VARCHAR, layout_for(len(values), threads=2)).level


@pytest.mark.parametrize("query", QUERIES)
def test_queries(engines: Engines, query: str) -> None:
    engines.check(query)


@pytest.mark.parametrize("table", ["empty", "blank"])
def test_no_text_at_all(engines: Engines, table: str) -> None:
    engines.check(f"SELECT s, s LIKE 'a%', s = 'a', upper(s) FROM {table}")
    engines.check(f"SELECT s, count(*) FROM {table} WHERE s <> 'a' OR s IS NULL GROUP BY s")
    engines.check(f"SELECT min(s), count(DISTINCT s) FROM {table}")
    engines.check(f"SELECT x.s FROM {table} AS x JOIN t ON x.s = t.s ORDER BY x.s")


def test_a_query_keeps_its_codes_when_a_later_one_needs_others(engines: Engines) -> None:
    first = engines.ours.sql("SELECT s FROM t WHERE s LIKE '%b%'")
    before = first.fetchall()
    engines.check("SELECT s FROM t ORDER BY s")
    assert first.fetchall() == before
    assert sorted(row[0] for row in before) == ["ab", "b", "b", "b"]


def test_codes_that_are_too_weak_are_an_error(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qtensor.run.session.text_levels", lambda plan: dict.fromkeys(text_levels.text_levels(plan), "plain"))
    if level_of(engines.tables["t"]["s"]) == "plain":
        for query in ("SELECT v, count(*) FROM t GROUP BY v", "SELECT x.id FROM t AS x JOIN t AS y ON x.s = y.s"):
            with pytest.raises(InternalError, match="not unique"):
                fresh(engines).sql(query).fetchall()
    for query in ("SELECT id FROM t ORDER BY v, s", "SELECT min(v) FROM t", "SELECT id FROM t WHERE v > 'a'"):
        with pytest.raises(InternalError, match="not ordered"):
            fresh(engines).sql(query).fetchall()


@pytest.fixture(scope="module")
def large() -> Iterator[Engines]:
    """Both engines over nearly as many different strings as rows, enough for several threads; each level is natural."""
    rows = 140_003
    s = [None if row % 101 == 0 else "twice" if row % 5003 == 1 else f"k{row * 7919 % rows}é" for row in range(rows)]
    with pytest.MonkeyPatch.context() as patch:  # `engines` of this module may still be there, and its limits with it
        for name, limit in NATURAL.items():
            patch.setattr(storage_text, name, limit)
        with_engines = Engines.over(threads=2, t=pa.table({"id": range(rows), "s": s}))
        assert level_of(with_engines.tables["t"]["s"]) == "plain"
        yield with_engines
        with_engines.close()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*), sum(id) FROM t WHERE s NOT LIKE '%9%1%' AND s NOT IN ('k1é', 'k2é') AND s <> 'twice'",
        "SELECT id, s FROM t WHERE s = 'twice' OR s LIKE 'k12_45é' OR s IS NULL",
        "SELECT s, count(*) AS n FROM t GROUP BY s HAVING count(*) > 1",
        "SELECT count(DISTINCT s), count(s), min(s), max(s) FROM t",
        "SELECT id, s FROM t ORDER BY s DESC NULLS FIRST, id LIMIT 7",
        "SELECT s FROM t",
    ],
)
def test_many_strings(large: Engines, query: str) -> None:
    large.check(query)


def fresh(engines: Engines) -> qtensor.Connection:
    """A connection whose tables nobody has asked for more yet."""
    connection = qtensor.connect(threads=2)
    connection.register("t", engines.tables["t"])
    return connection
