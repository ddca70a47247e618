"""The runner of sqllogictest is honest: planted failures of each kind are reported in their class, with the reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import qtensor
from qtensor.errors import BindError, InternalError, UnsupportedError
from tests.oracle import asking
from tests.oracle.answers import Answer
from tests.oracle.slt import second
from tests.oracle.slt.__main__ import main
from tests.oracle.slt.objects import objects_of, targets_of
from tests.oracle.slt.runner import FileRun, Verdict
from tests.oracle.slt.second import DuckDB
from tests.oracle.slt.tally import files_of, run_file

PLANTED = Path(__file__).parent / "planted"
EXPECTED = re.compile(r"# (passed|wrong|accepted|refused|unsupported)(?:: (.*))?")

Plant = Callable[[dict[str, Answer | Exception]], None]


def classes(verdicts: list[Verdict]) -> list[str]:
    return [verdict.outcome for verdict in verdicts]


def run(text: str, folder: Path, *, duckdb: bool = True) -> list[Verdict]:
    for name in ("ours", "theirs"):
        (folder / name).mkdir(exist_ok=True)
    oracle = DuckDB(str(folder / "ours"), str(folder / "theirs")) if duckdb else None
    file = FileRun(str(folder / "ours"), second=oracle)
    verdicts = list(file.verdicts(text))
    file.connection.close()
    return verdicts


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Makes us give these answers to these queries, right or wrong."""

    def planted(answers: dict[str, Answer | Exception]) -> None:
        def attempt(connection: qtensor.Connection, sql: str) -> Answer | Exception | None:
            return answers[sql] if sql in answers else asking.attempt(connection, sql)

        monkeypatch.setattr(second, "attempt", attempt)

    return planted


@pytest.mark.parametrize("path", files_of([PLANTED]), ids=lambda path: path.stem)
def test_planted_failures_by_the_file(path: Path, tmp_path: Path) -> None:
    text = path.read_text()
    expected = [(found[1], found[2]) for line in text.splitlines() if (found := EXPECTED.fullmatch(line))]
    file = FileRun(str(tmp_path), str(PLANTED / "data"))
    found = [
        (v.record.line, v.outcome, ", ".join(v.reasons) if v.outcome == "unsupported" else None) for v in file.verdicts(text)
    ]
    file.connection.close()
    assert [(line, *pair) for (line, _, _), pair in zip(found, expected, strict=True)] == found


def test_each_class_against_duckdb(plant: Plant, tmp_path: Path) -> None:
    plant(
        {
            "SELECT 1 + 1 AS good": Answer(["good"], ["INTEGER"], [(3,)]),
            "SELECT 2 AS named": Answer(["name"], ["INTEGER"], [(2,)]),
            "SELECT 3 AS typed": Answer(["typed"], ["BIGINT"], [(3,)]),
            "SELECT 4 AS given WHERE error('no') = 1": Answer(["given"], ["INTEGER"], [(4,)]),
            "SELECT 5": BindError("no"),
            "SELECT 6": InternalError("a bug"),
            "SELECT 7": UnsupportedError("not supported yet: seven"),
            "SELECT 8": ValueError("raw"),
            "SELECT nothing": BindError("no column"),
        }
    )
    queries = [
        *("SELECT 1 + 1 AS good", "SELECT 2 AS named", "SELECT 3 AS typed", "SELECT 4 AS given WHERE error('no') = 1"),
        *("SELECT 5", "SELECT 6", "SELECT 7", "SELECT 8", "SELECT nothing", "SELECT 9"),
    ]
    # What the files say is right is not asked.
    verdicts = run("\n\n".join(f"query I\n{sql}\n----\n3" for sql in queries), tmp_path)
    assert classes(verdicts) == ["wrong"] * 3 + ["accepted"] + ["refused"] * 2 + ["unsupported", "refused", "passed", "passed"]
    assert "3 instead of 2" in verdicts[0].reasons[0]
    assert "columns ['name'] instead of ['named']" in verdicts[1].reasons[0]
    assert "types ['BIGINT'] instead of ['INTEGER']" in verdicts[2].reasons[0]
    assert "DuckDB: InvalidInputException" in verdicts[3].reasons[0]
    assert "BindError: no\nDuckDB: ['INTEGER'] [(5,)]" in verdicts[4].reasons[0]
    assert verdicts[6].reasons == ("seven",)


