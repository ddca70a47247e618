"""Results as people see them: a box of text in the terminal, as DuckDB draws it, and an HTML table in a notebook."""

from __future__ import annotations

import html
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from rich.cells import cell_len, set_cell_size

from qtensor.results.column_texts import texts

SHORTEST_CUT = 20  # a column is cut to this width before whole columns are left out
UNCUT_EXTRA = 3  # three more rows take no more room than the three rows of dots that would replace them
UNCOUNTED_ROWS = 10  # fewer than these nobody needs to have counted
LONGEST_HTML_TEXT = 200
INTEGER_NAMES = {
    "TINYINT": "int8",
    "SMALLINT": "int16",
    "INTEGER": "int32",
    "BIGINT": "int64",
    "HUGEINT": "int128",
    "UTINYINT": "uint8",
    "USMALLINT": "uint16",
    "UINTEGER": "uint32",
    "UBIGINT": "uint64",
    "UHUGEINT": "uint128",
}
ESCAPES = {code: f"\\{code}" for code in (*range(32), *range(127, 160))} | {
    ord(character): escape for character, escape in zip("\a\b\t\n\v\f\r\x1b", (f"\\{c}" for c in "abtnvfre"), strict=True)
}


@dataclass(frozen=True)
class _Column:
    """One column of the rows to show: `head` from the start of the table, `tail` from its end."""

    name: str
    type: str
    right: bool
    head: tuple[str | None, ...]
    tail: tuple[str | None, ...]

    @property
    def width(self) -> int:
        return max(cell_len(_shown(text)) for text in (self.name, self.type, *self.head, *self.tail))


def render_text(table: pa.Table, types: Sequence[str], rows: int = 20, width: int | None = None) -> str:
    """Draw `table` as a box of lines; the last line has no newline.

    Where it is longer than `rows` (and more than dots would save), rows in the middle are left out; where it is wider than
    `width`, long cells are cut, then columns in the middle left out. Then a footer says how many rows and columns there are.
    Control characters are shown as escapes, so that a value cannot move the cursor.

    Args:
        table: the result.
        types: the SQL type of each column, as `str(SqlType)` spells it.
        rows: how many rows to show, at least 1.
        width: columns of the terminal; without it, this terminal's, or 120 where there is none.

    >>> table = pa.table({"name": ["a", None], "share": [0.25, 1.0]})
    >>> print(render_text(table, ["VARCHAR", "DOUBLE"]))
    ┌─────────┬────────┐
    │  name   │ share  │
    │ varchar │ double │
    ├─────────┼────────┤
    │ a       │   0.25 │
    │ NULL    │    1.0 │
    └─────────┴────────┘
    """
    if width is None:
        width = shutil.get_terminal_size((120, 40)).columns
    columns = _columns(table, types, rows)
    if not columns:
        return f"  {_counted(table.num_rows, table.num_rows, 'row')[0]}, 0 columns"
    kept, widths = _fit(columns, width)
    shown = len(columns[0].head) + len(columns[0].tail), sum(column is not None for column in kept)
    widths = (*widths[:-1], widths[-1] + max(0, _footer_width(table.shape, shown) - _total(widths)))
    return "\n".join((*_box(kept, widths), *_footer(table.shape, shown, _total(widths))))


def render_html(table: pa.Table, types: Sequence[str], rows: int = 20) -> str:
    """`table` as an HTML table: a head of names and SQL types, at most about `rows` rows, and below how many there are.

    All text is escaped. Numbers are aligned to the right, NULL is in italics.
    """
    columns = _columns(table, types, rows)
    names = "".join(f"<th>{html.escape(column.name)}<br><small>{html.escape(column.type)}</small></th>" for column in columns)
    head = [_html_row(cells, columns) for cells in zip(*(column.head for column in columns), strict=True)]
    tail = [_html_row(cells, columns) for cells in zip(*(column.tail for column in columns), strict=True)]
    dots = [f"<tr>{'<td>⋮</td>' * len(columns)}</tr>"] if tail else []
    rows_shown = len(head) + len(tail) if columns else table.num_rows
    row_count = " ".join(_counted(table.num_rows, rows_shown, "row")).strip()
    column_count, _ = _counted(len(columns), len(columns), "column")
    lines = ["<table>", f"<thead><tr>{names}</tr></thead>", "<tbody>", *head, *dots, *tail, "</tbody>", "</table>"]
    return "\n".join((*lines, f"<p>{row_count}, {column_count}</p>"))


# Cells


def _columns(table: pa.Table, types: Sequence[str], rows: int) -> tuple[_Column, ...]:
    head, tail = _split(table.num_rows, rows)
    columns = []
    for field, column, type_ in zip(table.schema, table.columns, types, strict=True):
        right = pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_decimal(field.type)
        first, last = column.slice(0, head), column.slice(table.num_rows - tail)
        columns.append(_Column(_escaped(field.name), _type_name(type_), right, _texts(first), _texts(last)))
    return tuple(columns)


