"""Native libraries as `Relation.export_native` writes them, called from C, ctypes and cffi, against the session and DuckDB."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import cffi
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import qtensor
from qtensor import datasets
from qtensor.aot.native.export import compile_query, link
from qtensor.aot.native.runtime import archive, engine_sources, locked, progress_bars, runtime_archives
from qtensor.aot.native.toolchain import toolchain
from qtensor.catalog import Scope
from qtensor.errors import ArtifactError, NativeError
from qtensor.exporting import exportable_query
from tests.headline import HEADLINE, Q1, Q6, trained_classifier

CHUNK = 1 << 16
ROWS = 70_000
RETAIN = 1
STRUCTURE_BYTES = 128

ROW_WISE = "SELECT murder + rape AS crimes, population * 2 AS p, cluster FROM data WHERE assault > 100"
LISTED = f"SELECT count(*) AS n FROM data WHERE population IN ({', '.join(map(str, range(30, 95)))}) AND murder IN ({', '.join(str(n / 10) for n in range(100))})"
SORTED = "SELECT l_orderkey, l_shipmode, l_extendedprice FROM lineitem WHERE l_shipmode LIKE '%R%' ORDER BY l_extendedprice, l_orderkey"
QUERIES = {"headline": HEADLINE, "row_wise": ROW_WISE, "q1": Q1, "q6": Q6, "sorted": SORTED, "listed": LISTED}


@cache
def crime() -> pa.Table:
    return datasets.crime(ROWS)


@cache
def lineitem() -> pa.Table:
    return pq.read_table(datasets.tpch(0.01)["lineitem"])


def table_of(query: str) -> tuple[str, pa.Table]:
    return ("data", crime()) if "FROM data" in query else ("lineitem", lineitem())


def relation(query: str, table: pa.Table | None = None) -> qtensor.Relation:
    """The query in a session over its table, or over another of its kind."""
    name, usual = table_of(query)
    connection = qtensor.connect()
    connection.register(name, usual if table is None else table)
    if "classifier" in query:
        connection.create_function("classifier", trained_classifier())
    return connection.sql(query)


@dataclass
class Library:
    """A library by ctypes."""

    folder: Path
    name: str
    query: str

    def __post_init__(self) -> None:
        library = ctypes.CDLL(str(self.folder / f"lib{self.name}.so"))
        pointer = ctypes.c_void_p
        for verb, result, arguments in (
            ("open", pointer, [ctypes.c_uint32]),
            ("step", ctypes.c_int, [pointer] * 3),
            ("merge", ctypes.c_int, [pointer] * 2),
            ("finish", ctypes.c_int, [pointer] * 3),
            ("error", ctypes.c_char_p, [pointer]),
            ("close", None, [pointer]),
        ):
            function = getattr(library, f"{self.name}_{verb}")
            function.restype, function.argtypes = result, arguments
            setattr(self, verb, function)

    def feed(self, state: int, batches: Sequence[pa.RecordBatch]) -> None:
        for batch in batches:
            schema, array = structure(), structure()
            batch._export_to_c(ctypes.addressof(array), ctypes.addressof(schema))
            self.check(state, self.step(state, schema, array))

    def result(self, state: int) -> pa.Table:
        schema, array = structure(), structure()
        self.check(state, self.finish(state, schema, array))
        return pa.Table.from_batches([pa.RecordBatch._import_from_c(ctypes.addressof(array), ctypes.addressof(schema))])

    def check(self, state: int, code: int) -> None:
        if code:
            raise RuntimeError(self.error(state).decode())

    def __call__(self, table: pa.Table, batch_rows: int = 10_000) -> pa.Table:
        state = self.open(0)
        try:
            self.feed(state, table.to_batches(max_chunksize=batch_rows) or [pa.RecordBatch.from_pylist([], table.schema)])
            return self.result(state)
        finally:
            self.close(state)


def structure() -> Any:
    """Room for an ArrowSchema or an ArrowArray."""
    return ctypes.create_string_buffer(STRUCTURE_BYTES)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that all workers of this run share: the runtime and each library are built once."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QTENSOR_CACHE", str(folder / "native_cache"))
        yield folder


@pytest.fixture(scope="session")
def library(shared: Path) -> Any:
    """By name of a query, its library."""

    @cache
    def exported(name: str) -> Library:
        folder = shared / f"library_{name}"
        with locked(shared / f"{name}.lock"):
            if not folder.exists():
                relation(QUERIES[name]).export_native(folder, name)
        return Library(folder, name, QUERIES[name])

    return exported


def write_ipc(path: Path, table: pa.Table, batch_rows: int = 10_000) -> Path:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=batch_rows)
    return path


@pytest.mark.parametrize("name", QUERIES)
def test_same_as_the_session_and_duckdb(library: Any, name: str):
    query = QUERIES[name]
    table_name, table = table_of(query)
    found = library(name)(table)
    expected = relation(query).arrow()
    assert found.schema == expected.schema
    assert found.to_pylist() == expected.to_pylist()
    if "classifier" not in query:
        with duckdb.connect() as oracle:
            oracle.register(table_name, table)
            rows = oracle.sql(query).to_arrow_table().to_pylist()
        assert [approximately(row) for row in found.to_pylist()] == [approximately(row) for row in rows]


def test_subnormal_numbers_are_kept(shared: Path, tmp_path: Path):
    """Nothing in a library flushes them: as in a session, where XLA's client would."""
    table = pa.table({"x": [5e-324, 1e-310, -3e-309, 0.0, 2.5], "f": pa.array([1e-45, 1e-40, -3e-39, 0.0, 2.5], pa.float32())})
    query = "SELECT x * 0.5 AS a, x / 3 > 0 AS b, f * f AS c, f * 0.5::FLOAT AS d FROM t"
    with duckdb.connect() as oracle, qtensor.connect() as connection:
        connection.register("t", table)
        oracle.register("t", table)
        connection.sql(query).export_native(tmp_path / "tiny", "tiny")
        assert Library(tmp_path / "tiny", "tiny", query)(table).to_pylist() == oracle.sql(query).to_arrow_table().to_pylist()


