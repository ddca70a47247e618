"""What of a syntax tree is not supported: all of it is named at once, before anything is bound."""

from __future__ import annotations

from collections.abc import Collection

from sqlglot import exp

from qtensor.bind.catalog import Catalog
from qtensor.bind.expressions.data_types import unsupported_type
from qtensor.bind.expressions.model_calls import has_outputs, is_argument, model_called
from qtensor.bind.expressions.scalars import scalar_call
from qtensor.bind.expressions.tuples import is_compared
from qtensor.bind.select.aggregates import CLASSES, aggregate_name
from qtensor.bind.select.window_syntax import FUNCTIONS
from qtensor.bind.text.source import QueryText
from qtensor.bind.text.syntax import is_system_function
from qtensor.bind.text.words import DUCKDB_FUNCTIONS
from qtensor.errors import Span, UnsupportedError
from qtensor.functions.aggregates import AGGREGATES

Finding = tuple[str, Span | None]

_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Pow)
# Functions that sqlglot has no class for, in DuckDB's dialect at least.
ANONYMOUS = frozenset({*AGGREGATES, "iff"})

_SUPPORTED: frozenset[type[exp.Expr]] = frozenset(
    {
        # clauses
        exp.Select, exp.From, exp.Where, exp.Group, exp.Having, exp.Order, exp.Ordered, exp.Limit, exp.Offset, exp.Distinct,
        exp.With, exp.CTE, exp.TableAlias, exp.Table, exp.Subquery, exp.Join, exp.Exists, exp.Any, exp.All, exp.Tuple,
        exp.Union, exp.Intersect, exp.Except, exp.Values,
        # names and values
        exp.Alias, exp.Column, exp.Identifier, exp.Star, exp.Literal, exp.Null, exp.Boolean, exp.Placeholder, exp.Parameter,
        exp.Var, exp.DataType, exp.DataTypeParam, exp.Interval, exp.Paren,
        # operators
        exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Neg, exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE,
        exp.NullSafeEQ, exp.NullSafeNEQ, exp.And, exp.Or, exp.Not, exp.Between, exp.In, exp.Is, exp.Like, exp.ILike, exp.Escape,
        exp.GroupingSets, exp.Rollup, exp.Cube, exp.Grouping, exp.GroupingId,
        exp.Window, exp.WindowSpec, exp.Qualify, exp.RespectNulls, *FUNCTIONS,
        exp.Case, exp.If, exp.Cast, exp.TryCast, exp.Bracket, exp.Slice, exp.Try,
        # functions
        exp.Abs, exp.Coalesce, exp.Nullif, exp.Filter, exp.Anonymous, *CLASSES,
    }
)  # fmt: skip

# Parts of nodes that may be present; any other part that is not empty is unsupported.
_PARTS: dict[type[exp.Expr], frozenset[str]] = {
    exp.Select: frozenset(
        {"with_", "expressions", "distinct", "from_", "where", "group", "having", "order", "limit", "offset", "joins"}
        | {"windows", "qualify"}
    ),
    exp.Table: frozenset({"this", "alias", "db", "catalog", "joins"}),
    exp.Subquery: frozenset({"this", "alias", "with_", "joins", "order", "limit", "offset"}),
    exp.Join: frozenset({"this", "on", "using", "side", "kind", "method"}),
    exp.Group: frozenset({"expressions", "all"}),
    exp.Union: frozenset({"this", "expression", "distinct", "by_name", "with_", "order", "limit", "offset"}),
    exp.Intersect: frozenset({"this", "expression", "distinct", "with_", "order", "limit", "offset"}),
    exp.Except: frozenset({"this", "expression", "distinct", "with_", "order", "limit", "offset"}),
    exp.Values: frozenset({"expressions", "alias", "with_", "order", "limit", "offset"}),
    exp.With: frozenset({"expressions", "recursive"}),
    exp.CTE: frozenset({"this", "alias", "materialized"}),
    exp.Order: frozenset({"this", "expressions"}),
    exp.Ordered: frozenset({"this", "desc", "nulls_first"}),
    exp.Limit: frozenset({"expression"}),
    exp.Star: frozenset({"except_", "replace", "rename"}),
    exp.Distinct: frozenset({"expressions", "on"}),
    exp.Cast: frozenset({"this", "to"}),
    exp.TryCast: frozenset({"this", "to", "safe", "requires_string"}),
    exp.WindowSpec: frozenset({"kind", "start", "start_side", "end", "end_side"}),
    exp.In: frozenset({"this", "expressions", "query", "field"}),
}

