"""sqlglot's parser, made to keep what DuckDB's grammar has and sqlglot drops, reorders or does not know."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sqlglot import Token, TokenType, exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ErrorLevel
from sqlglot.parser import Parser

from qtensor.bind.expressions.macros import MACROS
from qtensor.bind.text.grammar_units import GRAMMAR_UNITS
from qtensor.bind.text.strict import STRICT
from qtensor.bind.text.syntax import written_as_join
from qtensor.bind.text.words import DUCKDB_FUNCTIONS
from qtensor.functions.scalars.registry import SCALARS

# Calls that are no functions of duckdb_functions(): parts of the grammar, window functions, functions of tables.
_GRAMMAR_CALLS = frozenset(
    {"CAST", "COALESCE", "COLUMNS", "CUME_DIST", "DATE", "DENSE_RANK", "EXTRACT", "FIRST_VALUE", "GROUPING", "GROUPING_ID", "LAG"}
    | {
        "LAST_VALUE",
        "LEAD",
        "NTH_VALUE",
        "NTILE",
        "OVERLAY",
        "PERCENT_RANK",
        "PERCENTILE_CONT",
        "PERCENTILE_DISC",
        "POSITION",
        "RANK",
        "READ_CSV",
        "READ_PARQUET",
    }
    | {"ROW_NUMBER", "SUBSTRING", "TRIM", "TRY", "TRY_CAST", "UNNEST", "IF", "IFNULL", "NULLIF"}
)
_NESTING = {
    **dict.fromkeys((TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE), 1),
    **dict.fromkeys((TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE), -1),
}


def parser_of(dialect: Dialect) -> Parser:
    """A parser that raises where it would log a warning and give up on a statement it cannot read, and that notes which joins are
    no commas.
    """
    parser = dialect.parser(error_level=ErrorLevel.IMMEDIATE)
    if isinstance(dialect, DuckDB):
        for name, strict in STRICT.items():
            setattr(parser, name, strict(parser, getattr(parser, name)))
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
        parser.PLACEHOLDER_PARSERS = {TokenType.PARAMETER: parser.PLACEHOLDER_PARSERS[TokenType.PARAMETER]}  # type: ignore[misc]
        parser.OPTIONAL_ALIAS_TOKEN_CTE = False  # type: ignore[misc]
        parser._parse_interval = _interval_reader(parser)  # type: ignore[assignment, method-assign]
        parser._parse_table = _table_reader(parser)  # type: ignore[method-assign]
        parser._parse_type = _factorial_reader(parser)  # type: ignore[method-assign]
        parser._parse_escape = lambda this: _escape(parser, this)  # type: ignore[method-assign]
    parser._warn_unsupported = refuse  # type: ignore[method-assign]
    parser._parse_join = marked  # type: ignore[method-assign]
    return parser


@functools.cache
def _readers() -> tuple[dict[str, Any], dict[str, Any], dict[TokenType, Any]]:
    """How DuckDB's calls are read by their names, calls with a grammar of their own, and signs."""
    kind = DuckDB.parser_class
    functions = _known(_without(kind.FUNCTIONS, {*SCALARS, *MACROS})) | {
        "ANY_VALUE": _any_value,
        "EXISTS": _exists,
        "GROUPING": exp.GroupingId.from_arg_list,  # which may have no arguments
        "IFNULL": _if_null,
        "PERCENTILE_CONT": lambda arguments: _percentile(exp.PercentileCont, "percentile_cont", arguments),
        "PERCENTILE_DISC": lambda arguments: _percentile(exp.PercentileDisc, "percentile_disc", arguments),
    }
    own = _known(_without(kind.FUNCTION_PARSERS, {"ceil", "chr", "floor"}))
    counted = {name: _counted(own[name], 2) for name in own if name.startswith("QUANTILE")}
    in_words = {"EXTRACT": _extract, "POSITION": _position}
    signs = {**kind.UNARY_PARSERS, TokenType.PLUS: _unary_plus, TokenType.NOT: _negation}
    return functions, {**own, **counted, **in_words}, signs


def _exists(arguments: list[exp.Expr]) -> exp.Expr:
    """EXISTS (VALUES ...) and EXISTS (FROM ...), which sqlglot takes for calls."""
    if len(arguments) == 1 and isinstance(arguments[0], exp.Query | exp.Values):
        return exp.Exists(this=arguments[0])
    return exp.Anonymous(this="exists", expressions=arguments)


def _negation(parser: Parser) -> exp.Expr:
    """NOT x, which nobody writes as !x."""
    if parser._prev.text == "!":
        parser.raise_error("unexpected", parser._prev)
    found: exp.Expr = DuckDB.parser_class.UNARY_PARSERS[TokenType.NOT](parser)
    return found


def _extract(parser: Parser) -> exp.Expr:
    """EXTRACT(part FROM x), for which sqlglot takes a comma as well."""
    part = parser._parse_function() or parser._parse_var_or_string(upper=True)
    if not parser._match(TokenType.FROM):
        parser.raise_error("Expected FROM")
    return exp.Extract(this=part, expression=parser._parse_bitwise())