def _split(total: int, rows: int) -> tuple[int, int]:
    """How many rows to show from the start and from the end."""
    if total <= rows + UNCUT_EXTRA:
        return total, 0
    return (rows + 1) // 2, rows // 2


def _texts(column: pa.ChunkedArray) -> tuple[str | None, ...]:
    type_ = column.type
    if pa.types.is_dictionary(type_):
        return _texts(column.cast(type_.value_type))
    if pa.types.is_fixed_size_list(type_) and pa.types.is_floating(type_.value_type):
        return tuple(None if value is None else _scores_text(value, type_.value_type) for value in column.to_pylist())
    numbers = pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_)
    if numbers or pa.types.is_string(type_) or pa.types.is_boolean(type_):
        return tuple(None if value is None else _text(value, type_) for value in column.to_pylist())
    return tuple(text if text is None else _escaped(text) for chunk in column.chunks for text in texts(chunk))


def _scores_text(values: list[float | None], type_: pa.DataType) -> str:
    return f"[{', '.join('NULL' if value is None else _text(value, type_) for value in values)}]"


def _text(value: object, type_: pa.DataType) -> str:
    """One value as DuckDB writes it."""
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return _float_text(np.float32(value) if pa.types.is_float32(type_) else np.float64(value))
        case str():
            return _escaped(value)
        case _ if pa.types.is_decimal(type_):
            return f"{value:f}"
        case _:
            return _escaped(str(value))


def _float_text(value: np.floating[Any]) -> str:
    """The shortest decimal number that rounds to `value`, in the form that Python gives to a float of any size."""
    if np.isfinite(value) and (value == 0 or 1e-4 <= abs(value) < 1e16):
        return np.format_float_positional(value, unique=True, trim="0")
    return str(value)


def _shown(text: str | None) -> str:
    return "NULL" if text is None else text


def _escaped(text: str) -> str:
    return text.translate(ESCAPES)


def _type_name(sql: str) -> str:
    """The type as the box's second line names it.

    >>> _type_name("BIGINT"), _type_name("DECIMAL(18,2)"), _type_name("FLOAT[3]")
    ('int64', 'decimal(18,2)', 'float[3]')
    """
    word, bracket, rest = sql.partition("[")
    return INTEGER_NAMES.get(word, word.lower()) + bracket + rest


# Widths


def _fit(columns: tuple[_Column, ...], width: int) -> tuple[tuple[_Column | None, ...], tuple[int, ...]]:
    """The columns that fit into `width`, with one None where others are left out, and the width of each (of None: 1)."""
    natural = [column.width for column in columns]
    if widths := _shrunk(natural, width - _total([0] * len(columns))):
        return columns, widths
    least = [min(w, SHORTEST_CUT) for w in natural]
    left, right = _ends_that_fit(least, width)
    if left == right:  # a single column: nothing lies between its ends
        return columns, (max(1, width - _total([0])),)
    spare = max(0, width - _total([*least[:left], 1, *least[right:]]))
    ends: list[int] = []
    for wanted, granted in zip([*natural[:left], *natural[right:]], [*least[:left], *least[right:]], strict=True):
        ends.append(min(wanted, granted + spare))
        spare -= ends[-1] - granted
    return (*columns[:left], None, *columns[right:]), (*ends[:left], 1, *ends[left:])


