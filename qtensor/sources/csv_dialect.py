"""How a CSV file is written: delimiter, quotes, comments, and where its rows begin, found out by a sample as DuckDB does.

Every dialect is tried. One whose rows differ in their number of fields is out, but for rows at the start that have fewer: those
are no part of the table. Of the others those with most fields win, then those with most rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qtensor.sources.csv_rows import Dialect, MalformedRowError, Row, rows_of

SAMPLED_ROWS = 2_048

_DELIMITERS = (",", "|", ";", "\t")
_QUOTES = (('"', '"'), ('"', "\\"), ("'", "'"), ("'", "\\"), ("", ""))
_COMMENTS = ("", "#")
_COMMENTS_THAT_FIT = 0.6  # of all comments: so many must not look like rows


@dataclass(frozen=True)
class Shape:
    """A dialect that fits.

    width: how many fields a row has. rows: those of the sample that are the table's, a header among them. lines: how many come
    before them. trailing: each row but the first ends with a delimiter, behind which there is nothing.
    """

    dialect: Dialect
    width: int
    rows: list[Row]
    lines: int
    trailing: bool = False

    @property
    def drops_empty_lines(self) -> bool:
        """Whether a line with nothing in it is no row; in a file of one column it is one, of a NULL."""
        return self.width - self.trailing > 1

    @property
    def quoted(self) -> int:
        """How many rows have fields in quotes."""
        return sum(row.quoted for row in self.rows)

    @property
    def plain(self) -> bool:
        """Whether pyarrow reads such a file as DuckDB does."""
        spaced = any(row.spaced for row in self.rows)
        if spaced or self.dialect.comment or self.dialect.escape != self.dialect.quote:
            return False
        return self.drops_empty_lines or not self.trailing


def shapes_of(lines: Sequence[str], complete: bool) -> list[Shape]:
    """The dialects that fit the sample `lines` best, the best first. complete: whether they are the whole file."""
    best: list[Shape] = []
    for dialect in _dialects("".join(lines)):
        rows = _sampled(lines, dialect, complete)
        shape = None if rows is None else _shape(dialect, rows)
        if shape is None:
            continue
        if not best or _is_better(shape, best):
            if best and best[0].quoted and not shape.quoted:
                continue
            best = [shape]
        elif shape.width == best[0].width > 1 and len(shape.rows) > 1 and shape.lines <= best[0].lines:
            best.append(shape)
    return best


def _dialects(text: str) -> Iterator[Dialect]:
    """The dialects that differ over `text`. Quotes that a sample does not have may still come, and then are the usual ones."""
    absent = [delimiter for delimiter in _DELIMITERS if delimiter not in text]
    any_quotes = '"' in text or "'" in text
    for quote, escape in _QUOTES:
        if (quote, escape) != _QUOTES[0] and not (any_quotes and quote in text and escape in text):
            continue
        for delimiter in _DELIMITERS:
            if delimiter in absent[1:]:
                continue  # any delimiter that does not occur makes one column of it all
            for comment in _COMMENTS:
                if comment in text:
                    yield Dialect(delimiter, quote, escape, comment)


def _sampled(lines: Sequence[str], dialect: Dialect, complete: bool) -> list[Row] | None:
    """The first rows; None if the lines are not written in `dialect`."""
    rows: list[Row] = []
    try:
        for row in rows_of(lines, dialect):
            rows.append(row)
            if len(rows) == SAMPLED_ROWS:
                break
    except MalformedRowError as error:
        if complete or not error.unclosed:  # else the sample may end within a field
            return None
    return rows


def _shape(dialect: Dialect, rows: list[Row]) -> Shape | None:
    """What the rows have in common; None if some have fewer fields than others before them, or the comments are none."""
    if not rows:
        return Shape(dialect, 1, [], 0)
    start = next((number for number, row in enumerate(rows) if not row.empty), 0)
    width = len(rows[start].fields)
    for number, row in enumerate(rows):
        if len(row.fields) > width and row.comment != "line":
            width, start = len(row.fields), number
    if start == 1 and _has_trailing_delimiters(rows, width):
        return Shape(dialect, width, rows, 0, trailing=True)
    kept = [row for row in rows[start:] if row.comment != "line" and not (row.empty and width > 1)]
    if any(len(row.fields) != width for row in kept) or not _are_comments(dialect, rows, width):
        return None
    return Shape(dialect, width, kept, rows[start - 1].lines if start else 0)


def _has_trailing_delimiters(rows: list[Row], width: int) -> bool:
    """Whether all rows but the first, which has the names, end with a delimiter."""
    return len(rows[0].fields) == width - 1 and all(
        row.empty or (len(row.fields) == width and row.fields[-1] == "" and not row.closed) for row in rows[1:]
    )


def _are_comments(dialect: Dialect, rows: Sequence[Row], width: int) -> bool:
    """Whether what the dialect takes for comments are some: at least one is a line, and most do not look like rows."""
    if not dialect.comment:
        return True
    comments = [row for row in rows if row.comment]
    lines = [row for row in comments if row.comment == "line" and width > 1]
    fit = len(lines) + sum(row.comment == "end" and len(row.fields) == width for row in comments)
    return bool(lines) and fit / len(comments) >= _COMMENTS_THAT_FIT


def _is_better(shape: Shape, best: Sequence[Shape]) -> bool:
    """Whether `shape` has more quotes of another kind, more columns than one, more rows, or more columns.

    DuckDB takes the last kind of quotes that fits, however few there are.
    """
    if shape.quoted and best[0].dialect.quote != shape.dialect.quote:
        return shape.quoted > best[0].quoted
    count, most = len(shape.rows), len(best[0].rows)
    if best[0].width < 2 and shape.width > best[0].width * len(best):
        return True
    return (count > most and shape.width >= best[0].width) or (count == most and shape.width > best[0].width)
