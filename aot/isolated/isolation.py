"""Runs an untrusted artifact in a process of its own, under limits of memory and time, for the process that loaded it.

XLA is no sandbox: a program can be wrong in ways that no reading of it finds, and then a process ends or never does. That one is
not ours. It starts when the artifact is loaded (about two seconds, most of them imports), reads the rest of the manifest, whose
constants and functions may take any time, too, and is kept for all calls with the tables of the last one. What it costs beyond
that is to hand columns over and the result back, at the speed of a pipe.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import pyarrow as pa

from qtensor import errors
from qtensor.aot.artifact.assumptions import positions
from qtensor.aot.artifact.codec import to_json
from qtensor.aot.artifact.container import Container
from qtensor.aot.isolated.child import command_of, environment
from qtensor.aot.isolated.messages import Channel, ClosedError, LateError, Message
from qtensor.errors import ArtifactError, CapacityError, QTensorError, QueryTimeoutError, Span, SQLError
from qtensor.expressions import Literal
from qtensor.files.printable import printable
from qtensor.lowering.storage import EncodedColumn, ResultColumn, decode_column
from qtensor.sources.table import Table

SECONDS = 300.0  # that a call may take
_START_SECONDS = 120.0
_LONGEST_ERROR = 20_000
_LAST_WORDS = 400
_OUT_OF_MEMORY = re.compile(r"bad_alloc|out of memory|cannot allocate|MemoryError", re.IGNORECASE)


@dataclass(frozen=True)
class Limits:
    """What the process may take: bytes of memory in all, seconds for a call or from batch to batch of a stream."""

    memory: int
    seconds: float = SECONDS


class Isolated:
    """An artifact in a process of its own. Safe to use from several threads: calls wait for each other, and a stream takes the
    process along until it has ended, so that others start a second one.
    """

    def __init__(self, container: Container, threads: int, limits: Limits) -> None:
        """Raises ArtifactError: the artifact is refused."""
        self._container, self._threads, self._limits = container, threads, limits
        self._inputs = {read.table: read for read in container.manifest.inputs}
        self._lock = threading.Lock()
        self._process: Process | None = self._started()

    def call(self, tables: Mapping[str, Table], parameters: Mapping[str, Literal], schema: pa.Schema) -> pa.Table:
        """The result of a call. Raises what the query raises; ArtifactError: the process died; QueryTimeoutError: it was late."""
        with self._lock:
            process = self._taken()  # until it has answered
            described, buffers, sent = [], [], {}
            for name, table in tables.items():
                columns = positions(self._inputs[name], table.fields, name)
                is_there = process.tables.get(name) == table.identity
                fields = to_json(tuple(table.fields[index] for index in columns))
                described.append({"name": name, "fields": fields, "rows": table.rows, "sent": not is_there})
                if not is_there:
                    buffers.append(written(columns_of(table, columns)))
                sent[name] = table.identity
            header = {
                "do": "call",
                "tables": described,
                "parameters": {name: to_json(value) for name, value in parameters.items()},
            }
            answer, error = process.asked(header, buffers)
            process.tables = sent if error is None else {}
            self._process = process
        if error is not None:
            raise error
        return read_table(answer, schema)

    def stream(
        self, reader: pa.RecordBatchReader, parameters: Mapping[str, Literal], schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        """The result as batches, while the reader's are read. Raises as `call` does."""
        with self._lock:
            process = self._taken()
        is_done = False
        try:
            header: dict[str, Any] = {"do": "stream", "parameters": {name: to_json(value) for name, value in parameters.items()}}
            buffers = [written(reader.schema.empty_table())]
            while True:
                answer, error = process.asked(header, buffers)
                if error is not None:
                    raise error
                if answer.header.get("wants"):
                    batch = next(reader, None)
                    header = {"ends": batch is None}
                    buffers = [] if batch is None else [written(pa.Table.from_batches([batch]))]
                elif answer.buffers:
                    header, buffers = {}, []
                    yield from read_table(answer, schema).to_batches()
                else:
                    is_done = True
                    return
        finally:
            self._give_back(process, is_done)

    def _taken(self) -> Process:
        """The process that is there, for one call alone, or another. One that was started before a fork is the parent's."""
        process, self._process = self._process, None
        return process if process is not None and process.owner == os.getpid() else self._started()

    def _started(self) -> Process:
        return Process(self._container, self._threads, self._limits)

    def _give_back(self, process: Process, is_done: bool) -> None:
        """Keep a process that has answered all it was asked, if there is none yet."""
        with self._lock:
            if is_done and self._process is None:
                self._process = process
            else:
                process.end()

    def close(self) -> None:
        """End the process; another call starts one again."""
        with self._lock:
            if self._process is not None:
                self._process.end()
                self._process = None