def approximately(row: dict[str, Any]) -> dict[str, Any]:
    return {name: pytest.approx(value, rel=1e-12) if isinstance(value, float) else value for name, value in row.items()}


@pytest.mark.parametrize("rows", [0, 1, 2_047, 2_048, 2_049, CHUNK - 1, CHUNK, CHUNK + 1])
@pytest.mark.parametrize("name", ["headline", "row_wise"])
def test_sizes(library: Any, name: str, rows: int):
    table = crime().slice(0, rows)
    assert library(name)(table, 4_096).to_pylist() == relation(QUERIES[name], table).arrow().to_pylist()


@pytest.mark.parametrize("rows", [0, 1, 2_048, 2_049])
def test_sizes_of_a_sort(library: Any, rows: int):
    table = lineitem().slice(0, rows)
    assert library("sorted")(table).to_pylist() == relation(SORTED, table).arrow().to_pylist()


def test_more_than_a_block(library: Any):
    table = pa.concat_tables([crime()] * 16)
    assert table.num_rows > 1 << 20
    assert library("headline")(table, 100_000).to_pylist() == relation(HEADLINE, table).arrow().to_pylist()


def test_two_states_at_once_and_merged(library: Any):
    native = library("q1")
    table = lineitem()
    half = table.num_rows // 2
    states = [native.open(0), native.open(0)]
    with ThreadPoolExecutor(2) as pool:
        parts = (table.slice(0, half).to_batches(max_chunksize=999), table.slice(half).to_batches(max_chunksize=7_777))
        list(pool.map(native.feed, states, parts))
    native.check(states[0], native.merge(states[0], states[1]))
    assert native.result(states[0]).to_pylist() == relation(Q1).arrow().to_pylist()
    for state in states:
        native.close(state)