def test_the_order_of_rows(plant: Plant, tmp_path: Path) -> None:
    rows = "FROM (VALUES (1, 'a'), (1, 'b'), (2, 'c')) AS t(i, s)"
    swapped = Answer(["i", "s"], ["INTEGER", "VARCHAR"], [(1, "b"), (1, "a"), (2, "c")])
    last = Answer(["i", "s"], ["INTEGER", "VARCHAR"], [(2, "c"), (1, "a"), (1, "b")])
    queries = [(f"SELECT i, s {rows} ORDER BY {key}", answer) for key in ("i", "1", "i, s", "ALL") for answer in (swapped, last)]
    for sql, answer in queries:
        plant({sql: answer})
        right = answer is swapped and ("BY i" in sql or "BY 1" in sql) and ", s" not in sql.split("BY")[1]
        assert classes(run(f"query II\n{sql}\n----\n", tmp_path)) == ["passed" if right else "wrong"], sql
        assert classes(run(f"query II rowsort\n{sql}\n----\n", tmp_path)) == ["passed"], sql
    unordered = f"SELECT i, s {rows}"
    plant({unordered: last})
    assert classes(run(f"query II\n{unordered}\n----\n", tmp_path)) == ["passed"]


def test_tables_that_duckdb_has_are_copied(plant: Plant, tmp_path: Path) -> None:
    wrong = "SELECT sum(i) AS made FROM made"
    plant({wrong: Answer(["made"], ["HUGEINT"], [(9,)])})
    text = """
        statement ok
        CREATE TABLE made AS SELECT unnest([1, 2]) AS i, 'x' AS s

        query IT
        SELECT i, s FROM made

        query I
        SELECT sum(i) AS made FROM made

        statement ok
        CREATE TABLE keyed(i INTEGER PRIMARY KEY)

        statement ok
        INSERT INTO keyed SELECT unnest([1, 2])

        query I
        SELECT i FROM keyed ORDER BY i

        statement error
        INSERT INTO keyed VALUES (1)

        statement ok
        CREATE TABLE part(i INTEGER, s STRUCT(a INTEGER))

        statement ok
        INSERT INTO part VALUES (1, {'a': 2})

        query I
        SELECT i FROM part

        query I
        SELECT s FROM part

        statement ok
        ALTER TABLE keyed RENAME TO other

        query I
        SELECT i FROM keyed

        statement ok
        CREATE MACRO add_one(a) AS a + 1

        query I
        SELECT add_one(i) FROM made
    """
    verdicts = run(re.sub(r"^ +", "", text, flags=re.MULTILINE), tmp_path)
    found = dict(zip((verdict.record.sql for verdict in verdicts), classes(verdicts), strict=True))  # type: ignore[union-attr]
    assert found == {
        "CREATE TABLE made AS SELECT unnest([1, 2]) AS i, 'x' AS s": "unsupported",
        "SELECT i, s FROM made": "passed",
        wrong: "wrong",
        "CREATE TABLE keyed(i INTEGER PRIMARY KEY)": "passed",
        "INSERT INTO keyed SELECT unnest([1, 2])": "unsupported",
        "SELECT i FROM keyed ORDER BY i": "passed",
        "INSERT INTO keyed VALUES (1)": "passed",
        "CREATE TABLE part(i INTEGER, s STRUCT(a INTEGER))": "unsupported",
        "INSERT INTO part VALUES (1, {'a': 2})": "unsupported",
        "SELECT i FROM part": "passed",
        "SELECT s FROM part": "passed",
        "ALTER TABLE keyed RENAME TO other": "unsupported",
        "SELECT i FROM keyed": "passed",
        "CREATE MACRO add_one(a) AS a + 1": "unsupported",
        "SELECT add_one(i) FROM made": "unsupported",
    }


def test_settings_and_transactions_are_those_of_neither(tmp_path: Path) -> None:
    text = """
        statement ok
        SET default_null_order='nulls_first'

        query I
        SELECT i FROM (VALUES (1), (NULL)) AS t(i) ORDER BY i

        statement ok
        CREATE TABLE t(i INTEGER)

        statement ok con1
        BEGIN

        statement ok con1
        INSERT INTO t VALUES (1)

        statement ok con1
        ROLLBACK

        query I con2
        SELECT count(*) FROM t

        query I
        SELECT random()

        query II
        EXPLAIN SELECT 1
    """
    found = classes(run(re.sub(r"^ +", "", text, flags=re.MULTILINE), tmp_path))
    refused = ["unsupported"]
    assert found == [*refused, "passed", "passed", *refused, "passed", *refused, "passed", *refused, *refused]


def test_what_duckdb_accepts_changes_both(plant: Plant, tmp_path: Path) -> None:
    """A statement that only one engine runs is a fault, and what comes after it is judged by itself."""
    plant({"INSERT INTO t VALUES (1)": BindError("no")})
    insert, query = "statement ok\nINSERT INTO t VALUES (1)\n\n", "query I\nSELECT i FROM t\n\n"
    text = f"statement ok\nCREATE TABLE t(i INTEGER CHECK (i < 5))\n\n{insert}{query}"
    assert classes(run(text, tmp_path))[1:] == ["refused", "passed"]


def test_approximations_are_each_engines_own(plant: Plant, tmp_path: Path) -> None:
    sql = "SELECT approx_count_distinct(1) AS n"
    for type, outcome in (("BIGINT", "unsupported"), ("INTEGER", "wrong")):
        plant({sql: Answer(["n"], [type], [(2,)])})
        assert classes(run(f"query I\n{sql}", tmp_path)) == [outcome]


