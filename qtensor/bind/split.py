"""Where a statement ends: at a semicolon that is not inside a text, a quoted name or a comment."""

from __future__ import annotations

import re

# One alternative for each thing that may hide a semicolon, whole or cut off by the end of the text.
_PART = re.compile(
    r"""
      (?P<open> (?<!\w)[eE]'(?:[^'\\]|\\.|'')*\Z | '(?:[^']|'')*\Z | "(?:[^"]|"")*\Z | /\*(?:(?!\*/).)*\Z )
    | (?P<comment> --[^\n]* | /\*.*?\*/ )
    | (?P<text> (?<!\w)[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" )
    | (?P<dollar> (?<![\w$])\$(?P<tag>[A-Za-z_]\w*)?\$ )
    | (?P<end> ; )
    | (?P<blank> \s+ )
    | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)

_NOT_A_LINE_END = re.compile(r"[^\n]")


def split(text: str) -> tuple[list[str], str]:
    """The statements of `text` that a semicolon ends, without it, and what is left after the last one.

    Nothing but blanks and comments is no statement.

    >>> split("SELECT ';' AS a; -- one; two\\n; SELECT 2")
    (["SELECT ';' AS a"], 'SELECT 2')
    >>> split("SELECT 'it''s; SELECT 2")
    ([], "SELECT 'it''s; SELECT 2")
    """
    ended, rest = _places(text)
    return [text[place].strip() for place in ended], text[rest].strip() if rest else ""


def only(text: str, place: slice) -> str:
    """`text` with all but `place` blank, on the same lines.

    >>> only("EXPLAIN SELECT 1", slice(8, 16))
    '        SELECT 1'
    """
    start, stop, _ = place.indices(len(text))
    return _NOT_A_LINE_END.sub(" ", text[:start]) + text[start:stop] + _NOT_A_LINE_END.sub(" ", text[stop:])


def _places(text: str) -> tuple[list[slice], slice | None]:
    """Where the statements are that a semicolon ends; and what is left, if it is more than blanks and comments."""
    places: list[slice] = []
    start = position = 0
    something = False
    while position < len(text):
        part = _PART.match(text, position)
        assert part is not None
        position = part.end()
        match part.lastgroup:
            case "end":
                if something:
                    places.append(slice(start, part.start()))
                start, something = position, False
            case "dollar" | "tag":
                something = True
                closing = text.find(part["dollar"], position)
                position = len(text) if closing < 0 else closing + len(part["dollar"])
            case "comment" | "blank":
                pass
            case _:  # also a comment that is still open: more is to come
                something = True
    return places, slice(start, len(text)) if something else None
