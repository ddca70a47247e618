"""LIKE: patterns as regular expressions, matched by RE2 in time linear in the text, wherever a text is matched."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc


class PatternError(Exception):
    """A pattern that ends with its escape character."""


def matches(texts: pa.Array, pattern: str, escape: str = "", *, ignores_case: bool = False) -> pa.Array:
    """bool[texts]: which of the texts LIKE `pattern` ESCAPE `escape` matches, or with `ignores_case` ILIKE; NULL for NULL.

    >>> matches(pa.array(["10%", "10a"]), "10!%", "!").to_pylist()
    [True, False]

    Raises:
        PatternError: nothing follows the escape character.
    """
    return pc.match_substring_regex(texts, like_regex(pattern, escape), ignore_case=ignores_case)


def like_regex(pattern: str, escape: str = "") -> str:
    """A LIKE pattern as a regular expression: % is any text, _ any one character, what follows the escape character itself.

    >>> like_regex("a%_.c"), like_regex("10!%", "!")
    ('(?s)\\\\Aa.*.\\\\.c\\\\z', '(?s)\\\\A10%\\\\z')

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
    return r"(?s)\A" + "".join(parts) + r"\z"


def quoted(character: str) -> str:
    """A character as RE2 reads it literally."""
    return re.escape(character) if character.isascii() else character
