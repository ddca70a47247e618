"""FROM: tables of the catalog, derived tables, common table expressions and their joins, as a plan and the names of its
columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import NamedTuple

from sqlglot import exp

from qtensor.bind.context import Context
from qtensor.bind.expressions.build import Operand, coalesce, comparison, plain
from qtensor.bind.select.correlation import plan_reads, with_columns_moved, with_outer_moved
from qtensor.bind.select.lateral import lateral_join
from qtensor.bind.select.scope import ColumnScope, renamed
from qtensor.bind.select.views import refuse_cycle
from qtensor.bind.text.syntax import is_comma, is_system_function, schema_of
from qtensor.errors import BindError, Span, UnsupportedError, suggestion
from qtensor.expressions import Call, ColumnRef, Expr
from qtensor.files.paths import NOT_REMOTE, is_path, is_remote
from qtensor.logical import Join, JoinKind, NamedExpr, OneRow, Plan, Project, Scan
from qtensor.optimise.unsupported_columns import unsupported_column
from qtensor.row_numbers import ROW, ROWID, numbered, table_numbered
from qtensor.statement import View
from qtensor.types import BOOLEAN, Field, Schema, Unsupported

UNNAMED = "unnamed_subquery"


@dataclass
class CommonTable:
    """A CTE: bound when it is first read, in the surroundings it was written in."""

    node: exp.CTE
    surroundings: dict[str, CommonTable]
    bound: Plan | None = None


class Part(NamedTuple):
    """Some relations of FROM, joined.

    lateral: it reads those before it, as outer columns of depth 1. own: how many columns and relations it has that stand before
    the last comma; they are there for the others to read.
    """

    plan: Plan
    scope: ColumnScope
    lateral: bool = False
    own: tuple[int, int] = (0, 0)


@dataclass
class RelationBinder:
    """Binds what FROM names; `bind_query` binds the queries in it, `bind_beside` those that may read the relations before them,
    `condition` the condition of a join over a scope, `bind_view` a view.
    """

    context: Context
    bind_query: Callable[[exp.Expr, dict[str, CommonTable]], Plan]
    bind_beside: Callable[[exp.Expr, dict[str, CommonTable], ColumnScope], tuple[Plan, bool]]
    condition: Callable[[exp.Expr, ColumnScope, dict[str, CommonTable]], Operand]
    bind_view: Callable[[View, Span | None], Plan]
    common_tables: dict[str, CommonTable] = field(default_factory=dict)
    unnamed: int = 0  # how many relations so far had no name

    def add(self, clause: exp.With | None) -> None:
        """Make the CTEs of WITH known: each sees those before it, and none itself."""
        seen: set[str] = set()
        for node in clause.expressions if clause else ():
            name = node.alias.lower()
            if name in seen:
                raise self.context.error(f'two CTEs are called "{node.alias}"', self.context.source.span(node.args["alias"]))
            seen.add(name)
            self.common_tables = {**self.common_tables, name: CommonTable(node, self.common_tables)}

    def bind(self, clause: exp.From | None, joins: Sequence[exp.Join]) -> tuple[Plan, ColumnScope]:
        """The plan of FROM, and the names of its columns; without FROM one row without columns."""
        if clause is None:
            return OneRow(), ColumnScope()
        return self._joined(clause.this, joins)[:2]

    # --- joins ----------------------------------------------------------------------------------------------------------------

    def _joined(self, first: exp.Expr, joins: Sequence[exp.Join]) -> Part:
        """A list of relations: commas bind weaker than JOIN."""
        whole: Part | None = None
        part = self._relation(first, ColumnScope())
        for join in joins:
            right = self._relation(join.this, part.scope if whole is None else whole.scope.beside(part.scope))
            if right.lateral:
                whole, part, right = self._within_reach(whole, part, right, join)
            if right.lateral or not is_comma(join):
                part = self._join(part, right, join)
            else:
                whole = part if whole is None else self._crossed(whole, part, join)
                part = right
        return part if whole is None else self._crossed(whole, part, joins[-1])

    def _within_reach(self, whole: Part | None, part: Part, right: Part, node: exp.Join) -> tuple[Part | None, Part, Part]:
        """The same three, `right` reading columns of `part` alone: what it reads of `whole` makes one part of these two."""
        comma, width = is_comma(node), 0 if whole is None else len(whole.scope.fields)
        if not comma and all(column.index >= width for depth, column in plan_reads(right.plan) if depth == 1):
            plan = with_outer_moved(right.plan, lambda column: replace(column, index=column.index - width))
            return whole, part, right._replace(plan=plan)
        columns, relations = part.own
        if whole is not None:
            columns, relations = columns + width, relations + len(whole.scope.relations)
            part = self._crossed(whole, part, node)
        if comma:
            columns, relations = len(part.scope.fields), len(part.scope.relations)
        return None, part._replace(own=(columns, relations)), right

    def _crossed(self, left: Part, right: Part, node: exp.Join) -> Part:
        return Part(Join(left.plan, right.plan, "inner"), self._beside(left.scope, right.scope, node))

    def _beside(self, left: ColumnScope, right: ColumnScope, node: exp.Join) -> ColumnScope:
        for relation in right.relations:
            if left.relation(relation.qualifiers[0]) is not None:
                name = relation.qualifiers[0]
                hint = "Give one of them another alias."
                raise self.context.error(f'two relations in FROM are called "{name}"', self.context.source.span(node.this), hint)
        return left.beside(right)

    def _join(self, left: Part, right: Part, node: exp.Join) -> Part:
        kind, mirrored = self._kind(node)
        if right.lateral and (mirrored or kind == "full"):
            message = "a subquery that reads the relations before it cannot be the right side of a RIGHT or FULL JOIN"
            raise self.context.error(message, self.context.source.span(node.this))
        if left.own != (0, 0) and (mirrored or kind == "full"):
            what = "a RIGHT or FULL JOIN behind a subquery that reads relations before a comma"
            self.context.unsupported(what, self.context.source.span(node.this))
        scope = self._beside(left.scope, right.scope, node)
        condition: Expr | None = None
        pairs: list[tuple[ColumnRef, ColumnRef]] = []
        if node.args.get("on") is not None:
            condition = self.condition(node.args["on"], scope, self.common_tables).expr
        elif node.args.get("using") or node.method == "NATURAL":
            pairs = self._using(left.scope.from_on(*left.own), right.scope, node)
            conditions = [self._equal(*pair, node) for pair in pairs]
            condition = conditions[0] if len(conditions) == 1 else Call("and", tuple(conditions), BOOLEAN)
        elif node.kind != "CROSS" and not is_comma(node):
            message = "a JOIN needs a condition: ON, USING or NATURAL; without one it is CROSS JOIN"
            raise self.context.error(message, self.context.source.span(node.this))
        if right.lateral:
            plan = lateral_join(left.plan, right.plan, kind, condition)
        elif mirrored:
            plan = _mirrored(left.plan, right.plan, condition)
        else:
            plan = Join(left.plan, right.plan, kind, condition=condition)
        if kind in ("semi", "anti"):
            scope = left.scope
        elif pairs:
            plan, scope = self._merged(plan, scope, pairs, kind, mirrored)
        return Part(plan, scope, own=left.own)

    def _kind(self, node: exp.Join) -> tuple[JoinKind, bool]:
        """The kind of a join, and whether its sides are to be exchanged."""
        if node.kind in ("SEMI", "ANTI"):
            return ("semi" if node.kind == "SEMI" else "anti"), False
        if node.side == "FULL":
            return "full", False
        if node.side in ("LEFT", "RIGHT"):
            return "left", node.side == "RIGHT"
        return "inner", False

    def _using(self, left: ColumnScope, right: ColumnScope, node: exp.Join) -> list[tuple[ColumnRef, ColumnRef]]:
        """The columns that USING or NATURAL joins, as columns of both sides' row."""
        width = len(left.fields)
        names: list[tuple[str, Span | None]]
        if node.method == "NATURAL":
            mine = [column.name.lower() for column in left.star]
            names = [(column.name, None) for column in right.star if column.name.lower() in mine]
            if not names:
                span = self.context.source.span(node.this)
                raise self.context.error("a NATURAL JOIN of relations that have no column in common", span)
        else:
            names = [(identifier.name, self.context.source.span(identifier)) for identifier in node.args["using"]]
            for _, span in names:
                if span is not None and self.context.source.upper_at(self.context.source.token_before(span)) == ".":
                    raise self.context.error("USING takes names of columns without a table", span)
        pairs = []
        for name, span in names:
            found = []
            for side, scope in (("left", left), ("right", right)):
                columns = scope.columns(name)
                if len(columns) != 1:
                    what = "no column" if not columns else "several columns"
                    hint = "" if columns else suggestion(name, scope.names)
                    raise self.context.error(f'USING: {what} "{name}" on the {side} side of the join', span, hint)
                if node.method == "NATURAL" and isinstance(columns[0].type, Unsupported):
                    raise self._not_natural(columns[0].name, columns[0].type, node)
                self.context.refuse_type(columns[0].name, columns[0].type, span or self.context.source.span(node.this))
                found.append(columns[0])
            pairs.append((found[0], ColumnRef(found[1].index + width, found[1].type, found[1].name)))
        return pairs

    def _not_natural(self, name: str, type: Unsupported, node: exp.Join) -> UnsupportedError:
        """The error of a NATURAL JOIN that would compare a column which nobody asked for."""
        span = self.context.source.span(node.this)
        hint = f'NATURAL JOIN compares it: leave it out, (SELECT * EXCLUDE ("{name}") FROM ...), or name the others in USING.'
        message = f"not supported yet: {unsupported_column(name, type)}"
        return UnsupportedError(message, self.context.source.sql, [span] if span else [], hint)

    def _equal(self, left: ColumnRef, right: ColumnRef, node: exp.Join) -> Expr:
        span = self.context.source.span(node.this)
        return comparison(self.context, "equal", plain(left, span), plain(right, span), span).expr

    def _merged(
        self, plan: Plan, scope: ColumnScope, pairs: list[tuple[ColumnRef, ColumnRef]], kind: JoinKind, mirrored: bool
    ) -> tuple[Plan, ColumnScope]:
        """USING columns visible once: the left one, of a RIGHT JOIN the right one, of a FULL JOIN whichever is not NULL."""
        chosen = {left.index: right.index if mirrored else left.index for left, right in pairs}
        if kind == "full":
            values = [coalesce(self.context, [plain(left), plain(right)], None).expr for left, right in pairs]
            first = len(scope.fields)
            chosen = {left.index: first + number for number, (left, _) in enumerate(pairs)}
            own = [NamedExpr(item.name, ColumnRef(i, item.type, item.name)) for i, item in enumerate(scope.fields)]
            added = [NamedExpr(left.name, value) for (left, _), value in zip(pairs, values, strict=True)]
            plan = Project(plan, (*own, *added))
            fields = (*scope.fields, *(Field(item.name, item.expr.type) for item in added))
            scope = replace(scope, fields=fields)
        dropped = {right.index for _, right in pairs}
        visible = tuple(chosen.get(position, position) for position in scope.visible if position not in dropped)
        both = {chosen[left.index]: (*scope.parts(left.index), *scope.parts(right.index)) for left, right in pairs}
        others = ((one, parts) for one, parts in scope.merged if one not in chosen and one not in dropped)
        return plan, replace(scope, visible=visible, merged=(*others, *both.items()))

    # --- relations ------------------------------------------------------------------------------------------------------------

    def _relation(self, node: exp.Expr, before: ColumnScope) -> Part:
        """A relation of FROM, which may read those of `before`."""
        if node.args.get("joins"):
            first = node.copy()
            first.set("joins", None)
            return self._joined(first, node.args["joins"])
        alias = node.args.get("alias")
        node = node.this if isinstance(node, exp.Lateral) else node
        name, aliases = (alias.name, [column.name for column in alias.columns]) if alias else ("", [])
        if isinstance(node, exp.Table):
            return Part(*self._table(node, name, aliases))
        span = self.context.source.span(node)
        if isinstance(node.this, exp.Table | exp.Subquery) and not node.args.get("with_"):  # parentheses around relations
            inner = self._relation(node.this, before)
            if not name:
                return inner
            plan, columns = inner.plan, inner.scope.star
            if [column.index for column in columns] != list(range(len(plan.schema))):
                plan = Project(plan, tuple(NamedExpr(column.name, column) for column in columns))
            schema = tuple(Field(column.name, column.type) for column in columns)
            return Part(plan, self._scope(schema, (name,), aliases, span), inner.lateral)
        if before.relations:
            plan, lateral = self.bind_beside(node, self.common_tables, before)
        else:
            plan, lateral = self.bind_query(node, self.common_tables), False
        if not name:
            self.unnamed += 1
            name = f"{UNNAMED}{self.unnamed}" if self.unnamed > 1 else UNNAMED
        return Part(plan, self._scope(plan.schema, (name,), aliases, span), lateral)

    def _scope(self, schema: Schema, names: tuple[str, ...], aliases: list[str], span: Span | None) -> ColumnScope:
        width = sum(field.name != ROW for field in schema)
        if len(aliases) > width:
            message = f'"{names[0]}" has {width} columns, and {len(aliases)} names are given for them'
            raise self.context.error(message, span)
        return ColumnScope.of(renamed(schema, aliases), names)

    def _table(self, node: exp.Table, alias: str, aliases: list[str]) -> tuple[Plan, ColumnScope]:
        span = self.context.source.span(node.this)
        called = node.this.name.lower() if is_system_function(node) else ""
        name = f"{called}()" if called else ".".join(part.name for part in node.parts)
        common = self.common_tables.get(name.lower())
        if common is not None:
            plan = self._common_table(common)
            own = common.node.args["alias"]
            schema = self._scope(
                plan.schema, (own.name,), [column.name for column in own.columns], self.context.source.span(own)
            ).fields
            return plan, self._scope(schema, (alias or own.name,), aliases, span)
        catalog = self.context.catalog
        if name != node.name and not schema_of(node) and catalog.view(name) is None and catalog.table(name) is None:
            name = node.name  # main.t
        refuse_cycle(self.context, name, span)
        view = catalog.view(name)
        if view is not None:
            plans = self.context.view_plans
            plan = plans[view.name] = plans.get(view.name) or self.bind_view(view, span)
            return plan, self._scope(plan.schema, (alias or view.name,), aliases, span)
        table = catalog.table(name)
        if table is None:
            raise self._no_table(name, span)
        if (
            table_numbered(name) is None
            and self.context.source.mentions(ROWID)
            and all(field.name.lower() != ROWID for field in table)
        ):
            with_numbers = catalog.table(numbered(name))
            name, table = (name, table) if with_numbers is None else (numbered(name), with_numbers)
        # DuckDB calls the columns of 'folder/trips.parquet' trips.column.
        own = table_numbered(name) or name
        names = (alias,) if alias else tuple(dict.fromkeys((called or node.name, PurePath(own).stem, own)))
        return Scan(name, table, tuple(range(len(table))), span), self._scope(table, names, aliases, span)

    def _no_table(self, name: str, span: Span | None) -> BindError:
        if is_remote(name):
            return self.context.error(f'"{name}": {NOT_REMOTE}', span)
        if is_path(name):
            return self.context.error(f'there is no file or folder "{name}"', span, "Paths are relative to the current folder.")
        known = [*self.context.catalog.table_names(), *(cte.node.alias for cte in self.common_tables.values())]
        return self.context.error(f'no table "{name}"', span, suggestion(name, known))

    def _common_table(self, common: CommonTable) -> Plan:
        if common.bound is None:
            common.bound = self.bind_query(common.node.this, common.surroundings)
        return common.bound


def _mirrored(left: Plan, right: Plan, condition: Expr | None) -> Plan:
    """RIGHT JOIN: the left join of the exchanged sides, its columns put back in order."""
    width, other = len(left.schema), len(right.schema)

    def moved(column: ColumnRef) -> ColumnRef:
        index = column.index + other if column.index < width else column.index - width
        return ColumnRef(index, column.type, column.name)

    joined = Join(right, left, "left", condition=None if condition is None else with_columns_moved(condition, moved))
    schema = (*left.schema, *right.schema)
    columns = (moved(ColumnRef(index, item.type, item.name)) for index, item in enumerate(schema))
    return Project(joined, tuple(NamedExpr(item.name, column) for item, column in zip(schema, columns, strict=True)))
