"""Many Parquet files as one table: those of a folder, a pattern or a list, one behind the other."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from qtensor.errors import DataError, suggestion
from qtensor.lowering.storage import EncodedColumn, Layout, encode_column
from qtensor.sources.facts import ColumnFacts, Expectations, of_all
from qtensor.sources.parquet import ParquetSource, read_columns
from qtensor.sources.parquet_file import CutGroups
from qtensor.sources.parts import put_together
from qtensor.types import BIGINT, DATE, VARCHAR, Field, Integer, Schema, SqlType

_EPOCH = datetime.date(1970, 1, 1).toordinal()
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_REMEDY = "Write all files with one schema, or register each by itself and use UNION ALL."
_ARROW = {BIGINT: pa.int64(), DATE: pa.date32(), VARCHAR: pa.string()}  # the types of columns that folders add


@dataclass(frozen=True)
class _File:
    """A file: where it has each of the table's columns, and the values that its folders give to the columns that they add."""

    source: ParquetSource
    places: tuple[int, ...]
    values: tuple[str | None, ...]


class FilesSource:
    """Parquet files that have the columns of the first one; a folder called `key=value` adds a column `key`.

    As in DuckDB further columns of others do not matter. Integers may be of any width: what does not fit that of the first file
    is an error when it is read.
    """

    def __init__(self, shown: str, find: Callable[[], Iterable[Path]]) -> None:
        """find: the files as they are now, which may be others later.

        Raises:
            DataError: there are none, one cannot be read, or one lacks a column of the first, or has it of another type.
        """
        self._find = find
        self._files = _sorted(find())
        if not self._files:
            raise DataError(f"{shown}: there is no such Parquet file")
        sources = [ParquetSource(Path(file)) for file in self._files]
        own = sources[0].fields
        keys = [_folders(file) for file in self._files]
        names = {field.name for field in own}
        added = [key for key in dict.fromkeys(key for found in keys for key in found) if key not in names]
        self._members = [
            _File(source, _places(file, source.fields, self._files[0], own), tuple(map(found.get, added)))
            for file, source, found in zip(self._files, sources, keys, strict=True)
        ]
        types = [_type_of_all([file.values[number] for file in self._members]) for number in range(len(added))]
        self._width = len(own)
        self.fields: Schema = (*own, *(Field(key, type) for key, type in zip(added, types, strict=True)))
        self.rows: int = sum(source.rows for source in sources)
        self._expected: Expectations | None = None  # of the whole that this is a part of

    def read(self, indices: Sequence[int], layout: Layout) -> list[EncodedColumn]:
        own = [index for index in indices if index < self._width]
        files = [(file.source, [file.places[index] for index in own]) for file in self._members]
        fields = [self.fields[index] for index in own]
        expected = self._expected or Expectations(self.facts)
        read = read_columns(own, fields, files, layout, expected, keep_width=self._expected is not None)
        found = dict(zip(own, read, strict=True))
        for index in indices:
            if index >= self._width:
                field = self.fields[index]
                found[index] = encode_column(field.name, self._added(index - self._width, field.type), field.type, layout)
        return [found[index] for index in indices]

    def _added(self, number: int, type: SqlType) -> pa.ChunkedArray:
        """A column that the folders add: one value for all rows of a file."""
        values = pa.array([_value(file.values[number], type) for file in self._members], _ARROW[type])
        codes = np.repeat(np.arange(len(self._members), dtype=np.int32), [file.source.rows for file in self._members])
        column = pa.DictionaryArray.from_arrays(pa.array(codes), values)
        return pa.chunked_array([column if type == VARCHAR else column.dictionary_decode()])

    def facts(self, index: int) -> ColumnFacts:
        facts = [
            file.source.facts(file.places[index])
            if index < self._width
            else _facts_of(file.values[index - self._width], self.fields[index].type, file.source.rows)
            for file in self._members
        ]
        return of_all(facts, [file.source.rows for file in self._members])

    def is_current(self, indices: Collection[int]) -> bool:
        return all(file.source.is_current(()) for file in self._members) and _sorted(self._find()) == self._files

    def head(self, rows: int) -> FilesSource:
        """The first files, and of the last of these the first row groups."""
        ends = accumulate(file.source.rows for file in self._members)
        kept = self._members[: 1 + sum(end < rows for end in ends)]
        before = sum(file.source.rows for file in kept[:-1])
        return self._limited_to([*kept[:-1], replace(kept[-1], source=kept[-1].source.head(rows - before))])

    def parts(self, rows: int) -> list[FilesSource]:
        expected = Expectations(self.facts)
        cuts = [CutGroups(file.source.file, rows) for file in self._members]
        units = [(number, piece) for number, file in enumerate(self._members) for piece in file.source.pieces(rows)]
        found = []
        for numbers in put_together([piece.rows for _, piece in units], rows):
            kept = []
            for number, pieces in groupby(units[numbers.start : numbers.stop], lambda unit: unit[0]):
                file = self._members[number]
                kept.append(replace(file, source=file.source.limited_to([piece for _, piece in pieces], cuts[number])))
            found.append(self._limited_to(kept))
            found[-1]._expected = expected
        return found

    def _limited_to(self, files: list[_File]) -> FilesSource:
        limited = copy(self)
        limited._members = files
        limited.rows = sum(file.source.rows for file in files)
        return limited

    def forget(self, index: int) -> None:
        pass


