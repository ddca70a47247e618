"""Shapes of sqlglot's syntax tree that several parts of the binder read alike."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp


def subscript_value(node: exp.Bracket) -> int | None:
    """The constant index of `x[index]`, counted from 1 (sqlglot counts from 0, whatever the dialect); None if not constant."""
    index = node.expressions[0].unnest()
    sign = -1 if isinstance(index, exp.Neg) else 1
    digits = index.this.unnest() if isinstance(index, exp.Neg) else index
    if not isinstance(digits, exp.Literal) or not digits.name.isdecimal():
        return None
    return sign * int(digits.name) + 1


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


def call_arguments(node: exp.Func) -> list[exp.Expr]:
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
