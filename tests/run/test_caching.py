"""Caches hold encodings and executables, never results; nothing they hold is ever stale, or trusted without a look."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import qtensor
from qtensor.aot.machine.cache import MAGIC, ExecutableCache
from tests.oracle import Engines

ROOT = Path(__file__).parents[2]
QUERY = "SELECT g, sum(a) AS total, min(s) FROM t WHERE a > 1 GROUP BY g ORDER BY g"
ROWS = [(0, 20, "s2"), (1, 24, "s3")]


def numbers(offset: int = 0) -> pa.Table:
    values = list(range(offset, offset + 10))
    return pa.table({"g": [value % 2 for value in values], "a": values, "s": [f"s{value}" for value in values]})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The executables' folder of an empty cache."""
    monkeypatch.setenv("QTENSOR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "executables"


def from_disk(relation: qtensor.Relation) -> list[bool]:
    """Whether each module of a query was loaded from the disk."""
    return [module.from_cache for module in relation._prepare().compiled.modules]


def ask(query: str = QUERY) -> qtensor.Relation:
    """The query in a new connection."""
    return qtensor.connect().register("t", numbers()).sql(query)


# --- on disk ------------------------------------------------------------


def test_another_connection_loads_what_one_compiled(folder: Path) -> None:
    first = ask()
    assert (first.fetchall(), from_disk(first)) == (ROWS, [False])
    assert len(list(folder.iterdir())) == 1
    second = ask()
    assert (second.fetchall(), from_disk(second)) == (ROWS, [True])
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize(
    "query",
    [
        "SELECT a, s FROM t ORDER BY s DESC LIMIT 3",
        "SELECT DISTINCT a FROM t ORDER BY a * 1000000007 % 13",
        "SELECT a FROM t WHERE a % 2 = 0 LIMIT 2",
        "SELECT a * 1000000, count(*) FROM t GROUP BY 1 ORDER BY 2, 1",
    ],
)
def test_every_kind_of_program_survives_the_disk(folder: Path, query: str) -> None:
    first = ask(query)
    rows = first.fetchall()
    second = ask(query)
    assert second.fetchall() == rows
    assert (from_disk(first), from_disk(second)) == ([False], [True])


def test_two_modules_survive_the_disk(folder: Path) -> None:
    table = {"a": np.arange(300_000)}
    for loaded in (False, True):
        relation = qtensor.connect(threads=2).register("t", table).sql("SELECT sum(a), max(a) FROM t WHERE a % 3 = 0")
        assert relation.fetchall() == [(14_999_850_000, 299_997)]
        assert from_disk(relation) == [loaded, loaded]


def test_models_of_other_graphs_are_other_programs(folder: Path) -> None:
    """Of the same name, in the same query, with as many weights of the same shapes."""
    factor = np.float64(2)
    for _ in range(2):
        for function, expected in [(lambda a: a * factor, 8.0), (lambda a: a + factor, 6.0), (lambda a: a * np.float64(3), 12.0)]:
            connection = qtensor.connect().register("t", {"a": np.array([4.0])}).create_function("f", function)
            assert connection.sql("SELECT f(a) FROM t").fetchall() == [(expected,)]
            connection.create_function("f", lambda a: -a)
            assert connection.sql("SELECT f(a) FROM t").fetchall() == [(-4.0,)]


@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage", "flipped", "foreign"])
def test_a_damaged_entry_is_compiled_anew(folder: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    ask().fetchall()
    (entry,) = folder.iterdir()
    whole = entry.read_bytes()
    middle = len(whole) // 2
    entry.write_bytes(
        {
            "empty": b"",
            "truncated": whole[:middle],
            "garbage": b"garbage" * 1000,
            "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "foreign": sealed(b"not an executable"),
        }[damage]
    )
    with caplog.at_level(logging.WARNING, "qtensor"):
        relation = ask()
        assert relation.fetchall() == ROWS
    assert from_disk(relation) == [False]
    (record,) = caplog.records
    assert str(entry) in record.getMessage()
    assert "compiled anew" in record.getMessage()
    again = ask()
    assert (again.fetchall(), from_disk(again)) == (ROWS, [True])


def sealed(payload: bytes) -> bytes:
    """An entry whose digest is right and whose content is not what a compiler wrote."""
    return MAGIC + hashlib.sha256(payload).digest() + payload


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file stands where the folder should be: not even root can write there."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("QTENSOR_CACHE", str(blocked))
    for _ in range(2):
        relation = ask()
        assert (relation.fetchall(), from_disk(relation)) == (ROWS, [False])
    assert blocked.read_text() == "not a folder"


def test_the_folder_is_private_and_holds_no_leftovers(folder: Path) -> None:
    ask().fetchall()
    ask("SELECT max(a) FROM t").fetchall()
    assert folder.stat().st_mode & 0o077 == 0
    assert all(not path.name.startswith(".") and path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = ExecutableCache(tmp_path, size_limit=250)
    cache.folder.mkdir()
    for age, name in enumerate(["newest", "newer", "older", "oldest"]):
        path = cache.folder / name
        path.write_bytes(bytes(100))
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    cache.trim()
    assert sorted(path.name for path in cache.folder.iterdir()) == ["newer", "newest"]


def test_info_and_clear(folder: Path) -> None:
    cache = ExecutableCache()
    assert (cache.info().folder, cache.info().entries, cache.info().size) == (folder, 0, 0)
    relation = ask()
    relation.fetchall()
    info = cache.info()
    assert (info.entries, info.size, info.limit) == (1, sum(path.stat().st_size for path in folder.iterdir()), 512 << 20)
    assert cache.clear() == info
    assert cache.info().entries == 0
    assert relation.fetchall() == ROWS
    assert cache.clear().entries == 0


def test_a_folder_that_others_can_write_to_is_not_used(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An executable is native code: whoever can put one there could run what they like."""
    ask().fetchall()
    folder.chmod(0o770)
    relation = ask()
    assert (relation.fetchall(), from_disk(relation)) == (ROWS, [False])
    assert "others than its owner" in caplog.text
    folder.chmod(0o700)
    assert from_disk(ask()) == [True]


def test_a_writer_killed_before_it_was_done(folder: Path) -> None:
    """What it leaves is no entry, does no harm, and is removed when it is old."""
    code = (
        "import os, pathlib, signal\n"
        "pathlib.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from tests.run.test_caching import ask\n"
        "ask().fetchall()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = folder.iterdir()
    assert left.name.startswith(".")
    assert ExecutableCache().info().entries == 0
    for loaded in (False, True):
        relation = ask()
        assert (relation.fetchall(), from_disk(relation)) == (ROWS, [loaded])
    assert left.exists()
    os.utime(left, (time.time() - 7200,) * 2)
    ask("SELECT max(a) FROM t").fetchall()
    assert not left.exists()


def test_a_full_disk_leaves_no_part_of_an_entry(folder: Path) -> None:
    """A limit on the size of files stands for the disk."""
    code = (
        "import resource, signal\n"
        "from tests.run.test_caching import ask, ROWS\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "assert ask().fetchall() == ROWS\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
    assert list(folder.iterdir()) == []


def test_damage_is_logged_and_nothing_printed(folder: Path) -> None:
    """A library's warnings reach stderr in a program that sets up no logging, unless the library sees to it."""
    ask().fetchall()
    (entry,) = folder.iterdir()
    entry.write_bytes(b"damaged")
    code = "from tests.run.test_caching import ask, ROWS\nassert ask().fetchall() == ROWS"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert entry.stat().st_size > 100


def test_two_processes_at_once(folder: Path) -> None:
    """Both compile, or one loads what the other saved; both are right, and what is left is whole."""
    code = (
        "import qtensor\n"
        "from tests.run.test_caching import ask, QUERY, ROWS\n"
        "for query in [QUERY, 'SELECT a FROM t ORDER BY a DESC LIMIT 2', 'SELECT count(DISTINCT a) FROM t']:\n"
        "    rows = ask(query).fetchall()\n"
        "    assert rows in (ROWS, [(9,), (8,)], [(10,)]), rows\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    processes = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
    assert len(list(folder.iterdir())) == 3
    relation = ask()
    assert (relation.fetchall(), from_disk(relation)) == (ROWS, [True])


# --- in memory ------------------------------------------------------------


def test_the_same_text_is_prepared_once() -> None:
    connection = qtensor.connect().register("t", numbers())
    first = connection.sql(QUERY)._prepare()
    assert connection.sql(QUERY)._prepare() is first
    assert connection.sql(QUERY.replace("a > 1", "a > 2"))._prepare() is not first


def test_prepared_queries_are_never_stale() -> None:
    """Data, types, NULLs, dictionaries, ranges, row counts and models change under the same text."""
    connection = qtensor.connect()
    for table, rows in [
        (numbers(), ROWS),
        (numbers(10), [(0, 70, "s10"), (1, 75, "s11")]),
        (pa.table({"g": [None, None], "a": [10**15, None], "s": [None, "x"]}), [(None, 10**15, None)]),
        (pa.table({"g": ["x", "y"], "a": [1.5, 2.5], "s": [3, 4]}), [("x", 1.5, 3), ("y", 2.5, 4)]),
        (numbers().slice(0, 0), []),
        (numbers(), ROWS),
    ]:
        connection.register("t", table)
        assert connection.sql(QUERY).fetchall() == rows


def test_parameters_of_equal_value_and_other_type_are_other_queries() -> None:
    engines = Engines.over(t=pa.table({"a": [1, 2, 3]}))
    for value in (1, True, 1.0, "1", None, 1, 2):
        engines.check("SELECT $x, a + 1 AS b FROM t WHERE a >= 1 ORDER BY a", {"x": value})


def test_a_frame_of_another_caller_is_another_table() -> None:
    connection = qtensor.connect()

    def ask_about(frame: pd.DataFrame) -> list[tuple[object, ...]]:
        return connection.sql("SELECT sum(a) FROM frame").fetchall()

    frames = [pd.DataFrame({"a": [value]}) for value in range(5)]
    for _ in range(2):
        assert [ask_about(frame) for frame in frames] == [[(value,)] for value in range(5)]


def test_a_model_registered_anew() -> None:
    connection = qtensor.connect().register("t", {"a": np.array([4.0])})
    for factor in (2.0, 3.0, 2.0):
        connection.create_function("f", lambda a, factor=factor: a * factor)
        relation = connection.sql("SELECT f(a) FROM t")
        assert relation.fetchall() == [(4.0 * factor,)]
    connection.create_function("f", lambda a: -a)
    assert relation.fetchall() == [(-4.0,)]
    connection.remove_function("f")
    with pytest.raises(qtensor.errors.BindError, match='no function or model "f"'):
        connection.sql("SELECT f(a) FROM t")


def test_a_result_is_computed_anew_each_time() -> None:
    """A result belongs to who asked: changing it changes no other."""
    connection = qtensor.connect().register("t", {"x": np.arange(1000.0), "i": np.arange(1000)})
    relation = connection.sql("SELECT x, i FROM t")
    first = relation.numpy()
    for array in first.values():
        if array.flags.writeable:
            array[:] = -1
    assert relation.fetchall()[5] == (5.0, 5)
    assert relation.arrow() is not relation.arrow()


def test_many_queries_do_not_pile_up() -> None:
    connection = qtensor.connect().register("t", numbers())
    for number in range(300):
        assert connection.sql(f"SELECT a FROM t WHERE a = {number}").columns == ["a"]
    assert len(connection._kept) <= 256
    assert connection.sql("SELECT a FROM t WHERE a = 3").fetchall() == [(3,)]
