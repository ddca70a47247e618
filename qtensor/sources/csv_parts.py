"""A CSV file that is read in parts: names, types and rows as `CsvSource` has them, and never more in memory than some blocks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from copy import copy
from itertools import accumulate
from pathlib import Path

import pyarrow as pa

from qtensor.errors import DataError
from qtensor.lowering.storage import EncodedColumn, Layout, column_encoder, for_each
from qtensor.sources.arrow import schema_of
from qtensor.sources.csv_blocks import Block, CsvBlocks
from qtensor.sources.csv_dates import Texts
from qtensor.sources.csv_file import CsvSource, first_row, is_header, names_of, shape_of
from qtensor.sources.csv_typing import TypedColumn, typed_in_blocks
from qtensor.sources.facts import ColumnFacts, Expectations, of_all
from qtensor.sources.parts import put_together
from qtensor.sources.signature import FileSignature, file_signature
from qtensor.sources.table import Source


def open_csv_parts(path: Path, block: int | None = None) -> Source:
    """A CSV file to be read in parts. It is read here once or a few times, block by block, to find the types of its columns.

    block: see `CsvBlocks`. Raises DataError: the file cannot be read.
    """
    signature = file_signature(path)
    shape, complete = shape_of(str(path), path)
    if not shape.rows or (complete and len(shape.rows) == 1):
        return CsvSource(path)  # of one row at most
    csv = CsvBlocks(path, shape, block)
    blocks: list[Block] = []

    def read(columns: Sequence[int]) -> Iterator[Sequence[Texts]]:
        if blocks:
            yield from (csv.texts(block, columns) for block in blocks)
            return
        for block, texts in csv.all():
            blocks.append(block)
            yield [texts[index] for index in columns]

    first = first_row(shape)
    columns = typed_in_blocks(len(first), read)
    if not blocks:
        return CsvSource(path)
    header = is_header(first, [column.kind for column in columns])
    if not header:
        blocks.insert(0, csv.first)
        columns = typed_in_blocks(len(first), read)
    return CsvParts(path, signature, csv, blocks, columns, names_of(first if header else [None] * len(first)))


class CsvParts:
    """A CSV file, or a part of one, each made of whole blocks."""

    def __init__(
        self,
        path: Path,
        signature: FileSignature | None,
        csv: CsvBlocks,
        blocks: Sequence[Block],
        columns: Sequence[TypedColumn],
        names: Sequence[str],
    ) -> None:
        """signature: of the file that has these blocks."""
        self._path = path
        self._signature = signature
        self._csv = csv
        self._blocks = blocks
        self._columns = columns
        self._numbers = range(len(blocks))  # of the blocks of this part
        self._expected: Expectations | None = None  # of the whole that this is a part of
        self.fields = schema_of(pa.schema(list(zip(names, [column.type for column in columns], strict=True))))
        self.rows = sum(found.rows for found in self._blocks)

    def is_current(self, indices: Collection[int]) -> bool:
        return file_signature(self._path) == self._signature

    def head(self, rows: int) -> CsvParts:
        """The first blocks."""
        ends = accumulate(self._blocks[number].rows for number in self._numbers)
        return self._limited_to(self._numbers[: 1 + sum(end < rows for end in ends)])

    def parts(self, rows: int) -> list[CsvParts]:
        expected = Expectations(self.facts)
        found = []
        for chosen in put_together([self._blocks[number].rows for number in self._numbers], rows):
            found.append(self._limited_to(self._numbers[chosen.start : chosen.stop]))
            found[-1]._expected = expected
        return found

    def _limited_to(self, numbers: range) -> CsvParts:
        limited = copy(self)
        limited._numbers = numbers
        limited.rows = sum(self._blocks[number].rows for number in numbers)
        return limited

    def facts(self, index: int) -> ColumnFacts:
        facts = self._columns[index].facts
        return of_all([facts[number] for number in self._numbers], [self._blocks[number].rows for number in self._numbers])

    def forget(self, index: int) -> None:
        pass

    def read(self, indices: Sequence[int], layout: Layout) -> list[EncodedColumn]:
        expected = self._expected or Expectations(self.facts)
        encoders = {
            index: column_encoder(
                self.fields[index].name,
                self.fields[index].type,
                layout,
                expected.of(index),
                keep_width=self._expected is not None,
            )
            for index in indices
        }
        starts = list(accumulate((self._blocks[number].rows for number in self._numbers), initial=0))
        columns: dict[int, EncodedColumn] = {}

        def read_block(number: int) -> None:
            wanted = [index for index in encoders if index not in columns]
            block = self._blocks[self._numbers[number]]
            for index, texts in zip(wanted, self._csv.texts(block, wanted), strict=True):
                values = self._columns[index].values(texts)
                if values is None:
                    raise self._changed()
                start = starts[number]
                for chunk in values.chunks if isinstance(values, pa.ChunkedArray) else [values]:
                    encoders[index].write(start, chunk)
                    start += len(chunk)

        while len(columns) < len(encoders):
            if not self.is_current(()):
                raise self._changed()
            for_each(read_block, range(len(self._numbers)), layout.shares)
            finished = {index: encoders[index].finish() for index in encoders if index not in columns}
            columns |= {index: column for index, column in finished.items() if column is not None}
        return [columns[index] for index in indices]

    def _changed(self) -> DataError:
        return DataError(f"{self._path}: the file has changed since it was registered; register it again")