def _sorted(paths: Iterable[Path]) -> list[str]:
    return sorted(map(str, paths))


def _places(file: str, fields: Schema, first: str, wanted: Schema) -> tuple[int, ...]:
    """Where `file` has the columns `wanted` of the file `first`. Raises DataError: it lacks one, or has it of another type."""
    if fields == wanted:
        return tuple(range(len(wanted)))
    names = [field.name for field in fields]
    places = []
    for field in wanted:
        if names.count(field.name) != 1:
            message = f'{file} has no column "{field.name}", which {first} has. {suggestion(field.name, names)}'.rstrip()
            raise DataError(f"{message}\n  {_REMEDY}")
        place = names.index(field.name)
        found = fields[place].type
        if found != field.type and not (isinstance(found, Integer) and isinstance(field.type, Integer)):
            raise DataError(f'the column "{field.name}" is {found} in {file}, but {field.type} in {first}\n  {_REMEDY}')
        places.append(place)
    return tuple(places)


def _folders(file: str) -> dict[str, str | None]:
    """The values that the folders of a path give, `key=value`."""
    parts = [part.partition("=") for part in Path(file).parent.parts]
    return {unquote(key): None if value == _NO_VALUE else unquote(value) for key, sign, value in parts if sign}


def _type_of_all(values: Iterable[str | None]) -> SqlType:
    """BIGINT, DATE, else text, as for a CSV file: 01 is a code."""
    texts = [value for value in values if value is not None]
    if not texts or any(text[:1] == "0" and text[1:].isdecimal() for text in texts):
        return VARCHAR
    for type in (BIGINT, DATE):
        try:
            pa.array(texts, pa.string()).cast(_ARROW[type])
        except pa.ArrowInvalid:
            continue
        return type
    return VARCHAR


def _value(text: str | None, type: SqlType) -> int | datetime.date | str | None:
    if text is None or type == VARCHAR:
        return text
    return int(text) if type == BIGINT else datetime.date.fromisoformat(text)


def _facts_of(text: str | None, type: SqlType, rows: int) -> ColumnFacts:
    """What is known of a value that a folder gives to so many rows."""
    value = _value(text, type)
    match value:
        case None:
            return ColumnFacts(None, rows)
        case str():
            return ColumnFacts(None, 0)
        case datetime.date():
            day = value.toordinal() - _EPOCH
            return ColumnFacts((day, day), 0)
        case int():
            return ColumnFacts((value, value), 0)
