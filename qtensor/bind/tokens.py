"""Tokens as DuckDB splits its text, where sqlglot's tokenizer splits otherwise: texts with escapes, numbers, parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from sqlglot import Token, TokenType

from qtensor.errors import ParseError, Span

_ESCAPE = re.compile(r"\\([0-7]{1,3})|\\x([0-9a-fA-F]{1,2})|\\(.)|''", re.DOTALL)
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SUM = re.compile(r"([\d_.]+[eE][+-]?\d+)[+-]")
_NOT_BREAK = re.compile(r"[^\n]")


def duckdb_tokens(sql: str, tokenize: Callable[[str], list[Token]]) -> list[Token]:
    """The tokens of `sql` with texts that are all of one kind, and with nothing glued together.

    Raises:
        ParseError: a text right behind another, or one that holds the null character.
    """
    merged: list[Token] = []
    for token in (part for whole in _cut_numbers(sql, tokenize) for part in _parts(whole, sql)):
        before = merged[-1] if merged else None
        if token.token_type == TokenType.STRING and before is not None and before.token_type == TokenType.STRING:
            if "\n" not in sql[before.end + 1 : token.start]:
                raise ParseError(f"syntax error at or near \"'{token.text}'\"", sql, [Span(token.start, token.end + 1)])
            merged[-1] = Token(TokenType.STRING, before.text + token.text, before.line, before.col, before.start, token.end)
        else:
            merged.append(token)
    return merged


def _cut_numbers(sql: str, tokenize: Callable[[str], list[Token]]) -> list[Token]:
    """The tokens of `sql`, where 1e0-1 is a difference and no number: what follows 1e0 is split anew."""
    found: list[Token] = []
    rest = tokenize(sql)
    while (cut := _first_sum(sql, rest)) is not None:
        index, number = cut
        found += [*rest[:index], _part(rest[index], TokenType.NUMBER, 0, number[1])]
        rest = tokenize(_NOT_BREAK.sub(" ", sql[: number.end(1)]) + sql[number.end(1) :])
    return found + rest


def _first_sum(sql: str, tokens: list[Token]) -> tuple[int, re.Match[str]] | None:
    """The first number with more behind its exponent, and what its own part is."""
    for index, token in enumerate(tokens):
        if token.token_type == TokenType.NUMBER and (match := _SUM.match(sql, token.start, token.end + 1)):
            return index, match
    return None


def _parts(token: Token, sql: str) -> Iterator[Token]:
    """What DuckDB sees in a token."""
    match token.token_type:
        case TokenType.QDCOLON:  # ?::
            yield _part(token, TokenType.PLACEHOLDER, 0, "?")
            yield _part(token, TokenType.DCOLON, 1, "::")
        case TokenType.BYTE_STRING:  # E'...'
            written = sql[token.start + 2 : token.end]
            yield Token(TokenType.STRING, _unescaped(written, token, sql), token.line, token.col, token.start, token.end)
        case TokenType.HEREDOC_STRING:  # $$...$$
            yield Token(TokenType.STRING, token.text, token.line, token.col, token.start, token.end)
        case _:
            yield token


def _part(token: Token, kind: TokenType, offset: int, text: str) -> Token:
    """A part of a token that begins `offset` characters after it."""
    start = token.start + offset
    return Token(kind, text.replace("_", ""), token.line, token.col, start, start + len(text) - 1)


def _unescaped(written: str, token: Token, sql: str) -> str:
    """The text that E'...' means.

    >>> _unescaped(r"a\\tb\\x41\\101''\\q", Token(TokenType.STRING, ""), "")
    "a\\tbAA'q"
    """

    def meant(escape: re.Match[str]) -> str:
        octal, hexadecimal, letter = escape.groups()
        if letter is not None:
            return _CONTROLS.get(letter, letter)
        code = int(octal, 8) if octal else int(hexadecimal, 16) if hexadecimal else ord("'")
        if not code:
            raise ParseError("a text cannot hold the null character", sql, [Span(token.start, token.end + 1)])
        return chr(code)

    return _ESCAPE.sub(meant, written)
