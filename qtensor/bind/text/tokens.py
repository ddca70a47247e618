"""SQL text to tokens, and what is said of text that has none; as DuckDB splits it where sqlglot does otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlglot import Token, TokenType
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import TokenError

from qtensor.bind.text.words import NO_NAMES
from qtensor.errors import ParseError, Span

_ESCAPE = re.compile(r"\\([0-7]{1,3})|\\x([0-9a-fA-F]{1,2})|\\(.)|''", re.DOTALL)
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SUM = re.compile(r"([\d_.]+[eE][+-]?\d+)[+-]")
_NOT_BREAK = re.compile(r"[^\n]")
# Words that are operators or keywords in other dialects, and names in DuckDB's.
_FOREIGN = frozenset(
    {"APPLY", "AUTOINCREMENT", "AUTO_INCREMENT", "DIV", "FILE", "KEEP", "KILL", "NAMESPACE", "OPTIMIZE", "OVERWRITE"}
    | {"PARTITIONED_BY", "REGEXP", "RLIKE", "SETTINGS", "STRAIGHT_JOIN", "UNCACHE", "XOR"}
)
_FOREIGN_SIGNS = frozenset({TokenType.PIPE_GT, TokenType.NULLSAFE_EQ})
_NO_OWNERS = frozenset({TokenType.COMMA, TokenType.FROM, TokenType.JOIN, TokenType.L_PAREN, TokenType.SELECT})
_FRAMES = frozenset({"BETWEEN", "UNBOUNDED", "CURRENT"})
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNTERMINATED = re.compile(r"Missing (.+) from (\d+):(\d+)")


def tokens_of(sql: str, dialect: Dialect) -> list[Token]:
    """sqlglot's tokens of `sql`.

    Raises:
        ParseError: a quote or a comment that is not closed, or a character that no UTF-8 text holds.
    """
    half = None if sql.isascii() else _SURROGATE.search(sql)
    if half is not None:
        message = f"the text has a character that is none, \\u{ord(half[0]):04x}: half of a pair"
        raise ParseError(message, _SURROGATE.sub("?", sql), [Span(*half.span())])
    try:
        return list(dialect.tokenize(sql))
    except TokenError as error:
        raise _tokenizing_error(sql, error) from error


def _tokenizing_error(sql: str, error: TokenError) -> ParseError:
    found = _UNTERMINATED.search(f"{error} {error.__cause__ or ''}")
    if found:
        lines = sql.split("\n")[: int(found[2])]
        offset = min(sum(len(line) + 1 for line in lines[:-1]) + int(found[3]), max(len(sql) - 1, 0))
        start = sql.rfind(found[1], 0, offset + 1)
        return ParseError(f"a closing {found[1]} is missing", sql, [Span(max(start, 0), max(start, 0) + 1)])
    quotes = [quote for quote in "'\"" if sql.count(quote) % 2]
    if quotes:
        start = sql.find(quotes[0]) if sql.count(quotes[0]) == 1 else sql.rfind(quotes[0])
        return ParseError(f"a closing {quotes[0]} is missing", sql, [Span(start, len(sql))])
    return ParseError("the text cannot be split into SQL tokens", sql)


def _is_torn(before: list[Token], token: Token) -> bool:
    """Whether `token` is the second half of <<, >> or .5 with something between the halves, or a name behind a point that has
    nothing before it: sqlglot makes an operator, a number or a name of them.
    """
    first = before[-1]
    apart = first.end + 1 != token.start
    if first.token_type == TokenType.DOT:
        has_owner = len(before) > 1 and before[-2].token_type not in _NO_OWNERS
        return apart if token.token_type == TokenType.NUMBER else not has_owner
    return apart and first.token_type == token.token_type and first.token_type in (TokenType.LT, TokenType.GT)


def duckdb_tokens(sql: str, dialect: Dialect) -> list[Token]:
    """The tokens of `sql` with texts that are all of one kind, and with nothing glued together.

    Raises:
        ParseError: as `tokens_of`; a text right behind another, or one that holds the null character; an operator that DuckDB
            does not have, or whose parts are apart.
    """
    merged: list[Token] = []
    for token in (part for whole in _cut_numbers(sql, dialect) for part in _parts(whole, sql)):
        before = merged[-1] if merged else None
        if token.token_type == TokenType.STRING and before is not None and before.token_type == TokenType.STRING:
            if "\n" not in sql[before.end + 1 : token.start]:
                raise ParseError(f"syntax error at or near \"'{token.text}'\"", sql, [Span(token.start, token.end + 1)])
            merged[-1] = Token(TokenType.STRING, before.text + token.text, before.line, before.col, before.start, token.end)
        elif token.token_type in _FOREIGN_SIGNS or (before is not None and _is_torn(merged, token)):
            raise ParseError(f'syntax error at or near "{token.text}"', sql, [Span(token.start, token.end + 1)])
        else:
            merged.append(token)
    return [_renamed(merged, index) for index in range(len(merged))]


def _renamed(tokens: list[Token], index: int) -> Token:
    """A word as what it is for DuckDB: no operator of another dialect, and GROUPS behind OVER ( no window's name but a frame.

    A reserved word that sqlglot takes for a name gets a kind that no name has.
    """
    token = tokens[index]
    word = token.text.upper()
    if token.token_type == TokenType.VAR and word.lower() in NO_NAMES:
        before, after = ([place.token_type for place in tokens[max(at, 0) : at + 1]] for at in (index - 1, index + 1))
        if after != [TokenType.L_PAREN] and before not in ([TokenType.ALIAS], [TokenType.DOT]):
            return _part(token, TokenType.BLOCK_END, 0, token.text)
    if word in _FOREIGN and token.token_type not in (TokenType.STRING, TokenType.IDENTIFIER):
        return _part(token, TokenType.VAR, 0, token.text)
    if word == "GROUPS" and token.token_type == TokenType.VAR and index > 1 and index + 1 < len(tokens):
        before = [earlier.token_type for earlier in tokens[index - 2 : index]]
        opens = before in ([TokenType.OVER, TokenType.L_PAREN], [TokenType.ALIAS, TokenType.L_PAREN])
        if opens and (tokens[index + 1].text.upper() in _FRAMES or tokens[index + 1].token_type == TokenType.NUMBER):
            return _part(token, TokenType.ROWS, 0, token.text)
    return token


def _cut_numbers(sql: str, dialect: Dialect) -> list[Token]:
    """The tokens of `sql`, where 1e0-1 is a difference and no number: what follows 1e0 is split anew."""
    found: list[Token] = []
    rest = tokens_of(sql, dialect)
    while (cut := _first_sum(sql, rest)) is not None:
        index, number = cut
        found += [*rest[:index], _part(rest[index], TokenType.NUMBER, 0, number[1])]
        rest = tokens_of(_NOT_BREAK.sub(" ", sql[: number.end(1)]) + sql[number.end(1) :], dialect)
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
    return Token(
        kind, text.replace("_", "") if kind == TokenType.NUMBER else text, token.line, token.col, start, start + len(text) - 1
    )


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
        return chr(code) if code < 128 else chr(0xDC00 + code)  # a byte that is no character by itself

    try:
        return _ESCAPE.sub(meant, written).encode(errors="surrogateescape").decode()
    except UnicodeDecodeError as error:
        raise ParseError("the bytes of a text are no UTF-8", sql, [Span(token.start, token.end + 1)]) from error
