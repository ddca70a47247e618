"""CSV files: their dialect, names and types found out as DuckDB does, and their rows read by pyarrow wherever it can."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from qtensor.errors import DataError
from qtensor.sources.arrow import READ_ERRORS, ArrowSource
from qtensor.sources.csv_dates import Texts
from qtensor.sources.csv_dialect import Shape, shapes_of
from qtensor.sources.csv_rows import MalformedRowError, lines_of, rows_of
from qtensor.sources.csv_types import Kind, typed
from qtensor.sources.signature import file_signature

_SAMPLE = 1 << 20  # bytes by which the dialect is found
_BLOCK, _LARGE_BLOCK = 1 << 20, 1 << 28


class CsvSource(ArrowSource):
    """A CSV file, read at once. An empty field is NULL."""

    def __init__(self, path: Path) -> None:
        """Raises DataError when the file cannot be read."""
        self._path = path
        self._signature = file_signature(path)
        super().__init__(read_csv(str(path), path), valid=True)

    def is_current(self, indices: Collection[int]) -> bool:
        return file_signature(self._path) == self._signature


def read_csv(shown: str, source: Path | pa.Buffer) -> pa.Table:
    """The rows of a CSV file; `source` is its path or its content.

    Raises:
        DataError: it is not UTF-8, or its rows differ in their number of fields.
    """
    shape, complete = shape_of(shown, source)
    if not shape.rows:
        return pa.table({"column0": pa.array([], pa.string())})
    first = _first_row(shape)
    texts = _texts(shown, source, shape, complete)[: len(first)]
    found = typed(texts if len(texts[0]) else _columns_of([first], len(first)))
    if _is_header(first, [kind for kind, _ in found]):
        values = [values for _, values in found] if len(texts[0]) else texts
        return pa.Table.from_arrays(values, names=_names(first))
    rows = [pa.chunked_array([pa.array([text], pa.string()), *column.chunks]) for text, column in zip(first, texts, strict=True)]
    return pa.Table.from_arrays([values for _, values in typed(rows)], names=_names([None] * len(first)))


# --- the sample ---------------------------------------------------------------------------------------------------------------


def shape_of(shown: str, source: Path | pa.Buffer) -> tuple[Shape, bool]:
    """How the file is written, and whether that was found by all lines. Raises DataError: in no known way, or it is not UTF-8."""
    shapes, complete = _shapes(shown, source)
    if not shapes:
        raise DataError(f"{shown}: cannot be read as CSV: no delimiter and no quotes fit the rows that it begins with")
    return shapes[0] if len(shapes) == 1 else min(shapes, key=_texts_in_sample), complete


def _shapes(shown: str, source: Path | pa.Buffer) -> tuple[list[Shape], bool]:
    """The dialects that fit, and whether they were found by all lines; of long rows a larger sample is taken."""
    size = _SAMPLE
    while True:
        content = _read(shown, source, size + 1)
        complete = len(content) <= size
        lines = lines_of(_decoded(shown, content, complete))
        shapes = shapes_of(lines if complete else lines[:-1], complete)
        if complete or (shapes and all(len(shape.rows) > 1 for shape in shapes)):
            return shapes, complete
        size *= 16


def _opened(source: Path | pa.Buffer) -> Any:
    return pa.BufferReader(source) if isinstance(source, pa.Buffer) else pa.input_stream(source, compression="detect")


def _read(shown: str, source: Path | pa.Buffer, size: int | None = None) -> bytes:
    try:
        with (
            pa.BufferReader(source) if isinstance(source, pa.Buffer) else pa.input_stream(source, compression="detect") as stream
        ):
            content: bytes = stream.read(size) if size is not None else stream.read()
    except READ_ERRORS as error:
        raise DataError(f"{shown}: cannot be read as CSV: {error}") from error
    return content


def _decoded(shown: str, content: bytes, complete: bool = True) -> str:
    """The text; what is cut at the end of an incomplete one may end within a character."""
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(content, complete)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{shown}: is not UTF-8: byte 0x{content[error.start]:02x} in line {line}; convert it: iconv -f LATIN1 -t UTF-8"
        ) from error


def _texts_in_sample(shape: Shape) -> int:
    """How many columns a shape makes texts of, by which DuckDB chooses."""
    columns = _columns_of([_values(row.fields) for row in shape.rows[1:]], shape.width)
    return sum(kind.is_text for kind, _ in typed(columns))


def _first_row(shape: Shape) -> list[str | None]:
    return _values(shape.rows[0].fields)


def _values(fields: Sequence[str]) -> list[str | None]:
    return [field or None for field in fields]


def _columns_of(rows: Sequence[Sequence[str | None]], width: int) -> list[Texts]:
    """The columns of rows of `width` values; a row that has one less has NULL there."""
    return [
        pa.chunked_array([pa.array([row[index] if index < len(row) else None for row in rows], pa.string())])
        for index in range(width)
    ]


def _is_header(first: Sequence[str | None], kinds: Sequence[Kind]) -> bool:
    """Whether the first row has the columns' names: it is nothing, or not of the kinds of the others, or all are texts."""
    if all(text is None for text in first) or all(kind.is_text for kind in kinds):
        return True
    return not all(kind.accepts(text) for kind, text in zip(kinds, first, strict=True))


