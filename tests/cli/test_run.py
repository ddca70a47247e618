"""`run`, `explain`, `bench`: tables by every way, parameters, models, formats; what is refused, with which exit code."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import qtensor
from tests.cli.conftest import TABLE, CommandLine, ipc_stream

COUNT = "SELECT count(*) AS n, sum(x) AS total FROM t"


def parquet_bytes() -> bytes:
    memory = io.BytesIO()
    pq.write_table(TABLE, memory)
    return memory.getvalue()


def ipc_file() -> bytes:
    memory = io.BytesIO()
    with pa.ipc.new_file(memory, TABLE.schema) as writer:
        writer.write_table(TABLE)
    return memory.getvalue()


# --- where tables and SQL come from ------------------------------------------------------------


def test_statements(qt: CommandLine) -> None:
    made = "CREATE TABLE u AS SELECT g FROM t WHERE x > 0"
    run = qt("run", f"{made}; INSERT INTO u VALUES (9); SELECT sum(g) AS s FROM u", "--table", "t=t.csv")
    assert (run.code, run.text, run.errors) == (0, "s\n12\n", "")
    assert qt("run", made, "--table", "t=t.csv").text == ""
    assert qt("run", made, "--table", "t=t.csv", "-o", "count.csv").text == ""
    assert Path("count.csv").read_text() == "Count\n2\n"
    run = qt("run", "DESCRIBE t; EXPLAIN SELECT g FROM t", "--table", "t=t.csv", "--format", "table")
    assert run.text.startswith("pipeline 0: scan t (g int8")
    for command in ("explain", "bench"):
        run = qt(command, "COPY (SELECT 1 AS a) TO 'never.csv'")
        assert (run.code, Path("never.csv").exists()) == (1, False)
        assert "COPY begins a statement, and a query is needed here" in run.errors


@pytest.mark.parametrize("file", ["t.parquet", "t.csv", "t.arrow"])
def test_files(qt: CommandLine, file: str) -> None:
    assert qt("run", COUNT, "--table", f"t={file}").text == "n,total\n4,1.0\n"
    assert qt("run", COUNT.replace("FROM t", f"FROM '{file}'")).text == "n,total\n4,1.0\n"


@pytest.mark.parametrize("content", [ipc_stream(TABLE, 3), ipc_file(), parquet_bytes(), b"g,x\n1,1.5\n2,-0.5\n3,\n4,\n"])
@pytest.mark.parametrize("path", ["-", "/dev/stdin"])
def test_stdin(qt: CommandLine, content: bytes, path: str) -> None:
    run = qt("run", COUNT, "-t", f"t={path}", stdin=content)
    assert (run.code, run.text, run.errors) == (0, "n,total\n4,1.0\n", "")


def test_sql_from_a_file_and_from_stdin(qt: CommandLine) -> None:
    Path("query.sql").write_text(COUNT)
    for arguments, stdin in [(["-f", "query.sql"], b""), (["-"], COUNT.encode()), (["-f", "-"], COUNT.encode())]:
        assert qt("run", *arguments, "--table", "t=t.parquet", stdin=stdin).text == "n,total\n4,1.0\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], 'say what to run: SQL in quotes, "-" for stdin, or -f FILE'),
        (["run", "SELECT 1", "-f", "query.sql"], "or -f FILE, not two of them"),
        (["run", "-", "-t", "t=-"], "only one thing can be read from stdin, not the table t and the query"),
        (
            ["run", "SELECT 1", "-t", "a=-", "-t", "b=/dev/stdin"],
            "only one thing can be read from stdin, not the table a and the table b",
        ),
        (["run", "SELECT 1", "--table", "t.csv"], "'t.csv' is not NAME=PATH; for example --table t=data.parquet"),
        (["run", "SELECT 1", "--param", "x"], "'x' is not NAME=VALUE"),
        (["run", "SELECT 1", "--param", "x:int=a"], "x: 'a' is no int"),
        (["run", "SELECT 1", "--param", "x:number=1"], "there is no type number: use int, float"),
        (["run", "SELECT 1", "--model-output", "m=class"], "--model-output names m, but there is no --model m=PATH"),
        (["run", "SELECT 1", "--model-signature", "m=x"], "--model-signature names m, but there is no --model m=PATH"),
        (["run", "SELECT 1", "-o", "rows.xlsx"], "the name rows.xlsx does not tell a format"),
        (["run", "SELECT 1", "--format", "xml"], "'xml' is not one of 'table', 'csv', 'json', 'arrow', 'parquet'"),
        (["run", "SELECT 1", "--threads", "0"], "0 is not in the range x>=1"),
        (["rum"], "No such command 'rum'"),
        (["explain", "SELECT 1", "--level", "asm"], "'asm' is not one of 'sql', 'logical'"),
    ],
)
def test_misuse(qt: CommandLine, arguments: list[str], message: str) -> None:
    run = qt(*arguments)
    assert (run.code, run.output) == (2, b"")
    assert message in " ".join(run.errors.split())
    assert "--help" in run.errors


# --- errors of queries and data ------------------------------------------------------------


def test_an_error_is_shown_with_its_caret(qt: CommandLine) -> None:
    run = qt("run", "SELECT y FROM t", "-t", "t=t.csv")
    assert (run.code, run.output) == (1, b"")
    assert run.errors == 'BindError: no column "y" in t\n  SELECT y FROM t\n         ^\n'


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", COUNT, "-t", "t=nowhere.csv"], "DataError: nowhere.csv: no such file"),
        (["run", COUNT, "-t", "t=-"], "DataError: stdin: no data came; pipe Arrow, Parquet or CSV into it"),
        (["run", "-f", "nowhere.sql"], "DataError: nowhere.sql: cannot be read: "),
        (["run", "SELECT 1 +"], "ParseError: "),
        (["run", "SELECT hash(s) FROM t", "-t", "t=t.csv"], "UnsupportedError: "),
        (["run", "SELECT CAST(s AS INTEGER) FROM t", "-t", "t=t.csv"], "ExecutionError: "),
        (["run", "SELECT 1", "-m", "m=nowhere"], 'ModelError: model "m": there is no folder "nowhere"'),
        (["run", "SELECT 1", "-o", "nowhere/rows.csv"], "OSError: "),
        (["run", "SELECT 1", "--dialect", "klingon"], 'ParseError: unknown SQL dialect "klingon"'),
        (["run", "SELECT g FROM t WHERE x > $least", "-t", "t=t.csv"], "BindError: no value was given for the parameter $least"),
    ],
)
def test_failures(qt: CommandLine, arguments: list[str], message: str) -> None:
    run = qt(*arguments)
    assert (run.code, run.output) == (1, b"")
    assert run.errors.startswith(message)
    assert "Traceback" not in run.errors


@pytest.mark.parametrize("content", [ipc_stream(TABLE)[:-60], ipc_file()[:-60], parquet_bytes()[:-20], b"\xff\xfe\x00\x01" * 40])
def test_damaged_stdin(qt: CommandLine, content: bytes) -> None:
    run = qt("run", "SELECT count(*) FROM t", "-t", "t=-", stdin=content)
    assert run.code == 1
    assert run.errors.startswith("DataError: ")


# --- parameters and models ------------------------------------------------------------


def test_parameters(qt: CommandLine) -> None:
    Path("days.csv").write_text("day,name\n2026-01-01,7\n2026-02-01,8\n")
    for sql, parameters, expected in [
        ("SELECT g FROM 't.csv' WHERE x > $least", ["least=0.5"], "g\n2\n"),
        ("SELECT g FROM 't.csv' WHERE x > ? AND g = ?", ["1=0", "2=1"], "g\n1\n"),
        ("SELECT name FROM 'days.csv' WHERE day > $since", ["since=2026-01-15"], "name\n8\n"),
        ("SELECT s FROM 't.csv' WHERE s = $s", ["$s=a"], "s\na\n"),
        (
            "SELECT $a AS a, $b AS b, $c AS c, $d AS d",
            ["a:text=7", "b=true", "c=NULL", "d:decimal=0.50"],
            "a,b,c,d\n7,true,,0.50\n",
        ),
    ]:
        arguments = [part for parameter in parameters for part in ("--param", parameter)]
        run = qt("run", sql, *arguments)
        assert (run.text, run.errors) == (expected, "")


def test_a_model_that_does_more_than_compute(qt: CommandLine, tmp_path: Path) -> None:
    import tensorflow as tf

    class Reads(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float64)])
        def __call__(self, x):
            return 2.0 * x

        @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
        def read(self, path):
            return tf.io.read_file(path)

    tf.saved_model.save(Reads(), str(tmp_path / "model"))
    run = qt("run", "SELECT m(2) AS m", "-m", "m=model")
    assert run.code == 1
    assert "ReadFile" in run.errors and "--trust-models" in run.errors
    assert qt("run", "SELECT m(2) AS m", "-m", "m=model", "--trust-models").text == "m\n4.0\n"


def test_a_saved_model_by_its_path(qt: CommandLine, tmp_path: Path) -> None:
    import tensorflow as tf

    class Scores(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])
        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            return tf.stack([x[:, 0], x[:, 1]], axis=1)

    tf.saved_model.save(Scores(), str(tmp_path / "model"))
    sql = "SELECT m(g, x) AS m FROM t WHERE x IS NOT NULL"
    assert qt("run", sql, "-t", "t=t.parquet", "-m", "m=model").text == 'm\n"[1.0, 0.5]"\n"[2.0, 2.0]"\n"[2.0, -1.5]"\n'
    best = qt("run", sql, "-t", "t=t.parquet", "-m", "m=model", "--model-output", "m=class")
    assert best.text == "m\n0\n0\n0\n"
    rows = json.loads(qt("run", sql, "-t", "t=t.parquet", "-m", "m=model", "--format", "json").text)
    assert rows == [{"m": [1.0, 0.5]}, {"m": [2.0, 2.0]}, {"m": [2.0, -1.5]}]
    module = Scores()
    first = tf.function(lambda x: {"first": x[:, 0]}, input_signature=[tf.TensorSpec([None, 2], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "several"), signatures={"whole": module.__call__, "first": first})
    chosen = qt("run", sql, "-t", "t=t.parquet", "-m", "m=several", "--model-signature", "m=first")
    assert chosen.text == "m\n1.0\n2.0\n2.0\n"


# --- formats ------------------------------------------------------------


def test_csv_is_read_again_as_it_was(qt: CommandLine) -> None:
    run = qt("run", "SELECT * FROM t", "-t", "t=t.parquet")
    assert run.text == 'g,x,s\n1,0.5,a\n2,2.0,"say ""b"""\n1,,\n2,-1.5,"c, d"\n'
    Path("again.csv").write_bytes(run.output)
    assert duckdb.sql("SELECT * FROM 'again.csv'").fetchall() == duckdb.sql("SELECT * FROM 't.parquet'").fetchall()
    assert qt("run", "SELECT * FROM 'again.csv'").output == run.output


