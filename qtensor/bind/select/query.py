"""A SELECT: its clauses, bound in the order in which SQL gives them meaning, as one logical plan."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sqlglot import exp

from qtensor.bind.context import Context
from qtensor.bind.expressions.build import Operand, plain
from qtensor.bind.expressions.expression import ExpressionBinder
from qtensor.bind.select.aggregates import has_aggregate, has_window
from qtensor.bind.select.branches import Branch
from qtensor.bind.select.correlation import plan_reads, without_level
from qtensor.bind.select.distinct import distinct_rows
from qtensor.bind.select.grouping import Grouping, has_column
from qtensor.bind.select.grouping_sets import grouping_sets
from qtensor.bind.select.ordering import bind_order, limited, order_expression, output_position
from qtensor.bind.select.relation import CommonTable, RelationBinder
from qtensor.bind.select.result_order import ResultOrder
from qtensor.bind.select.scope import ColumnScope
from qtensor.bind.select.sets import bind_set_operation
from qtensor.bind.select.stars import Starred, Stars, is_star
from qtensor.bind.select.values import bind_values
from qtensor.bind.select.views import bind_view
from qtensor.bind.text.names import expression_name
from qtensor.errors import Span
from qtensor.expressions import ColumnRef, Expr, Literal, Subquery, children, with_children
from qtensor.logical import Filter, NamedExpr, Plan, Project, Sort, SortKey
from qtensor.statement import View


@dataclass
class SelectItem:
    """One output column: bound already (from `*`), or on demand, since clauses may refer to it by its alias."""

    name: str
    node: exp.Expr | None = None
    aliased: bool = False
    bound: Operand | None = None
    in_progress: bool = False


def as_item(starred: Starred) -> SelectItem:
    """A column of a star."""
    if isinstance(starred.found, Operand):
        return SelectItem(starred.name, bound=starred.found)
    return SelectItem(starred.name, starred.found)


def bind_query(
    context: Context, node: exp.Expr, common_tables: dict[str, CommonTable], outer: ExpressionBinder | None = None
) -> Plan:
    """The plan of a query that sees `common_tables`, and of a subquery also the columns that `outer` binds."""

    def nested(inner: exp.Expr, known: dict[str, CommonTable]) -> Plan:
        return bind_query(context, inner, known, outer)

    def beside(inner: exp.Expr, known: dict[str, CommonTable], before: ColumnScope) -> tuple[Plan, bool]:
        """The plan of a subquery in FROM behind relations that it may read, and whether it does."""
        sibling = expression_binder(context, before, known, outer)
        plan = bind_query(context, inner, known, sibling)
        if sibling.calls.aggregates:
            raise context.error(
                "a subquery in FROM cannot aggregate what it reads of other relations", context.source.span(inner)
            )
        depths = {depth for depth, _ in plan_reads(plan)}
        return (plan if 1 in depths or not depths else without_level(plan)), 1 in depths

    def condition(inner: exp.Expr, scope: ColumnScope, known: dict[str, CommonTable]) -> Operand:
        bound = expression_binder(context, scope, known, outer).condition(inner)
        if has_aggregate(bound.expr):
            raise context.error("the condition of a JOIN cannot contain aggregates", bound.span)
        if has_window(bound.expr):
            raise context.error("the condition of a JOIN cannot contain window functions", bound.span)
        return bound

    def view(named: View, span: Span | None) -> Plan:
        return bind_view(context, named, span, lambda inner, tree: bind_query(inner, tree, {}))

    relations = RelationBinder(context, nested, beside, condition, view, common_tables)
    written = node
    while True:
        relations.add(node.args.get("with_"))
        if not isinstance(node, exp.Subquery):
            break
        inner = exp.select("*").from_(node.this) if isinstance(node.this, exp.Table) else node.this  # `(t)`
        if not _moved_inside(node, inner):
            plan = nested(inner, relations.common_tables)
            binder = expression_binder(context, ColumnScope(), relations.common_tables, outer)
            return ResultOrder(context, plan, binder, inner).bind(node)
        node = inner
    if isinstance(node, exp.Table):
        node = exp.select("*").from_(node)
    if isinstance(node, exp.SetOperation | exp.Values):
        binder = expression_binder(context, ColumnScope(), relations.common_tables, outer)
        if isinstance(node, exp.Values):
            plan = bind_values(context, node, binder)
            context.branches[id(node)] = Branch(node, tuple(column.name for column in plan.schema))
            return ResultOrder(context, plan, binder, node).bind(node)
        plan = bind_set_operation(context, node, lambda inner: nested(inner, relations.common_tables))
        return ResultOrder(context, plan, binder, node).bind(node)
    plan, scope = relations.bind(node.args.get("from_"), node.args.get("joins") or ())
    select = SelectBinder(context, node, plan, expression_binder(context, scope, relations.common_tables, outer))
    plan = select.bind()
    context.branches[id(written)] = select.as_branch(written)
    return plan


def _moved_inside(node: exp.Subquery, inner: exp.Expr) -> bool:
    """Let the query in parentheses have what follows them, so that ORDER BY may name what it reads; False if it has its own."""
    clauses = [key for key in ("order", "limit", "offset") if node.args.get(key)]
    if clauses and (inner.args.get("limit") or inner.args.get("offset") or ("order" in clauses and inner.args.get("order"))):
        return False
    for key in clauses:
        inner.set(key, node.args[key])
        node.set(key, None)
    return True


def expression_binder(
    context: Context, scope: ColumnScope, common_tables: dict[str, CommonTable], outer: ExpressionBinder | None
) -> ExpressionBinder:
    """The binder of expressions over `scope`, whose subqueries see it and what is around it."""
    binder = ExpressionBinder(context, scope, outer=outer)
    binder.query = lambda node, around: bind_query(context, node, common_tables, around)
    return binder


@dataclass
class SelectBinder:
    """Binds one SELECT over the columns of `input`, which `binder` knows."""

    context: Context
    select: exp.Expr
    input: Plan
    binder: ExpressionBinder
    items: list[SelectItem] = field(default_factory=list)
    visible: int = 0  # how many items a lateral alias may refer to: those before the one that is bound

    def __post_init__(self) -> None:
        self.binder.alias = self.alias

    @property
    def scope(self) -> ColumnScope:
        return self.binder.scope

    def bind(self) -> Plan:
        """The plan: Filter, Aggregate and Filter of HAVING, Window and Filter of QUALIFY, Project, then DISTINCT, Sort, Limit."""
        if not self.select.expressions:
            raise self.context.error("the list of SELECT is empty", self.context.source.find_words("SELECT"))
        for node in self.select.expressions:
            self.items += self._expanded(node)
        if not self.items:
            span = self.context.source.span(self.select.expressions[0])
            raise self.context.error("the list of SELECT is empty: every column is excluded", span)
        plan = self._where(self.input)
        self.visible = len(self.items)
        grouping = Grouping(self.context, self.binder)
        self._bind_keys(grouping)
        outputs = [self.item(index).expr for index in range(len(self.items))]
        having = self.select.args.get("having")
        condition = grouping.having().condition(having.this).expr if having else None
        if condition is not None and self._groups_by_all():
            for column in grouping.ungrouped(condition):
                grouping.add_key(column.name, plain(column))
        if condition is not None and has_window(condition):
            raise self.context.error(
                "HAVING cannot contain window functions; QUALIFY can", self.context.source.find_words("HAVING")
            )
        qualify = self._qualify()
        order = bind_order(self, outputs)
        on = self._distinct_on(outputs)
        if grouping.needed or condition is not None or self.binder.calls.aggregates:
            grouping.settle()
            kept = None if condition is None else grouping.above(condition, "HAVING")
            outputs = [grouping.above(output, "SELECT") for output in outputs]
            order = [replace(key, expr=grouping.above(key.expr, "ORDER BY")) for key in order]
            qualify = None if qualify is None else grouping.above(qualify, "QUALIFY")
            self.binder.windows.rewrite(lambda expr: grouping.above(expr, "OVER"))
            on = [grouping.above(expr, "DISTINCT ON") for expr in on]
            plan = grouping.aggregate(plan)
            plan = plan if kept is None else Filter(plan, kept)
        elif any(has_aggregate(expr) for expr in (*outputs, *on, *(key.expr for key in order))):
            raise self.context.error("GROUPING needs a GROUP BY", self.context.source.find_words("GROUPING"))
        plan, placed = self.binder.windows.plan(plan)
        outputs = [placed(output) for output in outputs]
        order = [replace(key, expr=placed(key.expr)) for key in order]
        on = [placed(expr) for expr in on]
        plan = plan if qualify is None else Filter(plan, placed(qualify))
        names = [item.name for item in self.items]
        return self._finish(plan, [NamedExpr(*pair) for pair in zip(names, outputs, strict=True)], order, on)

    def as_branch(self, node: exp.Expr) -> Branch:
        """What ORDER BY of a set operation may know of this query, which is written as `node`."""
        listed: list[exp.Expr] = []
        for item in self.items:
            column = item.bound.expr if item.node is None and item.bound is not None else None
            if isinstance(column, ColumnRef):
                listed.append(exp.column(column.name, table=self.scope.owner(column.index)))
            elif item.node is not None:
                listed.append(item.node)
        return Branch(node, tuple(item.name for item in self.items), tuple(listed), self.scope)

    # --- the list of SELECT ---------------------------------------------------------------------------------------------------

    def _expanded(self, node: exp.Expr) -> list[SelectItem]:
        stars = Stars(self.context, self.scope, self.binder.spans)
        if is_star(node) or isinstance(node, exp.Columns):
            return [as_item(found) for found in stars.expanded(node)]
        aliased = isinstance(node, exp.Alias)
        if several := stars.each(node.this if aliased else node):
            return [SelectItem(node.alias if aliased else name, one, aliased) for name, one in several]
        if aliased:
            return [SelectItem(node.alias, node.this, aliased=True)]
        inner = node.unnest()
        column = self._named_column(inner) if isinstance(inner, exp.Column) else None
        # A column keeps the spelling of its table, not of the query.
        return [SelectItem(column.name if column else expression_name(node, self.context.source), node)]

    def _named_column(self, node: exp.Column) -> ColumnRef | None:
        """The column that a name means, of this query or of one around it, as its own spells it."""
        binder: ExpressionBinder | None = self.binder
        while binder is not None:
            relation = binder.scope.relation(node.table) if node.table else binder.scope
            column = None if relation is None else relation.column(node.name)
            if column is not None:
                return column
            binder = binder.outer
        return None

    def item(self, index: int) -> Operand:
        """The expression of output column `index`, over the input's columns and the aggregates."""
        item = self.items[index]
        if item.bound is None:
            assert item.node is not None
            if item.in_progress:
                raise self.context.error(f'"{item.name}" is defined by itself', self.context.source.span(item.node))
            item.in_progress = True
            visible, self.visible = self.visible, index
            item.bound = self.binder.bind(item.node)
            self.visible, item.in_progress = visible, False
        return item.bound

    def alias_position(self, name: str) -> int | None:
        """The output column of alias `name`: of several the last that may be used, else one that may not be used yet."""
        positions = [i for i, item in enumerate(self.items) if item.aliased and item.name.lower() == name.lower()]
        usable = [position for position in positions if position < self.visible]
        return usable[-1] if usable else positions[0] if positions else None

    def output_named(self, name: str) -> int | None:
        """The output column that a lone `name` of ORDER BY means: of an alias, else the only column selected by this name."""
        position = self.alias_position(name)
        if position is not None:
            return position
        columns = [i for i, item in enumerate(self.items) if item.node is None or isinstance(item.node.unnest(), exp.Column)]
        named = [i for i in columns if self.items[i].name.lower() == name.lower()]
        return named[0] if len(named) == 1 else None

    def alias(self, name: str, span: Span | None) -> Operand | None:
        """What the alias `name` stands for where it may be used, None if there is no such alias."""
        position = self.alias_position(name)
        if position is None:
            return None
        if position >= self.visible:
            raise self.context.error(f'the alias "{name}" is used before it is defined', span)
        operand = self.item(position)
        return Operand(operand.expr, operand.type, span)

    # --- clauses --------------------------------------------------------------------------------------------------------------

    def _where(self, plan: Plan) -> Plan:
        where = self.select.args.get("where")
        if where is None:
            return plan
        self.visible = len(self.items)
        condition = self.binder.condition(where.this)
        if has_aggregate(condition.expr):
            raise self.context.error("WHERE cannot contain aggregates; HAVING can", condition.span)
        if has_window(condition.expr):
            raise self.context.error("WHERE cannot contain window functions; QUALIFY can", condition.span)
        return Filter(plan, condition.expr)

    def _qualify(self) -> Expr | None:
        qualify = self.select.args.get("qualify")
        if qualify is None:
            return None
        condition = self.binder.condition(qualify.this)
        if not self.binder.windows.entries:
            raise self.context.error("QUALIFY needs a window function, there or in the list of SELECT", condition.span)
        return condition.expr

    def position(self, node: exp.Expr, clause: str) -> int | None:
        """The output column that the integer literal `node` counts to, None if `node` is no integer literal."""
        return output_position(self.context, node, clause, len(self.items))

    def _bind_keys(self, grouping: Grouping) -> None:
        group = self.select.args.get("group")
        if group is None:
            return
        grouping.needed = True
        if self._groups_by_all():
            for index, item in enumerate(self.items):
                operand = self.item(index)
                if has_aggregate(operand.expr):
                    if has_column(operand.expr):
                        raise self.context.error("GROUP BY ALL cannot group by columns mixed with aggregates", operand.span)
                elif has_column(operand.expr):
                    grouping.add_key(item.name, operand)
            return
        sets = grouping_sets(self.context, group.expressions)
        for keys in sets:
            grouping.sets.append(frozenset([self._bind_key(grouping, node, len(sets) > 1) for node in keys]))
        for item in self.items:  # of equal constants only what is written alike is the key
            if item.node in grouping.constants and (item.bound is None or isinstance(item.bound.expr, Literal)):
                item.bound = grouping.constants[item.node]

    def _groups_by_all(self) -> bool:
        group = self.select.args.get("group")
        return group is not None and (bool(group.args.get("all")) or [type(node) for node in group.expressions] == [exp.Star])

    def _bind_key(self, grouping: Grouping, node: exp.Expr, several: bool) -> int:
        """Group by what `node` means, in one of `several` sets of keys or in the only one; its position."""
        node = node.unnest() if isinstance(node, exp.Paren) else node
        position = self.position(node, "GROUP BY")
        if position is None and isinstance(node, exp.Column) and not node.table and self.binder.local_column(node) is None:
            position = self.alias_position(node.name)
        if position is not None:
            operand, name = self.item(position), self.items[position].name
            if several or (not isinstance(operand.expr, ColumnRef | Literal) and self._has_subqueries()):
                operand = grouping.output_key(name, operand, len(self.input.schema), self.items[position].node)
                self.items[position].bound = operand
            return grouping.add_key(name, operand)
        self.binder.alias = self._no_alias
        operand = self.binder.bind(node)
        self.binder.alias = self.alias
        name = node.name if isinstance(node, exp.Column) else expression_name(node, self.context.source)
        if several and isinstance(operand.expr, Literal):
            operand = grouping.constants.get(node) or grouping.output_key(name, operand, len(self.input.schema), node)
        return grouping.add_key(operand.expr.name if isinstance(operand.expr, ColumnRef) else name, operand)

    def _no_alias(self, name: str, span: Span | None) -> Operand | None:
        """An alias of SELECT within an expression of GROUP BY: an error, where alone it would be a key."""
        if self.alias_position(name) is None:
            return None
        raise self.context.error(f'the alias "{name}" cannot be a part of an expression in GROUP BY', span)

    def _has_subqueries(self) -> bool:
        """Whether an expression above the groups holds a query, which may read an output by its alias."""
        parts = [*self.select.expressions, *(self.select.args.get(key) for key in ("having", "qualify", "order"))]
        return any(part is not None and part.find(exp.Query) is not None for part in parts)

    def _distinct_on(self, outputs: list[Expr]) -> list[Expr]:
        """What DISTINCT ON names, read as ORDER BY reads its expressions."""
        distinct = self.select.args.get("distinct")
        on = distinct.args.get("on") if distinct else None
        return [order_expression(self, node, outputs, "DISTINCT ON") for node in on.expressions] if on else []

    def _finish(self, plan: Plan, outputs: list[NamedExpr], order: list[SortKey], on: list[Expr]) -> Plan:
        """The output columns of `plan`, beside them those that only ORDER BY and DISTINCT ON need until these are done."""
        width = len(outputs)
        distinct = bool(self.select.args.get("distinct")) and not on
        columns = list(outputs)

        def position(expr: Expr) -> int:
            known = next((i for i, column in enumerate(columns) if column.expr == expr), None)
            if known is None:
                columns.append(NamedExpr(f"hidden_{len(columns) - width + 1}", expr))
            return len(columns) - 1 if known is None else known

        keys: list[SortKey] = []
        for key in order:
            over_outputs = _over(key.expr, outputs) if distinct else None
            if over_outputs is None:
                place = position(key.expr)
                over_outputs = _output(place, columns[place])
            keys.append(replace(key, expr=over_outputs))
        on_places = [position(expr) for expr in on]
        plan = Project(plan, tuple(columns))
        if distinct or on:
            plan = distinct_rows(plan, on_places or range(width), keys)
        if keys:
            plan = Sort(plan, tuple(keys))
        plan = limited(self.context, self.binder, plan, self.select)
        if len(columns) > width:
            plan = Project(plan, tuple(NamedExpr(out.name, _output(i, out)) for i, out in enumerate(outputs)))
        return plan


def _output(position: int, output: NamedExpr) -> Expr:
    return ColumnRef(position, output.expr.type, output.name)


def _over(expr: Expr, outputs: list[NamedExpr]) -> Expr | None:
    """`expr` computed from output columns alone, None if it needs more."""
    position = next((i for i, output in enumerate(outputs) if output.expr == expr), None)
    if position is not None:
        return _output(position, outputs[position])
    if isinstance(expr, ColumnRef | Subquery):
        return None
    parts = tuple(_over(child, outputs) for child in children(expr))
    known = tuple(part for part in parts if part is not None)
    return with_children(expr, known) if len(known) == len(parts) else None