def _names(first: Sequence[str | None]) -> list[str]:
    digits = len(str(len(first) - 1))
    return [(text or "").strip(" ") or f"column{index:0{digits}}" for index, text in enumerate(first)]


# --- all rows -----------------------------------------------------------------------------------------------------------------


def _texts(shown: str, source: Path | pa.Buffer, shape: Shape, complete: bool) -> list[Texts]:
    """The columns below the first row, as texts."""
    if complete and len(shape.rows) == 1:
        return _columns_of([], shape.width)
    if not shape.plain:
        return _columns_of(list(_other_rows(shown, source, shape)), shape.width)
    try:
        table = _read_by_arrow(source, shape, whole=False)
    except pa.ArrowInvalid:  # a field in quotes may go on beyond the end of a block, which then is no end of a row
        try:
            table = _read_by_arrow(source, shape, whole=True)
        except READ_ERRORS as error:
            _decoded(shown, _read(shown, source))
            raise DataError(f"{shown}: cannot be read as CSV: {error}") from error
    except OSError as error:
        raise DataError(f"{shown}: cannot be read as CSV: {error}") from error
    return list(table.columns)


def _read_by_arrow(source: Path | pa.Buffer, shape: Shape, whole: bool) -> pa.Table:
    """The rows below the first. whole: as blocks that end where rows do, and that are large, which takes twice as long."""
    names = [str(index) for index in range(shape.width)]
    dialect = shape.dialect
    return pyarrow.csv.read_csv(
        pa.BufferReader(source) if isinstance(source, pa.Buffer) else source,
        pyarrow.csv.ReadOptions(skip_rows=shape.rows[0].lines, column_names=names, block_size=_LARGE_BLOCK if whole else _BLOCK),
        pyarrow.csv.ParseOptions(
            delimiter=dialect.delimiter,
            quote_char=dialect.quote or False,
            newlines_in_values=whole,
            ignore_empty_lines=shape.width > 1,
        ),
        pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    )


def _other_rows(shown: str, source: Path | pa.Buffer, shape: Shape) -> Iterator[list[str | None]]:
    """The rows below the first, where comments are between them or spaces around quotes."""
    start = shape.rows[0].lines
    try:
        for row in rows_of(lines_of(_decoded(shown, _read(shown, source))), shape.dialect):
            if row.lines <= start or row.comment == "line" or (row.empty and shape.width > 1):
                continue
            if len(row.fields) != shape.width:
                raise DataError(
                    f"{shown}: cannot be read as CSV: Expected {shape.width} columns, got {len(row.fields)} in line {row.lines}"
                )
            yield _values(row.fields)
    except MalformedRowError as error:
        raise DataError(f"{shown}: cannot be read as CSV: {error} in line {error.line}") from error