class Process:
    """A running process that has opened the artifact."""

    def __init__(self, container: Container, threads: int, limits: Limits) -> None:
        """Raises ArtifactError: it does not start, or the artifact is refused."""
        self.tables: dict[str, int] = {}  # those that it has, by name the identity
        self.owner = os.getpid()
        self._limits = limits
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        command = command_of("qtensor.aot.isolated.worker", str(limits.memory))
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words, env=environment(),
                bufsize=0, start_new_session=True,  # an interrupt of the terminal is for us, and we end it
            )  # fmt: skip
        except OSError as error:
            self._words.close()
            raise ArtifactError(f"the process for an untrusted artifact cannot be started: {error}") from error
        assert self._process.stdin is not None and self._process.stdout is not None
        self._channel = Channel(self._process.stdout.fileno(), self._process.stdin.fileno(), limits.memory)
        self._finalizer = weakref.finalize(self, end_process, self._process, self._words, self.owner)
        parts = {name: content for name, content in container.parts.items() if not name.startswith("native/")}
        header = {"do": "open", "manifest": to_json(container.manifest), "parts": list(parts), "threads": threads}
        _, error_found = self.asked(header, list(parts.values()), _START_SECONDS)
        if error_found is not None:
            self.end()
            raise error_found

    def asked(
        self, header: Mapping[str, Any], buffers: Sequence[Any], seconds: float | None = None
    ) -> tuple[Message, QTensorError | None]:
        """The answer, and the error that it is, if it is one.

        Raises ArtifactError, CapacityError: the process is gone. QueryTimeoutError: it was late, and is gone.
        """
        seconds = seconds or self._limits.seconds
        end = time.monotonic() + seconds
        try:
            self._channel.send(header, buffers, end)
            answer = self._channel.receive(end)
            return answer, error_of(answer.header)
        except ClosedError:
            raise self._death() from None
        except LateError:
            self.end()
            raise QueryTimeoutError(
                f"the exported query, which is not trusted, gave no result within {seconds:g} seconds and was ended; "
                "qtensor.load(..., timeout=) allows for more"
            ) from None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self.end()
            raise ArtifactError(f"the process of an untrusted artifact does not answer as it should: {error}") from error
        except BaseException:  # an interrupt: its answer would be taken for that of the next call
            self.end()
            raise

    def end(self) -> None:
        """End the process, whatever it does."""
        self._finalizer()

    def _death(self) -> QTensorError:
        """What is to be said of a process that is gone."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        status = self._process.poll()
        self._words.seek(0)
        words = self._words.read().decode(errors="replace")
        self.end()
        if _OUT_OF_MEMORY.search(words):
            return CapacityError(
                f"the exported query, which is not trusted, needs more memory than the {self._limits.memory:,} bytes it may "
                "have; qtensor.load(..., memory_limit=) allows for more"
            )
        how = signal.Signals(-status).name if status is not None and status < 0 else f"exit status {status}"
        last = printable(" ".join(words.split())[-_LAST_WORDS:])
        return ArtifactError(
            f"the process in which the exported query ran ended by {how}: its file is not trusted, and damaged or hostile, or it "
            f"needs more than {self._limits.memory:,} bytes of memory (memory_limit=)"
            + (f". Its last words: {last}" if last else "")
        )


def end_process(process: subprocess.Popen[bytes], words: IO[bytes], owner: int) -> None:
    if owner == os.getpid():
        process.kill()
    for stream in (process.stdin, process.stdout, words):
        if stream is not None:
            stream.close()
    if owner == os.getpid():
        process.wait()


def columns_of(table: Table, indices: Sequence[int]) -> pa.Table:
    """Columns of a table as Arrow, of exactly the values that a query sees."""
    columns = table.columns(indices, 1, ["plain"] * len(indices)) if indices else []
    names = [table.fields[index].name for index in indices]
    return pa.table([values_of(column) for column in columns], names=names)


def values_of(column: EncodedColumn) -> pa.Array:
    rows = column.statistics.rows
    data = column.data.reshape(-1)[:rows]
    valid = None if column.valid is None else column.valid.reshape(-1)[:rows]
    if column.dictionary is not None:
        codes = pa.array(data.astype(np.int64), mask=None if valid is None else ~valid)
        return column.dictionary.take(codes)
    return decode_column(ResultColumn(column.type, data, None, valid, None))


def written(table: pa.Table) -> pa.Buffer:
    """A table as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def read_table(answer: Message, schema: pa.Schema) -> pa.Table:
    """The table that an answer holds, checked: it comes from a process that a hostile program may have taken over."""
    try:
        (buffer,) = answer.buffers
        table = pa.ipc.open_stream(pa.py_buffer(buffer)).read_all()
        table.validate(full=True)
        if table.schema != schema:
            raise ValueError("its columns are others")
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ArtifactError(f"an untrusted artifact does not give what its manifest says: {printable(str(error))}") from error
    return table


def error_of(header: Mapping[str, Any]) -> QTensorError | None:
    """The error that an answer is."""
    if "error" not in header:
        return None
    kind = getattr(errors, str(header["error"]), ArtifactError)
    message = printable(str(header["message"])[:_LONGEST_ERROR])
    if not (isinstance(kind, type) and issubclass(kind, QTensorError)):
        return ArtifactError(message)
    if issubclass(kind, SQLError):
        sql = str(header.get("sql", ""))
        spans = [Span(max(0, int(start)), max(0, int(end))) for start, end in header.get("spans", ())]
        return kind(message, sql, [span for span in spans if span.start <= len(sql)], str(header.get("hint", "")))
    return kind(message)