def test_json(qt: CommandLine) -> None:
    sql = "SELECT g, x, s, x AS X, x / 0 AS y, DATE '2026-01-31' AS d, 1.50 AS e, TIMESTAMP '2026-01-31 12:30:00.5' AS m FROM t"
    rows = json.loads(qt("run", sql, "-t", "t=t.parquet", "--format", "json").text)
    assert rows[1] == {
        "g": 2,
        "x": 2.0,
        "s": 'say "b"',
        "X_1": 2.0,
        "y": "Infinity",
        "d": "2026-01-31",
        "e": 1.5,
        "m": "2026-01-31 12:30:00.5",
    }
    assert rows[2]["x"] is None
    assert qt("run", "SELECT g FROM t WHERE g > 5", "-t", "t=t.parquet", "--format", "json").text == "[]\n"


def test_arrow_and_parquet_through_a_pipe(qt: CommandLine) -> None:
    stream = qt("run", "SELECT * FROM t", "-t", "t=t.parquet", "--format", "arrow").output
    assert pa.ipc.open_stream(stream).read_all() == TABLE
    whole = qt("run", "SELECT * FROM t", "-t", "t=-", "--format", "parquet", stdin=stream).output
    assert pq.read_table(io.BytesIO(whole)) == TABLE


def test_a_table_on_a_terminal(qt: CommandLine) -> None:
    sql = "SELECT g, count(*) AS n FROM t GROUP BY g ORDER BY g"
    shown = qt("run", sql, "-t", "t=t.csv", terminal=True)
    assert shown.text.splitlines()[1:3] == ["│   g   │   n   │", "│ int64 │ int64 │"]
    assert qt("run", sql, "-t", "t=t.csv", "--format", "table").text == shown.text
    cut = qt("run", "SELECT g FROM t", "-t", "t=-", "--format", "table", "--rows", "2", stdin=b"g\n" + b"1\n" * 9).text
    assert "(2 shown)" in cut