def _position(parser: Parser) -> exp.Expr:
    """POSITION(x IN y), for which sqlglot takes a comma as well."""
    part = parser._parse_bitwise()
    if not parser._match(TokenType.IN):
        parser.raise_error("Expected IN")
    return exp.StrPosition(this=parser._parse_bitwise(), substr=part)


def _unary_plus(parser: Parser) -> exp.Expr:
    """+x, of which sqlglot keeps x: DuckDB has a function of numbers."""
    sign, operand = parser._prev, parser._parse_unary()
    if operand is None:
        parser.raise_error("Required keyword: 'this' missing")
    call = exp.Anonymous(this="+", expressions=[operand])
    call.meta.update(start=sign.start, end=sign.end)
    return call


def _interval_reader(parser: Parser) -> Callable[..., exp.Expr | None]:
    """The reader of INTERVAL and a text, a number or something in parentheses; before all else INTERVAL is a name.

    sqlglot takes any term there, a sum of several quantities, and any word as a unit. It makes '1 day' and '1' DAY one, so that
    the text is noted.
    """

    def interval(*_: Any, **__: Any) -> exp.Expr | None:
        first = parser._index
        kinds = (TokenType.STRING, TokenType.NUMBER, TokenType.L_PAREN)
        if not parser._match(TokenType.INTERVAL) or not parser._match_set(kinds, advance=False):
            parser._retreat(first)
            return None
        written = parser._curr
        return _interval(parser, parser._parse_primary(), written)

    return interval


def _interval(parser: Parser, quantity: exp.Expr | None, written: Token) -> exp.Interval:
    """The interval of a quantity that is read, and the unit that may follow."""
    unit: exp.Expr | None = None
    if quantity is None:
        parser.raise_error("Required keyword: 'this' missing")
        raise AssertionError("raise_error raises")
    parts = exp.INTERVAL_STRING_RE.findall(quantity.name) if quantity.is_string else []
    if len(parts) == 1:
        quantity, unit = exp.Literal.string(parts[0][0]), exp.Var(this=parts[0][1].upper())
    elif parser._curr.text.upper() in GRAMMAR_UNITS and parser._curr.token_type != TokenType.IDENTIFIER:
        unit = exp.Var(this=parser._curr.text.upper())
        parser._advance()
        if parser._match_text_seq("TO"):
            unit = exp.IntervalSpan(this=unit, expression=parser._parse_var(any_token=True, upper=True))
    elif written.token_type == TokenType.NUMBER:
        unit = parser._parse_var(upper=True)  # which is none
        if unit is None:
            parser.raise_error("Expected a unit")
    if isinstance(quantity, exp.Literal) and not quantity.is_string:
        quantity = exp.Literal.string(quantity.name)
    found = exp.Interval(this=quantity, unit=unit)
    if written.token_type == TokenType.STRING:
        found.meta["written"] = written.text
    return found


def _factorial_reader(parser: Parser) -> Callable[..., exp.Expr | None]:
    """The reader of an operand, and of the `!` behind it: x! is factorial(x)."""
    read = parser._parse_type

    def operand(*args: Any, **options: Any) -> exp.Expr | None:
        first = parser._index
        found = read(*args, **options)
        kinds = [token.token_type for token in parser._tokens[first : first + 2]]
        if isinstance(found, exp.Cast) and kinds[0] in parser.TYPE_TOKENS and kinds[1:] == [TokenType.NUMBER]:
            parser.raise_error("unexpected", parser._tokens[first + 1])  # FLOAT 1, unlike FLOAT '1'
        while found is not None and parser._curr.text == "!" and parser._curr.token_type == TokenType.NOT:
            if parser._next.text.startswith("~") and parser._next.start == parser._curr.end + 1:
                break  # x !~ y
            parser._advance()
            found = exp.Anonymous(this="factorial", expressions=[found])
        return found

    return operand


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


def _percentile(kind: type[exp.Expr], name: str, arguments: list[exp.Expr]) -> exp.Expr:
    """A call before WITHIN GROUP, which has one argument; with two, DuckDB has no such function."""
    return kind(this=arguments[0]) if len(arguments) == 1 else exp.Anonymous(this=name, expressions=arguments)


def _counted(reader: Callable[[Parser], exp.Expr | None], most: int) -> Callable[[Parser], exp.Expr | None]:
    """`reader` of a call's arguments, which would drop those after `most`."""

    def read(parser: Parser) -> exp.Expr | None:
        first = parser._index
        call = reader(parser)
        depth = commas = 0
        for token in parser._tokens[first : parser._index]:
            depth += _NESTING.get(token.token_type, 0)
            commas += token.token_type == TokenType.COMMA and not depth
        if commas >= most:
            parser.raise_error("The number of provided arguments is too large")
        return call

    return read


def _known(readers: Mapping[str, Any]) -> dict[str, Any]:
    """`readers` of calls that DuckDB knows; what only other dialects have is a call of any name, perhaps of a model."""
    return {name: reader for name, reader in readers.items() if name.lower() in DUCKDB_FUNCTIONS or name in _GRAMMAR_CALLS}


def _without(readers: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """`readers` of calls without those of functions whose calls need no reading: name and arguments are as they are written.

    sqlglot would bring the arguments of many into the order and spelling of other dialects: a column `m` becomes MINUTE.
    """
    return {name: reader for name, reader in readers.items() if name.lower() not in names}
