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


def split(text: str) -> tuple[list[str], str]:
    """The statements of `text` that a semicolon ends, without it, and what is left after the last one.

    Nothing but blanks and comments is no statement.

    >>> split("SELECT ';' AS a; -- one; two\\n; SELECT 2")
    (["SELECT ';' AS a"], 'SELECT 2')
    >>> split("SELECT 'it''s; SELECT 2")
    ([], "SELECT 'it''s; SELECT 2")
    """
    statements: list[str] = []
    start = position = 0
    something = False
    while position < len(text):
        part = _PART.match(text, position)
        assert part is not None
        position = part.end()
        match part.lastgroup:
            case "end":
                if something:
                    statements.append(text[start : part.start()].strip())
                start, something = position, False
            case "dollar" | "tag":
                something = True
                closing = text.find(part["dollar"], position)
                position = len(text) if closing < 0 else closing + len(part["dollar"])
            case "comment" | "blank":
                pass
            case _:  # also a comment that is still open: more is to come
                something = True
    return statements, text[start:].strip() if something else ""
