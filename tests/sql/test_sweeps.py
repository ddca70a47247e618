"""Sweeps: the rows of a query for many values of its parameters, as DuckDB gives them for each value by itself."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest

import qtensor
from qtensor.errors import BindError, DataError, ExecutionError, QTensorError, UnsupportedError
from qtensor.run.sweep import PreparedSweep
from tests.oracle import Engines
from tests.oracle.answers import Answer, answer_of_duckdb, assert_same_answer, is_ordered

DAYS = [datetime.date(1980, 1, 1), datetime.date(2001, 9, 30)]

# A query, the values of its parameters, and how many programs they take.
SWEEPS: list[tuple[str, dict[str, list[Any]], int]] = [
    ("SELECT count(*) AS n, sum(i64) AS s, min(x) AS low FROM t WHERE y > $a", {"a": [-2.0, 0.0, 7.5, 100.0]}, 1),
    ("SELECT g, count(*) AS n, avg(y) AS a FROM t WHERE i16 < $a GROUP BY g ORDER BY g", {"a": [-1000, 0, 7, 299]}, 1),
    ("SELECT id, y * $a AS z FROM t WHERE y > $a", {"a": [-2.0, 0.0, 1e300]}, 1),
    ("SELECT id, i16 + $a AS z FROM t WHERE i16 > $a ORDER BY z, id LIMIT 5", {"a": [-200, 0, 100_000]}, 1),
    ("SELECT y, y > $a AS above FROM t WHERE g = $b ORDER BY id", {"a": [0.0, float("nan"), 1.0], "b": [0, 1, 2]}, 1),
    ("SELECT count(*) AS n FROM t WHERE i16 > $a", {"a": [None, 3, None]}, 2),
    ("SELECT id, $a AS a FROM t WHERE b = $a", {"a": [True, False]}, 2),
    ("SELECT s, count(*) AS n FROM t WHERE s LIKE $p GROUP BY s ORDER BY s", {"p": ["a%", "%b%", "", "é"]}, 1),
    ("SELECT id, s FROM t WHERE s > $p OR c = $p ORDER BY id", {"p": ["a", "red", "zz ", "nowhere"]}, 1),
    ("SELECT id, s || $p AS longer FROM t WHERE s IS NOT NULL ORDER BY id", {"p": ["", "!", "ß"]}, 1),
    ("SELECT count(*) AS n, max(day) AS last FROM t WHERE day < $a", {"a": DAYS}, 1),
    ("SELECT id, day - $a AS days FROM t WHERE day > $a ORDER BY id", {"a": DAYS}, 1),
    ("SELECT count(*) AS n FROM t WHERE moment < $a", {"a": [datetime.datetime(2000, 1, 1), datetime.datetime(1971, 1, 1, 5)]}, 1),
    ("SELECT sum(e) AS s FROM t WHERE d > $a", {"a": [Decimal("-1.50"), Decimal("99.99")]}, 1),
    ("SELECT id FROM t WHERE y > $a ORDER BY id LIMIT $n", {"a": [0.0, 1.0, 9.0], "n": [3, 4, 3]}, 2),
    ("SELECT count(*) AS n, sum(l.y) AS s FROM t l JOIN t r ON l.g = r.g AND l.i16 > r.i16 + $a", {"a": [-700, 0, 20]}, 1),
    ("SELECT l.id, r.id FROM t l JOIN t r ON l.i16 = r.i16 WHERE l.y > $a", {"a": [-2.0, 0.0, 9.0]}, 1),
    ("SELECT g, sum(y) OVER (PARTITION BY g ORDER BY id) AS s FROM t WHERE y > $a ORDER BY id", {"a": [-2.0, 0.0]}, 1),
    ("SELECT id FROM t o WHERE y > (SELECT avg(y) + $a FROM t i WHERE i.g = o.g) ORDER BY id", {"a": [-3.0, 0.0, 2.0]}, 1),
    ("SELECT w FROM t WHERE y > $a UNION SELECT c FROM t WHERE y < $a", {"a": [-1.0, 1.0]}, 1),
    ("SELECT g, string_agg(w, ',' ORDER BY id) AS all FROM t WHERE y > $a GROUP BY g ORDER BY g", {"a": [-2.0, 1.0]}, 1),
    ("SELECT CASE WHEN y > $a THEN 'above' WHEN y > $b THEN w ELSE $c END AS k, count(*) AS n FROM t GROUP BY k ORDER BY k",
     {"a": [1.0, 2.0], "b": [0.0, 1.0], "c": ["below", "x"]}, 1),
    ("SELECT i16 // $a AS q, count(*) AS n FROM t GROUP BY q ORDER BY q", {"a": [3, -7, 100]}, 1),
    ("SELECT $a AS a, $b AS b", {"a": [1, 2], "b": ["x", None]}, 2),
]  # fmt: skip


def expected(engines: Engines, query: str, values: dict[str, list[Any]]) -> Answer:
    """What DuckDB answers for each value by itself, behind the values."""
    answers = [
        answer_of_duckdb(engines.theirs, query, dict(zip(values, run, strict=True))) for run in zip(*values.values(), strict=True)
    ]
    runs = list(zip(*values.values(), strict=True))
    rows = [(*run, *row) for run, answer in zip(runs, answers, strict=True) for row in answer.rows]
    return Answer([*values, *answers[0].names], answers[0].types, rows)


def check(engines: Engines, query: str, values: dict[str, list[Any]], programs: int) -> None:
    swept = engines.ours.sweep(query, values)
    wanted = expected(engines, query, values)
    found = Answer(swept.columns, swept.types[len(values) :], swept.fetchall())
    width = len(values)

    def by_run(answer: Answer) -> dict[tuple[str, ...], list[tuple[Any, ...]]]:
        runs: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
        for row in answer.rows:
            runs.setdefault(tuple(map(repr, row[:width])), []).append(row[width:])
        return runs

    assert found.names == wanted.names
    ours, theirs = by_run(found), by_run(wanted)
    assert list(ours) == list(theirs), "the runs, in the order of the values"
    for run, rows in theirs.items():
        names = wanted.names[width:]
        assert_same_answer(
            Answer(names, found.types, ours[run]),
            Answer(names, wanted.types, rows),
            ordered=is_ordered(query),
            signed_zeros=False,
        )
    prepared = swept._prepare()
    assert isinstance(prepared, PreparedSweep)
    assert len({id(runs.prepared[0].compiled) for runs in prepared.runs}) == programs


@pytest.mark.parametrize(("query", "values", "programs"), SWEEPS, ids=[query for query, _, _ in SWEEPS])
def test_as_by_duckdb(engines_of: Callable[[int], Engines], query: str, values: dict[str, list[Any]], programs: int) -> None:
    check(engines_of(300), query, values, programs)


@pytest.mark.parametrize(("query", "values", "programs"), [SWEEPS[number] for number in (1, 3, 10)])
def test_several_shares(engines_of: Callable[[int], Engines], query: str, values: dict[str, list[Any]], programs: int) -> None:
    """Each core goes over its share for all values, and the shares are merged for each."""
    check(engines_of(200_000), query, values, programs)


def test_cross_join(engines_of: Callable[[int], Engines]) -> None:
    """What a sweep means, in SQL."""
    engines = engines_of(300)
    swept = engines.ours.sweep("SELECT sum(y) AS s FROM t WHERE y > $a", a=[-2.0, 0.5, 1.0])
    joined = "SELECT a, (SELECT sum(y) FROM t WHERE y > a) AS s FROM (VALUES (-2.0), (0.5), (1.0)) v(a) ORDER BY a"
    assert swept.fetchall() == [(float(a), s) for a, s in engines.theirs.execute(joined).fetchall()]


def test_product_and_other_parameters() -> None:
    t = {"x": np.arange(10)}
    relation = qtensor.sql(
        "SELECT count(*) AS n FROM t WHERE x BETWEEN $low AND $high AND x <> $other", {"low": 0, "high": 0, "other": 4}
    )
    found = relation.sweep(low=[0, 3], high=[5, 9], product=True)
    assert found.columns == ["low", "high", "n"]
    assert found.fetchall() == [(0, 5, 5), (0, 9, 9), (3, 5, 2), (3, 9, 6)]
    assert relation.sweep({"low": [0, 3], "high": [5, 9]}).fetchall() == [(0, 5, 5), (3, 9, 6)]
    assert relation.fetchall() == [(1,)], "the relation itself keeps its values"
    again = qtensor.sql("SELECT low, sum(n) AS n FROM found GROUP BY low ORDER BY low")
    assert again.fetchall() == [(0, 14), (3, 8)]
    assert "in the order" not in relation.explain()
    del t


def test_values_of_one_type() -> None:
    """As those of a column: numbers become DOUBLE or the wider integer, in the program as in the result."""
    t = {"x": np.arange(4)}
    con = qtensor.connect().register("t", t)
    mixed = con.sweep("SELECT sum(x * $a) AS s FROM t", a=[1, 0.5, np.float32(0.25)])
    assert mixed.types == ["DOUBLE", "DOUBLE"]
    assert mixed.fetchall() == [(1.0, 6.0), (0.5, 3.0), (0.25, 1.5)]
    wide = con.sweep("SELECT max(x + $a) AS s FROM t", a=np.array([1, 1 << 40]))
    assert (wide.types[0], wide.fetchall()) == ("BIGINT", [(1, 4), (1 << 40, (1 << 40) + 3)])
    nothing = con.sweep("SELECT count(*) AS n FROM t WHERE x > $a", a=[None])
    assert nothing.fetchall() == [(None, 0)]


def test_model_runs_once() -> None:
    """A model whose scores are compared with the values is one matrix product in the module, for all of them."""
    random = np.random.default_rng(5)
    first, second = random.normal(size=(2, 8)), random.normal(size=8)
    con = qtensor.connect(threads=1)
    con.create_function("m", lambda a, b: jnp.tanh(jnp.stack([a, b]) @ first) @ second, arguments=2)
    rows = {"a": random.normal(size=500), "b": random.normal(size=500), "g": random.integers(0, 3, 500)}
    con.register("rows", rows)
    query = "SELECT g, count(*) AS n FROM rows WHERE m(a, b) > $low GROUP BY g ORDER BY g"
    swept = con.sweep(query, low=[-1.0, 0.0, 0.25, 1.0])
    scores = np.tanh(np.stack([rows["a"], rows["b"]], 1) @ first) @ second
    wanted = [(low, g, int(((scores > low) & (rows["g"] == g)).sum())) for low in (-1.0, 0.0, 0.25, 1.0) for g in range(3)]
    assert swept.fetchall() == [row for row in wanted if row[2]]
    of_one = con.sql(query, {"low": 0.0}).hlo()
    assert swept.hlo().count("HloModule") == of_one.count("HloModule") == 1
    assert swept.hlo().count(" tanh(") == of_one.count(" tanh(") > 0
    assert swept.hlo().count(" while(") == of_one.count(" while("), "the values take no turns"
    assert "f64[4,512" not in "".join(line for line in swept.hlo().splitlines() if " tanh(" in line)


def test_joins_that_leave_other_numbers_of_rows() -> None:
    """The room is that of the run that needs most, and found by running."""
    left, right = {"k": np.arange(4_000) % 50, "v": np.arange(4_000)}, {"k": np.arange(400) % 50}
    con = qtensor.connect().register("l", left).register("r", right)
    query = "SELECT count(*) AS n, sum(v) AS s FROM (SELECT l.v FROM l JOIN r ON l.k = r.k WHERE l.v + r.k % 2 < $a) WHERE v % 2 = 0 ORDER BY 1"
    single = [con.sql(query, {"a": a}).fetchall()[0] for a in (0, 10, 4_100)]
    assert con.sweep(query, a=[0, 10, 4_100]).fetchall() == [(a, *row) for a, row in zip((0, 10, 4_100), single, strict=True)]
    rows = "SELECT l.v, r.k FROM l JOIN r ON l.k = r.k WHERE l.v < $a ORDER BY l.v LIMIT 7"
    single_rows = [(a, *row) for a in (3, 0, 4_000) for row in con.sql(rows, {"a": a}).fetchall()]
    assert con.sweep(rows, a=[3, 0, 4_000]).fetchall() == single_rows


def test_many_runs_in_several_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where results of all runs take much memory, the module is called for some at a time; the last call has fewer."""
    monkeypatch.setattr("qtensor.run.sweep.BYTES_OF_CALL", 100_000)
    con = qtensor.connect().register("t", {"x": np.arange(1_000)})
    swept = con.sweep("SELECT x + $a AS z FROM t WHERE x < $a", a=list(range(7)))
    assert swept.fetchall() == [(a, x + a) for a in range(7) for x in range(a)]
    prepared = swept._prepare()
    assert isinstance(prepared, PreparedSweep)
    assert len(prepared.runs[0].calls) > 1