@pytest.mark.parametrize("format", ["arrow", "parquet"])
def test_binary_is_not_written_to_a_terminal(qt: CommandLine, format: str) -> None:
    run = qt("run", "SELECT * FROM nowhere", "--format", format, terminal=True)
    assert (run.code, run.output) == (2, b"")
    assert f"{format} is binary and stdout is a terminal: add -o FILE, or pipe it into a program" in run.errors


def test_files_by_their_suffixes(qt: CommandLine) -> None:
    for name in ("out.csv", "out.json", "out.arrow", "out.arrows", "out.feather", "out.parquet", "out.txt"):
        run = qt("run", "SELECT * FROM t", "-t", "t=t.parquet", "-o", name)
        assert (run.code, run.output, run.errors) == (0, b"", "")
    for name in ("out.arrow", "out.arrows", "out.feather", "out.parquet"):
        assert qtensor.sql(f"SELECT * FROM '{name}'").arrow() == TABLE
    assert pa.ipc.open_file("out.arrow").read_all() == TABLE
    assert len(json.loads(Path("out.json").read_text())) == 4
    assert Path("out.txt").read_text().startswith("┌")
    assert qt("run", "SELECT 1 AS a", "-o", "rows", "--format", "csv").code == 0
    assert Path("rows").read_text() == "a\n1\n"
    assert qt("run", "SELECT 1 AS a", "-o", "-").text == "a\n1\n"


