"""The last stage of a query: the live rows of its program's results as an Arrow table, or a raised flag as its error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qtensor.errors import ExecutionError
from qtensor.lowering.host.late_texts import TextLists, written
from qtensor.lowering.ir.physical import Check, LateSlot, OutputColumn, Slot, SourceSlot
from qtensor.lowering.ir.values import CalledDictionary, Dictionary, JoinedDictionary, LateCall, LatePart, WrittenDictionary
from qtensor.lowering.storage import EncodedColumn, ResultColumn, arrow_type, decode_column


@dataclass(frozen=True, eq=False)
class Decoder:
    """What decoding must know beside a run's arrays: how the result's columns lie in them, and the source's columns.

    column: a column of the table by its index. strings: those of a dictionary. late: a column of a table that rows are taken from
    by their numbers.
    """

    output: tuple[OutputColumn, ...]
    checks: tuple[Check, ...]
    sql: str
    column: Callable[[int], EncodedColumn]
    strings: Callable[[Dictionary], pa.Array]
    lists: tuple[int, ...] = ()  # the numbers of those that stand behind the flags, and what makes texts of one
    called: Callable[[LateCall, Callable[[LatePart], pa.Array], Callable[[int], NDArray[Any]]], pa.Array] | None = None
    joined: Callable[[JoinedDictionary, TextLists, NDArray[np.int32]], tuple[NDArray[np.int64], pa.Array]] | None = None
    late: Callable[[str, int], EncodedColumn] | None = None

    @cached_property
    def schema(self) -> pa.Schema:
        """The result's names and Arrow types."""
        return pa.schema([pa.field(column.name, arrow_type(column.type)) for column in self.output])

    def decode(self, parts: Sequence[Sequence[jax.Array]]) -> pa.Table:
        """The result as an Arrow table, a chunk for each part: of a row-wise query the parts are its source's shares.

        Raises ExecutionError: what a check found.
        """
        opened = [Part.of(self, number, len(parts), outputs) for number, outputs in enumerate(parts)]
        schema = self.schema
        if not self.output:
            return pa.table({}, schema=schema)
        batches = [pa.RecordBatch.from_arrays([part.decoded(column) for column in self.output], schema=schema) for part in opened]
        return pa.Table.from_batches(batches, schema)


@dataclass(frozen=True)
class Part:
    """One part of a result: columns with dead rows among them, and how to pick the live ones; the lists by number."""

    decoder: Decoder
    share: int
    shares: int
    columns: list[NDArray[Any]]
    rows: slice | NDArray[np.int64]
    lists: dict[int, TextLists]

    @staticmethod
    def of(decoder: Decoder, share: int, shares: int, outputs: Sequence[jax.Array]) -> Part:
        arrays = [np.asarray(output) for output in outputs]
        behind = len(arrays) - len(TextLists._fields) * len(decoder.lists)
        *columns, live, flags = arrays[:behind]
        parts = (arrays[behind + first :: len(TextLists._fields)] for first in range(len(TextLists._fields)))
        lists = dict(zip(decoder.lists, map(TextLists, *parts), strict=True))
        if decoder.checks and flags.any():
            check = decoder.checks[int(flags.argmax())]
            raise ExecutionError(check.message, decoder.sql, [check.span] if check.span else [])
        live = live.reshape(-1)
        count = int(np.count_nonzero(live))
        # Taking by number is five times faster than a Boolean index; most results have their live rows in front anyway.
        rows = slice(0, count) if live[:count].all() else np.flatnonzero(live)
        return Part(decoder, share, shares, columns, rows, lists)

    def decoded(self, column: OutputColumn) -> pa.Array:
        if isinstance(column.dictionary, CalledDictionary):
            return self.called(column, column.dictionary)
        data = self.picked(column.data)
        assert data is not None
        if column.elements:
            data = np.stack([values for slot in column.elements if (values := self.picked(slot)) is not None])
        valid = self.picked(column.valid)
        if isinstance(column.dictionary, JoinedDictionary | WrittenDictionary):
            codes = data if valid is None else np.where(valid, data, 0)
            places, texts = self.made(column.dictionary, codes, self.picked(column.low))
            return decode_column(ResultColumn(column.type, places, None, valid, texts))
        dictionary = None if column.dictionary is None else self.decoder.strings(column.dictionary)
        return decode_column(ResultColumn(column.type, data, self.picked(column.low), valid, dictionary))

    def called(self, column: OutputColumn, dictionary: CalledDictionary) -> pa.Array:
        """The texts that a function makes of a row's elements."""

        def element(number: int) -> NDArray[Any]:
            values = self.picked(column.elements[number])
            assert values is not None
            return values

        def part(described: LatePart) -> pa.Array:
            data, valid = element(described.data), None if described.valid is None else element(described.valid)
            mask = None if valid is None else ~valid
            if described.dictionary is None:
                return pa.array(data if data.dtype == np.bool_ or data.dtype.kind == "f" else data.astype(np.int64), mask=mask)
            codes = data if valid is None else np.where(valid, data, 0)
            if isinstance(described.dictionary, JoinedDictionary | WrittenDictionary):
                codes, texts = self.made(described.dictionary, codes)
            else:
                texts = self.decoder.strings(described.dictionary)
            return texts.take(pa.array(codes, mask=mask))

        assert self.decoder.called is not None
        try:
            texts = self.decoder.called(dictionary.call, part, element)
        except ExecutionError as error:
            raise error.shown_in(self.decoder.sql) from None
        valid = self.picked(column.valid)
        known = np.asarray(texts.is_valid()) if valid is None else valid & np.asarray(texts.is_valid())
        return decode_column(ResultColumn(column.type, np.arange(len(texts)), None, known, texts.fill_null("")))

    def made(
        self, dictionary: JoinedDictionary | WrittenDictionary, codes: NDArray[Any], low: NDArray[Any] | None = None
    ) -> tuple[NDArray[np.int64], pa.Array]:
        """Texts that there are only now, after the run: for each code its place among the texts, and these."""
        if isinstance(dictionary, WrittenDictionary):
            return written(codes, low, dictionary.type)
        assert self.decoder.joined is not None
        return self.decoder.joined(dictionary, self.lists[dictionary.number], codes)

    def picked(self, slot: Slot | None) -> NDArray[Any] | None:
        """The live rows of a column of the result, or of the source."""
        if slot is None:
            return None
        if isinstance(slot, LateSlot):
            return self.taken(slot)
        values = self.from_source(slot) if isinstance(slot, SourceSlot) else self.columns[slot]
        values = values.reshape(-1)
        return values[self.rows] if isinstance(self.rows, slice) else values.take(self.rows)

    def taken(self, slot: LateSlot) -> NDArray[Any]:
        """A table's column in the rows of the result."""
        assert self.decoder.late is not None
        column, rows = self.decoder.late(slot.table, slot.column), self.picked(slot.rows)
        assert rows is not None
        if not slot.validity:
            return column.data.reshape(-1).take(rows)
        return np.ones(len(rows), np.bool_) if column.valid is None else column.valid.reshape(-1).take(rows)

    def from_source(self, slot: SourceSlot) -> NDArray[Any]:
        data, valid = self.decoder.column(slot.column).share(self.share, self.shares)
        if not slot.validity:
            return data
        return np.ones(data.shape, np.bool_) if valid is None else valid  # a program that allows NULLs may meet none