@pytest.mark.parametrize(
    ("query", "values", "error", "match"),
    [
        ("SELECT 10 // (x - $a) FROM t", {"a": [-1, 2]}, ExecutionError, r"Division by zero, for \$a = 2\n"),
        ("SELECT CAST($a AS INTEGER) + x FROM t", {"a": ["1", "one"]}, ExecutionError, r"for \$a = 'one'"),
        ("SELECT x::TINYINT + $a::TINYINT AS z FROM t", {"a": [1, 127]}, ExecutionError, r"for \$a = 127"),
        ("SELECT x FROM t WHERE s LIKE $a ESCAPE $b", {"a": ["a", "b"], "b": ["!", "too long"]}, QTensorError, r"for \$a = 'b', \$b = 'too long'"),
        ("SELECT x FROM t WHERE x > $a", {"b": [1]}, BindError, r"parameter \$a, for \$b = 1"),
        ("SELECT x FROM t", {"a": [1]}, BindError, r"no parameter \$a"),
        ("SELECT x FROM t WHERE x > $a", {"a": []}, DataError, r"one value at least"),
        ("SELECT x FROM t WHERE x > $a", {"a": 3}, DataError, r"are a list, not 3"),
        ("SELECT x FROM t WHERE x > $a", {"a": "abc"}, DataError, r"are a list, not 'abc'"),
        ("SELECT x FROM t WHERE x > $a", {}, DataError, r"lists of values by parameter"),
        ("SELECT x FROM t WHERE x > $a", {"a": [1, DAYS[0]]}, BindError, r"none in common: INTEGER, DATE"),
        ("SELECT x FROM t WHERE x > $a", {"a": [[1], [2]]}, BindError, r"a list has no SQL type"),
        ("SELECT x FROM t WHERE x > $a", {"a": [datetime.timedelta(1)]}, BindError, r"intervals are not swept"),
        ("SELECT x FROM t WHERE x > $a AND x < $b", {"a": [1, 2], "b": [1]}, DataError, r"\$a has 2, \$b has 1"),
    ],
)  # fmt: skip
def test_errors(query: str, values: Any, error: type[QTensorError], match: str) -> None:
    con = qtensor.connect().register("t", {"x": np.arange(4), "s": np.array(["a", "b", "c", "d"], object)})
    with pytest.raises(error, match=match):
        con.sweep(query, values).fetchall()


