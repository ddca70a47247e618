"""The numbers of a table's rows: under which names statements and queries read them."""

from __future__ import annotations

ROW = "row number\0"  # the column that a table read with its rows' numbers has behind its own: BIGINT, from 0
ROWID = "rowid"  # what queries call it

_MARK = "\0rows"  # ends the name of a table that is read with its rows' numbers; no table of a user has a NUL in its name


def numbered(table: str) -> str:
    """The name under which `table` is read with the column ROW."""
    return table + _MARK


def table_numbered(name: str) -> str | None:
    """The table whose rows are numbered under `name`, None if `name` is that of a table as it is.

    >>> table_numbered(numbered("t")), table_numbered("t")
    ('t', None)
    """
    return name.removesuffix(_MARK) if name.endswith(_MARK) else None


def without_numbers(text: str) -> str:
    """A text in which such names stand, as people may read it.

    >>> without_numbers(f"{numbered('t')} ({ROW})")
    't (rowid)'
    """
    return text.replace(_MARK, "").replace(ROW, ROWID)
