"""What stands for several columns: `*` and `t.*` with EXCLUDE, REPLACE and RENAME, and COLUMNS of a pattern, names or a star."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from qtensor.bind.context import Context
from qtensor.bind.expressions.build import Operand, plain
from qtensor.bind.expressions.model_calls import NAMED, model_called
from qtensor.bind.select.scope import ColumnScope, ColumnSpans
from qtensor.bind.text.syntax import is_text
from qtensor.errors import Span, suggestion
from qtensor.expressions import ColumnRef


@dataclass(frozen=True)
class Starred:
    """A column that a star stands for: one of FROM, or what REPLACE puts in its place."""

    name: str
    found: Operand | exp.Expr


@dataclass
class StarChanges:
    """What a `*` leaves out, puts in place of a column, and calls otherwise, by the columns' positions.

    moved: where a column of USING stands that was made of others, the first of which are left out.
    """

    moved: dict[int, int] = field(default_factory=dict)
    excluded: set[int] = field(default_factory=set)
    replaced: dict[int, exp.Alias] = field(default_factory=dict)
    renamed: dict[int, str] = field(default_factory=dict)


def is_star(node: exp.Expr) -> bool:
    """Whether `node` is `*` or `t.*`."""
    return isinstance(node, exp.Star) or (isinstance(node, exp.Column) and isinstance(node.this, exp.Star))


def is_several(node: exp.Expr) -> bool:
    """Whether an argument of a model stands for several values: a star, or COLUMNS, also under the name of an input."""
    value = node.expression if isinstance(node, NAMED) else node
    return is_star(value) or isinstance(value, exp.Columns)


@dataclass(frozen=True)
class Stars:
    """Expands stars over the columns of `scope`; `spans` is told where each column was named."""

    context: Context
    scope: ColumnScope
    spans: ColumnSpans

    def expanded(self, node: exp.Expr) -> list[Starred]:
        """The columns that `*`, `t.*` or COLUMNS(...) stands for, in their order; with EXCLUDE it may be none.

        Raises:
            BindError: a table or a column that is not there, a pattern that no column matches or that is none.
        """
        if not isinstance(node, exp.Columns):
            return self._star(node)
        span = self.context.source.span(node) or self.context.source.span(node.this)
        if is_star(node.this):
            return self._star(node.this)
        if not self.scope.relations:
            raise self.context.error("COLUMNS chooses columns of FROM, and there is no FROM", span)
        if isinstance(node.this, exp.Array):
            chosen = self._listed(node.this.expressions, span)
        elif is_text(node.this):
            chosen = self._matching(node.this.name, span)
        else:
            raise self.context.error("COLUMNS takes a pattern in quotes, a list of names in quotes, or *", span)
        return [self._as_it_is(column, span) for column in chosen]

    def each(self, node: exp.Expr) -> list[tuple[str, exp.Expr]]:
        """An item of SELECT in which COLUMNS stands, once for each column that this chooses: its name, and the item with it.

        Nothing of an item without COLUMNS. Raises BindError: as `expanded`; two of them are not written alike.
        """
        columns = list(self._columns_in(node))
        if not columns:
            return []
        first = columns[0]
        if any(other != first for other in columns):
            place = next(self.context.source.span(other) for other in columns if other != first)
            raise self.context.error("all COLUMNS in one expression choose the same columns: write them alike", place)
        return [(item.name, self._with(node, first, item.found)) for item in self.expanded(first)]

    def _columns_in(self, node: exp.Expr) -> Iterator[exp.Columns]:
        """The COLUMNS in an expression, but not those in its subqueries, and those that are all arguments of one call."""
        pending = [node]
        while pending:
            current = pending.pop()
            if isinstance(current, exp.Columns):
                yield current
            elif not isinstance(current, exp.Query):
                is_model = model_called(current, self.context.source, self.context.catalog) is not None
                pending += [part for part in current.iter_expressions(reverse=True) if not (is_model and is_several(part))]

    def _with(self, node: exp.Expr, written: exp.Columns, found: Operand | exp.Expr) -> exp.Expr:
        """A copy of `node` with a column, or what REPLACE puts in its place, where COLUMNS was `written`."""
        if isinstance(found, Operand):
            assert isinstance(found.expr, ColumnRef)
            value: exp.Expr = exp.column(found.expr.name, table=self.scope.owner(found.expr.index), quoted=True)
            value.this.meta.update(written.meta)
        else:
            value = exp.Paren(this=found)

        def replaced(part: exp.Expr) -> exp.Expr:
            return value.copy() if part == written else part

        return node.copy().transform(replaced, copy=False)

    def _as_it_is(self, column: ColumnRef, span: Span | None, name: str | None = None) -> Starred:
        self.spans.note(column, span)
        return Starred(name or column.name, plain(column, span))

    def _matching(self, pattern: str, span: Span | None) -> list[ColumnRef]:
        """The columns in whose names the regular expression `pattern` matches a part; in RE2's syntax, as DuckDB's."""
        columns = self.scope.star
        try:
            matches = pc.match_substring_regex(pa.array([column.name for column in columns], pa.string()), pattern)
        except pa.ArrowInvalid as error:
            text = str(error).partition("\n")[0]
            raise self.context.error(f"COLUMNS: {pattern!r} is no regular expression: {text}", span) from None
        found = [column for column, match in zip(columns, matches.to_pylist(), strict=True) if match]
        if not found:
            hint = suggestion(pattern, [column.name for column in columns])
            raise self.context.error(f"COLUMNS: the name of no column matches {pattern!r}", span, hint)
        return found

    def _listed(self, names: Sequence[exp.Expr], span: Span | None) -> list[ColumnRef]:
        """The columns of these names, in the order of FROM, as in DuckDB."""
        columns = self.scope.star
        known = {column.name.lower() for column in columns}
        for node in names:
            if not is_text(node):
                raise self.context.error("COLUMNS takes names in quotes", self.context.source.span(node) or span)
            if node.name.lower() not in known:
                hint = suggestion(node.name, [column.name for column in columns])
                raise self.context.error(f'COLUMNS: no column "{node.name}"', self.context.source.span(node) or span, hint)
        wanted = {node.name.lower() for node in names}
        return [column for column in columns if column.name.lower() in wanted]

    def _star(self, node: exp.Expr) -> list[Starred]:
        star, span = node if isinstance(node, exp.Star) else node.this, self.context.source.span(node)
        columns = self.scope.star
        if isinstance(node, exp.Column):
            relation = self.scope.relation(node.table)
            if relation is None:
                known = suggestion(node.table, self.scope.qualifiers)
                raise self.context.error(f'no table "{node.table}" in FROM', self.context.source.span(node.args["table"]), known)
            columns = relation.columns
        elif not self.scope.relations:
            raise self.context.error("* stands for the columns of FROM, and there is no FROM", span)
        changes = self._changes(star, columns, span)
        references = [column for column in columns if column.index not in changes.excluded]
        if changes.moved:
            references.sort(key=lambda column: changes.moved.get(column.index, self.scope.parts(column.index)[0]))
        return [
            Starred(replaced.alias, replaced.this)
            if (replaced := changes.replaced.get(reference.index)) is not None
            else self._as_it_is(reference, span, changes.renamed.get(reference.index))
            for reference in references
        ]

    def _changes(self, star: exp.Star, columns: list[ColumnRef], span: Span | None) -> StarChanges:
        """What EXCLUDE, REPLACE and RENAME say, by the columns' positions."""
        changes = StarChanges()
        named: dict[int, str] = {}
        for clause, key in (("EXCLUDE", "except_"), ("REPLACE", "replace"), ("RENAME", "rename")):
            for part in star.args.get(key) or ():
                target = part.args["alias"] if clause == "REPLACE" else part.this if clause == "RENAME" else part
                found = self._starred(target, columns, clause)
                place = self.context.source.span(target) or span
                if not found and clause == "RENAME":
                    continue  # as in DuckDB
                if not found:
                    hint = suggestion(target.name, [known.name for known in columns])
                    raise self.context.error(f'no column "{target.name}" for {clause}', place, hint)
                for column in found:
                    if column.index in named:
                        both = sorted({named[column.index], clause})
                        raise self.context.error(f'the column "{target.name}" is listed twice: {" and ".join(both)}', place)
                    named[column.index] = clause
                    match clause:
                        case "EXCLUDE":
                            changes.excluded.add(column.index)
                        case "REPLACE":
                            changes.replaced[column.index] = part
                        case _:
                            changes.renamed[column.index] = part.alias
        self._place_merged(changes, columns)
        return changes

    def _starred(self, target: exp.Expr, columns: list[ColumnRef], clause: str) -> list[ColumnRef]:
        """The columns of `*` that `target`, a name or a qualified name, means; EXCLUDE sees the parts of USING's columns."""
        if not isinstance(target, exp.Column) or not target.table:
            found = [known for known in columns if known.name.lower() == target.name.lower()]
            parts = (part for known in found for part in self.scope.parts(known.index))
            return [self.scope.reference(part) for part in parts] if clause == "EXCLUDE" else found
        relation = self.scope.relation(target.table)
        column = relation.column(target.name) if relation else None
        if column is None:
            return []
        owners = [known for known in columns if column.index in (known.index, *self.scope.parts(known.index))]
        return [column] if owners and clause == "EXCLUDE" else [known for known in owners if known.index == column.index]

    def _place_merged(self, changes: StarChanges, columns: list[ColumnRef]) -> None:
        """A column of USING stands where the first of those stands that it was made of and that are not left out, if any."""
        if [column.index for column in columns] != list(self.scope.visible):
            return  # t.*
        for column in columns:
            parts = self.scope.parts(column.index)
            kept = [part for part in parts if part not in changes.excluded]
            if kept and len(kept) < len(parts):
                changes.excluded.discard(column.index)
                changes.moved[column.index] = kept[0]
            elif not kept:
                changes.excluded.add(column.index)
