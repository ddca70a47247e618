"""An untrusted artifact runs in a process of its own: what it is given and gives, and that whatever it does ends in an error."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import qtensor
from qtensor.aot.artifact.artifact import Artifact
from qtensor.aot.artifact.container import opened, read_container
from qtensor.aot.isolated import isolation
from qtensor.aot.isolated.isolation import Limits
from qtensor.errors import ArtifactError, CapacityError, DataError, ExecutionError, QueryTimeoutError
from qtensor.process.memory import half_of_memory
from tests.aot.exports import Exports, check
from tests.aot.files import parts_of, sealed, with_part
from tests.aot.programs import bytes_of, text_of, with_first

ROWS = 3_000
TABLE = pa.table({"k": np.arange(ROWS) % 7, "v": np.arange(ROWS) * 7919 % 5000})
PROGRAM = "programs/whole_65536_whole.mlir"


def isolated(path: Path, seconds: float = 60.0, memory: int | None = None) -> Artifact:
    return Artifact(read_container(path), threads=2, isolated=True, limits=Limits(memory or half_of_memory(), seconds))


def hostile(path: Path, change: Any, seconds: float = 60.0, memory: int = 3 << 30) -> Artifact:
    """The artifact with another program for 65,536 rows, called without the whitelist: what it misses must not hurt either."""
    parts = parts_of(path)
    container = opened(sealed(with_part(parts, PROGRAM, bytes_of(change(text_of(parts[PROGRAM])))).items()))
    return Artifact(container, threads=1, isolated=True, limits=Limits(memory, seconds))


@pytest.fixture
def unscreened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The process that is started compiles everything, as if the whitelist had let it pass."""
    (tmp_path / "sitecustomize.py").write_text(
        "import qtensor.aot.isolated.screening as screening\nscreening.check_programs = lambda programs, trusted=False: None\n"
    )
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("QTENSOR_CACHE", str(tmp_path / "cache"))
    yield


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id, i16 * 3 AS a, d, s, c, day, moment, b, x, f, h, u64, e FROM t WHERE i16 > $a OR s IS NULL",
        "SELECT g, s, count(*) AS n, sum(i64) AS total, min(y) AS least FROM t WHERE i16 > $a GROUP BY g, s ORDER BY ALL",
        "SELECT count(*) AS n FROM t WHERE i16 > $a",
        "SELECT id, s FROM t WHERE i16 > $a ORDER BY s DESC NULLS LAST, id LIMIT 20",
    ],
)
def test_the_same_answers(sql: str, exports: Exports, rows: pa.Table, schema: pa.Schema) -> None:
    """Every type, called and streamed, with the parameters of the export and others."""
    artifact = isolated(exports.path(sql, schema, {"a": 10}))
    for count in (0, 1, 2_500):
        check(artifact, rows.slice(5, count))
        check(artifact, rows.slice(5, count), {"a": -3})
    artifact.close()


