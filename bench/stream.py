"""Queries over tables that do not fit memory, beside DuckDB with the same limit. Run as `python bench/stream.py [--scale 10]`.

TPC-H as Parquet files in parts, and the headline query over as many rows as `--rows` says. Each run is a process of its own,
whose peak of resident memory is measured; both engines write what they find to Parquet files, which DuckDB compares. Runs of the
two take turns; the first of ours, which compiles, is not timed, so that the others load XLA's code from the cache.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

import qtensor
from bench.report import duration, times
from qtensor.files.folders import cache_folder

PARTS = 8
WEIGHTS = np.array(
    [[-0.9, 0.4, 0.1, 0.6], [0.02, 0.01, -0.01, -0.02], [0.03, -0.02, 0.01, 0.0], [0.05, -0.06, 0.02, 0.01]], np.float32
)
UDF_ROWS = 2_000_000  # as many as DuckDB's function classifies in seconds
COPIED = {
    "lineitem to Parquet": "SELECT * FROM lineitem",
    "all orders in order": "SELECT * FROM orders ORDER BY o_totalprice, o_orderkey",
    "group by l_orderkey": "SELECT l_orderkey, sum(l_quantity) AS quantity, count(*) AS n FROM lineitem GROUP BY l_orderkey",
}
TPCH = {f"Q{number}": number for number in (1, 6, 12, 14, 3, 18)}
HEADLINE = """\
SELECT cluster, sum(CASE WHEN class = 0 THEN 1 ELSE 0 END) AS class1, sum(CASE WHEN class = 1 THEN 1 ELSE 0 END) AS class2,
       sum(CASE WHEN class = 2 THEN 1 ELSE 0 END) AS class3, sum(CASE WHEN class = 3 THEN 1 ELSE 0 END) AS class4
FROM (SELECT cluster, classifier(murder, assault, population, rape) AS class FROM data) GROUP BY cluster ORDER BY cluster"""


@dataclass(frozen=True)
class Run:
    """What a process took: seconds from the question to the file, and bytes at its peak."""

    seconds: float
    peak: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Exit status 1 if rows differ."""
    options = parser().parse_args(arguments)
    if options.worker:
        print(json.dumps(work(*options.worker.split("|"), options)))
        return 0
    console, differ = Console(), False
    names = options.queries.split(",") if options.queries else [*TPCH, *COPIED, "headline"]
    qtensor.datasets.tpch(options.scale, parts=PARTS)
    console.print(f"TPC-H at scale {options.scale:g} in {PARTS} parts, limit {options.limit}, {options.rounds} rounds")
    with tempfile.TemporaryDirectory(prefix="qtensor-bench-") as folder:
        for name in names:
            ours, theirs, same = compared(name, Path(folder), options)
            differ |= not same
            ratio = statistics.median(run.seconds for run in theirs) / statistics.median(run.seconds for run in ours)
            console.print(
                f"{name:22} {duration(statistics.median(run.seconds for run in ours)):>9}  DuckDB "
                f"{duration(statistics.median(run.seconds for run in theirs)):>9}  {times(ratio):>6}   peak "
                f"{max(run.peak for run in ours) / 1e9:.2f} GB, DuckDB {max(run.peak for run in theirs) / 1e9:.2f} GB"
                f"{'' if same else '   OTHER ROWS'}"
            )
    return int(differ)


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description="Tables larger than memory, beside DuckDB")
    options.add_argument("--scale", type=float, default=10.0, help="scale factor of TPC-H (default 10)")
    options.add_argument("--rows", type=int, default=200_000_000, help="rows of the headline query (default 200 million)")
    options.add_argument("--limit", default="4GB", help="memory limit of both engines (default 4GB)")
    options.add_argument("--queries", default="", help="names, separated by commas (default all)")
    options.add_argument("--rounds", type=int, default=3, help="timed runs of each engine (default 3)")
    options.add_argument("--worker", default="", help=argparse.SUPPRESS)
    return options


def compared(name: str, folder: Path, options: argparse.Namespace) -> tuple[list[Run], list[Run], bool]:
    """The runs of both engines, in turns, and whether their rows are the same."""
    run("qtensor", name, folder, options)
    ours, theirs = [], []
    for _ in range(options.rounds):
        ours.append(run("qtensor", name, folder, options))
        theirs.append(run("duckdb", name, folder, options))
    if name == "headline":
        return ours, theirs, agree(duckdb.sql(f"FROM '{folder}/qtensor.parquet'").fetchall(), counts_of_classes(options.rows))
    return ours, theirs, digest(folder / "qtensor.parquet", name) == digest(folder / "duckdb.parquet", name)


