"""The process in which an untrusted artifact runs, `python -m qtensor.aot.isolated.worker MEMORY`; see `isolation.py`.

It reads requests from its standard input and answers them on its standard output (`messages.py`), and ends with the process
that started it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from qtensor.aot.artifact.artifact import Artifact
from qtensor.aot.artifact.codec import from_json
from qtensor.aot.artifact.container import Container
from qtensor.aot.artifact.manifest import Manifest
from qtensor.aot.isolated.isolation import written
from qtensor.aot.isolated.messages import Channel, ClosedError, Message
from qtensor.errors import CapacityError, QTensorError, SQLError
from qtensor.expressions import Literal
from qtensor.sources.table import Table
from qtensor.sources.typed import TypedSource
from qtensor.types import Schema

LARGEST_FILE = 1 << 32  # that it may write: compiled code, into the cache


def limit(memory: int) -> None:
    """Take no more memory than this, where the system can see to that, and leave no image of it behind."""
    try:
        import resource
    except ImportError:  # not a Unix
        return
    for kind, wanted in ((resource.RLIMIT_DATA, memory), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, LARGEST_FILE)):
        _, hard = resource.getrlimit(kind)
        wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (wanted, wanted))


def end_with(parent: int) -> None:
    """End when the parent is gone, whatever else goes on here: XLA lets go of Python's lock while it runs."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


class Worker:
    """Answers one side of a channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._artifact: Artifact | None = None
        self._tables: dict[str, Table] = {}

    def serve(self) -> None:
        """Answer until the other side is gone."""
        while True:
            request = self._channel.receive()
            try:
                header, buffers = self._answer(request)
            except QTensorError as error:
                header, buffers = described(error), ()
            except MemoryError:
                header, buffers = (
                    described(CapacityError("the exported query needs more memory than it may have (memory_limit=)")),
                    (),
                )
            self._channel.send(header, buffers)

    def _answer(self, request: Message) -> tuple[Mapping[str, Any], Sequence[pa.Buffer]]:
        header = request.header
        if header["do"] == "open":
            self._artifact = opened(header, request.buffers)
            return {}, ()
        assert self._artifact is not None
        parameters = {name: from_json(Literal, value) for name, value in header["parameters"].items()}
        if header["do"] == "call":
            sent = iter(request.buffers)
            self._tables = {
                each["name"]: received(each, next(sent)) if each["sent"] else self._tables[each["name"]]
                for each in header["tables"]
            }
            return {}, (written(self._artifact._answer(self._tables, parameters)),)
        (schema,) = request.buffers
        reader = pa.RecordBatchReader.from_batches(pa.ipc.open_stream(schema).schema, self._batches())
        for batch in self._artifact._batches(reader, parameters):
            self._channel.send({}, (written(pa.Table.from_batches([batch])),))
            self._channel.receive()
        return {}, ()

    def _batches(self) -> Iterator[pa.RecordBatch]:
        """The batches of a stream, asked for one by one."""
        while True:
            self._channel.send({"wants": True})
            answer = self._channel.receive()
            if answer.header["ends"]:
                return
            (buffer,) = answer.buffers
            yield from pa.ipc.open_stream(buffer)


def opened(header: Mapping[str, Any], parts: Sequence[memoryview]) -> Artifact:
    manifest: Manifest = from_json(Manifest, header["manifest"])
    content = {name: bytes(part) for name, part in zip(header["parts"], parts, strict=True)}
    return Artifact(Container(manifest, content, "", 0), header["threads"], trusted=False, isolated=False)


def received(header: Mapping[str, Any], buffer: memoryview) -> Table:
    """A table that the other side sent."""
    fields: Schema = from_json(Schema, header["fields"])
    source = TypedSource(fields, pa.ipc.open_stream(buffer).read_all())
    source.rows = header["rows"]  # a table without columns does not know
    return Table(header["name"], source)


def described(error: QTensorError) -> dict[str, Any]:
    """An error as the other side makes it again."""
    kind = type(error).__name__
    if isinstance(error, SQLError):
        spans = [(span.start, span.end) for span in error.spans]
        return {"error": kind, "message": error.message, "sql": error.sql, "spans": spans, "hint": error.hint}
    return {"error": kind, "message": str(error)}


def main() -> None:
    limit(int(sys.argv[1]))
    reading, writing = os.dup(0), os.dup(1)
    os.dup2(2, 1)  # what libraries print is no message
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    try:
        Worker(Channel(reading, writing, sys.maxsize)).serve()
    except ClosedError:
        os._exit(0)


if __name__ == "__main__":
    main()
