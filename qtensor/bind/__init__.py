"""SQL text to a typed logical plan: the first stage of a query's life, and the only place that knows sqlglot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtensor.bind.catalog import Catalog, ModelSignature
from qtensor.bind.context import Context, Parameters
from qtensor.bind.select.query import bind_query
from qtensor.bind.text.parse import dialect_named
from qtensor.bind.text.parse import parse as parse_query  # pytest puts the module of that name into its place
from qtensor.bind.text.support import raise_unsupported, reject_unsupported
from qtensor.errors import BindError, UnsupportedError
from qtensor.logical import Plan
from qtensor.optimise.share_parts import share_parts

__all__ = ["Catalog", "ModelSignature", "bind", "normalised"]


def bind(
    sql: str,
    catalog: Catalog,
    parameters: Sequence[object] | Mapping[str, object] | None = None,
    dialect: str = "duckdb",
) -> Plan:
    """The logical plan of the query `sql`, with names resolved, DuckDB's types, and every implicit cast explicit.

    `parameters` holds the values of `?` and `$1` (a sequence) or of `$name` (a mapping); they become literals. `dialect` is
    any that sqlglot reads.

    Raises:
        ParseError: `sql` is not SQL of that dialect, or there is no such dialect.
        UnsupportedError: it uses what is not implemented; everything of that kind is named.
        BindError: it names what does not exist, or combines types that do not go together; parameters do not fit.
        ExecutionError: a constant INTERVAL or a LIKE pattern is none. (Of other constants that do not convert, a Cast is left:
            only the rows that reach it raise.)
    """
    try:
        tree, source = parse_query(sql, dialect)
        reject_unsupported(tree, source, catalog)
        context = Context(source, catalog, Parameters.of(parameters))
        plan = bind_query(context, tree, {})
    except RecursionError as error:
        raise UnsupportedError("the query is nested too deeply") from error
    raise_unsupported(context.findings, source)
    superfluous = context.parameters.superfluous()
    if superfluous:
        raise BindError(f"the query has no parameter {', '.join(f'${name}' for name in superfluous)}, for which a value is given")
    return share_parts(plan)


def normalised(sql: str, dialect: str = "duckdb") -> str:
    """`sql` as sqlglot reads and prints it: one clause a line, keywords in upper case.

    Raises:
        ParseError: `sql` is not SQL of that dialect.
    """
    tree, _ = parse_query(sql, dialect)
    return str(tree.sql(dialect=dialect_named(dialect), pretty=True))
