"""Files, folders and patterns in FROM, lists of files, their schemas; and names of what is not there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import qtensor
from qtensor.errors import BindError, DataError
from tests.oracle import answer_of_duckdb, answer_of_qtensor, assert_same_answer


def write(folder: Path, *tables: pa.Table) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, table in enumerate(tables):
        pq.write_table(table, folder / f"u{number}.parquet")


def check(query: str) -> None:
    found = answer_of_qtensor(qtensor.connect().sql(query))
    assert_same_answer(found, answer_of_duckdb(duckdb.connect(), query), ordered=False)


ONE, TWO = pa.table({"a": [1, 2], "b": ["x", None]}), pa.table({"a": [3], "b": ["y"]})


def test_patterns_in_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "year=2020", ONE)
    write(tmp_path / "year=2021", TWO, ONE)
    for pattern in ("*/*.parquet", "year=2021/*.parquet", "**/u?.parquet", "year=20[12]*/u0.parquet", "*/u0.parquet"):
        check(f"SELECT * FROM '{tmp_path}/{pattern}'")
        check(f"SELECT b, sum(a) AS total FROM '{tmp_path}/{pattern}' AS t WHERE t.a > 1 GROUP BY b")
    monkeypatch.chdir(tmp_path)
    check("SELECT * FROM '*/*.parquet'")
    check("SELECT count(*) AS n FROM '*/*.parquet' l JOIN 'year=2020/u0.parquet' r USING (a)")


def test_folders_in_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As register takes them; DuckDB, which does not, is asked by a pattern."""
    write(tmp_path / "data" / "year=2020", ONE)
    write(tmp_path / "data" / "year=2021", TWO)
    monkeypatch.chdir(tmp_path)
    expected = answer_of_duckdb(duckdb.connect(), "SELECT * FROM 'data/**/*.parquet'")
    for name in ("data/", "./data", f"{tmp_path}/data"):
        assert_same_answer(answer_of_qtensor(qtensor.connect().sql(f"SELECT * FROM '{name}'")), expected, ordered=False)
    with pytest.raises(BindError, match='no table "data"'):
        qtensor.sql("SELECT * FROM data")


def test_files_that_come_and_go_are_noticed(tmp_path: Path) -> None:
    write(tmp_path, ONE)
    connection = qtensor.connect().register("t", f"{tmp_path}/*.parquet")
    for name in ("t", f"{tmp_path}/*.parquet", f"{tmp_path}/"):
        write(tmp_path, ONE)
        (tmp_path / "more.parquet").unlink(missing_ok=True)
        assert connection.sql(f"SELECT count(*) FROM '{name}'").fetchall() == [(2,)]
        pq.write_table(TWO, tmp_path / "more.parquet")
        assert connection.sql(f"SELECT count(*) FROM '{name}'").fetchall() == [(3,)]


def test_lists_of_files(tmp_path: Path) -> None:
    write(tmp_path, ONE, TWO)
    paths = [tmp_path / "u1.parquet", str(tmp_path / "u0.parquet")]
    assert sorted(qtensor.sql("SELECT a FROM t", t=paths).fetchall()) == [(1,), (2,), (3,)]
    with pytest.raises(DataError, match=r"u9\.parquet"):
        qtensor.sql("SELECT a FROM t", t=[*paths, tmp_path / "u9.parquet"])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pa.table({"a": [1], "b": ["x"]}), pa.table({"b": ["y"], "a": [2]})),
        (pa.table({"a": [1]}), pa.table({"a": [2], "extra": [3]})),
        (pa.table({"a": pa.array([1], pa.int64())}), pa.table({"a": pa.array([2], pa.int8())})),
        (pa.table({"a": pa.array([1], pa.int8())}), pa.table({"a": pa.array([2], pa.int64())})),
        (pa.table({"a": ["x"]}), pa.table({"a": pa.array(["y"]).dictionary_encode()})),
        (pa.table({"a": ["x"]}), pa.table({"a": pa.array(["y"], pa.large_string())})),
        (pa.table({"a": pa.array([1000], pa.timestamp("ms"))}), pa.table({"a": pa.array([1], pa.timestamp("us"))})),
        (pa.table({"a": pa.array([], pa.int64())}), pa.table({"a": [1]})),
    ],
)
def test_schemas_that_go_together(first: pa.Table, second: pa.Table, tmp_path: Path) -> None:
    write(tmp_path, first, second)
    check(f"SELECT * FROM '{tmp_path}/*.parquet'")


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (pa.table({"a": [1], "b": [3]}), pa.table({"a": [2]}), r'u1\.parquet has no column "b", which .*u0\.parquet has'),
        (pa.table({"a": [1], "but": [3]}), pa.table({"a": [2], "butt": [4]}), r'has no column "but".* Did you mean "butt"\?'),
        (
            pa.table({"a": [1]}),
            pa.table({"a": ["x"]}),
            r'the column "a" is VARCHAR in .*u1\.parquet, but BIGINT in .*u0\.parquet',
        ),
        (pa.table({"a": [1]}), pa.table({"a": [[5]]}), r'the column "a" is BIGINT\[\] in'),
        (pa.table({"a": pa.nulls(1)}), pa.table({"a": [1]}), 'the column "a" is BIGINT in'),
    ],
)
def test_schemas_that_do_not(first: pa.Table, second: pa.Table, message: str, tmp_path: Path) -> None:
    """An error, as in DuckDB, and not a column of NULLs."""
    write(tmp_path, first, second)
    query = f"SELECT * FROM '{tmp_path}/*.parquet'"
    with pytest.raises(duckdb.Error):
        duckdb.sql(query).fetchall()
    for source in (f"{tmp_path}/*.parquet", tmp_path, [tmp_path / "u0.parquet", tmp_path / "u1.parquet"]):
        with pytest.raises(DataError, match=message):
            qtensor.connect().register("u", source)
    with pytest.raises(DataError, match=message):
        qtensor.sql(query)


