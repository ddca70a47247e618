"""DESCRIBE, SHOW, SUMMARIZE and EXPLAIN: statements about a table or a query that follows their first word."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sqlglot import Token, TokenType

from qtensor.bind.catalog import StatementCatalog
from qtensor.bind.context import Context, Parameters
from qtensor.bind.parse import dialect_named, parse
from qtensor.bind.query import bind_query
from qtensor.bind.split import only
from qtensor.bind.support import raise_unsupported, reject_unsupported
from qtensor.errors import BindError, ParseError, Span, UnsupportedError
from qtensor.logical import Plan
from qtensor.statements.statement import Column, Describe, Explain, ShowTables, Summarize

Values = Sequence[object] | Mapping[str, object] | None

_QUERIES = frozenset({"SELECT", "WITH", "FROM", "VALUES", "("})
_EXPLAIN = re.compile(r"EXPLAIN\b\s*(ANALY[ZS]E\b)?", re.IGNORECASE)


def bind_describe(sql: str, catalog: StatementCatalog, parameters: Values, dialect: str) -> Describe:
    tokens = _tokens(sql, dialect, "TABLE")
    definition = catalog.definition(_name(tokens[1:])) if _is_name(tokens[1:]) else None
    if definition is not None:
        return Describe(definition.columns, definition.keys)
    plan = _plan(sql, tokens, catalog, parameters, dialect)
    return Describe(tuple(Column(field.name, field.type) for field in plan.schema))


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


def bind_explain(sql: str) -> Explain:
    found = _EXPLAIN.search(sql)
    assert found is not None
    if not sql[found.end() :].strip(" ;\n"):
        raise ParseError("EXPLAIN needs a query", sql, [Span(found.start(), found.end())])
    return Explain(only(sql, slice(found.end(), len(sql))), bool(found[1]))


def _tokens(sql: str, dialect: str, word: str = "") -> list[Token]:
    """The tokens, without the word that may follow the first, and without the last semicolon.

    Raises:
        ParseError: nothing follows.
    """
    tokens = [token for token in dialect_named(dialect).tokenize(sql) if token.token_type != TokenType.SEMICOLON]
    if len(tokens) > 2 and tokens[1].text.upper() == word:
        del tokens[1]
    if len(tokens) < 2:
        first = tokens[0]
        raise ParseError(f"{first.text.upper()} needs a table or a query", sql, [Span(first.start, first.end + 1)])
    return tokens


def _is_name(tokens: Sequence[Token]) -> bool:
    return tokens[0].text.upper() not in _QUERIES or tokens[0].token_type in (TokenType.IDENTIFIER, TokenType.STRING)


def _name(tokens: Sequence[Token]) -> str:
    return "".join(token.text for token in tokens)


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
    raise_unsupported(context.findings, source)
    superfluous = context.parameters.superfluous()
    if superfluous:
        raise BindError(f"the query has no parameter ${superfluous[0]}, for which a value is given")
    return plan
