"""The command line run inside of this process: arguments and stdin in, exit code, stdout and stderr out."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from qtensor.cli.main import main

TABLE = pa.table({"g": [1, 2, 1, 2], "x": [0.5, 2.0, None, -1.5], "s": ["a", 'say "b"', None, "c, d"]})


@dataclass(frozen=True)
class Run:
    """How a run ended and what it wrote."""

    code: int
    output: bytes
    errors: str

    @property
    def text(self) -> str:
        return self.output.decode()


class Stream(io.TextIOWrapper):
    """A standard stream in memory, or what looks like a terminal."""

    def __init__(self, content: bytes = b"", terminal: bool = False) -> None:
        super().__init__(
            io.BufferedReader(io.BytesIO(content)) if content else io.BytesIO(), encoding="utf-8", write_through=True
        )
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


CommandLine = Callable[..., Run]


@pytest.fixture
def qt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CommandLine:
    """`qt("run", "SELECT ...", stdin=b"...", terminal=False)`, in a folder with t.parquet, t.csv and t.arrow."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("QTENSOR_TRUST", str(tmp_path / "trust"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    pq.write_table(TABLE, "t.parquet")
    pyarrow.csv.write_csv(TABLE, "t.csv")
    with pa.OSFile("t.arrow", "wb") as file, pa.ipc.new_file(file, TABLE.schema) as writer:
        writer.write_table(TABLE)

    def invoke(*arguments: str | Path, stdin: bytes = b"", terminal: bool = False) -> Run:
        streams = {"stdin": Stream(stdin), "stdout": Stream(terminal=terminal), "stderr": Stream()}
        with monkeypatch.context() as patch:
            for name, stream in streams.items():
                patch.setattr(sys, name, stream)
            code = main([str(argument) for argument in arguments])
        for name in ("stdout", "stderr"):
            streams[name].flush()
        return Run(code, streams["stdout"].buffer.getvalue(), streams["stderr"].buffer.getvalue().decode())  # type: ignore[attr-defined]

    return invoke


def ipc_stream(table: pa.Table, batch: int | None = None) -> bytes:
    """`table` as what `--format arrow` writes."""
    memory = io.BytesIO()
    with pa.ipc.new_stream(memory, table.schema) as writer:
        writer.write_table(table, max_chunksize=batch)
    return memory.getvalue()