def test_a_state_that_retains_its_rows(library: Any):
    native = library("q6")
    state = native.open(RETAIN)
    native.feed(state, lineitem().slice(0, 30_000).to_batches())
    first = relation(Q6, lineitem().slice(0, 30_000)).arrow().to_pylist()
    assert [native.result(state).to_pylist() for _ in range(2)] == [first, first]
    native.feed(state, lineitem().slice(30_000).to_batches())
    assert native.result(state).to_pylist() == relation(Q6).arrow().to_pylist()
    native.close(state)


def test_threads_with_states_of_their_own(library: Any):
    native = library("headline")
    expected = relation(HEADLINE).arrow()
    with ThreadPoolExecutor(4) as pool:
        assert all(found.equals(expected) for found in pool.map(lambda _: native(crime()), range(12)))


def test_data_that_breaks_an_assumption_is_refused_as_in_python(library: Any, tmp_path: Path):
    native = library("headline")
    wrong = (
        crime().slice(0, 100).set_column(crime().schema.get_field_index("cluster"), "cluster", pa.array([99] * 100, pa.int32()))
    )
    relation(HEADLINE).export(tmp_path / "query.qtensor")
    with pytest.raises(ArtifactError) as in_python:
        qtensor.load(tmp_path / "query.qtensor")(wrong)
    with pytest.raises(RuntimeError) as in_c:
        native(wrong)
    line = next(line for line in str(in_python.value).splitlines() if "cluster" in line)
    assert line.strip() in str(in_c.value)


def test_decimals_of_38_digits_are_hugeints(shared: Path, tmp_path: Path):
    """Sums that a relation hands to another query: Arrow has no other type for them."""
    connection = qtensor.connect(threads=1)
    sums = connection.sql("SELECT sum(a) AS s FROM (VALUES (1), (2), (NULL)) t(a) GROUP BY a ORDER BY a NULLS LAST")
    again = connection.sql("SELECT s * 2 AS s FROM sums")
    again.export_native(tmp_path, "huge")
    library = Library(tmp_path, "huge", "SELECT s * 2 AS s FROM sums")
    for table in (sums.arrow(), pa.table({"s": pa.array([1, 2, None], pa.int64())})):
        assert library(table).equals(again.arrow())
    assert again.fetchall() == [(2,), (4,), (None,)]


def test_it_needs_nothing_but_the_c_and_cpp_libraries(library: Any):
    native = library("headline")
    known = {"linux-vdso", "libstdc++", "libm", "libgcc_s", "libc", "libpthread", "ld-linux-x86-64", "ld-linux-aarch64"}
    for file in ("libheadline.so", "headline_main"):
        listed = subprocess.run(["ldd", native.folder / file], capture_output=True, text=True, check=True).stdout
        needed = {Path(line.split()[0]).name.partition(".so")[0] for line in listed.splitlines()}
        assert needed <= known, needed
    shown = subprocess.run(
        ["nm", "-D", "--defined-only", native.folder / "libheadline.so"], capture_output=True, text=True, check=True
    )
    assert all(line.split()[-1].startswith("headline_") for line in shown.stdout.splitlines())


def table_printed(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()[1:]]


def expected_rows(query: str) -> list[list[str]]:
    return [[str(value) for value in row.values()] for row in relation(query).arrow().to_pylist()]


def test_the_example_links_with_gcc_and_prints_the_table(library: Any, tmp_path: Path):
    native = library("headline")
    shutil.copytree(native.folder, tmp_path / "copy")
    subprocess.run(
        ["make", "-C", tmp_path / "copy", "CC=gcc", "CFLAGS=-std=c11 -Wall -Wextra -Werror"], check=True, capture_output=True
    )
    data = write_ipc(tmp_path / "data.arrow", crime())
    for program in ("example", "headline_main"):
        done = subprocess.run([tmp_path / "copy" / program, data], capture_output=True, text=True, check=True, env={"PATH": ""})
        assert table_printed(done.stdout) == expected_rows(HEADLINE)