def _ends_that_fit(widths: Sequence[int], width: int) -> tuple[int, int]:
    """The range of columns to leave out, so that the rest fits beside a "…": from the middle outwards, never the first.

    >>> _ends_that_fit([20] * 7, 100)
    (2, 5)
    """
    left = right = len(widths) // 2
    while right - left < len(widths) - 1 and _total([*widths[:left], 1, *widths[right:]]) > width:
        if right - left < 2 * (len(widths) // 2 - left) + 1:
            right += 1
        else:
            left -= 1
    return left, right


def _shrunk(natural: Sequence[int], room: int) -> tuple[int, ...] | None:
    """Widths of sum at most `room`, the widest made equally narrow, none cut below SHORTEST_CUT; None if there are none.

    What is left over after equal shares goes to those that need least.

    >>> _shrunk([5, 50, 50], 60), _shrunk([5, 50, 50], 40)
    ((5, 28, 27), None)
    """
    for cap in range(max(SHORTEST_CUT, min(room, max(natural))), SHORTEST_CUT - 1, -1):
        widths = [min(w, cap) for w in natural]
        spare = room - sum(widths)
        if spare >= 0:
            wider = sorted((index for index, w in enumerate(natural) if w > cap), key=natural.__getitem__)[:spare]
            return tuple(w + (index in wider) for index, w in enumerate(widths))
    return None


def _total(widths: Sequence[int]) -> int:
    """The width of the whole box: cells, a blank on either side of each, and the lines between."""
    return 1 + sum(width + 3 for width in widths)


# Lines


def _box(columns: Sequence[_Column | None], widths: Sequence[int]) -> list[str]:
    def rule(left: str, middle: str, right: str) -> str:
        return left + middle.join("─" * (width + 2) for width in widths) + right

    height = max(len(_lines(column, width)) for column, width in zip(columns, widths, strict=True) if column)
    placed = [
        _lines(column, width) if column else ["…".ljust(width)] * height for column, width in zip(columns, widths, strict=True)
    ]
    name, type_, *rows = (f"│ {' │ '.join(cells)} │" for cells in zip(*placed, strict=True))
    middle = [rule("├", "┼", "┤"), *rows] if rows else []
    return [rule("┌", "┬", "┐"), name, type_, *middle, rule("└", "┴", "┘")]


def _lines(column: _Column, width: int) -> list[str]:
    """All cells of a column, each exactly `width` wide: name, type, head, dots, tail."""

    def aligned(text: str | None) -> str:
        text = _cut(_shown(text), width)
        blanks = " " * (width - cell_len(text))
        return blanks + text if column.right else text + blanks

    titles = [_centred(_cut(title, width), width) for title in (column.name, column.type)]
    dots = [_dot(column, width)] * 3 if column.tail else []
    return [*titles, *map(aligned, column.head), *dots, *map(aligned, column.tail)]


def _dot(column: _Column, width: int) -> str:
    """A dot under the middle of the shorter of its two neighbours."""
    shorter = min(width, cell_len(_shown(column.head[-1])), cell_len(_shown(column.tail[0])))
    beside = " " * (max(0, shorter - 1) // 2)
    return ("·" + beside).rjust(width) if column.right else (beside + "·").ljust(width)


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"


def _centred(text: str, width: int) -> str:
    blanks = width - cell_len(text)
    return " " * (blanks // 2) + text + " " * (blanks - blanks // 2)


# Footer


def _footer(shape: tuple[int, int], shown: tuple[int, int], total: int) -> list[str]:
    """What stands below a box `total` wide: how many rows and columns there are, and how many of them are shown.

    `shape` and `shown` are (rows, columns). Two lines where rows or columns are missing and one line is too narrow. A table
    shown whole needs no footer; one too long to count its rows at a glance gets as much of it as fits.
    """
    rows, columns = (_counted(*numbers) for numbers in zip(shape, shown, ("row", "column"), strict=True))
    left, right = " ".join(rows).strip(), " ".join(columns).strip()
    fits_left, fits_both = len(left) + 4 <= total, len(left) + 1 + len(right) + 4 <= total
    whole = shape == shown
    if whole and shape[0] > 0 and not (fits_left and shape[0] >= UNCOUNTED_ROWS):
        return []
    if shape[1] == 1 or shape[0] == 0 or (whole and not fits_both):
        return [_centred(part, total).rstrip() for part in ((left,) if fits_left else rows)]
    pairs = [(left, right)] if fits_both else zip(rows, columns, strict=True)
    return [f"  {part}{other.rjust(total - 4 - len(part))}".rstrip() for part, other in pairs]


def _footer_width(shape: tuple[int, int], shown: tuple[int, int]) -> int:
    """How wide a box must be for its footer's two lines; 0 if it can do without."""
    if shape == shown and shape[0] > 0:
        return 0
    rows, columns = (_counted(*numbers) for numbers in zip(shape, shown, ("row", "column"), strict=True))
    if shape[1] == 1 or shape[0] == 0:
        return 4 + max(map(len, rows))
    return 5 + max(len(part) + len(other) for part, other in zip(rows, columns, strict=True))


def _counted(count: int, shown: int, noun: str) -> tuple[str, str]:
    """The two parts of a footer's half, such as ("30 rows", "(20 shown)")."""
    return f"{count} {noun}{'' if count == 1 else 's'}", "" if shown == count else f"({shown} shown)"


# HTML


def _html_row(cells: Sequence[str | None], columns: Sequence[_Column]) -> str:
    return f"<tr>{''.join(map(_html_cell, cells, columns))}</tr>"


def _html_cell(text: str | None, column: _Column) -> str:
    if text is not None and len(text) > LONGEST_HTML_TEXT:
        text = text[: LONGEST_HTML_TEXT - 1] + "…"
    inner = "<em>NULL</em>" if text is None else html.escape(text)
    return f'<td style="text-align: {"right" if column.right else "left"}">{inner}</td>'
