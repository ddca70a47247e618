"""DESCRIBE, SHOW, SUMMARIZE and EXPLAIN: statements about a table or a query that follows their first word."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sqlglot import Token, TokenType

from qtensor.bind.catalog import StatementCatalog
from qtensor.bind.context import Context, Parameters
from qtensor.bind.select.query import bind_query
from qtensor.bind.text.parse import QUERY_WORDS, dialect_named, parse
from qtensor.bind.text.support import raise_unsupported, reject_unsupported
from qtensor.bind.text.tokens import tokens_of
from qtensor.errors import BindError, ParseError, Span, UnsupportedError
from qtensor.expressions import ColumnRef
from qtensor.logical import Filter, Join, Limit, Plan, Project, Scan, Sort
from qtensor.statement import Column, Describe, Explain, ShowTables, Statement, Summarize
from qtensor.types import Array, Interval, Unsupported

Values = Sequence[object] | Mapping[str, object] | None

_NOT_A_LINE_END = re.compile(r"[^\n]")
_OPTIONS = re.compile(r"\s*\(\s*(FORMAT|ANALY[ZS]E|VERBOSE)\b", re.IGNORECASE)
_EXPLAIN = re.compile(r"EXPLAIN\b\s*(ANALY[ZS]E\b)?", re.IGNORECASE)


def bind_describe(sql: str, catalog: StatementCatalog, parameters: Values, dialect: str) -> Describe:
    tokens = _tokens(sql, dialect, "TABLE")
    plan = _plan(sql, tokens, catalog, parameters, dialect)
    described = [_described(plan, index, catalog) for index in range(len(plan.schema))]
    return Describe(tuple(column for column, _ in described), tuple(key for _, key in described))


def _described(plan: Plan, index: int, catalog: StatementCatalog) -> tuple[Column, str | None]:
    """A column of the result; one that is a column of a created table is described as there, as DuckDB does."""
    field, origin = plan.schema[index], _origin(plan, index)
    definition = catalog.definition(origin[0]) if origin else None
    if origin is None or definition is None:
        return Column(field.name, field.type), None
    return replace(definition.columns[origin[1]], name=field.name), definition.key_word(origin[1])


def _origin(plan: Plan, index: int) -> tuple[str, int] | None:
    """The table and its column that column `index` of a plan is, None if it is computed."""
    match plan:
        case Scan(table, _, columns):
            return table, columns[index]
        case Project(input, expressions):
            expr = expressions[index].expr
            return _origin(input, expr.index) if isinstance(expr, ColumnRef) else None
        case Filter(input) | Sort(input) | Limit(input):
            return _origin(input, index)
        case Join(left, right):
            width = len(left.schema)
            return _origin(left, index) if index < width else _origin(right, index - width) if plan.kind != "mark" else None
        case _:
            return None


def bind_show(sql: str, catalog: StatementCatalog, parameters: Values, dialect: str) -> ShowTables | Describe:
    tokens = _tokens(sql, dialect)
    words = [token.text.upper() for token in tokens[1:]]
    if words == ["TABLES"] and catalog.kind("tables") is None:
        return ShowTables(tuple(sorted(catalog.created_names())))
    if words[0] in ("ALL", "DATABASES", "TABLES", "SCHEMAS", "VARIABLES") and (len(words) > 1 or catalog.kind(words[0]) is None):
        what = " ".join(["SHOW", *words[:2]])
        raise UnsupportedError(f"not supported yet: {what}", sql, [Span(tokens[0].start, tokens[-1].end + 1)])
    return bind_describe(sql, catalog, parameters, dialect)


def bind_summarize(sql: str, catalog: StatementCatalog, parameters: Values, dialect: str) -> Summarize:
    return Summarize(_plan(sql, _tokens(sql, dialect, "TABLE"), catalog, parameters, dialect))


def bind_explain(sql: str, catalog: StatementCatalog, parameters: Values, dialect: str) -> Explain:
    """The query is bound when it is prepared."""
    found = _EXPLAIN.search(sql)
    assert found is not None
    if (options := _OPTIONS.match(sql, found.end())) is not None:
        raise UnsupportedError(f"not supported yet: EXPLAIN with the option {options[1].upper()}", sql, [Span(*options.span(1))])
    if not sql[found.end() :].strip(" ;\n"):
        raise ParseError("EXPLAIN needs a query", sql, [Span(found.start(), found.end())])
    return Explain(only(sql, slice(found.end(), len(sql))), bool(found[1]))


# By the first word of a statement.
ABOUT: Mapping[str, Callable[[str, StatementCatalog, Values, str], Statement]] = {
    "DESCRIBE": bind_describe,
    "DESC": bind_describe,
    "SHOW": bind_show,
    "SUMMARIZE": bind_summarize,
    "EXPLAIN": bind_explain,
}


def only(text: str, place: slice) -> str:
    """`text` with all before `place` blank, so that places in it stay what they are.

    >>> only("EXPLAIN SELECT 1", slice(8, 16))
    '        SELECT 1'
    """
    return _NOT_A_LINE_END.sub(" ", text[: place.start]) + text[place]


def _tokens(sql: str, dialect: str, word: str = "") -> list[Token]:
    """The tokens, without the word that may follow the first, and without the last semicolon.

    Raises:
        ParseError: nothing follows.
    """
    tokens = [token for token in tokens_of(sql, dialect_named(dialect)) if token.token_type != TokenType.SEMICOLON]
    if len(tokens) > 2 and tokens[1].text.upper() == word:
        del tokens[1]
    if len(tokens) < 2:
        first = tokens[0]
        raise ParseError(f"{first.text.upper()} needs a table or a query", sql, [Span(first.start, first.end + 1)])
    return tokens


def _is_name(tokens: Sequence[Token]) -> bool:
    return tokens[0].text.upper() not in QUERY_WORDS or tokens[0].token_type in (TokenType.IDENTIFIER, TokenType.STRING)


def _plan(sql: str, tokens: Sequence[Token], catalog: StatementCatalog, parameters: Values, dialect: str) -> Plan:
    """The plan of what follows the first token: a query, or the name of a table, before which FROM is put."""
    rest = tokens[1:]
    text = only(sql, slice(rest[0].start, len(sql)))
    if _is_name(rest):
        text = text[: rest[0].start - 5] + "FROM " + text[rest[0].start :] if rest[0].start >= 5 else f"FROM {text.lstrip()}"
    try:
        tree, source = parse(text, dialect)
    except ParseError as error:
        raise ParseError(error.message, sql, error.spans, error.hint) from None
    source.sql = sql  # what errors show
    reject_unsupported(tree, source, catalog)
    context = Context(source, catalog, Parameters.of(parameters))
    plan = bind_query(context, tree, {})
    for field in plan.schema if tokens[0].text.upper() == "SUMMARIZE" else ():
        if isinstance(field.type, Array | Interval | Unsupported):
            context.unsupported(
                f'SUMMARIZE of the column "{field.name}" of type {field.type}', Span(rest[0].start, rest[-1].end + 1)
            )
    raise_unsupported(context.findings, source)
    superfluous = context.parameters.superfluous()
    if superfluous:
        raise BindError(f"the query has no parameter ${superfluous[0]}, for which a value is given")
    return plan
