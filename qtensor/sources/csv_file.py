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
_BLOCK, LARGE_BLOCK = 1 << 20, 1 << 28


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
    first = first_row(shape)
    texts = _texts(shown, source, shape, complete)[: len(first)]
    found = typed(texts if len(texts[0]) else columns_of([first], len(first)))
    if is_header(first, [kind for kind, _ in found]):
        values = [values for _, values in found] if len(texts[0]) else texts
        return pa.Table.from_arrays(values, names=names_of(first))
    rows = [pa.chunked_array([pa.array([text], pa.string()), *column.chunks]) for text, column in zip(first, texts, strict=True)]
    return pa.Table.from_arrays([values for _, values in typed(rows)], names=names_of([None] * len(first)))


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
        content = read_octets(shown, source, size + 1)
        complete = len(content) <= size
        lines = lines_of(decoded(shown, content, complete))
        shapes = shapes_of(lines if complete else lines[:-1], complete)
        if complete or (shapes and all(len(shape.rows) > 1 for shape in shapes)):
            return shapes, complete
        size *= 16


def opened(source: Path | pa.Buffer) -> Any:
    """A stream of the bytes, decompressed if need be. Raises OSError."""
    return pa.BufferReader(source) if isinstance(source, pa.Buffer) else pa.input_stream(source, compression="detect")


def read_octets(shown: str, source: Path | pa.Buffer, size: int | None = None) -> bytes:
    """The first `size` bytes, decompressed; all if None. Raises DataError."""
    try:
        with opened(source) as stream:
            content: bytes = stream.read(size) if size is not None else stream.read()
    except READ_ERRORS as error:
        raise DataError(f"{shown}: cannot be read as CSV: {error}") from error
    return content


def decoded(shown: str, content: bytes, complete: bool = True, before: int = 0) -> str:
    """The text; what is cut at the end of an incomplete one may end within a character. before: how many lines are before it.

    Raises DataError.
    """
    try:
        return codecs.getincrementaldecoder("utf-8" if before else "utf-8-sig")().decode(content, complete)
    except UnicodeDecodeError as error:
        line = before + content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{shown}: is not UTF-8: byte 0x{content[error.start]:02x} in line {line}; convert it: iconv -f LATIN1 -t UTF-8"
        ) from error


def _texts_in_sample(shape: Shape) -> int:
    """How many columns a shape makes texts of, by which DuckDB chooses."""
    columns = columns_of([values_of(row.fields) for row in shape.rows[1:]], shape.width)
    return sum(kind.is_text for kind, _ in typed(columns))


def first_row(shape: Shape) -> list[str | None]:
    return values_of(shape.rows[0].fields)


def values_of(fields: Sequence[str]) -> list[str | None]:
    return [field or None for field in fields]


def columns_of(rows: Sequence[Sequence[str | None]], width: int) -> list[Texts]:
    """The columns of rows of `width` values; a row that has one less has NULL there."""
    return [
        pa.chunked_array([pa.array([row[index] if index < len(row) else None for row in rows], pa.string())])
        for index in range(width)
    ]


def is_header(first: Sequence[str | None], kinds: Sequence[Kind]) -> bool:
    """Whether the first row has the columns' names: it is nothing, or not of the kinds of the others, or all are texts."""
    if all(text is None for text in first) or all(kind.is_text for kind in kinds):
        return True
    return not all(kind.accepts(text) for kind, text in zip(kinds, first, strict=True))


def names_of(first: Sequence[str | None]) -> list[str]:
    digits = len(str(len(first) - 1))
    return [(text or "").strip(" ") or f"column{index:0{digits}}" for index, text in enumerate(first)]


# --- all rows -----------------------------------------------------------------------------------------------------------------


def _texts(shown: str, source: Path | pa.Buffer, shape: Shape, complete: bool) -> list[Texts]:
    """The columns below the first row, as texts."""
    if complete and len(shape.rows) == 1:
        return columns_of([], shape.width)
    if not shape.plain:
        lines = lines_of(decoded(shown, read_octets(shown, source)))[shape.rows[0].lines :]
        try:
            return columns_of(list(other_rows(shown, lines, shape, shape.rows[0].lines)), shape.width)
        except MalformedRowError as error:
            raise malformed(shown, error, shape.rows[0].lines) from error
    start = pyarrow.csv.ReadOptions(skip_rows=shape.rows[0].lines, block_size=_BLOCK)
    try:
        table = rows_by_arrow(source, shape, start)
    except pa.ArrowInvalid:  # a field in quotes may go on beyond the end of a block, which then is no end of a row
        start.block_size = LARGE_BLOCK  # which takes twice as long
        try:
            table = rows_by_arrow(source, shape, start, lines_in_quotes=True)
        except READ_ERRORS as error:
            decoded(shown, read_octets(shown, source))
            raise DataError(f"{shown}: cannot be read as CSV: {error}") from error
    except OSError as error:
        raise DataError(f"{shown}: cannot be read as CSV: {error}") from error
    return list(table.columns)


def rows_by_arrow(
    source: Path | pa.Buffer,
    shape: Shape,
    options: pyarrow.csv.ReadOptions,
    columns: Sequence[int] | None = None,
    *,
    lines_in_quotes: bool = False,
) -> pa.Table:
    """Rows as texts, by pyarrow. columns: those that are wanted; None: all. lines_in_quotes: blocks end where rows do.

    Raises ArrowInvalid, OSError.
    """
    names = [str(index) for index in range(shape.width)]
    dialect = shape.dialect
    options.column_names = names
    return pyarrow.csv.read_csv(
        pa.BufferReader(source) if isinstance(source, pa.Buffer) else source,
        options,
        pyarrow.csv.ParseOptions(
            delimiter=dialect.delimiter,
            quote_char=dialect.quote or False,
            newlines_in_values=lines_in_quotes,
            ignore_empty_lines=shape.width > 1,
        ),
        pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=None if columns is None else [names[index] for index in columns],
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    )


def other_rows(shown: str, lines: Sequence[str], shape: Shape, before: int) -> Iterator[list[str | None]]:
    """The rows in `lines`, where comments are between them or spaces around quotes. before: how many lines are before these.

    Raises:
        DataError: they differ in their number of fields.
        MalformedRowError: quotes are not where they should be.
    """
    for row in rows_of(lines, shape.dialect):
        if row.comment == "line" or (row.empty and shape.drops_empty_lines):
            continue
        if len(row.fields) != shape.width and not row.empty:
            found = f"Expected {shape.width} columns, got {len(row.fields)} in line {row.lines + before}"
            raise DataError(f"{shown}: cannot be read as CSV: {found}")
        yield values_of(row.fields)


def malformed(shown: str, error: MalformedRowError, before: int) -> DataError:
    return DataError(f"{shown}: cannot be read as CSV: {error} in line {error.line + before}")
