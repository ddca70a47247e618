"""The rows of CSV text, one field after the other: what a file's dialect is found by, and read by where pyarrow cannot.

Lines without quotes are split and no more; a file of them passes at some ten million fields a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

CommentKind: TypeAlias = Literal["", "line", "end"]

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
_SPACES = re.compile(" *")


@dataclass(frozen=True)
class Dialect:
    """How a file is written. quote, escape and comment are "" where there is none; an escape that is the quote is doubled."""

    delimiter: str
    quote: str = '"'
    escape: str = '"'
    comment: str = ""


@dataclass(frozen=True)
class Row:
    """One row: its fields, and of how many lines it and those before it are.

    comment: whether it is one, or ends with one. quoted: whether a field is in quotes, closed: whether the last one is; spaced:
    whether spaces are around those.
    """

    fields: list[str]
    lines: int
    comment: CommentKind = ""
    quoted: bool = False
    spaced: bool = False
    closed: bool = False

    @property
    def empty(self) -> bool:
        return self.fields == [""] and not self.quoted


class MalformedRowError(ValueError):
    """A quote that is never closed, or text behind one; `line` counts from 1."""

    def __init__(self, line: int, unclosed: bool) -> None:
        super().__init__("a quote is never closed" if unclosed else "there is text behind a closing quote")
        self.line = line
        self.unclosed = unclosed


def lines_of(text: str) -> list[str]:
    """The lines of `text` with their ends, which are LF, CR LF or CR, and no other character."""
    return _LINE.findall(text)


def rows_of(lines: Sequence[str], dialect: Dialect) -> Iterator[Row]:
    """The rows in `lines`, empty ones and comments among them.

    Raises:
        MalformedRowError: quotes are not where they should be.

    >>> [row.fields for row in rows_of(lines_of("a,b\\n'x, y',2"), Dialect(",", "'", "'"))]
    [['a', 'b'], ['x, y', '2']]
    """
    number = 0
    while number < len(lines):
        line = lines[number].rstrip("\r\n")
        if dialect.comment and line.startswith(dialect.comment):
            number += 1
            yield Row([line], number, "line")
        elif dialect.quote and dialect.quote in line:
            reader = _QuotedRow(lines, number, dialect)
            row = reader.read()
            number = row.lines
            yield row
        else:
            number += 1
            kept = line.partition(dialect.comment)[0] if dialect.comment else line
            yield Row(kept.split(dialect.delimiter), number, "" if kept == line else "end")


class _QuotedRow:
    """Reads one row that has a quote somewhere; a field in quotes may go on over several lines."""

    def __init__(self, lines: Sequence[str], number: int, dialect: Dialect) -> None:
        self._lines = lines
        self._number = self._first = number
        self._dialect = dialect
        self._line = lines[number]
        self._place = 0
        self._quoted = self._spaced = self._closed = False

    def read(self) -> Row:
        fields = []
        while True:
            fields.append(self._field())
            rest = self._line[self._place :]
            if not rest.startswith(self._dialect.delimiter):
                break
            self._place += 1
        comment: CommentKind = "end" if rest.strip("\r\n") else ""
        return Row(fields, self._number + 1, comment, self._quoted, self._spaced, self._closed)

    def _field(self) -> str:
        opening = self._after_spaces()
        self._closed = self._line.startswith(self._dialect.quote, opening)
        if self._closed:
            self._spaced |= opening > self._place
            self._quoted = True
            self._place = opening + 1
            return self._in_quotes()
        start = self._place
        ends = [self._line.find(mark, start) for mark in (self._dialect.delimiter, self._dialect.comment, "\r", "\n") if mark]
        self._place = min((end for end in ends if end >= 0), default=len(self._line))
        return self._line[start : self._place]

    def _in_quotes(self) -> str:
        quote, escape = self._dialect.quote, self._dialect.escape
        parts = []
        while True:
            end = self._line.find(quote, self._place)
            escaped = self._line.find(escape, self._place) if escape != quote else -1
            if escaped >= 0 and (end < 0 or escaped < end):
                following = self._line[escaped + 1 : escaped + 2]
                if following not in (quote, escape):
                    raise MalformedRowError(self._number + 1, unclosed=False)
                parts += [self._line[self._place : escaped], following]
                self._place = escaped + 2
            elif end < 0:
                parts.append(self._line[self._place :])
                self._next_line()
            elif escape == quote and self._line.startswith(quote, end + 1):
                parts.append(self._line[self._place : end + 1])
                self._place = end + 2
            else:
                parts.append(self._line[self._place : end])
                self._close(end + 1)
                return "".join(parts)

    def _close(self, place: int) -> None:
        """Go behind a closing quote, and spaces; nothing else but the field's end may follow."""
        self._place = place
        after = self._after_spaces()
        if self._line[after : after + 1] not in ("", "\r", "\n", self._dialect.delimiter, self._dialect.comment or "\n"):
            raise MalformedRowError(self._number + 1, unclosed=False)
        self._spaced |= after > place
        self._place = after

    def _next_line(self) -> None:
        self._number += 1
        if self._number == len(self._lines):
            raise MalformedRowError(self._first + 1, unclosed=True)
        self._line, self._place = self._lines[self._number], 0

    def _after_spaces(self) -> int:
        found = _SPACES.match(self._line, self._place)
        return found.end() if found else self._place
