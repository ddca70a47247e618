"""TPC-H Q1 and Q6: their texts, word for word, and each engine over lineitem in memory and in a Parquet file."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet

import qtensor
from bench.timing import Contestant

Q1 = """\
select
    l_returnflag,
    l_linestatus,
    sum(l_quantity) as sum_qty,
    sum(l_extendedprice) as sum_base_price,
    sum(l_extendedprice * (1 - l_discount)) as sum_disc_price,
    sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)) as sum_charge,
    avg(l_quantity) as avg_qty,
    avg(l_extendedprice) as avg_price,
    avg(l_discount) as avg_disc,
    count(*) as count_order
from
    lineitem
where
    l_shipdate <= date '1998-12-01' - interval '90' day
group by
    l_returnflag,
    l_linestatus
order by
    l_returnflag,
    l_linestatus"""

Q6 = """\
select
    sum(l_extendedprice * l_discount) as revenue
from
    lineitem
where
    l_shipdate >= date '1994-01-01'
    and l_shipdate < date '1994-01-01' + interval '1' year
    and l_discount between 0.06 - 0.01 and 0.06 + 0.01
    and l_quantity < 24"""

# What Q1 and Q6 read. In memory every engine has these columns and no others.
COLUMNS = (
    "l_quantity",
    "l_extendedprice",
    "l_discount",
    "l_tax",
    "l_returnflag",
    "l_linestatus",
    "l_shipdate",
)

SPARK = "Spark"
DUCKDB = "DuckDB"
DATAFUSION = "DataFusion"
QTENSOR = "qtensor"
BATCH_ROWS = 8_192  # DataFusion's own batch size


def lineitem(scale: float) -> Path:
    """The Parquet file, generated when first asked for."""
    return qtensor.datasets.tpch(scale)["lineitem"]


def read(path: Path) -> pa.Table:
    """The columns that the queries read."""
    return pyarrow.parquet.read_table(path, columns=list(COLUMNS))


def datafusion_missing() -> str | None:
    """Why DataFusion takes no part, None if it does."""
    return None if importlib.util.find_spec("datafusion") else "datafusion is not installed (make bench-seed installs it)"


def duckdb_in_memory(data: pa.Table, threads: int, cleanup: ExitStack) -> Callable[[str], Contestant]:
    """A DuckDB table made of `data`."""
    connection = cleanup.enter_context(duckdb.connect(config={"threads": threads}))
    connection.register("arrow", data)
    connection.execute("CREATE TABLE lineitem AS SELECT * FROM arrow")
    connection.unregister("arrow")
    return lambda query: Contestant(DUCKDB, lambda: connection.sql(query).to_arrow_table())


def qtensor_in_memory(data: pa.Table, threads: int, cleanup: ExitStack) -> Callable[[str], Contestant]:
    """A registered Arrow table, which the first query of it encodes."""
    connection = cleanup.enter_context(qtensor.connect(threads=threads)).register("lineitem", data)
    return lambda query: Contestant(QTENSOR, lambda: connection.sql(query).arrow())


def datafusion_in_memory(data: pa.Table, threads: int) -> Callable[[str], Contestant]:
    """A MemTable with one partition for each core."""
    context = datafusion_context(threads)
    share = -(-data.num_rows // threads) or 1
    partitions = [data.slice(start, share).to_batches(BATCH_ROWS) for start in range(0, data.num_rows, share)]
    context.register_record_batches("lineitem", partitions)
    return lambda query: Contestant(DATAFUSION, lambda: context.sql(query).to_arrow_table())


def datafusion_context(threads: int) -> Any:
    """A session whose literals are decimals: read as floats, 0.06 + 0.01 is less than 0.07 and Q6 comes out wrong."""
    from datafusion import SessionConfig, SessionContext

    config = SessionConfig().with_target_partitions(threads).set("datafusion.sql_parser.parse_float_as_decimal", "true")
    return SessionContext(config)


def parquet_first(query: str, path: Path, threads: int) -> list[Contestant]:
    """Each call makes a new connection: the file is opened, read and decoded anew. Only compiled code is found in a cache."""

    def ask_duckdb() -> pa.Table:
        with duckdb.connect(config={"threads": threads}) as connection:
            connection.read_parquet(str(path)).create_view("lineitem")
            return connection.sql(query).to_arrow_table()

    def ask_qtensor() -> pa.Table:
        with qtensor.connect(threads=threads) as connection:
            return connection.register("lineitem", path).sql(query).arrow()

    def ask_datafusion() -> pa.Table:
        context = datafusion_context(threads)
        context.register_parquet("lineitem", str(path))
        return context.sql(query).to_arrow_table()

    rivals = [] if datafusion_missing() else [Contestant(DATAFUSION, ask_datafusion)]
    return [Contestant(DUCKDB, ask_duckdb), *rivals, Contestant(QTENSOR, ask_qtensor)]


def parquet_again(query: str, path: Path, threads: int, cleanup: ExitStack) -> list[Contestant]:
    """Each call asks the same connection again. qtensor has kept the encoded columns, the others read the file again."""
    rival = cleanup.enter_context(duckdb.connect(config={"threads": threads}))
    rival.read_parquet(str(path)).create_view("lineitem")
    connection = cleanup.enter_context(qtensor.connect(threads=threads)).register("lineitem", path)
    contestants = [Contestant(DUCKDB, lambda: rival.sql(query).to_arrow_table())]
    if not datafusion_missing():
        context = datafusion_context(threads)
        context.register_parquet("lineitem", str(path))
        contestants.append(Contestant(DATAFUSION, lambda: context.sql(query).to_arrow_table()))
    return [*contestants, Contestant(QTENSOR, lambda: connection.sql(query).arrow())]
