"""A CSV file in blocks that end where rows end, so that a file of any size is read in little memory.

pyarrow's own reader of streams goes from the start to the end and does not say where its blocks are; these can be read again,
each by itself and in any order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv

from qtensor.errors import DataError
from qtensor.sources.arrow import READ_ERRORS
from qtensor.sources.csv_dates import Texts
from qtensor.sources.csv_dialect import Shape
from qtensor.sources.csv_file import LARGE_BLOCK, columns_of, decoded, first_row, malformed, opened, other_rows, rows_by_arrow
from qtensor.sources.csv_rows import Dialect, MalformedRowError, lines_of

_BLOCK_ROWS = 1 << 15  # about: by the sample
_SMALLEST, _LARGEST = 1 << 16, 1 << 25  # bytes of a block, if no row is longer
_SKIPPED = 1 << 20  # bytes at a time
_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")


class Block(NamedTuple):
    """Bytes of the file, decompressed, of which these are so many rows; before: lines. No bytes: the file's first row."""

    start: int
    size: int
    rows: int
    before: int


class CsvBlocks:
    """The rows of a file below its first. Safe to use from several threads."""

    def __init__(self, path: Path, shape: Shape, size: int | None = None) -> None:
        """size: about that of a block; None: that of some ten thousand rows. Raises DataError."""
        self.width = len(shape.rows[0].fields)
        self.first = Block(0, 0, 1, 0)
        self._shown = str(path)
        self._shape = shape
        self._octets = _Octets(path)
        self._start = self._behind_line(shape.rows[0].lines)
        average = self._behind_line(shape.rows[-1].lines) // len(shape.rows)
        self._size = size or min(max(average * _BLOCK_ROWS, _SMALLEST), _LARGEST)

    def all(self) -> Iterator[tuple[Block, list[Texts]]]:
        """The blocks with all their columns, from the start of the file to its end. Raises DataError."""
        start, size, before = self._start, self._size, self._shape.rows[0].lines
        while content := self._octets.read(start, size):
            end, texts = self._cut(content, len(content) < size, before)
            if end == 0:  # a row that goes on
                size *= 2
                if size > LARGE_BLOCK:
                    raise DataError(f"{self._shown}: cannot be read as CSV: the row behind line {before} is too long")
                continue
            if len(texts[0]):
                yield Block(start, end, len(texts[0]), before), texts
            start, size, before = start + end, self._size, before + _lines_in(content[:end])

    def texts(self, block: Block, columns: Sequence[int]) -> list[Texts]:
        """Columns of a block. Raises DataError."""
        if block.size == 0:
            first = first_row(self._shape)
            return columns_of([[first[index] for index in columns]], len(columns))
        content = self._octets.read(block.start, block.size)
        found = self._parsed(content, block.before, columns) if len(content) == block.size else []
        if any(len(texts) != block.rows for texts in found) or len(found) != len(columns):
            raise DataError(f"{self._shown}: the file has changed since it was registered; register it again")
        return found

    def _behind_line(self, number: int) -> int:
        """How many bytes the first `number` lines have."""
        size = _SMALLEST
        while True:
            content = self._octets.read(0, size)
            complete = len(content) < size
            ends = [found.end() for found, _ in zip(_LINE_END.finditer(content), range(number), strict=False)]
            if len(ends) == number and (complete or ends[-1] < len(content)):
                return ends[-1]
            if complete:
                return len(content)
            size *= 4

    def _cut(self, content: bytes, complete: bool, before: int) -> tuple[int, list[Texts]]:
        """How many bytes of `content` are rows that end in it, and their columns; complete: whether the file ends with it."""
        columns = range(self.width)
        if self._shape.plain:
            end = len(content) if complete else _end_of_rows(content, self._shape.dialect)
            return end, self._by_arrow(content[:end], before, columns)
        content = content if complete else content[: _end_of_lines(content)]
        lines = lines_of(decoded(self._shown, content, before=before))
        try:
            rows = list(other_rows(self._shown, lines, self._shape, before))
        except MalformedRowError as error:
            if complete or not error.unclosed:
                raise malformed(self._shown, error, before) from error
            lines = lines[: error.line - 1]
            rows = list(other_rows(self._shown, lines, self._shape, before))
        return len("".join(lines).encode()), columns_of(rows, self._shape.width)[: self.width]

    def _parsed(self, content: bytes, before: int, columns: Sequence[int]) -> list[Texts]:
        """Columns of whole rows."""
        if self._shape.plain:
            return self._by_arrow(content, before, columns)
        lines = lines_of(decoded(self._shown, content, before=before))
        try:
            rows = columns_of(list(other_rows(self._shown, lines, self._shape, before)), self._shape.width)
        except MalformedRowError as error:
            raise malformed(self._shown, error, before) from error
        return [rows[index] for index in columns]

    def _by_arrow(self, content: bytes, before: int, columns: Sequence[int]) -> list[Texts]:
        if not content.strip(b"\r\n") and (self._shape.width > 1 or not content):
            return columns_of([], len(columns))  # of which Arrow says that there is nothing
        quoted = bool(self._shape.dialect.quote) and self._shape.dialect.quote.encode() in content
        # Arrow leaves out a byte order mark, which only the file's beginning can have.
        source = pa.py_buffer(_BOM + content if content.startswith(_BOM) else content)
        options = pyarrow.csv.ReadOptions(block_size=len(source) if quoted else 1 << 20)
        try:
            table = rows_by_arrow(source, self._shape, options, columns, lines_in_quotes=quoted)
        except READ_ERRORS as error:
            decoded(self._shown, content, before=before)
            raise DataError(f"{self._shown}: cannot be read as CSV: behind line {before}: {error}") from error
        return list(table.columns)