def run(engine: str, name: str, folder: Path, options: argparse.Namespace) -> Run:
    """One run in a process of its own. DuckDB's headline query has fewer rows, and its time is counted by the row."""
    words = [f"--scale={options.scale}", f"--rows={options.rows}", f"--limit={options.limit}"]
    command = [sys.executable, __file__, *words, "--worker", f"{engine}|{name}|{folder / engine}.parquet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{engine}, {name}: {done.stderr[-2_000:]}")
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def digest(path: Path, name: str) -> object:
    """What tells rows from others: all of a few, else a checksum and how many; in their order where there is one."""
    found = duckdb.sql(f"FROM '{path}'")
    if name not in COPIED:
        return [tuple(round(value, 6) if isinstance(value, float) else value for value in row) for row in found.fetchall()]
    ordered = "file_row_number" if name == "all orders in order" else "0"
    columns = ", ".join(f'"{column}"' for column in found.columns)
    source = f"read_parquet('{path}', file_row_number = true)"
    return duckdb.sql(f"SELECT count(*), sum(hash({columns}, {ordered})::HUGEINT) FROM {source}").fetchall()


def counts_of_classes(rows: int) -> list[tuple[int, ...]]:
    """What NumPy finds for the headline query: DuckDB is asked about fewer rows."""
    counts = np.zeros((4, 4), np.int64)
    for batch in pq.ParquetFile(crime_file(rows)).iter_batches(1_000_000):
        columns = [batch[name] for name in ("murder", "assault", "population", "rape")]
        np.add.at(counts, (batch["cluster"].to_numpy(), classes_of(*columns).to_numpy()), 1)
    return [(cluster, *found) for cluster, found in enumerate(counts.tolist()) if sum(found)]


def agree(found: Sequence[tuple[int, ...]], expected: Sequence[tuple[int, ...]]) -> bool:
    """Whether counts are the same, but for rows of which two classes have the same score as far as float32 tells them apart:
    one in a million, and one.
    """
    most = 1 + sum(map(sum, expected)) // 1_000_000
    return len(found) == len(expected) and all(
        a[0] == b[0] and all(abs(int(one) - other) <= most for one, other in zip(a, b, strict=True))
        for a, b in zip(found, expected, strict=True)
    )


# --- in a process of its own --------------------------------------------------------------------------------------------------


def work(engine: str, name: str, out: str, options: argparse.Namespace) -> dict[str, float]:
    """Answer a query into a file: seconds, and the peak of memory."""
    seconds = (work_qtensor if engine == "qtensor" else work_duckdb)(name, out, options)
    return {"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def query_of(name: str) -> str:
    return HEADLINE if name == "headline" else COPIED.get(name) or qtensor.datasets.TPCH_QUERIES[TPCH[name]].text()


def work_qtensor(name: str, out: str, options: argparse.Namespace) -> float:
    with qtensor.connect(memory_limit=options.limit) as connection:
        if name == "headline":
            connection.register("data", crime_file(options.rows))
            weights = jax_weights()
            connection.create_function("classifier", weights, arguments=4)
        else:
            for table, path in qtensor.datasets.tpch(options.scale, parts=PARTS).items():
                connection.register(table, path)
        start = time.perf_counter()
        connection.execute(f"COPY ({query_of(name)}) TO '{out}'")
        return time.perf_counter() - start


def work_duckdb(name: str, out: str, options: argparse.Namespace) -> float:
    with tempfile.TemporaryDirectory(prefix="duckdb-") as spill:
        connection = duckdb.connect(config={"memory_limit": options.limit, "temp_directory": spill})
        share = 1.0
        if name == "headline":
            rows = min(UDF_ROWS, options.rows)
            share = options.rows / rows
            connection.execute(f"CREATE VIEW data AS FROM '{crime_file(options.rows)}' LIMIT {rows}")
            connection.create_function("classifier", classes_of, ["DOUBLE"] * 4, "INTEGER", type="arrow")  # type: ignore[arg-type]
        else:
            for table, path in qtensor.datasets.tpch(options.scale, parts=PARTS).items():
                connection.execute(f"CREATE VIEW {table} AS FROM '{path}/*.parquet'")
        start = time.perf_counter()
        connection.execute(f"COPY ({query_of(name)}) TO '{out}' (FORMAT parquet)")
        return (time.perf_counter() - start) * share


def jax_weights() -> object:
    """The classifier as a JAX function of one row."""
    import jax.numpy as jnp

    weights = jnp.asarray(WEIGHTS)
    return lambda murder, assault, population, rape: jnp.argmax(
        jnp.stack([murder, assault, population, rape]).astype(jnp.float32) @ weights
    )


def classes_of(murder: pa.Array, assault: pa.Array, population: pa.Array, rape: pa.Array) -> pa.Array:
    """The same for DuckDB: a function of Arrow arrays."""
    columns = [np.asarray(column, np.float32) for column in (murder, assault, population, rape)]
    return pa.array((np.stack(columns, axis=1) @ WEIGHTS).argmax(axis=1).astype(np.int32))


def crime_file(rows: int) -> Path:
    """The crime data of so many rows, made once."""
    path = cache_folder() / "bench" / f"crime-{rows}.parquet"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        block = qtensor.datasets.crime(1_000_000, 0)
        making = path.with_suffix(".making")
        with pq.ParquetWriter(making, block.schema) as writer:
            for start in range(0, rows, block.num_rows):
                writer.write_table(block.slice(0, min(block.num_rows, rows - start)))
        making.rename(path)
    return path


if __name__ == "__main__":
    raise SystemExit(main())
