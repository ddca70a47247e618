"""A file in Arrow's stream format, read in parts: where its messages are is found by their headers alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import copy
from itertools import accumulate, groupby
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from qtensor.errors import DataError
from qtensor.lowering.storage import EncodedColumn, Layout, encode_column
from qtensor.sources.arrow import READ_ERRORS, schema_of
from qtensor.sources.facts import NOTHING_SAID, ColumnFacts
from qtensor.sources.ipc_messages import Message, messages
from qtensor.sources.parts import put_together
from qtensor.sources.signature import file_signature


class _Batch(NamedTuple):
    """A record batch, and the dictionaries that are in force where it is."""

    message: Message
    dictionaries: tuple[Message, ...]


class IpcStreamParts:
    """A stream in a file, or some record batches of one. They are read from the file with the schema and their dictionaries."""

    def __init__(self, path: Path) -> None:
        """Raises DataError when the file cannot be read."""
        self._path = path
        self._signature = file_signature(path)
        found = messages(path)
        if not found or found[0].rows is not None or found[0].id is not None:  # it begins with a schema
            raise DataError(f"{path}: cannot be read as an Arrow stream: its messages are not of the expected form")
        self._schema_message = found[0]
        self._batches = _batches(found[1:])
        try:
            with pa.ipc.open_stream(pa.py_buffer(self._octets([found[0]]))) as reader:
                self._schema = reader.schema
        except READ_ERRORS as error:
            raise DataError(f"{path}: cannot be read as an Arrow stream: {error}") from error
        self.fields = schema_of(self._schema)
        self.rows = sum(self._lengths)

    @property
    def _lengths(self) -> list[int]:
        return [batch.message.rows or 0 for batch in self._batches]

    def is_current(self, indices: Collection[int]) -> bool:
        return file_signature(self._path) == self._signature

    def head(self, rows: int) -> IpcStreamParts:
        """The first record batches."""
        return self._limited_to(range(1 + sum(end < rows for end in accumulate(self._lengths))))

    def parts(self, rows: int) -> list[IpcStreamParts]:
        """Record batches, which are read as a whole."""
        return [self._limited_to(found) for found in put_together(self._lengths, rows)]

    def facts(self, index: int) -> ColumnFacts:
        return NOTHING_SAID

    def forget(self, index: int) -> None:
        pass

    def _limited_to(self, batches: range) -> IpcStreamParts:
        limited = copy(self)
        limited._batches = self._batches[batches.start : batches.stop]
        limited.rows = sum(limited._lengths)
        return limited

    def read(self, indices: Sequence[int], layout: Layout) -> list[EncodedColumn]:
        if not self.is_current(()):
            raise DataError(f"{self._path}: the file has changed since it was registered; register it again")
        chosen = sorted(set(indices))
        try:
            batches = []
            for dictionaries, found in groupby(self._batches, lambda batch: batch.dictionaries):
                batches += self._read([*dictionaries, *(batch.message for batch in found)], chosen)
            table = pa.Table.from_batches(batches, pa.schema([self._schema.field(index) for index in chosen]))
            table.validate(full=True)
        except READ_ERRORS as error:
            raise DataError(f"{self._path}: cannot be read as an Arrow stream: {error}") from error
        if table.num_rows != self.rows:
            raise DataError(
                f"{self._path}: cannot be read as an Arrow stream: a record batch has other rows than its header says"
            )
        columns = {index: table.column(place) for place, index in enumerate(chosen)}
        return [encode_column(self.fields[index].name, columns[index], self.fields[index].type, layout) for index in indices]

    def _read(self, messages: Sequence[Message], columns: list[int]) -> list[pa.RecordBatch]:
        """Columns of the record batches in `messages`, before which their dictionaries are."""
        octets = self._octets([self._schema_message, *messages])
        options = pa.ipc.IpcReadOptions(included_fields=columns)
        with pa.ipc.open_stream(pa.py_buffer(octets), options=options) as reader:
            return list(reader)

    def _octets(self, messages: Sequence[Message]) -> bytes:
        with self._path.open("rb") as file:
            parts = []
            for message in messages:
                file.seek(message.start)
                parts.append(file.read(message.size))
            return b"".join(parts)


def _batches(messages: Sequence[Message]) -> list[_Batch]:
    """The record batches among `messages`, each with its dictionaries."""
    dictionaries: dict[int, tuple[Message, ...]] = {}
    found: list[_Batch] = []
    in_force: tuple[Message, ...] = ()
    for message in messages:
        if message.id is not None:
            before = dictionaries.get(message.id, ()) if message.delta else ()
            dictionaries[message.id] = (*before, message)
            in_force = tuple(part for parts in dictionaries.values() for part in parts)
        elif message.rows is not None:
            found.append(_Batch(message, in_force))
    return found
