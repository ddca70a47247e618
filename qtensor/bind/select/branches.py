"""The queries that a set operation is made of, as far as its ORDER BY may name their columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from sqlglot import exp

from qtensor.bind.select.scope import ColumnScope


@dataclass(frozen=True)
class Branch:
    """A query that is no set operation: the names of its columns; of a SELECT also the list, with * expanded, and its FROM.

    node: whoever looks it up by its number keeps it alive.
    """

    node: exp.Expr
    names: tuple[str, ...]
    listed: tuple[exp.Expr, ...] = ()
    scope: ColumnScope = field(default_factory=ColumnScope)

    @cached_property
    def written(self) -> frozenset[exp.Expr]:
        """The expressions of the list as they are written, in one spelling."""
        return frozenset(map(canonical, self.listed))

    @cached_property
    def qualified(self) -> tuple[exp.Expr, ...]:
        """The expressions of the list with all names qualified."""
        return tuple(canonical(item, [self.scope]) for item in self.listed)


Known: TypeAlias = Mapping[int, Branch]  # by the number (`id`) of the node


def branches_of(node: exp.Expr, places: Sequence[int], known: Known) -> Iterator[tuple[Sequence[int], Branch]]:
    """The queries whose rows `node` combines, from left to right, and to which of `places` each one's columns go."""
    pending = [(node, places)]
    while pending:
        current, positions = pending.pop()
        if isinstance(current, exp.Subquery) and id(current) not in known:
            pending.append((current.this, positions))
        elif isinstance(current, exp.SetOperation):
            operands = _operands(current)
            if current.args.get("by_name"):
                by_name = dict(zip(_names(current, known), positions, strict=True))
                parts = [(part, [by_name[name] for name in _names(part, known)]) for part in operands]
            else:
                parts = [(part, list(positions)) for part in operands]
            pending += reversed(parts)
        elif id(current) in known:
            yield positions, known[id(current)]


def _operands(node: exp.SetOperation) -> list[exp.Expr]:
    """The queries of a chain by name, or of one by position: `a UNION b UNION c` nests on the left, a thousand levels deep."""
    by_name = bool(node.args.get("by_name"))
    found = [node.expression]
    left = node.this
    while isinstance(left, exp.SetOperation) and bool(left.args.get("by_name")) == by_name:
        found.append(left.expression)
        left = left.this
    return [left, *reversed(found)]


def _names(node: exp.Expr, known: Known) -> list[str]:
    """The names of a query's columns, in lower case."""
    while isinstance(node, exp.Subquery) and id(node) not in known:
        node = node.this
    if not isinstance(node, exp.SetOperation):
        return [name.lower() for name in known[id(node)].names] if id(node) in known else []
    first, *others = _operands(node)
    names = _names(first, known)
    for other in others if node.args.get("by_name") else ():
        names += [name for name in _names(other, known) if name not in names]
    return names


def canonical(node: exp.Expr, scopes: Sequence[ColumnScope] = ()) -> exp.Expr:
    """An expression in one spelling, without parentheses, its columns qualified by the first scope that has them."""
    tree = exp.Paren(this=node.copy())
    for column in list(tree.find_all(exp.Column)):
        if not isinstance(column.this, exp.Star):
            owners = (owner for scope in scopes for owner in scope.owners(column.name)[:1])
            table = column.table or next(owners, None)
            column.replace(exp.column(column.name.lower(), table=table.lower() if table else None, quoted=True))
    for paren in list(tree.find_all(exp.Paren)):
        if paren is not tree:
            paren.replace(paren.this)
    inner = tree.this
    assert isinstance(inner, exp.Expr)
    return inner