def test_a_file_is_written_whole_or_not_at_all(qt: CommandLine) -> None:
    Path("out.csv").write_text("kept")
    Path("out.csv").chmod(0o640)
    Path("link.csv").symlink_to("out.csv")
    run = qt("run", "SELECT CAST(s AS INTEGER) FROM t", "-t", "t=t.parquet", "-o", "out.csv")
    assert (run.code, Path("out.csv").read_text()) == (1, "kept")
    assert qt("run", "SELECT 1 AS a", "-o", "link.csv").code == 0
    assert Path("link.csv").is_symlink()
    assert Path("out.csv").read_text() == "a\n1\n"
    assert stat.S_IMODE(Path("out.csv").stat().st_mode) == 0o640
    assert [path for path in Path().iterdir() if path.name.startswith(".")] == []
    assert qt("run", "SELECT 1 AS a", "-o", "/dev/null", "--format", "csv").code == 0
    assert not Path("/dev/null").is_file()


def test_many_rows(qt: CommandLine) -> None:
    pq.write_table(pa.table({"a": range(150_000)}), "many.parquet")
    lines = qt("run", "SELECT a FROM 'many.parquet'").text.splitlines()
    assert (len(lines), lines[-1]) == (150_001, "149999")
    assert len(json.loads(qt("run", "SELECT a FROM 'many.parquet'", "--format", "json").text)) == 150_000


# --- explain and bench ------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "part"),
    [
        ("sql", "SELECT"),
        ("logical", "Scan t"),
        ("rules", "Scan t"),
        ("physical", "pipeline 0"),
        ("hlo", "HloModule"),
        ("timings", "compile"),
    ],
)
def test_explain(qt: CommandLine, level: str, part: str) -> None:
    run = qt("explain", COUNT, "-t", "t=t.csv", "--level", level)
    assert (run.code, run.errors) == (0, "")
    assert part in run.text


def test_bench_of_a_query(qt: CommandLine) -> None:
    run = qt("bench", COUNT, "-t", "t=t.csv", "--repeat", "3")
    assert run.code == 0
    assert [line.split(" ms")[0].rsplit(maxsplit=1)[0].strip() for line in run.text.splitlines()[-4:-1]] == [
        "fastest run",
        "median run",
        "slowest run",
    ]
    assert "(3 runs, 1 rows each" in run.text


def test_bench_without_a_checkout(qt: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qtensor.cli.query.BENCHMARKS", ("nothing",))
    run = qt("bench", "nothing")
    assert run.code == 2
    assert "it needs a checkout of the repository, with bench/nothing.py" in " ".join(run.errors.split())


# --- help and caches ------------------------------------------------------------


@pytest.mark.parametrize("command", ["", "run", "explain", "export", "exec", "inspect", "trust", "bench", "cache", "shell"])
def test_help(qt: CommandLine, command: str) -> None:
    run = qt(*command.split(), "--help")
    assert (run.code, run.errors) == (0, "")
    assert run.text.startswith(f"Usage: qtensor {command}".rstrip())
    assert max(map(len, run.text.splitlines())) <= 120


def test_version(qt: CommandLine) -> None:
    assert qt("--version").text == f"qtensor {qtensor.__version__}\n"


def test_cache(qt: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QTENSOR_CACHE", str(tmp_path / "cache"))
    assert "entries  0\n" in qt("cache", "info").text
    qt("run", COUNT, "-t", "t=t.csv")
    info = qt("cache", "info").text
    assert f"path     {tmp_path / 'cache' / 'executables'}\n" in info
    assert "entries  1\n" in info
    assert "limit    536,870,912 bytes" in info
    assert qt("cache", "clear").text.startswith("removed 1 entries, ")
    assert "entries  0\n" in qt("cache", "info").text


def test_damage_in_the_cache_is_told_to_those_who_ask(qt: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import logging

    monkeypatch.setenv("QTENSOR_CACHE", str(tmp_path / "cache"))
    sql = ("run", COUNT, "-t", "t=t.csv")
    qt(*sql)
    (entry,) = (tmp_path / "cache" / "executables").iterdir()
    entry.write_bytes(b"damaged")
    assert qt(*sql).errors == ""
    entry.write_bytes(b"damaged")
    logger = logging.getLogger("qtensor")
    before = list(logger.handlers), logger.level
    try:
        assert "compiled anew" in qt("--verbose", *sql).errors
    finally:
        logger.handlers, level = before
        logger.setLevel(level)