def test_only_runs_that_fail_raise() -> None:
    con = qtensor.connect().register("t", {"x": np.arange(4)})
    assert con.sweep("SELECT sum(10 // (x - $a)) AS s FROM t", a=[-1, 5]).fetchall() == [(-1, 20), (5, -12)]


def test_refused() -> None:
    con = qtensor.connect().register("t", {"x": np.arange(4)})
    swept = con.sweep("SELECT x FROM t WHERE x > $a", a=[1])
    with pytest.raises(DataError, match="a sweep already"):
        swept.sweep(a=[2])
    with pytest.raises(UnsupportedError, match="to export a sweep"):
        swept.export("never.qta")
    con.register("s", pa.table({"x": [1, 2, 3]}), stream=True)
    with pytest.raises(UnsupportedError, match="block by block: s"):
        con.sweep("SELECT count(*) FROM s WHERE x > $a", a=[1, 2]).fetchall()


def test_prepared_once() -> None:
    """A sweep is kept like other queries, and prepared anew when its table is another."""
    con = qtensor.connect().register("t", {"x": np.arange(4)})
    swept = con.sweep("SELECT count(*) AS n FROM t WHERE x > $a", a=[0, 1])
    assert swept.state() is swept.state()
    before = swept.state()
    con.register("t", {"x": np.arange(40)})
    assert swept.state() is not before
    assert swept.fetchall() == [(0, 39), (1, 38)]
    assert swept.explain().startswith("2 runs, $a = 0 to $a = 1\npipeline 0")