_NAMES: dict[type[exp.Expr], str] = {
    exp.Lateral: "LATERAL",
    exp.Pivot: "PIVOT",
    exp.TableSample: "samples of tables",
    exp.Fetch: "FETCH",
    exp.LimitOptions: "LIMIT with PERCENT or WITH TIES",
    exp.Collate: "COLLATE",
    exp.Insert: "INSERT in a common table expression",
    exp.Update: "UPDATE in a common table expression",
    exp.Delete: "DELETE in a common table expression",
    exp.Describe: "DESCRIBE in a query",
    exp.Summarize: "SUMMARIZE in a query",
    exp.Struct: "structs",
    exp.Array: "arrays",
    exp.Lambda: "lambda functions",
    exp.Dot: "fields of structs",
    exp.Columns: "COLUMNS",
    exp.Unnest: "UNNEST",
}

_PART_NAMES = {
    "ilike": "columns of * that are chosen by a pattern",
    "pivots": "PIVOT",
    "sample": "samples of tables",
    "limit_options": "LIMIT with PERCENT or WITH TIES",
    "laterals": "LATERAL",
    "exclude": "EXCLUDE in a window's frame",
    "locks": "FOR UPDATE",
    "key_expressions": "USING KEY in a common table expression",
    "with_fill": "ORDER BY with FILL",
}


def reject_unsupported(tree: exp.Expr, source: QueryText, catalog: Catalog) -> None:
    """Raise one UnsupportedError that names everything in `tree` that no later step can bind; nothing if there is nothing."""
    raise_unsupported(_walk(tree, source, catalog), source)


def raise_unsupported(findings: Collection[Finding], source: QueryText) -> None:
    """Raise one UnsupportedError for all `findings`, in the order of the text; do nothing if there are none."""
    if not findings:
        return
    ordered = sorted(findings, key=lambda finding: finding[1].start if finding[1] else len(source.sql))
    whats = list(dict.fromkeys(what for what, _ in ordered))
    spans = list(dict.fromkeys(span for _, span in ordered if span))
    message = (
        f"not supported yet: {whats[0]}" if len(whats) == 1 else "not supported yet:\n" + "\n".join(f"  - {w}" for w in whats)
    )
    raise UnsupportedError(message, source.sql, spans)


def _walk(tree: exp.Expr, source: QueryText, catalog: Catalog) -> list[Finding]:
    findings: list[Finding] = []
    pending: list[exp.Expr] = [tree]
    while pending:
        node = pending.pop()
        what = _unsupported_node(node, source, catalog)
        if what is not None:
            findings.append((what, _place(node, source)))
            continue
        allowed = _PARTS.get(type(node))
        for key, value in node.args.items():
            children = [part for part in (value if isinstance(value, list) else [value]) if isinstance(part, exp.Expr)]
            if allowed is not None and key not in allowed and value:
                findings.append((_PART_NAMES.get(key, _part_name(key, children)), _part_place(node, children, source)))
            else:
                pending += children
    return findings


def _part_name(key: str, children: list[exp.Expr]) -> str:
    known = _NAMES.get(type(children[0])) if children else None
    return known or key.strip("_").replace("_", " ").upper()


def _part_place(node: exp.Expr, children: list[exp.Expr], source: QueryText) -> Span | None:
    spans = [span for child in children if (span := source.span(child))]
    return Span(spans[0].start, spans[-1].end) if spans else source.span(node)


def _place(node: exp.Expr, source: QueryText) -> Span | None:
    if isinstance(node, exp.CTE):
        return source.find_words("RECURSIVE")
    named = source.find_words(node.sql_name()) if isinstance(node, exp.Func) and source.span(node) is None else None
    current: exp.Expr | None = None if named else node
    while current is not None:
        span = source.span(current)
        if span is not None:
            return span
        current = current.parent
    return named


