"""SQL text to sqlglot's syntax tree, and what is said of text that is no query."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from itertools import pairwise

from sqlglot import Token, TokenType, exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ParseError as SqlglotParseError

from qtensor.bind.select.window_syntax import FUNCTIONS
from qtensor.bind.text.parser import parser_of
from qtensor.bind.text.source import TYPE_WORDS, QueryText
from qtensor.bind.text.syntax import is_text, whole_number
from qtensor.bind.text.tokens import duckdb_tokens, tokens_of
from qtensor.errors import ParseError, Span, UnsupportedError, suggestion

_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_STATEMENTS = frozenset({TokenType.COMMAND, TokenType.SHOW, TokenType.EXECUTE, TokenType.SUMMARIZE})
# What stands before the first entry of a list.
_BEFORE_ENTRIES = frozenset(
    {TokenType.COMMA, TokenType.SELECT, TokenType.DISTINCT, TokenType.FROM, TokenType.WITH}
    | {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.ORDER_BY, TokenType.GROUP_BY, TokenType.PARTITION_BY}
)
QUERY_WORDS = frozenset({"SELECT", "WITH", "FROM", "VALUES", "("})
STATEMENT_WORDS = frozenset(
    {"CREATE", "DROP", "INSERT", "DELETE", "UPDATE", "TRUNCATE", "COPY"} | {"DESCRIBE", "DESC", "SHOW", "SUMMARIZE", "EXPLAIN"}
)


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


def parse(sql: str, dialect_name: str) -> tuple[exp.Expr, QueryText]:
    """The syntax tree of the one query that `sql` holds, and its places in the text.

    Raises:
        ParseError: `sql` is not a query of the dialect, or empty.
        UnsupportedError: `sql` is another statement, or holds several.
    """
    tree, source = parse_statement(sql, dialect_name)
    if not isinstance(tree, exp.Query | exp.Values):
        first = source.tokens[0]
        raise ParseError(f'syntax error at or near "{first.text}"', sql, [Span(first.start, first.end + 1)])
    return tree, source


def parse_statement(sql: str, dialect_name: str, known: Collection[TokenType] = ()) -> tuple[exp.Expr, QueryText]:
    """The same of a query, or of a statement that begins with one of `known`."""
    dialect = dialect_named(dialect_name)
    try:
        is_duckdb = isinstance(dialect, DuckDB)
        tokens = _types_as_names(duckdb_tokens(sql, dialect), dialect) if is_duckdb else tokens_of(sql, dialect)
        tokens = _unwrap_inserted(_number_parameters(tokens))
        _refuse_by_words(sql, tokens)
        _reject_statement(sql, tokens, dialect, known)
        statements = _parsed(sql, tokens, dialect)
    except SqlglotParseError as error:
        raise _syntax_error(sql, tokens, error) from error
    if not statements:
        raise ParseError("there is no statement to run")
    if len(statements) > 1:
        breaks = [i for i, token in enumerate(tokens[:-1]) if token.token_type == TokenType.SEMICOLON]
        second = tokens[breaks[0] + 1] if breaks else tokens[0]
        raise UnsupportedError(
            "several statements are no query",
            sql,
            [Span(second.start, second.end + 1)],
            "Ask one by one: Connection.sql runs them.",
        )
    if "@" in sql and any(node.this is None for node in statements[0].find_all(exp.Abs)):
        signs = [Span(token.start, token.end + 1) for token in tokens if token.text == "@"]
        raise ParseError("syntax error: an operand is missing after @", sql, signs[:1])
    source = QueryText(sql, tokens)
    _refuse_incomplete(statements[0], sql)
    if is_duckdb:
        _refuse_table(statements[0], source)
    for listed in statements[0].find_all(exp.In):
        _mend_values(listed)
    for called in statements[0].find_all(exp.Anonymous):
        _mend_quantifier(called)
    if "::" in sql:
        _mend_typed_literals(statements[0], source)
    return statements[0], source


def _parsed(sql: str, tokens: list[Token], dialect: Dialect) -> list[exp.Expr]:
    """The statements of `tokens`. On text that is no SQL sqlglot may fail like a program: it looks into what is not there."""
    parser = parser_of(dialect)
    try:
        return [node for node in parser.parse(tokens, sql) if node]
    except (AttributeError, TypeError, ValueError, LookupError, AssertionError) as error:
        token = parser._curr or parser._prev or tokens[-1]
        raise ParseError(f'syntax error at or near "{token.text}"', sql, [Span(token.start, token.end + 1)]) from error


def _refuse_table(tree: exp.Expr, source: QueryText) -> None:
    """Refuse what may stand in FROM only: a query in parentheses that is joined, or rows that have a name."""
    token = None
    if isinstance(tree, exp.Subquery) and tree.args.get("joins"):
        token = next(token for token in _outside(source.tokens) if token.token_type != TokenType.R_PAREN)
    elif isinstance(tree, exp.Values) and tree.args.get("alias"):
        token = source.tokens[-1]
    if token is not None:
        raise ParseError(f'syntax error at or near "{token.text}"', source.sql, [Span(token.start, token.end + 1)])


def _outside(tokens: Collection[Token]) -> Iterator[Token]:
    """The tokens outside of all parentheses, and those that close them."""
    depth = 0
    for token in tokens:
        depth += (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN)
        if not depth:
            yield token


def _refuse_incomplete(tree: exp.Expr, sql: str) -> None:
    """Refuse a tree that lacks what sqlglot itself says belongs to it: not every part of its parser looks."""
    for node in tree.walk():
        missing = any(needed and node.args.get(key) in (None, []) for key, needed in node.arg_types.items())
        if missing or _lacks_part(node):
            whole = (part for part in (*node.walk(), *_around(node)) if "start" in part.meta)
            place = next((Span(part.meta["start"], part.meta["end"] + 1) for part in whole), None)
            raise ParseError("syntax error: something is missing here", sql, [place] if place else [])


def _lacks_part(node: exp.Expr) -> bool:
    """Whether a node is incomplete that sqlglot, for other dialects, takes for complete."""
    match node:
        case exp.Order():
            alone = node.this is None and isinstance(node.parent, exp.Func | exp.Distinct)
            needs_one = alone and bool(node.parent and node.parent.arg_types.get("this"))
            return alone and (needs_one or type(node.parent) not in FUNCTIONS)  # rank(ORDER BY x)
        case exp.Group():
            return not any(node.args.values())
        case exp.Table():
            return not any(node.args.values()) or "" in (node.args.get("db"), node.args.get("catalog"))
        case _:
            return False


def _around(node: exp.Expr) -> Iterator[exp.Expr]:
    while (parent := node.parent) is not None:
        yield parent
        node = parent


@functools.lru_cache(maxsize=256)
def in_place(sql: str, dialect_name: str) -> tuple[str, ...]:
    """The statements of `sql`, at least one: each with blanks before it, so that it stands in its line and column.

    >>> in_place("SELECT ';';\\nSELECT 2; SELECT 3;", "duckdb")
    ("SELECT ';'", '\\nSELECT 2', '\\n          SELECT 3')
    """
    if ";" not in sql.rstrip("; \t\r\n"):
        return (sql,)
    try:
        tokens = tokens_of(sql, dialect_named(dialect_name))
    except ParseError:
        return (sql,)  # whoever parses it says what is wrong
    statements = []
    first: Token | None = None
    for token in [*tokens, None]:
        if token is not None and token.token_type != TokenType.SEMICOLON:
            first = first or token
        elif first is not None:
            column = first.start - sql.rfind("\n", 0, first.start) - 1
            blanks = "\n" * sql.count("\n", 0, first.start) + " " * column
            statements.append(blanks + sql[first.start : len(sql) if token is None else token.start])
            first = None
    return tuple(statements) or (sql,)


def _mend_values(node: exp.In) -> None:
    """IN (VALUES ...) is a query, which sqlglot reads as a list of one value."""
    if len(node.expressions) == 1 and isinstance(node.expressions[0], exp.Values):
        node.set("query", exp.Subquery(this=node.expressions[0]))
        node.set("expressions", [])


def _mend_quantifier(node: exp.Anonymous) -> None:
    """x > ALL(?) and x = SOME(?) compare with the values of a list; sqlglot reads calls of functions."""
    made = {"ALL": exp.All, "SOME": exp.Any}.get(node.name.upper())
    compared = isinstance(node.parent, _COMPARISONS) and node.parent.expression is node
    if made and compared and len(node.expressions) == 1 and isinstance(node.expressions[0], exp.Placeholder | exp.Parameter):
        node.replace(made(this=node.expressions[0]))


def _mend_typed_literals(tree: exp.Expr, source: QueryText) -> None:
    """DATE 'x'::T is CAST(DATE 'x' AS T), which sqlglot reads as DATE ('x'::T)."""
    seen: set[int] = set()
    for outer in list(tree.find_all(exp.Cast)):
        if id(outer) in seen:
            continue
        chain = [outer]
        while isinstance(chain[-1].this, exp.Cast):
            chain.append(chain[-1].this)
        operand = source.span(chain[-1].this) if is_text(chain[-1].this) else None
        if len(chain) > 1 and operand is not None and source.upper_at(source.token_before(operand)) in TYPE_WORDS:
            types = [cast.to for cast in chain]
            for cast, to in zip(chain, [*types[1:], types[0]], strict=True):
                cast.set("to", to)
            seen.update(map(id, chain))


def _reject_statement(sql: str, tokens: list[Token], dialect: Dialect, known: Collection[TokenType]) -> None:
    """Refuse what is no query before it is parsed: sqlglot would log a warning for the statements it does not know either.

    Empty entries of a list and parentheses that stay open, which sqlglot passes over in places, are refused here too.
    """
    others = _STATEMENTS.union(dialect.parser_class.STATEMENT_PARSERS) - {TokenType.SEMICOLON, *known}
    if tokens and tokens[0].token_type in others:
        span, word = Span(tokens[0].start, tokens[0].end + 1), tokens[0].text.upper()
        if word in STATEMENT_WORDS:
            hint = "It runs when Connection.sql is given it; only queries can be exported, explained and timed."
            raise UnsupportedError(f"{word} begins a statement, and a query is needed here", sql, [span], hint)
        raise UnsupportedError(f"not supported yet: {word} statements", sql, [span])
    opened: list[Token] = []
    for token in tokens:
        if token.token_type == TokenType.L_PAREN:
            opened.append(token)
        elif token.token_type == TokenType.R_PAREN and opened:
            opened.pop()
    if opened:
        raise ParseError("syntax error: a closing ) is missing", sql, [Span(opened[-1].start, opened[-1].end + 1)])
    for first, second in pairwise(tokens):
        no_entry = second.token_type in (TokenType.COMMA, TokenType.ALIAS) and first.token_type in _BEFORE_ENTRIES
        no_entry = no_entry or (first.token_type, second.token_type) == (TokenType.PARTITION_BY, TokenType.ORDER_BY)
        no_relation = first.token_type == TokenType.FROM and second.token_type in (TokenType.FROM, TokenType.SELECT)
        if no_entry or no_relation:
            raise ParseError(f'syntax error at or near "{second.text}"', sql, [Span(second.start, second.end + 1)])


def _refuse_by_words(sql: str, tokens: list[Token]) -> None:
    """Name what DuckDB has and sqlglot cannot parse: CHECKPOINT, COPY in WITH, EXPORT_STATE behind an aggregate."""
    words = [token.text.upper() for token in tokens]
    if words[:1] == ["CHECKPOINT"]:
        raise UnsupportedError("not supported yet: CHECKPOINT statements", sql, [Span(tokens[0].start, tokens[0].end + 1)])
    for index in range(len(tokens) - 2):
        kinds = [token.token_type for token in tokens[index : index + 3]]
        if kinds == [TokenType.ALIAS, TokenType.L_PAREN, TokenType.COPY] and words[0] == "WITH":
            span = Span(tokens[index + 2].start, tokens[index + 2].end + 1)
            raise UnsupportedError("not supported yet: COPY in a common table expression", sql, [span])
    for before, token in pairwise(tokens):
        word = token.text.upper() if token.token_type == TokenType.VAR else ""
        if before.token_type == TokenType.R_PAREN and word == "EXPORT_STATE":
            raise UnsupportedError("not supported yet: EXPORT_STATE", sql, [Span(token.start, token.end + 1)])
        if before.token_type == TokenType.USING and word == "KEY" and words[0] == "WITH":
            span = Span(before.start, token.end + 1)
            raise UnsupportedError("not supported yet: USING KEY in a common table expression", sql, [span])


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
            count = max(count, whole_number(token.text) or 0)
        numbered.append(token)
    return numbered


def _unwrap_inserted(tokens: list[Token]) -> list[Token]:
    """INSERT INTO t (VALUES ...) and (FROM ...) without the parentheses, in which sqlglot sees a list of columns."""
    if [token.token_type for token in tokens[:2]] != [TokenType.INSERT, TokenType.INTO]:
        return tokens
    opened = next((i for i, token in enumerate(tokens) if token.token_type == TokenType.L_PAREN), len(tokens))
    if tokens[opened + 1 : opened + 2] and tokens[opened + 1].token_type in (TokenType.VALUES, TokenType.FROM):
        depth = 0
        for i in range(opened, len(tokens)):
            depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(tokens[i].token_type, 0)
            if not depth:
                return [*tokens[:opened], *tokens[opened + 1 : i], *tokens[i + 1 :]]
    return tokens


def _types_as_names(tokens: list[Token], dialect: Dialect) -> list[Token]:
    """`list < 1` compares a column called list, or range, or struct; sqlglot sees the LIST<...> of other dialects."""
    nested = dialect.parser_class.NESTED_TYPE_TOKENS - {TokenType.ARRAY, TokenType.MAP}  # which DuckDB reserves, and sqlglot
    named = list(tokens)
    for index, (token, follower) in enumerate(pairwise(tokens)):
        if token.token_type in nested and follower.token_type == TokenType.LT:
            named[index] = Token(TokenType.VAR, token.text, token.line, token.col, token.start, token.end)
    return named


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