def test_who_is_isolated(exports: Exports, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = exports.path("SELECT k + v AS s FROM t", TABLE)
    monkeypatch.setenv("QTENSOR_TRUST", str(tmp_path / "nothing"))
    artifact = qtensor.load(path)
    assert artifact.isolated and not artifact.trusted
    assert not qtensor.load(path, isolated=False).isolated
    assert artifact(TABLE).num_rows == ROWS
    qtensor.aot.artifact.trust.add_trust(artifact.digest)
    trusted = qtensor.load(path)
    assert trusted.trusted and not trusted.isolated
    assert trusted(TABLE) == artifact(TABLE)
    artifact.close()


def test_one_process_for_all_calls(exports: Exports) -> None:
    artifact = isolated(exports.path("SELECT sum(k + v) AS s FROM t", TABLE))
    process = artifact._process._process
    frame = pd.DataFrame({"k": [1, 2], "v": [3, 4]})
    assert artifact(frame).to_pylist() == [{"s": 10}]
    assert artifact(frame).to_pylist() == [{"s": 10}]
    frame.loc[0, "k"] = 6
    assert artifact(frame).to_pylist() == [{"s": 15}]  # a changed table is sent again
    with pytest.raises(ArtifactError, match="assumed values from"):
        artifact({"k": np.array([10**9]), "v": np.array([1])})
    assert artifact.stream(TABLE.to_reader()).read_all() == artifact(TABLE)
    assert artifact._process._process is process
    artifact.close()
    assert artifact(frame).to_pylist() == [{"s": 15}]
    artifact.close()


def test_a_stream_and_a_call_at_once(exports: Exports, schema: pa.Schema, rows: pa.Table) -> None:
    artifact = isolated(exports.path("SELECT id, i16 FROM t WHERE i16 > 0", schema))
    stream = artifact.stream(rows.slice(0, 2_000).to_reader(max_chunksize=500))
    first = stream.read_next_batch()
    whole = artifact(rows.slice(0, 2_000))
    rest = stream.read_all()
    assert pa.concat_tables([pa.Table.from_batches([first]), rest]).to_pylist() == whole.to_pylist()
    artifact.close()


def test_a_process_ends_with_its_artifact(exports: Exports) -> None:
    artifact = isolated(exports.path("SELECT sum(k + v) AS s FROM t", TABLE))
    pid = artifact._process._process._process.pid
    del artifact
    gc.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_errors_are_those_of_the_query(exports: Exports) -> None:
    artifact = isolated(exports.path("SELECT k // v AS q FROM t WHERE v >= $a", TABLE, {"a": 0}))
    with pytest.raises(ExecutionError, match=r"(?s)Division by zero.*k // v.*\^") as caught:
        artifact({"k": np.array([1]), "v": np.array([0])})
    assert caught.value.spans
    with pytest.raises(ArtifactError, match="the parameter a"):
        artifact(TABLE, a="x")
    with pytest.raises(DataError):
        artifact("missing.parquet")
    artifact.close()


def test_a_process_that_is_killed(exports: Exports) -> None:
    artifact = isolated(exports.path("SELECT sum(k + v) AS s FROM t", TABLE))
    os.kill(artifact._process._process._process.pid, signal.SIGSEGV)
    with pytest.raises(ArtifactError, match="ended by SIGSEGV: its file is not trusted, and damaged or hostile"):
        artifact(TABLE)
    assert artifact(TABLE).num_rows == 1  # by another process
    artifact.close()


def test_a_process_that_cannot_be_started(exports: Exports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(ArtifactError, match="cannot be started"):
        isolated(exports.path("SELECT sum(k + v) AS s FROM t", TABLE))


ENDLESS = """    %zz0 = stablehlo.constant dense<2> : tensor<i64>
    %zz1 = stablehlo.while(%zzi = %zz0) : tensor<i64>
    cond {
      %zo = stablehlo.constant dense<1> : tensor<i64>
      %zt = stablehlo.compare NE, %zzi, %zo, SIGNED : (tensor<i64>, tensor<i64>) -> tensor<i1>
      stablehlo.return %zt : tensor<i1>
    } do {
      %zm = stablehlo.multiply %zzi, %zzi : tensor<i64>
      %zp = stablehlo.or %zm, %zz0 : tensor<i64>
      stablehlo.return %zp : tensor<i64>
    }
    %zz = stablehlo.convert %zz1 : (tensor<i64>) -> tensor<i32>"""

LARGE = """    %zi = stablehlo.iota dim = 0 : tensor<{size}xi64>
    %zr = stablehlo.reverse %zi, dims = [0] : tensor<{size}xi64>
    %zs = "stablehlo.sort"(%zr) <{{dimension = 0 : i64, is_stable = true}}> ({{
    ^bb0(%za: tensor<i64>, %zb: tensor<i64>):
      %zc = stablehlo.compare LT, %za, %zb, SIGNED : (tensor<i64>, tensor<i64>) -> tensor<i1>
      stablehlo.return %zc : tensor<i1>
    }}) : (tensor<{size}xi64>) -> tensor<{size}xi64>
    %zl = stablehlo.slice %zs [9:10] : (tensor<{size}xi64>) -> tensor<1xi64>
    %zk = stablehlo.reshape %zl : (tensor<1xi64>) -> tensor<i64>
    %zz = stablehlo.convert %zk : (tensor<i64>) -> tensor<i32>"""


def unstable(text: str) -> str:
    """A sort that trusts a comparator which is no strict order: it reads and writes beyond its rows."""
    start = text.index('"stablehlo.sort"')
    assert "is_stable = true" in text[start:]
    return text[:start] + text[start:].replace("is_stable = true", "is_stable = false").replace("compare LT", "compare LE", 1)


@pytest.fixture
def sorting(exports: Exports) -> Path:
    return exports.path("SELECT k, v FROM t WHERE v > 1 ORDER BY v, k", TABLE)


def test_whitelisted(sorting: Path) -> None:
    for change, message in [
        (unstable, "not stable"),
        (lambda text: with_first(text, ENDLESS), "may never end"),
        (lambda text: with_first(text, LARGE.format(size=1 << 60)), "has a tensor of"),
    ]:
        artifact = hostile(sorting, change)
        with pytest.raises(ArtifactError, match=message):
            artifact(TABLE)
        artifact.close()


def test_what_the_whitelist_may_miss(sorting: Path, unscreened: None) -> None:
    """Without it: no end, no memory, a crash. The caller lives, and is told what happened."""
    endless = hostile(sorting, lambda text: with_first(text, ENDLESS), seconds=8.0)
    with pytest.raises(QueryTimeoutError, match=r"no result within 8 seconds and was ended"):
        endless(TABLE)
    large = hostile(sorting, lambda text: with_first(text, LARGE.format(size=1 << 30)))
    with pytest.raises((ArtifactError, CapacityError), match="memory"):
        large(TABLE)
    crashing = hostile(sorting, unstable, seconds=20.0)
    try:
        crashing(TABLE)
    except (ArtifactError, QueryTimeoutError) as error:
        assert "ended by SIG" in str(error) or "no result" in str(error) or "does not give" in str(error)


def test_a_forked_process_has_its_own(exports: Exports) -> None:
    path = exports.path("SELECT sum(k + v) AS s FROM t", TABLE)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKS, str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "True True\n"), done.stderr


def test_an_interrupt_ends_the_process(exports: Exports, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = isolated(exports.path("SELECT sum(k + v) AS s FROM t", TABLE))
    process = artifact._process._process._process

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(isolation.Channel, "receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            artifact(TABLE)
    assert process.poll() is not None
    assert artifact(TABLE).num_rows == 1
    artifact.close()


FORKS = """
import os, sys
import numpy as np
import qtensor

artifact = qtensor.load(sys.argv[1], isolated=True)
table = {"k": np.arange(5), "v": np.arange(5)}
first = artifact._process._process._process.pid
expected = artifact(table).to_pylist()
if (child := os.fork()) == 0:
    try:
        other = artifact(table).to_pylist() == expected and artifact._process._process._process.pid != first
        artifact.close()
    except BaseException:
        other = False
    os._exit(0 if other else 1)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(status == 0, artifact(table).to_pylist() == expected and artifact._process._process._process.pid == first)
"""
PARENT = """
import sys, qtensor
artifact = qtensor.load(sys.argv[1], isolated=True)
print(artifact._process._process._process.pid, flush=True)
sys.stdin.read()
"""


def test_the_process_ends_with_its_parent(exports: Exports) -> None:
    """Also if that is killed, and can end nothing any more."""
    path = exports.path("SELECT sum(k + v) AS s FROM t", TABLE)
    with subprocess.Popen([sys.executable, "-c", PARENT, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    for _ in range(600):
        if not is_running(pid):
            break
        time.sleep(0.1)
    assert not is_running(pid)


def is_running(pid: int) -> bool:
    """Whether there is such a process, and not only its remains."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_damaged_batches_of_a_stream(exports: Exports) -> None:
    """They are looked at before anything is done with them, here or there: to write them out would end this process."""
    schema = pa.schema([("k", pa.int64()), ("s", pa.string())])
    path = exports.path("SELECT k, s FROM t WHERE k > 0", schema)
    offsets = pa.py_buffer(np.array([0, 1, 1 << 30, 2, 3], np.int32))
    damaged = pa.Array.from_buffers(pa.string(), 4, [None, offsets, pa.py_buffer(b"xyz")])
    batches = [pa.record_batch([pa.array([1, 2, 3, 4]), texts], schema=schema) for texts in (pa.array(list("abcd")), damaged)]
    for artifact in (isolated(path), qtensor.load(path, isolated=False)):
        stream = artifact.stream(pa.RecordBatchReader.from_batches(schema, batches))
        assert stream.read_next_batch().num_rows == 4
        with pytest.raises(DataError, match='column "s" is damaged: Offset invariant failure'):
            stream.read_next_batch()
        with pytest.raises(DataError, match='column "s" is damaged: Offset invariant failure'):
            artifact(pa.Table.from_batches(batches))
        artifact.close()