# --- where rows end -----------------------------------------------------------------------------------------------------------


def _lines_in(content: bytes) -> int:
    return content.count(b"\n") or content.count(b"\r")


def _end_of_lines(content: bytes) -> int:
    """Behind the last line that certainly ends in `content`; 0 if there is none."""
    end = content.rfind(b"\n") + 1
    return end or content.rfind(b"\r", 0, len(content) - 1) + 1  # behind the last byte may be the LF of its CR


def _end_of_rows(content: bytes, dialect: Dialect) -> int:
    """Behind the last row that certainly ends in `content`, which begins with one; 0 if there is none.

    Quotes are doubled in quotes. Where each begins or ends a field, a line end is a row's if the number before it is even.
    """
    quote, delimiter = dialect.quote.encode(), dialect.delimiter.encode()
    if not quote or quote not in content:
        return _end_of_lines(content)
    octets = np.frombuffer(content, np.uint8)
    quotes = np.flatnonzero(octets == quote[0])
    around = np.isin(np.arange(256), list(delimiter + quote + b"\r\n"))
    opening, closing = quotes[::2], quotes[1::2]
    begins = around[octets[opening[opening > 0] - 1]]
    ends = around[octets[closing[closing < len(content) - 1] + 1]]
    if not (begins.all() and ends.all()):
        return _end_by_fields(content, quote, delimiter)
    for mark in b"\n\r":
        lines = np.flatnonzero(octets[: len(content) - (mark == ord("\r"))] == mark)
        outside = lines[np.searchsorted(quotes, lines) % 2 == 0]
        if len(outside):
            return int(outside[-1]) + 1
    return 0


def _end_by_fields(content: bytes, quote: bytes, delimiter: bytes) -> int:
    """The same, field by field: a quote within one that does not begin with it is a character like others."""
    mark, rest = re.escape(quote), b"[^" + re.escape(delimiter) + b"\r\n]*+"
    quoted = b"(?:" + mark + b"(?:[^" + mark + b"]|" + mark * 2 + b")*+" + mark + b"?+)?+"
    end = 0
    for found in re.finditer(quoted + rest + b"(" + re.escape(delimiter) + rb"|\r\n|\n|\r|\Z)", content):
        if found[1] in (b"\n", b"\r\n") or (found[1] == b"\r" and found.end() < len(content)):
            end = found.end()
    return end


class _Octets:
    """The bytes of a file, decompressed, read from anywhere. Of a compressed file they are at hand only in their order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._compressed = path.name.endswith(".gz")
        self._lock = Lock()
        self._stream: Any = None
        self._position = 0  # of the stream
        self._last = b""  # what was read, which ends there

    def read(self, start: int, size: int) -> bytes:
        """`size` bytes from `start` on, fewer at the end of the file. Raises DataError."""
        try:
            if self._compressed:
                with self._lock:
                    return self._read_on(start, size)
            with self._path.open("rb") as file:
                file.seek(start)
                return file.read(size)
        except READ_ERRORS as error:
            raise DataError(f"{self._path}: cannot be read as CSV: {error}") from error

    def _read_on(self, start: int, size: int) -> bytes:
        if self._stream is None or start < self._position - len(self._last):
            self._stream, self._position, self._last = opened(self._path), 0, b""
        while start > self._position:
            self._last = self._stream.read(min(_SKIPPED, start - self._position))
            self._position += len(self._last)
            if not self._last:
                return b""
        kept = self._last[len(self._last) - (self._position - start) :] if start < self._position else b""
        more = self._stream.read(size - len(kept)) if size > len(kept) else b""
        self._position += len(more)
        self._last = kept + more
        return self._last[:size]
