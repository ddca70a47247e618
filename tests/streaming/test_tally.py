"""How far a run is: counted, said in `explain("timings")`, and shown to those who wait, on a terminal or in a notebook."""

from __future__ import annotations

import io
import re
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import qtensor
from qtensor.streaming import tally


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def connection(tmp_path: Path) -> qtensor.Connection:
    rows = np.arange(40_000)
    pq.write_table(pa.table({"x": rows, "y": rows % 9}), tmp_path / "t.parquet", row_group_size=2_000)
    return qtensor.connect(threads=2, memory_limit=400_000).register("t", tmp_path / "t.parquet", stream=True)


def test_timings_count_what_a_run_reads(connection: qtensor.Connection) -> None:
    text = connection.sql("SELECT y, sum(x) FROM t GROUP BY y").explain("timings")
    found = dict(re.findall(r"^(.{16}) +(.+)$", text, re.MULTILINE))
    found = {name.strip(): value for name, value in found.items()}
    assert (found["passes"], found["rows read"], found["rows"], found["bytes spilled"]) == ("1", "40,000", "9", "0 bytes")
    assert int(found["blocks"]) >= 10
    text = connection.sql("SELECT count(*) FROM t a JOIN t b ON a.x = b.x + 1").explain("timings")
    assert "passes           2\n" in text
    assert "rows read        80,000\n" in text
    assert re.search(r"bytes spilled    [1-9][0-9.]* MB", text)


def test_a_bar_is_drawn_on_a_terminal(connection: qtensor.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "PATIENCE", 0.0)
    monkeypatch.setattr(tally, "_EVERY", 0.0)
    for terminal, wanted, shown in ((Terminal(), True, True), (Terminal(), False, False), (io.StringIO(), True, False)):
        monkeypatch.setattr("sys.stderr", terminal)
        monkeypatch.setattr(qtensor, "progress", wanted)
        assert connection.sql("SELECT sum(x) FROM t").fetchall() == [(799_980_000,)]
        drawn = terminal.getvalue()
        assert ("100% of 40,000 rows" in drawn) is shown
        assert drawn.endswith("\r\x1b[K") is shown
        assert bool(drawn) is shown


def test_nothing_is_shown_of_what_is_soon_done(connection: qtensor.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(tally, "PATIENCE", 3600.0)
    connection.sql("SELECT sum(x) FROM t").fetchall()
    assert terminal.getvalue() == ""


def test_a_bar_is_shown_in_a_notebook(connection: qtensor.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    from IPython import display

    shown: list[dict[str, str]] = []

    class Handle:
        def update(self, bundle: dict[str, str], raw: bool) -> None:
            shown.append(bundle)

    def show(bundle: dict[str, str], raw: bool, display_id: bool) -> Handle:
        shown.append(bundle)
        return Handle()

    monkeypatch.setattr(tally, "PATIENCE", 0.0)
    monkeypatch.setattr(tally, "_EVERY", 0.0)
    monkeypatch.setattr(tally, "is_notebook", lambda: True)
    monkeypatch.setattr(display, "display", show)
    connection.sql("SELECT sum(x) FROM t").fetchall()
    assert any('<progress value="1.000" max="1">' in bundle["text/html"] for bundle in shown)
    assert shown[-1]["text/html"] == ""


def rows_read(connection: qtensor.Connection, query: str) -> int:
    found = re.search(r"rows read +([\d,]+)", connection.sql(query).explain("timings"))
    assert found is not None
    return int(found[1].replace(",", ""))


@pytest.mark.parametrize(
    ("condition", "least", "most"),
    [
        ("x >= 38000", 2_000, 4_000),
        ("x > 1999 AND x < 2001", 2_000, 4_000),
        ("x = 17 AND y = 3", 2_000, 4_000),
        ("x IN (5, 39999)", 4_000, 8_000),
        ("20000 > x AND 18000 <= x", 2_000, 4_000),
        ("x BETWEEN 10 AND 20 AND late IS NULL", 2_000, 4_000),
        ("day = DATE '2020-01-05'", 2_000, 4_000),
        ("price < 3.5", 2_000, 4_000),
        ("x < 0", 2_000, 4_000),
        ("x + 0 = 5", 40_000, 40_000),
        ("x = 5 OR y = 3", 40_000, 40_000),
    ],
)
def test_row_groups_that_a_condition_excludes_are_not_read(tmp_path: Path, condition: str, least: int, most: int) -> None:
    rows = np.arange(40_000)
    table = pa.table(
        {
            "x": rows,
            "y": rows % 9,
            "late": pa.array(rows, mask=rows < 30_000),
            "day": pa.array((18_262 + rows // 4_000).astype(np.int32), pa.int32()).cast(pa.date32()),
            "price": pa.array([Decimal(int(row)) / 100 for row in rows], pa.decimal128(9, 2)),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=2_000, store_decimal_as_integer=True)
    connection = qtensor.connect(threads=2, memory_limit=400_000).register("t", tmp_path / "t.parquet", stream=True)
    query = f"SELECT count(*), sum(x), min(day) FROM t WHERE {condition}"
    assert connection.sql(query).fetchall() == duckdb.sql(query.replace(" t ", f" '{tmp_path}/t.parquet' ")).fetchall()
    assert least <= rows_read(connection, query) <= most


def test_files_that_a_condition_excludes_are_not_read(tmp_path: Path) -> None:
    for year in range(2020, 2026):
        (tmp_path / f"year={year}").mkdir()
        pq.write_table(pa.table({"x": np.arange(5_000)}), tmp_path / f"year={year}/part.parquet")
    connection = qtensor.connect(memory_limit=400_000).register("t", f"{tmp_path}/*/*.parquet", stream=True)
    assert connection.sql("SELECT count(*), min(year), max(year) FROM t").fetchall() == [(30_000, 2020, 2025)]
    assert connection.sql("SELECT count(*), min(year) FROM t WHERE year >= 2024").fetchall() == [(10_000, 2024)]
    assert rows_read(connection, "SELECT count(*), sum(x) FROM t WHERE year >= 2024") == 10_000
    assert rows_read(connection, "SELECT count(*), sum(x) FROM t WHERE year IN (2021, 2023) AND x > 7") == 10_000
