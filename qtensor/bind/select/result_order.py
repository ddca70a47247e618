"""ORDER BY of a result that several queries make: of a set operation, of VALUES, of a query in parentheses."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from qtensor.bind.context import Context
from qtensor.bind.expressions.build import Operand, plain
from qtensor.bind.expressions.expression import ExpressionBinder
from qtensor.bind.select.aggregates import has_aggregate
from qtensor.bind.select.branches import branches_of, canonical
from qtensor.bind.select.distinct import references
from qtensor.bind.select.ordering import limited, output_position, stands_for_all
from qtensor.errors import BindError, Span, suggestion
from qtensor.expressions import Expr
from qtensor.logical import NamedExpr, Plan, Project, Sort, SortKey


@dataclass
class ResultOrder:
    """Binds the ORDER BY, LIMIT and OFFSET of `query` over the rows of `plan`, as DuckDB does.

    A lone name is the output column that the first of the queries to have one calls so. An expression that a list of SELECT has
    is that column; one that no list has is computed of the result's columns by the result's own names.
    """

    context: Context
    plan: Plan
    binder: ExpressionBinder
    query: exp.Expr

    def __post_init__(self) -> None:
        self.binder.alias = self.named
        self.columns = references(self.plan)
        self.branches = list(branches_of(self.query, range(len(self.columns)), self.context.branches))

    def bind(self, node: exp.Expr) -> Plan:
        """`plan`, ordered and limited as `node` says."""
        clause = node.args.get("order")
        keys: list[SortKey] = []
        for ordered in clause.expressions if clause else ():
            descending, nulls_first = bool(ordered.args.get("desc")), bool(ordered.args.get("nulls_first"))
            keys += [SortKey(expr, descending, nulls_first) for expr in self._expressions(ordered.this)]
        plan, placed = self.binder.windows.plan(self.plan)
        if keys:
            plan = Sort(plan, tuple(SortKey(placed(key.expr), key.descending, key.nulls_first) for key in keys))
        plan = limited(self.context, self.binder, plan, node)
        if len(plan.schema) > len(self.columns):
            plan = Project(plan, tuple(NamedExpr(column.name, column) for column in self.columns))
        return plan

    def _expressions(self, node: exp.Expr) -> list[Expr]:
        if stands_for_all(node):
            return list(self.columns)
        position = output_position(self.context, node, "ORDER BY", len(self.columns))
        node = node.unnest()
        if position is None and isinstance(node, exp.Column):
            position = self._column(node)
        elif position is None and any(canonical(node) in branch.written for _, branch in self.branches):
            position = self._listed(node)
        if position is not None:
            return [self.columns[position]]
        if isinstance(node.this if isinstance(node, exp.Neg) else node, exp.Literal | exp.Boolean | exp.Null):
            raise self.context.error("ORDER BY a constant has no effect", self.context.source.span(node))
        self._refuse_hidden(node)
        operand = self.binder.bind(node)
        if has_aggregate(operand.expr):
            raise self.context.error("ORDER BY of a set operation cannot contain aggregates", operand.span)
        return [operand.expr]

    def _column(self, node: exp.Column) -> int:
        """The output column that a lone name means: by its name in any query, else the column of a FROM that a list names."""
        if not node.table:
            for positions, branch in self.branches:
                for position, name in zip(positions, branch.names, strict=True):
                    if name.lower() == node.name.lower():
                        return position
        return self._listed(node)

    def _listed(self, node: exp.Expr) -> int:
        """The output column whose expression in a list of SELECT is `node`, its names qualified by the first FROM that has them.

        Raises:
            BindError: there is none, or there are several.
        """
        qualified = canonical(node, [branch.scope for _, branch in self.branches])
        found = {
            position
            for positions, branch in self.branches
            for position, listed in zip(positions, branch.qualified, strict=False)
            if listed == qualified
        }
        span = self.context.source.span(node)
        if len(found) > 1:
            shown = node.sql("duckdb")
            raise self.context.error(f"{shown} is several columns of the result", span, "Order by the number of one of them.")
        if not found:
            raise self._unknown(node, span)
        return found.pop()

    def _unknown(self, node: exp.Expr, span: Span | None) -> BindError:
        names = [column.name for column in self.columns]
        what = f'column "{node.name}"' if isinstance(node, exp.Column) else f"column {node.sql('duckdb')}"
        table = next((column.table for column in node.find_all(exp.Column) if column.table), "")
        if table and all(branch.scope.relation(table) is None for _, branch in self.branches):
            return self.context.error(f'no table "{table}" in FROM', span)
        return self.context.error(f"the result has no {what} to be ordered by", span, suggestion(node.name, names))

    def _refuse_hidden(self, node: exp.Expr) -> None:
        """Expressions behind one query in parentheses read its FROM and not its result: refuse where that makes a difference."""
        if isinstance(self.query, exp.SetOperation) or len(self.branches) != 1:
            return
        ((_, branch),) = self.branches
        for column in node.find_all(exp.Column):
            read = canonical(column, [branch.scope])
            for name, listed in zip(branch.names, branch.qualified, strict=False):
                if branch.scope.column(column.name) and name.lower() == column.name.lower() and listed != read:
                    what = "ORDER BY behind parentheses by an expression of a name that is a column and an alias of another"
                    self.context.unsupported(what, self.context.source.span(column))

    def named(self, name: str, span: Span | None) -> Operand:
        """The output column that the result calls `name`.

        Raises:
            BindError: there is none.
        """
        for column in self.columns:
            if column.name.lower() == name.lower():
                return plain(column, span)
        names = [column.name for column in self.columns]
        raise self.context.error(f'the result has no column "{name}" to be ordered by', span, suggestion(name, names))
