"""SQL text to a bound statement: the statements that are no queries, and which file binds each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import cast

from sqlglot import TokenType, exp

from qtensor.bind.catalog import StatementCatalog
from qtensor.bind.context import Context, Parameters
from qtensor.bind.statements.changes import bind_delete, bind_insert, bind_truncate, bind_update
from qtensor.bind.statements.copying import bind_copy
from qtensor.bind.statements.creating import bind_create, bind_drop, refuse_kinds
from qtensor.bind.statements.describing import ABOUT
from qtensor.bind.text.parse import STATEMENT_WORDS, parse_statement
from qtensor.bind.text.support import raise_unsupported
from qtensor.errors import BindError, ParseError, UnsupportedError
from qtensor.statement import Statement

_BLANK = r"(?:\s|--[^\n]*|/\*.*?\*/)*"
_FIRST = re.compile(rf"{_BLANK}(\w*)", re.DOTALL)
_CHANGE = re.compile(r"\b(INSERT|DELETE|UPDATE)\b", re.IGNORECASE)
_PARSED = (
    TokenType.CREATE,
    TokenType.DROP,
    TokenType.INSERT,
    TokenType.DELETE,
    TokenType.UPDATE,
    TokenType.TRUNCATE,
    TokenType.COPY,
)


def may_be_statement(sql: str) -> bool:
    """Whether `sql` begins as a statement does that is no query; WITH may begin either.

    >>> may_be_statement("-- all of it\\ndelete FROM t"), may_be_statement("SELECT 'DELETE'")
    (True, False)
    """
    word = _first_word(sql)
    return word in STATEMENT_WORDS or (word == "WITH" and _CHANGE.search(sql) is not None)


def may_change(sql: str) -> bool:
    """Whether a statement may change tables: no COPY, SHOW or the like.

    >>> may_change("DROP TABLE t"), may_change("SUMMARIZE t")
    (True, False)
    """
    return _first_word(sql) not in (*ABOUT, "COPY")


def bind_statement(
    sql: str,
    catalog: StatementCatalog,
    parameters: Sequence[object] | Mapping[str, object] | None = None,
    dialect: str = "duckdb",
) -> Statement | None:
    """The statement `sql`, with everything in it bound as `bind` binds queries; None if it is a query.

    Raises:
        ParseError: `sql` is not SQL of that dialect, or there is no such dialect.
        UnsupportedError: it uses what is not implemented; everything of that kind is named.
        BindError: it names what does not exist, what exists already, or what cannot be changed; types that do not go together.
    """
    try:
        if _first_word(sql) in ABOUT:
            return ABOUT[_first_word(sql)](sql, catalog, parameters, dialect)
        if _first_word(sql) in ("CREATE", "DROP"):
            refuse_kinds(sql, dialect)
        tree, source = parse_statement(sql, dialect, _PARSED)
        context = Context(source, catalog, Parameters.of(parameters))
        statement = _bound(context, catalog, tree, dialect)
    except RecursionError as error:
        raise UnsupportedError("the statement is nested too deeply") from error
    if statement is None:
        return None
    raise_unsupported(context.findings, context.source)
    superfluous = context.parameters.superfluous()
    if superfluous:
        names = ", ".join(f"${name}" for name in superfluous)
        raise BindError(f"the statement has no parameter {names}, for which a value is given")
    return statement


def _bound(context: Context, catalog: StatementCatalog, tree: exp.Expr, dialect: str) -> Statement | None:
    match tree:
        case exp.Create():
            return bind_create(context, catalog, tree, dialect)
        case exp.Drop():
            return bind_drop(context, catalog, tree)
        case exp.Insert():
            return bind_insert(context, catalog, tree)
        case exp.Delete():
            return bind_delete(context, catalog, tree)
        case exp.TruncateTable():
            return bind_truncate(context, catalog, tree)
        case exp.Update():
            return bind_update(context, catalog, tree)
        case exp.Copy():
            return bind_copy(context, catalog, tree)
        case exp.Query() | exp.Values():
            return None
        case _:
            raise ParseError("syntax error", context.source.sql)


def _first_word(sql: str) -> str:
    return cast("re.Match[str]", _FIRST.match(sql))[1].upper()
