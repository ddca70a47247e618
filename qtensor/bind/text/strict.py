"""Where sqlglot's parser takes more than DuckDB's grammar has: its methods wrapped, so that too much is a syntax error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, TypeAlias

from sqlglot import Token, TokenType, exp
from sqlglot.parser import Parser

from qtensor.bind.text.words import NEED_AS, NO_NAMES

Method: TypeAlias = Callable[..., Any]

# The clauses behind FROM in their order; what has the same number may stand in any.
_CLAUSES = {
    TokenType.WHERE: 1,
    TokenType.GROUP_BY: 2,
    TokenType.HAVING: 3,
    TokenType.WINDOW: 4,
    TokenType.QUALIFY: 5,
    TokenType.ORDER_BY: 6,
    TokenType.LIMIT: 7,
    TokenType.OFFSET: 7,
}
_BEFORE_ANY_WORD = frozenset({TokenType.ALIAS, TokenType.DOT, TokenType.ORDER_BY, TokenType.PARAMETER})  # as in ORDER BY ALL


def _between(parser: Parser, read: Method) -> Method:
    """BETWEEN without SYMMETRIC, and never without AND."""

    def between(this: exp.Expr | None) -> exp.Expr:
        if parser._curr.text.upper() == "SYMMETRIC":
            parser.raise_error("unexpected")
        first = parser._index
        found: exp.Expr = read(this)
        if not any(token.token_type == TokenType.AND for token in parser._tokens[first : parser._index]):
            parser.raise_error("Expected AND")
        return found

    return between


def _frame_bound(parser: Parser, read: Method) -> Method:
    """An end of a frame: CURRENT ROW, or PRECEDING or FOLLOWING behind what it counts; two of them if BETWEEN comes first."""

    def bound() -> dict[str, Any]:
        before = parser._prev.token_type
        found: dict[str, Any] = {} if parser._curr.token_type == TokenType.BETWEEN else read()
        complete = found.get("value") == "CURRENT ROW" if not found.get("side") else found.get("value") is not None
        has_other = parser._curr.token_type == TokenType.AND
        if not complete or has_other != (before == TokenType.BETWEEN):
            parser.raise_error("unexpected")
        return found

    return bound


def _clauses(parser: Parser, read: Method) -> Method:
    """The clauses of a query in their one order."""

    def modifiers(this: exp.Expr | None) -> exp.Expr | None:
        first, depth, last = parser._index, 0, 0
        if parser._curr.token_type == TokenType.COMMA and this is not None and this.args.get("where"):
            parser.raise_error("unexpected")
        found: exp.Expr | None = read(this)
        for token in parser._tokens[first : parser._index]:
            depth += (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN)
            place = 0 if depth else _CLAUSES.get(token.token_type, 0)
            if place and place < last:
                parser.raise_error("unexpected", token)
            last = place or last
        if isinstance(found, exp.Select) and found.args.get("joins") and not found.args.get("from_"):
            parser.raise_error("Expected FROM", parser._tokens[first])
        return found

    return modifiers


def _expression(parser: Parser, read: Method) -> Method:
    """An expression, which may have a name and a colon before it, but no text and no number."""

    def expression() -> exp.Expr | None:
        texts = (TokenType.STRING, TokenType.NUMBER)
        if parser._next.token_type == TokenType.COLON and parser._curr.token_type in texts:
            parser.raise_error("unexpected", parser._next)
        found: exp.Expr | None = read()
        return found

    return expression


def _cast(parser: Parser, read: Method) -> Method:
    """The type behind ::, which no subscript can follow."""

    def target() -> exp.Expr | None:
        found: exp.Expr | None = read()
        if parser._curr.token_type == TokenType.L_BRACKET:
            parser.raise_error("unexpected")
        return found

    return target


def _alias(parser: Parser, read: Method) -> Method:
    """A name without AS, which is none of the words that need it."""

    def alias(this: exp.Expr | None, explicit: bool = False) -> exp.Expr | None:
        token = parser._curr
        if token.text.lower() in NEED_AS and token.token_type not in (TokenType.IDENTIFIER, TokenType.STRING, TokenType.ALIAS):
            return this
        found: exp.Expr | None = read(this, explicit)
        if isinstance(found, exp.Alias) and not isinstance(found.args["alias"], exp.Identifier):
            parser.raise_error("unexpected", token)  # a parameter
        if token.token_type == TokenType.ALIAS and parser._prev is token:
            parser.raise_error("Expected a name", token)
        return found

    return alias


def _identifier(parser: Parser, read: Method) -> Method:
    """A name without quotes: a word, and no reserved one unless it stands behind AS or a point."""

    def identifier(token: Token | None = None, quoted: bool | None = None) -> exp.Expr:
        named = token or parser._prev
        if not quoted and named.token_type not in (TokenType.IDENTIFIER, TokenType.STRING):
            first = named.text[:1]
            index = next(i for i in range(min(parser._index, len(parser._tokens) - 1), -1, -1) if parser._tokens[i] is named)
            labels = index > 0 and parser._tokens[index - 1].token_type in _BEFORE_ANY_WORD
            labels = labels or named.token_type in (TokenType.ARRAY, TokenType.TABLE)  # ARRAY[...], CREATE TEMP TABLE
            if not (first.isalpha() or first == "_" or not first.isascii()) or (named.text.lower() in NO_NAMES and not labels):
                parser.raise_error("unexpected", named)
        found: exp.Expr = read(token, quoted)
        return found

    return identifier


def _parameter(parser: Parser, read: Method) -> Method:
    """The parameter of a lambda function, which is looked for at the beginning of each argument: if it is no name, none."""

    def parameter() -> exp.Expr | None:
        token = parser._curr
        is_word = token.text[:1].isalpha() or token.text[:1] == "_" or not token.text[:1].isascii()
        is_name = token.token_type == TokenType.IDENTIFIER or (is_word and token.text.lower() not in NO_NAMES)
        found: exp.Expr | None = read() if is_name else None
        return found

    return parameter


def _table_alias(parser: Parser, read: Method) -> Method:
    """The name of a table, which is no text without AS and no list of columns alone."""

    def alias(*args: Any, **options: Any) -> exp.Expr | None:
        token, first = parser._curr, parser._index
        if token.token_type == TokenType.STRING and parser._next.token_type not in (TokenType.COLON, TokenType.ALIAS):
            return None
        found: exp.Expr | None = read(*args, **options)
        if (found is None and parser._prev is token) or (found is not None and not isinstance(found.this, exp.Identifier)):
            parser.raise_error("unexpected", token)
        if any(
            each.token_type == TokenType.ALIAS for each in parser._tokens[first + 1 : parser._index]
        ):  # in the list of columns
            parser.raise_error("unexpected", token)
        return found

    return alias


def _case(parser: Parser, read: Method) -> Method:
    """CASE, in which each WHEN has its THEN."""

    def case() -> exp.Expr | None:
        first = parser._index
        found: exp.Expr | None = read()
        kinds = [token.token_type for token in parser._tokens[first : parser._index]]
        if kinds.count(TokenType.WHEN) != kinds.count(TokenType.THEN):
            parser.raise_error("Expected THEN", parser._tokens[first])
        return found

    return case


def _in(parser: Parser, read: Method) -> Method:
    """IN and what may hold the value."""

    def member(*args: Any, **options: Any) -> exp.Expr:
        found: exp.Expr = read(*args, **options)
        if parser._prev.token_type == TokenType.IN:
            parser.raise_error("Required keyword: 'expressions' missing")
        return found

    return member


def _size(parser: Parser, read: Method) -> Method:
    """A number in the parentheses of a type, alone."""

    def size() -> exp.Expr | None:
        found: exp.Expr | None = read()
        if found is not None and found.args.get("expression") is not None:
            parser.raise_error("unexpected", parser._prev)
        return found

    return size


def _join(parser: Parser, read: Method) -> Method:
    """A JOIN, of which SEMI and ANTI have no side, and OUTER has one."""

    def join(*args: Any, **options: Any) -> exp.Join | None:
        found: exp.Join | None = read(*args, **options)
        if found is not None and bool(found.side) == (found.kind in ("SEMI", "ANTI")) and found.kind in ("SEMI", "ANTI", "OUTER"):
            parser.raise_error("unexpected")
        return found

    return join


def _limit(parser: Parser, read: Method) -> Method:
    """LIMIT of one number; the other is OFFSET's."""

    def limit(*args: Any, **options: Any) -> exp.Expr | None:
        found: exp.Expr | None = read(*args, **options)
        if isinstance(found, exp.Limit) and (found.args.get("offset") or found.expressions):
            parser.raise_error("unexpected")
        return found

    return limit