def _unsupported_node(node: exp.Expr, source: QueryText, catalog: Catalog) -> str | None:
    if isinstance(node, exp.BitwiseNot) and _goes_further(node):
        return "~ before an arithmetic operator, to whose result DuckDB applies it: write parentheses"
    if scalar_call(node, source, catalog) is not None:
        return None
    match node:
        case exp.Table() if is_system_function(node):
            return None
        case exp.Anonymous() if isinstance(node.parent, exp.Table) and is_system_function(node.parent):
            return None
        case exp.Anonymous():
            name = node.name.lower()
            if name in ANONYMOUS or catalog.model(name) is not None or name not in DUCKDB_FUNCTIONS:
                return None  # what no one knows is an error of the binder
            return f"the function {node.name}"
        case exp.Case() if not isinstance(node.args.get("ifs"), list):
            return "the function case"  # "case"(x), in quotes
        case exp.PropertyEQ() | exp.Kwarg():
            called = node.parent
            unknown = isinstance(called, exp.Anonymous) and called.name.lower() not in DUCKDB_FUNCTIONS
            named = unknown or model_called(called, source, catalog) is not None
            return None if named else "arguments with names (:= or =>), but to models"
        case exp.Tuple() | exp.Array() | exp.Columns() if is_argument(node, source, catalog):
            return None  # the values of one input, or several
        case exp.Dot() if has_outputs(node.this, source, catalog) and isinstance(node.expression, exp.Identifier):
            return None
        case exp.Columns():
            if node.args.get("unpack"):
                return "*COLUMNS as the arguments of a function"
            return None if _in_select_list(node) else "COLUMNS outside the list of SELECT"
        case exp.Array() if isinstance(node.parent, exp.Columns):
            return None
        case exp.DataType():
            known = unsupported_type(node)
            return None if known is None else f"the type {known}"
        case exp.Join() if node.method and node.method != "NATURAL":
            return f"{node.method} joins"
        case exp.Join() if node.kind not in ("", "INNER", "OUTER", "CROSS", "SEMI", "ANTI"):
            return f"{node.kind} joins"
        case exp.CTE() if _is_recursive(node):
            return "recursive CTEs"
        case exp.Lateral() if isinstance(node.this, exp.Subquery):
            return None
        case exp.Tuple():
            listed = (
                isinstance(node.parent, exp.Values | exp.Distinct)
                or _compared_with_query(node)
                or is_compared(node)
                or _in_group_by(node)
                or _call_around(node) == "count"
            )
            return None if listed else "tuples"
        case exp.Table() if not isinstance(node.this, exp.Identifier):
            return f"the table function {source.text(node.this) or node.this.sql('duckdb')}"
        case exp.Filter():
            return (
                None if isinstance(node.this, exp.Func | exp.WithinGroup | exp.IgnoreNulls | exp.RespectNulls) else "FILTER here"
            )
        case exp.WithinGroup():
            return None if aggregate_name(node) is not None else "WITHIN GROUP here"
        case exp.IgnoreNulls():  # sqlglot wraps every any_value so
            return None if isinstance(node.this, exp.AnyValue) or node.find_ancestor(exp.Window) else "IGNORE NULLS"
        case exp.Order() if not isinstance(node.parent, exp.Query | exp.Values | exp.Window) and _call_around(node) is None:
            return "ORDER BY inside a function"
        case exp.Bracket() if len(node.expressions) != 1:
            return "subscripts of several values"
        case exp.Func() if type(node) not in _SUPPORTED:
            if model_called(node, source, catalog) is not None:
                return None
            written = source.text(node)
            return (
                _NAMES.get(type(node))
                or f"the function {written or source.called(node, DUCKDB_FUNCTIONS) or node.sql_name().lower()}"
            )
        case _ if type(node) in _SUPPORTED:
            return None
        case _:
            return _NAMES.get(type(node)) or _described(node)


def _in_select_list(node: exp.Expr) -> bool:
    """Whether a node is a part of an item in the list of a SELECT."""
    while node.parent is not None and not isinstance(node.parent, exp.Query):
        node = node.parent
    return isinstance(node.parent, exp.Select) and node.arg_key == "expressions"


def _goes_further(node: exp.Expr) -> bool:
    """Whether an arithmetic operator follows the operand of a prefix, which sqlglot binds more closely than DuckDB."""
    parent = node.parent
    while isinstance(parent, _ARITHMETIC):
        if parent.this is node:
            return True
        node, parent = parent, parent.parent
    return False


def _call_around(node: exp.Expr) -> str | None:
    """The aggregate of whose call `node` is a part, as its arguments' DISTINCT and ORDER BY are."""
    parent = node.parent
    while isinstance(parent, exp.Distinct | exp.Order):
        parent = parent.parent
    return None if parent is None else aggregate_name(parent)


def _in_group_by(node: exp.Expr) -> bool:
    """Whether a tuple is a set of keys in GROUP BY."""
    return isinstance(node.parent, exp.Group | exp.GroupingSets | exp.Rollup | exp.Cube)


def _compared_with_query(node: exp.Tuple) -> bool:
    """Whether a tuple is the left side of IN (query), or of = ANY (query)."""
    parent = node.parent
    while isinstance(parent, exp.Paren):
        parent = parent.parent
    if isinstance(parent, exp.EQ):
        return isinstance(parent.expression, exp.Any)
    return isinstance(parent, exp.In) and parent.args.get("query") is not None


def _is_recursive(node: exp.CTE) -> bool:
    """Whether a CTE of WITH RECURSIVE reads itself; one that does not is like any other."""
    if not isinstance(node.parent, exp.With) or not node.parent.args.get("recursive"):
        return False
    return any(table.name.lower() == node.alias.lower() and not table.db for table in node.this.find_all(exp.Table))


def _described(node: exp.Expr) -> str:
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in type(node).__name__).strip()
    return f"{words} expressions"
