"""Patterns of LIKE as regular expressions, for all who match texts: the optimiser in Python, programs' tables in Arrow's RE2."""

from __future__ import annotations

import re


class PatternError(Exception):
    """A pattern that ends with its escape character."""


def like_regex(pattern: str, escape: str = "") -> str:
    """The regular expression that matches whole texts as LIKE `pattern` ESCAPE `escape` does, where `.` matches any character.

    % is any text, _ any one character, and what follows the escape character (none: "") is itself.

    >>> like_regex("a%_.c"), like_regex("10!%", "!")
    ('a.*.\\\\.c', '10%')

    Raises:
        PatternError: nothing follows the escape character.
    """
    parts: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if escape and character == escape:
            escaped = next(characters, None)
            if escaped is None:
                raise PatternError(f"a LIKE pattern must not end with its escape character: '{pattern}'")
            parts.append(quoted(escaped))
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or quoted(character))
    return "".join(parts)


def quoted(character: str) -> str:
    """A character that stands for itself, as both RE2 and Python's `re` read it."""
    return re.escape(character) if character.isascii() else character
