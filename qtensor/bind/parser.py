"""sqlglot's parser, made to keep what DuckDB's grammar has and sqlglot drops, reorders or does not know."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sqlglot import TokenType, exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ErrorLevel
from sqlglot.parser import Parser

from qtensor.bind.macros import MACROS
from qtensor.bind.syntax import written_as_join
from qtensor.scalars.registry import SCALARS


def parser_of(dialect: Dialect) -> Parser:
    """A parser that raises where it would log a warning and give up on a statement it cannot read, and that notes which joins are
    no commas.
    """
    parser = dialect.parser(error_level=ErrorLevel.IMMEDIATE)
    parse_join = parser._parse_join

    def refuse() -> None:
        parser.raise_error("unexpected")

    def marked(*args: Any, **options: Any) -> exp.Join | None:
        comma = parser._curr.token_type == TokenType.COMMA
        join = parse_join(*args, **options)
        return join if join is None or comma else written_as_join(join)

    if isinstance(dialect, DuckDB):
        functions, function_readers, signs = _readers()
        parser.FUNCTIONS, parser.FUNCTION_PARSERS, parser.UNARY_PARSERS = functions, function_readers, signs  # type: ignore[misc]
        parser._parse_interval = _interval_reader(parser)  # type: ignore[assignment, method-assign]
        parser._parse_table = _table_reader(parser)  # type: ignore[method-assign]
        parser._parse_escape = lambda this: _escape(parser, this)  # type: ignore[method-assign]
    parser._warn_unsupported = refuse  # type: ignore[method-assign]
    parser._parse_join = marked  # type: ignore[method-assign]
    return parser


@functools.cache
def _readers() -> tuple[dict[str, Any], dict[str, Any], dict[TokenType, Any]]:
    """How DuckDB's calls are read by their names, calls with a grammar of their own, and signs."""
    kind = DuckDB.parser_class
    functions = _without(kind.FUNCTIONS, {*SCALARS, *MACROS}) | {"ANY_VALUE": _any_value, "IFNULL": _if_null}
    own = _without(kind.FUNCTION_PARSERS, {"ceil", "chr", "floor"})
    counted = {name: _counted(own[name], 2) for name in own if name.startswith("QUANTILE")}
    return functions, {**own, **counted}, {**kind.UNARY_PARSERS, TokenType.PLUS: _unary_plus}


def _unary_plus(parser: Parser) -> exp.Expr:
    """+x, of which sqlglot keeps x: DuckDB has a function of numbers."""
    sign, operand = parser._prev, parser._parse_unary()
    if operand is None:
        parser.raise_error("Required keyword: 'this' missing")
    call = exp.Anonymous(this="+", expressions=[operand])
    call.meta.update(start=sign.start, end=sign.end)
    return call


def _interval_reader(parser: Parser) -> Callable[..., exp.Expr | None]:
    """The reader of INTERVAL, which notes the text behind it: sqlglot makes '1 day' and '1' DAY one."""
    read = parser._parse_interval

    def interval(*args: Any, **options: Any) -> exp.Expr | None:
        first = parser._index
        found = read(*args, **options)
        tokens = parser._tokens[first : first + 2]
        if isinstance(found, exp.Interval) and [token.token_type for token in tokens] == [TokenType.INTERVAL, TokenType.STRING]:
            found.meta["written"] = tokens[1].text
        return found

    return interval


def _table_reader(parser: Parser) -> Callable[..., exp.Expr | None]:
    """The reader of a table and its joins, which sqlglot does not look for behind VALUES in UPDATE and DELETE."""
    read = parser._parse_table

    def table(*args: Any, **options: Any) -> exp.Expr | None:
        found = read(*args, **options)
        if not isinstance(found, exp.Values) or not options.get("joins"):
            return found
        joins = list(parser._parse_joins())
        if not joins:
            return found
        alias = found.args["alias"].copy() if found.args.get("alias") else None
        return exp.Subquery(this=exp.Values(expressions=found.expressions), alias=alias, joins=joins)

    return table


def _escape(parser: Parser, this: exp.Expr | None) -> exp.Expr | None:
    """A pattern and what may follow it: ESCAPE and any expression, where sqlglot knows texts."""
    if not parser._match(TokenType.ESCAPE):
        return this
    return exp.Escape(this=this, expression=parser._parse_bitwise())


def _any_value(arguments: list[exp.Expr]) -> exp.Expr:
    """A call of which sqlglot would keep the first argument alone."""
    if len(arguments) == 1:
        return exp.AnyValue(this=arguments[0])
    return exp.Anonymous(this="any_value", expressions=arguments)


def _if_null(arguments: list[exp.Expr]) -> exp.Expr:
    """A call that sqlglot would take for a COALESCE of any number of arguments."""
    if len(arguments) == 2:
        return exp.Coalesce(this=arguments[0], expressions=arguments[1:])
    return exp.Anonymous(this="ifnull", expressions=arguments)


def _counted(reader: Callable[[Parser], exp.Expr | None], most: int) -> Callable[[Parser], exp.Expr | None]:
    """`reader` of a call's arguments, which would drop those after `most`."""

    def read(parser: Parser) -> exp.Expr | None:
        first = parser._index
        call = reader(parser)
        depth = commas = 0
        for token in parser._tokens[first : parser._index]:
            depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
            commas += token.token_type == TokenType.COMMA and not depth
        if commas >= most:
            parser.raise_error("The number of provided arguments is too large")
        return call

    return read


def _without(readers: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """`readers` of calls without those of functions whose calls need no reading: name and arguments are as they are written.

    sqlglot would bring the arguments of many into the order and spelling of other dialects: a column `m` becomes MINUTE.
    """
    return {name: reader for name, reader in readers.items() if name.lower() not in names}