def test_an_integer_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, pa.table({"a": pa.array([1], pa.int8())}), pa.table({"a": [300]}))
    with pytest.raises(DataError, match="300"):
        qtensor.sql(f"SELECT sum(a) FROM '{tmp_path}/*.parquet'").fetchall()


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("nowhere.parquet", BindError, r'there is no file or folder "nowhere\.parquet"'),
        ("nowhere/t.csv", BindError, r'there is no file or folder "nowhere/t\.csv"'),
        ("nowhere/", BindError, 'there is no file or folder "nowhere/"'),
        ("a\0b.parquet", BindError, "there is no file or folder"),
        ("x" * 5000 + ".parquet", BindError, "there is no file or folder"),
        ("nowhere/*.parquet", DataError, r"nowhere/\*\.parquet: there is no such Parquet file"),
        ("nowhere/*.csv", DataError, "only Parquet files are read by a pattern"),
        ("s3://bucket/t.parquet", BindError, r'"s3://bucket/t\.parquet": only files of this machine are read: download it'),
        ("https://example.org/t.csv", BindError, "only files of this machine are read"),
        ("nowhere", BindError, 'no table "nowhere"'),
    ],
)
def test_what_is_not_there(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        qtensor.sql(f"SELECT * FROM '{name}'")
    if error is BindError:
        assert "^" in str(caught.value)
    with pytest.raises(DataError):
        qtensor.connect().register("t", f"./{name}" if "://" not in name else name)


def test_databases() -> None:
    for connection in (qtensor.connect(":memory:"), qtensor.connect(database=""), qtensor.connect(":memory:", threads=1)):
        assert connection.sql("SELECT 1 AS a").fetchall() == [(1,)]
    with pytest.raises(DataError, match=r"shop\.db: databases are kept in memory only"):
        qtensor.connect("shop.db")
    with pytest.raises(DataError, match=r"connect\(threads=4\)"):
        qtensor.connect(4)  # type: ignore[arg-type]


@pytest.mark.parametrize(("library", "method"), [("pandas", "df"), ("polars", "pl")])
def test_libraries_that_are_not_there(library: str, method: str) -> None:
    code = (
        "import sys\n"
        f"sys.modules['{library}'] = None\n"
        "import qtensor\n"
        "relation = qtensor.sql('SELECT 1 AS a')\n"
        "assert relation.fetchall() == [(1,)]\n"
        "try:\n"
        f"    relation.{method}()\n"
        "except qtensor.errors.DataError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120, cwd=Path(__file__).parents[2]
    )
    assert run.stdout.startswith(f"{method}() needs {library}, which is not installed: pip install {library}")


@pytest.mark.parametrize(
    "values", [["01", "12"], ["2020-01-02", "2021-12-31"], ["a", "1"], ["-5", "7"], ["x y", "ä"], ["1.5", "2"], ["true", "false"]]
)
def test_columns_of_folders(values: list[str], tmp_path: Path) -> None:
    for number, value in enumerate(values):
        write(tmp_path / f"key={value}", pa.table({"a": [number]}))
    check(f"SELECT * FROM '{tmp_path}/*/*.parquet'")
    check(f"SELECT min(key) AS low, count(DISTINCT key) AS n FROM '{tmp_path}/*/*.parquet'")