def _star(parser: Parser, read: Method) -> Method:
    """A star, whose pattern behind ILIKE may have an ESCAPE; what is left out are names, at least one; what is put in has one."""

    def star() -> exp.Expr | None:
        first = parser._index
        found: exp.Expr | None = read()
        if found is not None and found.args.get("ilike") and parser._match(TokenType.ESCAPE):
            parser._parse_bitwise()
        tokens = parser._tokens[first : parser._index]
        if any(
            left.token_type == TokenType.L_PAREN and right.token_type == TokenType.R_PAREN for left, right in pairwise(tokens)
        ):
            parser.raise_error("unexpected", tokens[0])
        if found is not None and not all(isinstance(each, exp.Alias) for each in found.args.get("replace") or ()):
            parser.raise_error("Expected AS")
        return found

    return star


def _argument(parser: Parser, read: Method) -> Method:
    """An argument of a call, which is no query without parentheses of its own."""

    def argument(alias: bool = False) -> exp.Expr | None:
        name = parser._tokens[max(parser._index - 2, 0)]
        queries = (TokenType.SELECT, TokenType.FROM, TokenType.VALUES)
        if parser._curr.token_type in queries and name.token_type not in (TokenType.ARRAY, TokenType.EXISTS):
            parser.raise_error("unexpected")
        found: exp.Expr | None = read(alias)
        return found

    return argument


