"""The engine without a compiler: builds it with hand-made queries (engine_queries.cc) and calls it through ctypes."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

HERE = Path(__file__).parent
SOURCES = HERE.parent.parent / "aot" / "native" / "src"
RETAIN = 1

KINDS = ("null", "boolean", "integer", "decimal", "float", "date", "timestamp", "varchar", "array")
MACHINES = ("bool", "int8", "int16", "int32", "int64", "float32", "float64")
ROWS, FOLD, GROUPS, SORT = range(4)

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer", "-g1")


def build(folder: Path, *, sanitized: bool) -> Path:
    """The engine and the test's queries as a shared library."""
    flags = ["-std=c++17", "-fPIC", "-pthread", "-Wall", "-Wextra", "-Werror", "-O1" if sanitized else "-O2", f"-I{SOURCES}"]
    if sanitized:
        flags += SANITIZERS
    else:
        flags.append("-march=native")
    parts = [*sorted(SOURCES.glob("*.cc")), HERE / "engine_queries.cc"]

    def compile_part(source: Path) -> str:
        target = folder / f"{source.stem}.o"
        subprocess.run(["g++", *flags, "-c", source, "-o", target], check=True)
        return str(target)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_part, parts))
    library = folder / "libengine.so"
    subprocess.run(["g++", "-shared", *(SANITIZERS if sanitized else ()), "-pthread", *objects, "-o", library], check=True)
    return library


@dataclass(frozen=True)
class Column:
    """A column as the query assumes it; see qtensor_query.h. `low` and `high` of None: nothing is assumed of its range."""

    name: str
    kind: str
    machine: str
    bits: int = 0
    signed: bool = True
    precision: int = 0
    scale: int = 0
    nullable: bool = True
    low: int | None = None
    high: int | None = None
    may_be_nan: bool = True
    strings: int = -1

    @property
    def type_name(self) -> str:
        match self.kind:
            case "integer":
                name = {8: "TINYINT", 16: "SMALLINT", 32: "INTEGER", 64: "BIGINT"}[self.bits]
                return name if self.signed else "U" + name
            case "decimal":
                return f"DECIMAL({self.precision},{self.scale})"
            case "float":
                return "FLOAT" if self.bits == 32 else "DOUBLE"
            case _:
                return self.kind.upper()

    @property
    def line(self) -> str:
        has_range = self.low is not None and self.high is not None
        numbers = (
            KINDS.index(self.kind), self.bits, int(self.signed), self.precision, self.scale, MACHINES.index(self.machine),
            int(self.nullable), int(has_range), self.low or 0, self.high or 0, int(self.may_be_nan), self.strings,
        )  # fmt: skip
        return " ".join((self.name, *map(str, numbers), self.type_name))


class EngineError(Exception):
    """What the engine said."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Engine:
    """The library's functions. `sanitized`: tests are slower, and smaller then."""

    sanitized = False

    def __init__(self, library: Path) -> None:
        self.calls = ctypes.CDLL(str(library))
        for name in ("open", "define", "step", "step_file", "merge", "finish", "error", "close", "violations"):
            getattr(self.calls, f"engine_{name}").restype = ctypes.c_int
        self.calls.engine_open.restype = ctypes.c_void_p
        self.calls.engine_error.restype = ctypes.c_char_p

    def define(
        self,
        kind: int,
        columns: Sequence[Column],
        sizes: Sequence[int] = (2048, 65536, 131072),
        chunk: int = 65536,
        *,
        filter: bool = False,
        pattern: str = "%",
        literal: str = "",
    ) -> int:
        lines = "\n".join(column.line for column in columns)
        array = (ctypes.c_int64 * len(sizes))(*sizes)
        return int(
            self.calls.engine_define(
                kind, int(filter), lines.encode(), array, len(sizes), ctypes.c_int64(chunk), pattern.encode(), literal.encode()
            )
        )

    @property
    def violations(self) -> int:
        return int(self.calls.engine_violations())


class State:
    """A computation. As a context it closes itself."""

    def __init__(self, engine: Engine, query: int, *, retain: bool = False, threads: int = 0) -> None:
        self.calls = engine.calls
        self.pointer = ctypes.c_void_p(self.calls.engine_open(query, ctypes.c_uint32(RETAIN * retain | threads << 8)))
        assert self.pointer.value

    def __enter__(self) -> State:
        return self

    def __exit__(self, *_: object) -> None:
        self.calls.engine_close(self.pointer)

    def checked(self, code: int) -> None:
        if code:
            raise EngineError(code, self.calls.engine_error(self.pointer).decode())

    def step(self, batch: pa.RecordBatch) -> None:
        schema, array = (ctypes.c_char * 72)(), (ctypes.c_char * 80)()
        batch._export_to_c(ctypes.addressof(array), ctypes.addressof(schema))
        self.step_structures(schema, array)

    def step_structures(self, schema: object, array: object) -> None:
        self.checked(self.calls.engine_step(self.pointer, schema, array))

    def steps(self, table: pa.Table | pa.RecordBatch) -> None:
        for batch in table.to_batches() if isinstance(table, pa.Table) else [table]:
            self.step(batch)

    def step_file(self, path: Path) -> None:
        self.checked(self.calls.engine_step_file(self.pointer, os.fspath(path).encode()))

    def merge(self, other: State) -> None:
        self.checked(self.calls.engine_merge(self.pointer, other.pointer))

    def finish(self) -> pa.RecordBatch:
        schema, array = (ctypes.c_char * 72)(), (ctypes.c_char * 80)()
        self.checked(self.calls.engine_finish(self.pointer, schema, array))
        batch = pa.RecordBatch._import_from_c(ctypes.addressof(array), ctypes.addressof(schema))
        batch.validate(full=True)
        return batch