def test_files_are_written_apart(tmp_path: Path) -> None:
    text = "statement ok\nCOPY (SELECT 7 AS i) TO '{TEST_DIR}/i.csv'\n\nquery I\nSELECT i FROM '{TEST_DIR}/i.csv'\n"
    assert classes(run(text, tmp_path)) == ["passed", "passed"]
    assert sorted(path.name for path in tmp_path.rglob("*.csv")) == ["i.csv", "i.csv"]


def test_dates_that_python_has_no_type_for(tmp_path: Path) -> None:
    queries = [
        f"query T\nSELECT '{day}'::DATE AS d, 1::HUGEINT AS h\n----\n{day}\t1"
        for day in ("infinity", "0044-03-15 (BC)", "290000-01-01")
    ]
    for duckdb in (True, False):
        found = run("\n\n".join(queries).replace("query T", "query TI"), tmp_path, duckdb=duckdb)
        assert classes(found) == ["passed"] * 3
    wrong = "query T\nSELECT '0044-03-15 (BC)'::DATE\n----\n0045-03-15 (BC)"
    assert classes(run(wrong, tmp_path, duckdb=False)) == ["wrong"]


def test_types_that_a_copy_would_lose(tmp_path: Path) -> None:
    """A column of a type that Arrow does not have, or with a collation, is no other column: what reads the table is excused."""
    for column, value in (("TIMESTAMP_S", "'2020-01-01'"), ("UHUGEINT", "1"), ("VARCHAR COLLATE NOCASE", "'a'")):
        made = f"statement ok\nCREATE TABLE t(i {column})\n\nstatement ok\nINSERT INTO t VALUES ({value})\n\n"
        assert classes(run(f"{made}query I\nSELECT i FROM t", tmp_path)) == ["unsupported"] * 3, column


def test_objects() -> None:
    assert objects_of("SELECT good AS bad FROM a JOIN main.B USING (c) WHERE x IN (SELECT 'd' FROM s.e)") >= {
        *(("table", name) for name in ("a", "b", "s.e")),
        ("schema", "s"),
    }
    assert ("table", "t") in objects_of("WITH t AS (SELECT * FROM t) SELECT * FROM t")
    assert ("table", "t") not in objects_of("WITH RECURSIVE t AS (SELECT 1 UNION SELECT * FROM t) SELECT * FROM t")
    assert ("table", "t") in objects_of("EXPLAIN SELECT * FROM t")
    assert {name for kind, name in objects_of("SELECT f(1), 'x'::mood FROM g(2)") if kind in ("function", "type")} == {
        "f",
        "g",
        "mood",
    }
    targets = [
        (t.action, *t.object)
        for t in targets_of("CREATE OR REPLACE TEMP VIEW v AS SELECT 1; DELETE FROM \"T\"; SELECT 'DROP TABLE x'")
    ]
    assert targets == [("made", "table", "v"), ("changed", "table", "t")]
    assert [t.object for t in targets_of("COPY (SELECT 1) TO 'x.csv' (FORMAT CSV)")] == [("file", "x.csv")]
    assert [t.object for t in targets_of("ATTACH 'a/b.db'")] == [("schema", "b")]


def test_the_report(plant: Plant, tmp_path: Path) -> None:
    plant({"SELECT 1": Answer(["1"], ["INTEGER"], [(2,)]), "SELECT 2": BindError("no")})
    path = tmp_path / "a.test"
    path.write_text(
        "query I\nSELECT 1\n----\n1\n\nquery I\nSELECT 2\n----\n2\n\nquery I\nSELECT [1], {'a': 1}\n----\n1\n\nrequire icu\n\nquery I\nSELECT 3"
    )
    for oracle in ("duckdb", "file"):
        shown = CliRunner().invoke(main, [str(path), "--oracle", oracle])
        assert shown.exit_code == 1
        assert f"WRONG {path}:1\nSELECT 1\n" in shown.output
        assert f"REFUSED {path}:6\nSELECT 2\nBindError: no" in shown.output
        table = [line.split() for line in shown.output.splitlines()[-6:]]
        assert table[:3] == [
            ["passed", "wrong", "accepted", "refused", "unsupported"],
            [str(path), "0", "1", "0", "1", "2"],
            ["1", "files", "0", "1", "0", "1", "2"],
        ]
        assert sorted(" ".join(words) for words in table[3:] if words) == ["1 x arrays", "1 x require icu", "1 x structs"]


def test_a_limit_of_seconds(tmp_path: Path) -> None:
    path = tmp_path / "slow.test"
    path.write_text("query I\nSELECT 1\n----\n2\n")
    assert run_file(path, seconds=0).reasons == {"not run within 0 s": 1}
