"""TPC-H data: right, made once, and never half there, whoever is killed or arrives at the same time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pyarrow.parquet
import pytest

import qtensor.datasets
from qtensor.datasets import tpchgen
from qtensor.errors import DataError

SCALE = 0.01
ROWS = {"region": 5, "nation": 25, "supplier": 100, "customer": 1_500, "part": 2_000, "partsupp": 8_000, "orders": 15_000}
GENERATE = "import sys, qtensor.datasets; qtensor.datasets.tpch(float(sys.argv[1]), sys.argv[2])"


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> dict[str, Path]:
    return qtensor.datasets.tpch(SCALE, tmp_path_factory.mktemp("tpch"))


def start(scale: float, folder: Path) -> subprocess.Popen[bytes]:
    root = str(Path(__file__).parents[2])
    return subprocess.Popen([sys.executable, "-c", GENERATE, str(scale), str(folder)], env={**os.environ, "PYTHONPATH": root})


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if ".making-" in path.name]


def test_row_counts(tables):
    counts = {name: pyarrow.parquet.read_metadata(path).num_rows for name, path in tables.items()}
    lineitem = counts.pop("lineitem")
    assert counts == ROWS
    assert lineitem == 60_175  # dbgen's count at this scale


def test_q6_has_the_value_dbgen_gives(tables):
    query = f"""SELECT sum(l_extendedprice * l_discount) FROM '{tables["lineitem"]}'
        WHERE l_shipdate >= DATE '1994-01-01' AND l_shipdate < DATE '1995-01-01'
        AND l_discount BETWEEN 0.05 AND 0.07 AND l_quantity < 24"""
    assert str(duckdb.sql(query).fetchall()[0][0]) == "1193053.2253"


def test_made_once(tables):
    before = {path: path.stat().st_mtime_ns for path in tables.values()}
    again = qtensor.datasets.tpch(SCALE, next(iter(tables.values())).parents[2])
    assert again == tables
    assert {path: path.stat().st_mtime_ns for path in again.values()} == before


def test_environment_variable_names_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("QTENSOR_CACHE", str(tmp_path))
    paths = qtensor.datasets.tpch(0.001)
    assert all(path.is_relative_to(tmp_path / "tpch") and path.is_file() for path in paths.values())
    assert set(paths) == set(tpchgen.TABLES)


def test_missing_file_is_made_again(tmp_path):
    paths = qtensor.datasets.tpch(0.001, tmp_path)
    whole = paths["orders"].read_bytes()
    paths["orders"].unlink()
    assert qtensor.datasets.tpch(0.001, tmp_path)["orders"].read_bytes() == whole


def test_killed_while_generating(tmp_path):
    """SIGKILL once files are being written; the next run trusts nothing of it, waits for the orphan, makes all, tidies up."""
    process = start(0.2, tmp_path)
    deadline = time.monotonic() + 60
    while not any(tmp_path.rglob("*.making-*/*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (version,) = tmp_path.iterdir()
    assert leftovers(tmp_path)
    assert not (version / "sf0.2").exists()

    paths = qtensor.datasets.tpch(0.2, tmp_path)
    assert paths["orders"].parent == version / "sf0.2"
    assert pyarrow.parquet.read_metadata(paths["orders"]).num_rows == 300_000
    assert not leftovers(tmp_path)


def test_two_processes_at_once_generate_once(tmp_path):
    processes = [start(SCALE, tmp_path) for _ in range(2)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    paths = qtensor.datasets.tpch(SCALE, tmp_path)
    assert {name: pyarrow.parquet.read_metadata(paths[name]).num_rows for name in ROWS} == ROWS
    assert not leftovers(tmp_path)


def test_waiting_process_uses_what_the_first_one_made(tmp_path, monkeypatch):
    """While one process holds the lock another waits, then finds the data made and does not run the generator."""
    made = qtensor.datasets.tpch(0.001, tmp_path)["orders"].parent
    hidden = made.rename(tmp_path / "hidden")
    with tpchgen._only_one(made.with_name(f"{made.name}.lock")):
        waiting = start(0.001, tmp_path)
        time.sleep(1)
        assert waiting.poll() is None
        hidden.rename(made)
    inode = made.stat().st_ino
    assert waiting.wait(timeout=60) == 0
    assert made.stat().st_ino == inode


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (0, "scale must be a positive number, it is 0.0"),
        (-1, "scale must be a positive number, it is -1.0"),
        (float("nan"), "scale must be a positive number, it is nan"),
        (float("inf"), "scale must be a positive number, it is inf"),
        ("one", "scale must be a number, not 'one'"),
        (None, "scale must be a number, not None"),
    ],
)
def test_bad_scale(scale, message, tmp_path):
    with pytest.raises(DataError) as raised:
        qtensor.datasets.tpch(scale, tmp_path)
    assert str(raised.value) == message


def test_whole_scales_share_a_folder(tmp_path):
    assert tpchgen._checked_scale(1) == tpchgen._checked_scale(1.0) == tpchgen._checked_scale("1") == "1"
    assert tpchgen._checked_scale(0.01) == "0.01"


def test_generator_not_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(tpchgen.shutil, "which", lambda name, path: None)
    with pytest.raises(DataError, match="not installed: pip install tpchgen-cli"):
        qtensor.datasets.tpch(SCALE, tmp_path)


@pytest.mark.parametrize("behaviour", ["echo 'no space left' >&2; exit 3", "exit 0"])
def test_generator_fails(monkeypatch, tmp_path, behaviour):
    """Its own words reach the user, and neither data nor temporary folder remains."""
    program = tmp_path / "tpchgen-cli"
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo tpchgen-cli 9.9.9 && exit\n{behaviour}\n')
    program.chmod(0o755)
    monkeypatch.setattr(tpchgen, "_find_program", lambda: str(program))
    with pytest.raises(DataError, match=r"tpchgen-cli failed at scale 0.01: (no space left|it ended with status 0)"):
        qtensor.datasets.tpch(SCALE, tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").rglob("*")] == ["tpchgen-cli-9.9.9", "sf0.01.lock"]


def test_something_else_of_that_name(monkeypatch, tmp_path):
    program = tmp_path / "tpchgen-cli"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o755)
    monkeypatch.setattr(tpchgen, "_find_program", lambda: str(program))
    with pytest.raises(DataError, match="is not the generator of TPC-H data; asked for its version it says 'hello'"):
        qtensor.datasets.tpch(SCALE, tmp_path)


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot keep TPC-H data in .*file"):
        qtensor.datasets.tpch(SCALE, tmp_path / "file")
