"""The numbers of a table's rows: under which names statements and queries read them."""

from __future__ import annotations

ROWS_NUMBERED = "\0rows"  # behind the name of a table that is read with its rows' numbers
ROW = "row number\0"  # the column, behind its own, of such a table: BIGINT, from 0
ROWID = "rowid"  # what queries call it


def numbered(table: str) -> str:
    """The name under which `table` is read with the column ROW.

    >>> numbered("t").removesuffix(ROWS_NUMBERED)
    't'
    """
    return table + ROWS_NUMBERED


def without_numbers(text: str) -> str:
    """A text in which such names stand, as people may read it.

    >>> without_numbers(f"{numbered('t')} ({ROW})")
    't (rowid)'
    """
    return text.replace(ROWS_NUMBERED, "").replace(ROW, ROWID)