def _value(parser: Parser, read: Method) -> Method:
    """Values in parentheses; those behind DISTINCT ON are some, and the first column follows without a comma."""

    def value(*args: Any, **options: Any) -> exp.Tuple | None:
        behind_on = parser._prev.token_type == TokenType.ON
        found: exp.Tuple | None = read(*args, **options)
        if behind_on and (found is None or not found.expressions or parser._curr.token_type == TokenType.COMMA):
            parser.raise_error("unexpected")
        return found

    return value


def _type(parser: Parser, read: Method) -> Method:
    """A type, of which UNSIGNED is no part."""

    def sql_type(*args: Any, **options: Any) -> exp.Expr | None:
        found: exp.Expr | None = read(*args, **options)
        if found is not None and parser._prev.text.upper() in ("UNSIGNED", "SIGNED"):
            parser.raise_error("unexpected", parser._prev)
        return found

    return sql_type


def _window(parser: Parser, read: Method) -> Method:
    """OVER and a window, with IGNORE NULLS inside of the call."""

    def window(this: exp.Expr | None, alias: bool = False) -> exp.Expr | None:
        follower = parser._tokens[parser._index + 2 : parser._index + 3]
        if parser._curr.text.upper() in ("IGNORE", "RESPECT") and follower and follower[0].token_type == TokenType.OVER:
            parser.raise_error("unexpected")
        found: exp.Expr | None = read(this, alias)
        if isinstance(found, exp.Window) and parser._prev.token_type == TokenType.OVER:
            parser.raise_error("Expected a window", parser._prev)
        return found

    return window


# Readers by the method whose place they take: each gets the parser and that method.
STRICT: Mapping[str, Callable[[Parser, Method], Method]] = {
    "_parse_alias": _alias,
    "_parse_between": _between,
    "_parse_window_spec": _frame_bound,
    "_parse_query_modifiers": _clauses,
    "_parse_expression": _expression,
    "_parse_dcolon": _cast,
    "_identifier_expression": _identifier,
    "_parse_case": _case,
    "_parse_in": _in,
    "_parse_lambda": _argument,
    "_parse_lambda_arg": _parameter,
    "_parse_table_alias": _table_alias,
    "_parse_join": _join,
    "_parse_limit": _limit,
    "_parse_star_ops": _star,
    "_parse_type_size": _size,
    "_parse_types": _type,
    "_parse_value": _value,
    "_parse_window": _window,
}
