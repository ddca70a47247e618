"""SQL text to sqlglot's syntax tree, and from a node of the tree back to its place in the text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

from sqlglot import Token, TokenType, exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel, TokenError
from sqlglot.errors import ParseError as SqlglotParseError

from qtensor.bind.syntax import connected, is_text
from qtensor.errors import ParseError, Span, UnsupportedError, suggestion

_UNTERMINATED = re.compile(r"Missing (.+) from (\d+):(\d+)")
_STATEMENTS = frozenset({TokenType.COMMAND, TokenType.SHOW, TokenType.EXECUTE})
_TYPE_WORDS = frozenset({"DATE", "TIMESTAMP"})


@dataclass
class Source:
    """The text of one query, its tokens, and the places of the syntax tree's nodes in it."""

    sql: str
    tokens: list[Token]
    _by_start: dict[int, int] = field(default_factory=dict)
    _by_end: dict[int, int] = field(default_factory=dict)
    _spans: dict[int, Span | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for index, token in enumerate(self.tokens):
            self._by_start[token.start] = index
            self._by_end[token.end + 1] = index

    def span(self, node: exp.Expr) -> Span | None:
        """Where `node` stands in the text, as well as its tokens tell; None for a node without any."""
        key = id(node)
        if key not in self._spans:
            self._spans[key] = self._find(node)
        return self._spans[key]

    def text(self, node: exp.Expr) -> str | None:
        """The text of a node that is a single token."""
        start = node.meta.get("start")
        return None if start is None else self.sql[start : node.meta["end"] + 1]

    def upper_at(self, index: int) -> str:
        """The text of token `index` in upper case, "" outside of the query."""
        return self.tokens[index].text.upper() if 0 <= index < len(self.tokens) else ""

    def token_before(self, span: Span) -> int:
        """The index of the token before `span`."""
        return self._by_start.get(span.start, 0) - 1

    def token_after(self, span: Span) -> int:
        """The index of the token after `span`."""
        return self._by_end.get(span.end, len(self.tokens)) + 1

    def find_words(self, *words: str) -> Span | None:
        """The first place where these words stand one after the other."""
        for index in range(len(self.tokens) - len(words) + 1):
            if all(self.upper_at(index + offset) == word for offset, word in enumerate(words)):
                return Span(self.tokens[index].start, self.tokens[index + len(words) - 1].end + 1)
        return None

    def parameter_span(self, name: str) -> Span | None:
        """The first place of the parameter `$name`."""
        for marker, word in pairwise(self.tokens):
            if marker.token_type == TokenType.PARAMETER and word.text.lower() == name.lower():
                return Span(marker.start, word.end + 1)
        return None

    def number_text(self, node: exp.Literal) -> str:
        """The number `node` as the query writes it; sqlglot gives `.5`, alone without a place, as `0.5`."""
        return self.text(node) or (node.name[1:] if node.name.startswith("0.") else node.name)

    def interval_text(self, node: exp.Interval) -> str | None:
        """How the quantity after INTERVAL is written: a number, a text, or a text that holds the unit as well."""
        index = self._interval_token(node)
        return None if index is None else self.tokens[index + 1].text

    def _interval_token(self, node: exp.Interval) -> int | None:
        """The word INTERVAL of `node`, found by what follows it: sqlglot keeps no place of quantity and unit."""
        quantity, unit = node.name, node.args["unit"].name.upper() if node.args.get("unit") else ""
        for index, (marker, word) in enumerate(pairwise(self.tokens)):
            if marker.text.upper() == "INTERVAL":
                is_number = word.token_type == TokenType.NUMBER and [word.text, self.upper_at(index + 2)] == [quantity, unit]
                if is_number or (
                    word.token_type == TokenType.STRING and word.text.upper().split() in ([quantity, unit], [quantity])
                ):
                    return index
        return None

    def type_text(self, node: exp.Cast) -> str | None:
        """The first word of the type that CAST, `::` or a typed literal names, as written."""
        operand = self.span(node.this)
        if operand is None:
            return None
        before, after = self.token_before(operand), self.token_after(operand)
        if is_text(node.this) and self.upper_at(before) in _TYPE_WORDS:
            return self.tokens[before].text
        while self.upper_at(after) == ")":
            after += 1
        is_cast = self.upper_at(after) in ("AS", "::") and after + 1 < len(self.tokens)
        return self.tokens[after + 1].text if is_cast else None

    def _find(self, node: exp.Expr) -> Span | None:
        start = node.meta.get("start")
        if start is not None:
            own = Span(start, node.meta["end"] + 1)
            opening = self.token_after(own)
            is_call = isinstance(node, exp.Func) and self.upper_at(opening) == "("
            return Span(start, self._closing(opening)) if is_call else own
        # A long chain of AND is a deep tree: its leaves are visited without recursion.
        children = connected(node) if isinstance(node, exp.Connector) else node.iter_expressions()
        parts = [span for child in children if (span := self.span(child))]
        if not parts:
            index = self._interval_token(node) if isinstance(node, exp.Interval) else None
            return (
                None
                if index is None
                else Span(self.tokens[index].start, self._end(self._unit_token(node, index + 1), Span(0, 0)))
            )
        inner = Span(min(part.start for part in parts), max(part.end for part in parts))
        return self._widened(node, inner)

    def _widened(self, node: exp.Expr, inner: Span) -> Span:
        """`inner`, the place of the operands, together with the words and parentheses that belong to `node`."""
        before, after = self.token_before(inner), self.token_after(inner)
        match node:
            case exp.Paren() | exp.Subquery() if self.upper_at(before) == "(":
                return Span(self.tokens[before].start, self._closing(before))
            case exp.Select():
                while before > 0 and self.upper_at(before) != "SELECT":
                    before -= 1
                return Span(self.tokens[max(before, 0)].start, inner.end)
            case exp.Interval() if before >= 0:
                end = self._end(self._unit_token(node, after - 1), inner)
                return Span(self.tokens[before].start, end)
            case exp.Not() | exp.Neg() if before >= 0:
                return Span(self.tokens[before].start, inner.end)
            case exp.Cast():
                return self._widened_cast(node, inner)
            case exp.Case():
                while before >= 0 and self.upper_at(before) != "CASE":
                    before -= 1
                while after < len(self.tokens) and self.upper_at(after) != "END":
                    after += 1
                return Span(self.tokens[max(before, 0)].start, self._end(after, inner))
            case exp.Bracket() if self.upper_at(after) == "[":
                while after < len(self.tokens) and self.upper_at(after) != "]":
                    after += 1
                return Span(inner.start, self._end(after, inner))
            case exp.In() | exp.Bracket() if self.upper_at(after) in (")", "]"):
                return Span(inner.start, self._end(after, inner))
            case exp.Func() if (name := self._call_name_before(node, before)) is not None:
                return Span(self.tokens[name].start, self._closing(name + 1))
            case exp.Is():
                while self.upper_at(after) in ("IS", "NOT"):
                    after += 1
                return Span(inner.start, self._end(after, inner))
            case _:
                return inner

    def _unit_token(self, node: exp.Expr, quantity: int) -> int:
        """The token of an interval's unit if it follows that of its quantity, else the quantity's."""
        unit = node.args["unit"].name.upper() if node.args.get("unit") else None
        return quantity + 1 if self.upper_at(quantity + 1) == unit else quantity

    def _call_name_before(self, node: exp.Func, before: int) -> int | None:
        """The token of the function's name, when the tokens up to `before` open its call."""
        depth = 0
        for index in range(before, 0, -1):
            text = self.tokens[index].text
            depth += (text == ")") - (text == "(")
            if depth < 0:
                return index - 1 if self.upper_at(index - 1) in node.sql_names() else None
        return None

    def _widened_cast(self, node: exp.Cast, inner: Span) -> Span:
        operand = self.span(node.this) or inner
        before, after = self.token_before(operand), self.token_after(operand)
        if self.upper_at(before) == "(" and self.upper_at(before - 1) in ("CAST", "TRY_CAST"):
            return Span(self.tokens[before - 1].start, self._closing(before))
        if is_text(node.this) and self.upper_at(before) in _TYPE_WORDS:
            return Span(self.tokens[before].start, operand.end)
        if self.upper_at(after) == "::":
            end = self._end(after + 1, inner)
            return Span(inner.start, self._closing(after + 2) if self.upper_at(after + 2) == "(" else end)
        return inner

    def _end(self, index: int, inner: Span) -> int:
        return self.tokens[index].end + 1 if 0 <= index < len(self.tokens) else inner.end

    def _closing(self, opening: int) -> int:
        """The offset after the parenthesis that closes the one at token `opening`."""
        depth = 0
        for token in self.tokens[opening:]:
            depth += (token.text == "(") - (token.text == ")")
            if depth == 0:
                return token.end + 1
        return self.tokens[-1].end + 1


def dialect_named(name: str) -> Dialect:
    """sqlglot's dialect `name`.

    Raises:
        ParseError: there is no such dialect.
    """
    try:
        return Dialect.get_or_raise(name)
    except ValueError as error:
        hint = suggestion(name, Dialect.classes)
        raise ParseError(f'unknown SQL dialect "{name}"', hint=hint) from error


def parse(sql: str, dialect_name: str) -> tuple[exp.Expr, Source]:
    """The syntax tree of the one statement that `sql` holds, and its places in the text.

    Raises:
        ParseError: `sql` is not a statement of the dialect, or empty.
        UnsupportedError: `sql` holds several statements.
    """
    dialect = dialect_named(dialect_name)
    try:
        tokens = _number_parameters(dialect.tokenize(sql))
        _reject_statement(sql, tokens, dialect)
        statements = [node for node in dialect.parser(error_level=ErrorLevel.IMMEDIATE).parse(tokens, sql) if node]
    except TokenError as error:
        raise _tokenizing_error(sql, error) from error
    except SqlglotParseError as error:
        raise _syntax_error(sql, tokens, error) from error
    if not statements:
        raise ParseError("there is no statement to run")
    if len(statements) > 1:
        breaks = [i for i, token in enumerate(tokens[:-1]) if token.token_type == TokenType.SEMICOLON]
        second = tokens[breaks[0] + 1] if breaks else tokens[0]
        raise UnsupportedError(
            "several statements in one text are not supported", sql, [Span(second.start, second.end + 1)], "Run them one by one."
        )
    if not isinstance(statements[0], exp.Query | exp.Values):
        raise ParseError(f'syntax error at or near "{tokens[0].text}"', sql, [Span(tokens[0].start, tokens[0].end + 1)])
    source = Source(sql, tokens)
    if "::" in sql:
        _mend_typed_literals(statements[0], source)
    return statements[0], source


def _mend_typed_literals(tree: exp.Expr, source: Source) -> None:
    """DATE 'x'::T is CAST(DATE 'x' AS T), which sqlglot reads as DATE ('x'::T)."""
    seen: set[int] = set()
    for outer in list(tree.find_all(exp.Cast)):
        if id(outer) in seen:
            continue
        chain = [outer]
        while isinstance(chain[-1].this, exp.Cast):
            chain.append(chain[-1].this)
        operand = source.span(chain[-1].this) if is_text(chain[-1].this) else None
        if len(chain) > 1 and operand is not None and source.upper_at(source.token_before(operand)) in _TYPE_WORDS:
            types = [cast.to for cast in chain]
            for cast, to in zip(chain, [*types[1:], types[0]], strict=True):
                cast.set("to", to)
            seen.update(map(id, chain))


def _reject_statement(sql: str, tokens: list[Token], dialect: Dialect) -> None:
    """Refuse what is no query before it is parsed: sqlglot would log a warning for the statements it does not know either.

    Empty entries of a list and parentheses that stay open, which sqlglot passes over in places, are refused here too.
    """
    others = _STATEMENTS.union(dialect.parser_class.STATEMENT_PARSERS) - {TokenType.SEMICOLON}
    if tokens and tokens[0].token_type in others:
        span = Span(tokens[0].start, tokens[0].end + 1)
        raise UnsupportedError(f"not supported yet: {tokens[0].text.upper()} statements", sql, [span])
    opened: list[Token] = []
    for token in tokens:
        if token.token_type == TokenType.L_PAREN:
            opened.append(token)
        elif token.token_type == TokenType.R_PAREN and opened:
            opened.pop()
    if opened:
        raise ParseError("syntax error: a closing ) is missing", sql, [Span(opened[-1].start, opened[-1].end + 1)])
    for first, second in pairwise(tokens):
        if second.token_type == TokenType.COMMA and first.token_type in (TokenType.COMMA, TokenType.SELECT):
            raise ParseError('syntax error at or near ","', sql, [Span(second.start, second.end + 1)])


def _number_parameters(tokens: list[Token]) -> list[Token]:
    """Replace each `?` by `$1`, `$2`, ... since a Placeholder node does not tell which `?` it was."""
    if not any(token.token_type == TokenType.PLACEHOLDER and token.text == "?" for token in tokens):
        return tokens
    numbered: list[Token] = []
    count = 0
    for index, token in enumerate(tokens):
        if token.token_type == TokenType.PLACEHOLDER and token.text == "?":
            count += 1
            place = (token.line, token.col, token.start, token.end)
            numbered += [Token(TokenType.PARAMETER, "$", *place), Token(TokenType.NUMBER, str(count), *place)]
            continue
        if token.token_type == TokenType.NUMBER and index and tokens[index - 1].token_type == TokenType.PARAMETER:
            count = max(count, int(token.text)) if token.text.isdecimal() else count
        numbered.append(token)
    return numbered


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


def _syntax_error(sql: str, tokens: list[Token], error: SqlglotParseError) -> ParseError:
    place = (error.errors[0].get("line"), error.errors[0].get("col")) if error.errors else (None, None)
    index = next((i for i, token in enumerate(tokens) if (token.line, token.col) == place), None)
    if index is None:
        return ParseError("syntax error", sql)
    token = tokens[index]
    span = [Span(token.start, token.end + 1)]
    description = str(error.errors[0].get("description", ""))
    if "number of provided arguments" in description:
        return ParseError("too many arguments of a function", sql, span)
    if "Required keyword" in description and token.text == ")":
        return ParseError("an argument of a function is missing", sql, span)
    # sqlglot reports the last token it read when an operand is missing; the mistake then stands after it.
    if "Required keyword" in description or "Expecting )" in description:
        if index + 1 >= len(tokens):
            return ParseError(f'syntax error: something is missing after "{token.text}"', sql, span)
        if "Required keyword" in description:
            return ParseError(f'syntax error: an operand is missing at "{token.text}"', sql, span)
    return ParseError(f'syntax error at or near "{token.text}"', sql, span)