def test_the_program_prints_decimals_and_text(library: Any, tmp_path: Path):
    data = write_ipc(tmp_path / "data.arrow", lineitem())
    done = subprocess.run([library("q1").folder / "q1_main", data], capture_output=True, text=True, check=True)
    rows = table_printed(done.stdout)
    for printed, row in zip(rows, relation(Q1).arrow().to_pylist(), strict=True):
        assert printed[:6] == [str(value) for value in row.values()][:6]


def test_the_program_says_what_is_wrong(library: Any, tmp_path: Path):
    program = library("headline").folder / "headline_main"
    for arguments in ([], [tmp_path / "missing.arrow"]):
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert done.stderr.strip()


def test_through_cffi(library: Any):
    native = library("headline")
    preprocessed = subprocess.run(
        ["gcc", "-E", "-P", native.folder / "headline.h"], capture_output=True, text=True, check=True
    ).stdout
    declared = re.sub(r"(?s)^.*?(?=struct ArrowSchema \{)", "", preprocessed)
    ffi = cffi.FFI()
    ffi.cdef(declared)
    c = ffi.dlopen(str(native.folder / "libheadline.so"))
    state = c.headline_open(0)
    schema, array = ffi.new("struct ArrowSchema*"), ffi.new("struct ArrowArray*")
    for batch in crime().to_batches():
        batch._export_to_c(int(ffi.cast("uintptr_t", array)), int(ffi.cast("uintptr_t", schema)))
        assert c.headline_step(state, schema, array) == 0, ffi.string(c.headline_error(state))
    assert c.headline_finish(state, schema, array) == 0
    found = pa.RecordBatch._import_from_c(int(ffi.cast("uintptr_t", array)), int(ffi.cast("uintptr_t", schema)))
    c.headline_close(state)
    assert found.to_pylist() == relation(HEADLINE).arrow().to_pylist()


def test_the_example_under_address_sanitizer(shared: Path, tmp_path: Path):
    """The engine, the generated code and the example, every access checked."""
    flags = ("-fsanitize=address", "-fno-omit-frame-pointer", "-O1")
    tools = replace(toolchain(), extra=flags)
    query = relation(HEADLINE)
    connection = query._connection
    exportable = exportable_query(query._query, Scope(connection._registry, {}), connection._registry.models, 1)
    (tmp_path / "work").mkdir()
    (tmp_path / "out").mkdir()
    with progress_bars() as progress:
        compiled = compile_query(tools, exportable, "checked", tmp_path / "work", progress)
        checked_engine = archive(tools, "src", engine_sources(tools), progress)
        link(tools, compiled, "checked", (checked_engine, runtime_archives(progress)[1]), tmp_path / "out", flags)
    for rows in (0, 1, 2_049, ROWS):
        data = write_ipc(tmp_path / "data.arrow", crime().slice(0, rows))
        done = subprocess.run([tmp_path / "out" / "checked_main", data], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2_000:]
    assert table_printed(done.stdout) == expected_rows(HEADLINE)


def test_a_name_that_c_cannot_have(tmp_path: Path):
    with pytest.raises(NativeError, match="cannot be the name of a library"):
        relation(ROW_WISE).export_native(tmp_path, "a-b")


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    toolchain.cache_clear()
    with pytest.raises(NativeError, match="no-such-compiler"):
        relation(ROW_WISE).export_native(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    toolchain.cache_clear()


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("SELECT CAST(s AS INTEGER) + 1 AS x FROM t", "CAST of a VARCHAR column"),
        ("SELECT i::VARCHAR AS x FROM t", "texts of a BIGINT of more values than can be listed"),
        ("SELECT sum(a) AS x FROM (VALUES (1), (2), (4)) AS v(a)", "VALUES of several rows"),
    ],
)
def test_nothing_is_left_of_a_library_that_cannot_be_made(tmp_path: Path, query: str, what: str):
    table = pa.table({"s": ["1", "2"], "i": [1 << 40, 2]})
    with pytest.raises(NativeError, match=what):
        qtensor.sql(query, t=table).export_native(tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
