"""FROM: tables of the catalog, derived tables and common table expressions, each as a plan and the names of its columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath

from sqlglot import exp

from qtensor.bind.context import Context
from qtensor.bind.scope import Scope, renamed
from qtensor.errors import Span, suggestion
from qtensor.logical import OneRow, Plan, Scan
from qtensor.types import Schema

UNNAMED = "unnamed_subquery"


@dataclass
class CommonTable:
    """A CTE: bound when it is first read, in the surroundings it was written in."""

    node: exp.CTE
    surroundings: dict[str, CommonTable]
    bound: Plan | None = None


@dataclass
class RelationBinder:
    """Binds what FROM names; `bind_query` binds the queries in it."""

    context: Context
    bind_query: Callable[[exp.Expr, dict[str, CommonTable]], Plan]
    common_tables: dict[str, CommonTable] = field(default_factory=dict)

    def add(self, clause: exp.With | None) -> None:
        """Make the CTEs of WITH known: each sees those before it, and none itself."""
        seen: set[str] = set()
        for node in clause.expressions if clause else ():
            name = node.alias.lower()
            if name in seen:
                raise self.context.error(f'two CTEs are called "{node.alias}"', self.context.source.span(node.args["alias"]))
            seen.add(name)
            self.common_tables = {**self.common_tables, name: CommonTable(node, self.common_tables)}

    def bind(self, clause: exp.From | None) -> tuple[Plan, Scope]:
        """The plan of FROM, and the names of its columns; without FROM one row without columns."""
        if clause is None:
            return OneRow(), Scope()
        node = clause.this
        outer_alias = node.args.get("alias")
        while isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table | exp.Subquery) and not node.args.get("with_"):
            node = node.this  # parentheses around a table: the outermost alias counts
            outer_alias = outer_alias or node.args.get("alias")
        aliases = [column.name for column in outer_alias.columns] if outer_alias else []
        name = outer_alias.name if outer_alias else ""
        if isinstance(node, exp.Table):
            return self._table(node, name, aliases)
        plan = self.bind_query(node, self.common_tables)
        return plan, self._scope(plan.schema, (name or UNNAMED,), aliases, self.context.source.span(node))

    def _scope(self, schema: Schema, names: tuple[str, ...], aliases: list[str], span: Span | None) -> Scope:
        if len(aliases) > len(schema):
            message = f'"{names[0]}" has {len(schema)} columns, and {len(aliases)} names are given for them'
            raise self.context.error(message, span)
        return Scope(renamed(schema, aliases), names)

    def _table(self, node: exp.Table, alias: str, aliases: list[str]) -> tuple[Plan, Scope]:
        span = self.context.source.span(node.this)
        name = ".".join(part.name for part in node.parts)
        common = self.common_tables.get(name.lower())
        if common is not None:
            plan = self._common_table(common)
            own = common.node.args["alias"]
            schema = self._scope(
                plan.schema, (own.name,), [column.name for column in own.columns], self.context.source.span(own)
            ).fields
            return plan, self._scope(schema, (alias or own.name,), aliases, span)
        table = self.context.catalog.table(name)
        if table is None:
            known = [*self.context.catalog.table_names(), *(cte.node.alias for cte in self.common_tables.values())]
            raise self.context.error(f'no table "{name}"', span, suggestion(name, known))
        # DuckDB calls the columns of 'folder/trips.parquet' trips.column.
        names = (alias,) if alias else tuple(dict.fromkeys((node.name, PurePath(name).stem, name)))
        return Scan(name, table, tuple(range(len(table)))), self._scope(table, names, aliases, span)

    def _common_table(self, common: CommonTable) -> Plan:
        if common.bound is None:
            common.bound = self.bind_query(common.node.this, common.surroundings)
        return common.bound
