"""Shapes of sqlglot's syntax tree that several parts of the binder read alike."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

SYSTEM_FUNCTIONS = ("duckdb_tables", "duckdb_views", "duckdb_columns")
MOST_DIGITS = 39  # of a HUGEINT; Python reads no more than 4,300


def whole_number(text: str) -> int | None:
    """The number that `text` writes in decimal digits; None where it is none, or too long to be a HUGEINT.

    >>> whole_number("007"), whole_number("1.5"), whole_number("9" * 50)
    (7, None, None)
    """
    return int(text) if text.isdecimal() and len(text.lstrip("0")) <= MOST_DIGITS and len(text) < 1_000 else None


def schema_of(node: exp.Column | exp.Table) -> str:
    """The schema before the name of a table or of a column's table; "" of none, and of `main`, in which all tables are."""
    parts = [node.args[key].name for key in ("catalog", "db") if node.args.get(key) is not None]
    return "" if [part.lower() for part in parts] in (["main"], ["memory", "main"]) else ".".join(parts)


def subscript_value(node: exp.Bracket) -> int | None:
    """The constant index of `x[index]`, counted from 1; None if it is not constant.

    sqlglot counts from 0, whatever the dialect, unless it knows that `x` is no array.
    """
    index = node.expressions[0].unnest()
    if isinstance(index, exp.Anonymous) and index.name == "+":  # which sqlglot takes for no number
        operand = index.expressions[0].unnest()
        return whole_number(operand.name) if isinstance(operand, exp.Literal) else None
    sign = -1 if isinstance(index, exp.Neg) else 1
    digits = index.this.unnest() if isinstance(index, exp.Neg) else index
    number = whole_number(digits.name) if isinstance(digits, exp.Literal) else None
    counted_from = 1 if node.this.is_type(exp.DType.UNKNOWN, exp.DType.ARRAY) or node.this.type is None else 0
    return None if number is None else sign * number + counted_from


def is_counted_from_zero(node: exp.Bracket) -> bool:
    """Whether sqlglot took 1 from the index of `x[index]`, since it knows that to be a number: what it makes then has no type."""
    return node.expressions[0].type is None


def written_as_join(join: exp.Join) -> exp.Join:
    """`join`, marked as one that a JOIN stands for in the text, not a comma: sqlglot keeps no difference."""
    join.meta["join"] = True
    return join


def is_comma(join: exp.Join) -> bool:
    """Whether a comma stands before a relation, and no JOIN whose condition was left out."""
    return not join.meta.get("join")


def connected(node: exp.Expr) -> Iterator[exp.Expr]:
    """The operands of a chain of one connective: `a AND (b AND c)` has three."""
    pending = [node]
    while pending:
        current = pending.pop()
        inner = current.unnest()
        if type(inner) is type(node):
            pending += [inner.args["expression"], inner.this]
        else:
            yield current


def call_arguments(node: exp.Expr) -> list[exp.Expr]:
    """The arguments of a function call, in order, whatever sqlglot calls them."""
    flat: list[exp.Expr] = []
    for key in node.arg_types:
        value = node.args.get(key)
        if isinstance(node, exp.Anonymous) and key == "this":
            continue
        flat += [part for part in (value if isinstance(value, list) else [value]) if isinstance(part, exp.Expr)]
    return flat


def is_text(node: exp.Expr) -> bool:
    """Whether `node` is a text literal."""
    return isinstance(node, exp.Literal) and bool(node.is_string)


def is_system_function(node: exp.Table) -> bool:
    """Whether `node` is a call that stands for a table of the connection's own, as `duckdb_tables()` does."""
    call = node.this
    return isinstance(call, exp.Anonymous) and call.name.lower() in SYSTEM_FUNCTIONS and not call.expressions
