"""All 22 queries of TPC-H beside DuckDB. Run as `python bench/tpch_all.py [--scale 1] [--queries 1,3,...] [--rounds 5] [--cold]`.

Both engines hold the tables in memory, loaded from the same Parquet files. Rows are compared first: exactly, but for DOUBLEs, to
1e-12 of their value.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import duckdb
import pyarrow as pa
import pyarrow.parquet
from rich import box
from rich.console import Console
from rich.table import Table

import qtensor
from bench.report import duration, times
from bench.timing import timed
from qtensor.errors import QTensorError
from qtensor.process.cores import available_cores


@dataclass(frozen=True)
class Outcome:
    """One query: what went wrong, if anything, and seconds: of the first call, and medians of later ones."""

    number: int
    problem: str | None
    first: float = math.nan
    ours: float = math.nan
    theirs: float = math.nan


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Exit status 1 if a query fails or gives other rows."""
    options = parser().parse_args(arguments)
    console = Console()
    numbers = [int(number) for number in options.queries.split(",")] if options.queries else list(qtensor.datasets.TPCH_QUERIES)
    with qtensor.connect() as connection, duckdb.connect(config={"threads": available_cores()}) as rival:
        load(connection, rival, options.scale)
        outcomes = []
        for number in numbers:
            outcomes.append(measured(connection, rival, number, options.rounds))
            console.print(line(outcomes[-1]))
    console.print(summary(outcomes, options.scale))
    return 1 if any(outcome.problem for outcome in outcomes) else 0


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description="TPC-H, all 22 queries, beside DuckDB")
    options.add_argument("--scale", type=float, default=1.0, help="scale factor (default 1)")
    options.add_argument("--queries", default="", help="numbers, separated by commas (default all)")
    options.add_argument("--rounds", type=int, default=5, help="timed calls of each engine (default 5)")
    return options


def load(connection: qtensor.Connection, rival: duckdb.DuckDBPyConnection, scale: float) -> None:
    """The tables in both engines' memory."""
    for name, path in qtensor.datasets.tpch(scale).items():
        connection.register(name, pa.parquet.read_table(path))
        rival.execute(f"CREATE TABLE {name} AS SELECT * FROM read_parquet('{path}')")


def measured(connection: qtensor.Connection, rival: duckdb.DuckDBPyConnection, number: int, rounds: int) -> Outcome:
    """Compare the rows of both engines, then time them in turns."""
    text = qtensor.datasets.TPCH_QUERIES[number].text()
    start = time.perf_counter()
    try:
        found = connection.sql(text).fetchall()
    except QTensorError as error:
        return Outcome(number, f"{type(error).__name__}: {str(error).splitlines()[0]}")
    first = time.perf_counter() - start
    problem = difference(found, rival.sql(text).fetchall())
    ours, theirs = [], []
    for _ in range(rounds):
        theirs.append(timed(lambda: rival.sql(text).to_arrow_table()))
        ours.append(timed(lambda: connection.sql(text).arrow()))
    return Outcome(number, problem, first, statistics.median(ours), statistics.median(theirs))


def difference(found: Sequence[tuple[object, ...]], expected: Sequence[tuple[object, ...]]) -> str | None:
    """How the rows differ, None if they do not; rows whose order the query leaves open may be exchanged."""
    if len(found) != len(expected):
        return f"{len(found)} rows instead of {len(expected)}"
    for ours, theirs in zip(sorted(found, key=sort_key), sorted(expected, key=sort_key), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            same = math.isclose(a, b, rel_tol=1e-12) if isinstance(a, float) and isinstance(b, float) else a == b
            if not same:
                return f"{ours} instead of {theirs}"
    return None


def sort_key(row: tuple[object, ...]) -> list[str]:
    return [f"{value:.6g}" if isinstance(value, float) else str(value) for value in row]


def line(outcome: Outcome) -> str:
    name = f"Q{outcome.number:<3}"
    if outcome.problem is not None and math.isnan(outcome.ours):
        return f"{name} [red]{outcome.problem}[/red]"
    speed = f"{duration(outcome.ours):>10}  DuckDB {duration(outcome.theirs):>10}  {times(outcome.theirs / outcome.ours):>6}"
    return f"{name} {speed}  first call {duration(outcome.first)}" + (
        f"  [red]{outcome.problem}[/red]" if outcome.problem else ""
    )


def summary(outcomes: Sequence[Outcome], scale: float) -> Table:
    """The figures that matter, over all queries that ran."""
    ran = [outcome for outcome in outcomes if not math.isnan(outcome.ours)]
    table = Table(title=f"TPC-H, scale {scale:g}, {len(outcomes)} queries", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("")
    table.add_column("measured", justify="right")
    table.add_row("same rows as DuckDB", f"{sum(outcome.problem is None for outcome in outcomes)} of {len(outcomes)}")
    if ran:
        ratios = [outcome.theirs / outcome.ours for outcome in ran]
        table.add_row("faster than DuckDB, geometric mean", times(statistics.geometric_mean(ratios)))
        table.add_row("all together, qtensor", duration(sum(outcome.ours for outcome in ran)))
        table.add_row("all together, DuckDB", duration(sum(outcome.theirs for outcome in ran)))
        table.add_row("first call, median", duration(statistics.median(outcome.first for outcome in ran)))
        table.add_row("first call, longest", duration(max(outcome.first for outcome in ran)))
    return table


if __name__ == "__main__":
    sys.exit(main())
