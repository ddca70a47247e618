"""The command line as processes: pipes, signals, and what is not imported before it is needed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import qtensor

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
QTENSOR = [sys.executable, "-m", "qtensor"]


def write_stream(path: Path, rows: int) -> None:
    table = pa.table({"a": range(rows)})
    with path.open("wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=10_000)


def test_one_process_feeds_another(tmp_path: Path) -> None:
    write_stream(tmp_path / "rows.arrows", 30_000)
    first = [*QTENSOR, "run", "SELECT a, a % 7 AS b FROM t WHERE a > 9", "--table", "t=-", "--format", "arrow"]
    second = [*QTENSOR, "run", "SELECT b, count(*) AS n FROM t GROUP BY b ORDER BY b LIMIT 2", "--table", "t=-"]
    with (tmp_path / "rows.arrows").open("rb") as file:
        producer = subprocess.Popen(first, stdin=file, stdout=subprocess.PIPE, env=ENVIRONMENT)
    consumer = subprocess.run(second, stdin=producer.stdout, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert producer.stdout is not None
    producer.stdout.close()
    assert (producer.wait(), consumer.returncode, consumer.stderr) == (0, 0, "")
    assert consumer.stdout == "b,n\n0,4284\n1,4284\n"


def test_exec_writes_while_it_reads(tmp_path: Path) -> None:
    """The rows of one batch come before the next batch is sent."""
    relation = qtensor.sql("SELECT a * 2 AS b FROM t", t={"a": np.arange(100)})
    relation.export(tmp_path / "q.qta")
    schema = pa.schema([("a", pa.int64())])
    command = [*QTENSOR, "exec", str(tmp_path / "q.qta"), "--format", "csv"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdin is not None and process.stdout is not None
        with pa.ipc.new_stream(process.stdin, schema) as writer:
            for number in range(3):
                writer.write_batch(pa.record_batch([[number, 50]], schema=schema))
                process.stdin.flush()
                lines = [process.stdout.readline() for _ in range(3 if number == 0 else 2)]
                assert lines[-2:] == [b"%d\n" % (2 * number), b"100\n"]
        process.stdin.close()
        assert (process.stdout.read(), process.wait(60)) == (b"", 0)


@pytest.mark.parametrize("format", ["csv", "arrow"])
def test_a_reader_that_goes_away(tmp_path: Path, format: str) -> None:
    write_stream(tmp_path / "rows.arrows", 300_000)
    sql = f"SELECT a FROM '{tmp_path}/rows.arrows'"
    process = subprocess.Popen(
        [*QTENSOR, "run", sql, "--format", format], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.read(2)
    process.stdout.close()
    assert (process.wait(60), process.stderr.read()) == (141, b"")
    process.stderr.close()


def test_ctrl_c(tmp_path: Path) -> None:
    """While it waits for its input."""
    process = subprocess.Popen(
        [*QTENSOR, "run", "SELECT count(*) FROM t", "--table", "t=-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, b"\ninterrupted\n")


def test_tensorflow_says_nothing_of_its_own(tmp_path: Path) -> None:
    """A process of its own, since TensorFlow speaks once."""
    import tensorflow as tf

    module = tf.Module()
    module.f = tf.function(lambda x: x * 2, input_signature=[tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "double"), signatures=module.f)
    command = [*QTENSOR, "run", "SELECT d(21) AS a", "--model", f"d={tmp_path / 'double'}"]
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "a\n42.0\n", "")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from qtensor.cli.main import main\n"
        "for arguments in (['--help'], ['run', '--help'], ['exec', '--help'], ['--version']):\n"
        "    assert main(arguments) == 0\n"
        "heavy = {'jax', 'jaxlib', 'numpy', 'pyarrow', 'sqlglot', 'tensorflow', 'prompt_toolkit', 'pandas'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, stdout=subprocess.DEVNULL, check=True)


def test_exec_imports_neither_tensorflow_nor_a_sql_parser(tmp_path: Path) -> None:
    qtensor.sql("SELECT a + 1 AS b FROM t WHERE a > 1", t={"a": np.arange(4)}).export(tmp_path / "q.qta")
    (tmp_path / "t.csv").write_text("a\n1\n2\n")
    code = (
        "import sys\n"
        "from qtensor.cli.main import main\n"
        "assert main(['exec', 'q.qta', '--table', 't=t.csv', '--format', 'json']) == 0\n"
        "heavy = {'sqlglot', 'tensorflow', 'keras', 'prompt_toolkit'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ('[{"b":3}]\n', "")
