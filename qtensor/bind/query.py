"""A SELECT: its clauses, bound in the order in which SQL gives them meaning, as one logical plan."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sqlglot import exp

from qtensor.bind.aggregates import has_aggregate
from qtensor.bind.build import Operand, plain
from qtensor.bind.context import Context
from qtensor.bind.expression import ExpressionBinder
from qtensor.bind.grouping import Grouping, has_column
from qtensor.bind.grouping_sets import grouping_sets
from qtensor.bind.names import expression_name
from qtensor.bind.ordering import bind_limit, bind_order
from qtensor.bind.relation import CommonTable, RelationBinder
from qtensor.bind.scope import Scope
from qtensor.bind.syntax import whole_number
from qtensor.errors import Span, suggestion
from qtensor.expressions import ColumnRef, Expr, Subquery, children, with_children
from qtensor.logical import Aggregate, Filter, Limit, NamedExpr, Plan, Project, Sort, SortKey


@dataclass
class SelectItem:
    """One output column: bound already (from `*`), or on demand, since clauses may refer to it by its alias."""

    name: str
    node: exp.Expr | None = None
    aliased: bool = False
    bound: Operand | None = None
    in_progress: bool = False


def bind_query(
    context: Context, node: exp.Expr, common_tables: dict[str, CommonTable], outer: ExpressionBinder | None = None
) -> Plan:
    """The plan of a query that sees `common_tables`, and of a subquery also the columns that `outer` binds."""

    def nested(inner: exp.Expr, known: dict[str, CommonTable]) -> Plan:
        return bind_query(context, inner, known, outer)

    def condition(inner: exp.Expr, scope: Scope, known: dict[str, CommonTable]) -> Operand:
        bound = expression_binder(context, scope, known, outer).condition(inner)
        if has_aggregate(bound.expr):
            raise context.error("the condition of a JOIN cannot contain aggregates", bound.span)
        return bound

    relations = RelationBinder(context, nested, condition, common_tables)
    while isinstance(node, exp.Subquery):
        relations.add(node.args.get("with_"))
        node = node.this
    if isinstance(node, exp.Table):  # `(t)` where a query may stand
        node = exp.select("*").from_(node)
    relations.add(node.args.get("with_"))
    plan, scope = relations.bind(node.args.get("from_"), node.args.get("joins") or ())
    return SelectBinder(context, node, plan, expression_binder(context, scope, relations.common_tables, outer)).bind()


def expression_binder(
    context: Context, scope: Scope, common_tables: dict[str, CommonTable], outer: ExpressionBinder | None
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
    def scope(self) -> Scope:
        return self.binder.scope

    def bind(self) -> Plan:
        """The plan: Filter, Aggregate and Filter of HAVING, Project, then DISTINCT, Sort, Limit."""
        if not self.select.expressions:
            raise self.context.error("the list of SELECT is empty", self.context.source.find_words("SELECT"))
        for node in self.select.expressions:
            self.items += self._expanded(node)
        plan = self._where(self.input)
        self.visible = len(self.items)
        grouping = Grouping(self.context, self.binder)
        self._bind_keys(grouping)
        outputs = [self.item(index).expr for index in range(len(self.items))]
        having = self.select.args.get("having")
        condition = grouping.having().condition(having.this).expr if having else None
        order = bind_order(self, outputs)
        if grouping.needed or condition is not None or self.binder.calls.aggregates:
            grouping.settle()
            kept = None if condition is None else grouping.above(condition, "HAVING")
            outputs = [grouping.above(output, "SELECT") for output in outputs]
            order = [replace(key, expr=grouping.above(key.expr, "ORDER BY")) for key in order]
            plan = grouping.aggregate(plan)
            plan = plan if kept is None else Filter(plan, kept)
        elif any(has_aggregate(expr) for expr in (*outputs, *(key.expr for key in order))):
            raise self.context.error("GROUPING needs a GROUP BY", self.context.source.find_words("GROUPING"))
        names = [item.name for item in self.items]
        return self._finish(plan, [NamedExpr(*pair) for pair in zip(names, outputs, strict=True)], order)

    # --- the list of SELECT ---------------------------------------------------------------------------------------------------

    def _expanded(self, node: exp.Expr) -> list[SelectItem]:
        star = node if isinstance(node, exp.Star) else node.this if isinstance(node, exp.Column) else None
        if isinstance(star, exp.Star):
            return self._star(node, star)
        if isinstance(node, exp.Alias):
            return [SelectItem(node.alias, node.this, aliased=True)]
        inner = node.unnest()
        column = self._named_column(inner) if isinstance(inner, exp.Column) else None
        # A column keeps the spelling of its table, not of the query.
        return [SelectItem(column.name if column else expression_name(node, self.context.source), node)]

    def _named_column(self, node: exp.Column) -> ColumnRef | None:
        if not node.table:
            return self.scope.column(node.name)
        relation = self.scope.relation(node.table)
        return None if relation is None else relation.column(node.name)

    def _star(self, node: exp.Expr, star: exp.Star) -> list[SelectItem]:
        span = self.context.source.span(node)
        columns = self.scope.star
        if isinstance(node, exp.Column):
            relation = self.scope.relation(node.table)
            if relation is None:
                known = suggestion(node.table, self.scope.qualifiers)
                raise self.context.error(f'no table "{node.table}" in FROM', self.context.source.span(node.args["table"]), known)
            columns = relation.columns
        elif not self.scope.relations:
            raise self.context.error("* stands for the columns of FROM, and there is no FROM", span)
        excluded = set()
        for part in star.args.get("except_") or ():
            name = part.name.lower()
            if name not in (column.name.lower() for column in columns):
                hint = suggestion(part.name, [known.name for known in columns])
                raise self.context.error(f'no column "{part.name}" to exclude', self.context.source.span(part) or span, hint)
            excluded.add(name)
        references = [column for column in columns if column.name.lower() not in excluded]
        if not references:
            raise self.context.error("the list of SELECT is empty: every column is excluded", span)
        for reference in references:
            self.binder.places[id(reference)] = (reference, span)
        return [SelectItem(reference.name, bound=plain(reference, span)) for reference in references]

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
        return Filter(plan, condition.expr)

    def position(self, node: exp.Expr, clause: str) -> int | None:
        """The output column that the integer literal `node` counts to, None if `node` is no integer literal."""
        inner = node.unnest()
        digits = inner.this.unnest() if isinstance(inner, exp.Neg) else inner
        if not isinstance(digits, exp.Literal) or digits.is_string or not digits.name.isdecimal():
            return None
        number = whole_number(digits.name)
        if number is None or isinstance(inner, exp.Neg) or not 1 <= number <= len(self.items):
            shown = f"-{digits.name}" if isinstance(inner, exp.Neg) else digits.name
            columns = f"{len(self.items)} column{'s' if len(self.items) > 1 else ''}"
            message = f"{clause} {shown} is out of range: SELECT has {columns}"
            raise self.context.error(message, self.context.source.span(node))
        return number - 1

    def _bind_keys(self, grouping: Grouping) -> None:
        group = self.select.args.get("group")
        if group is None:
            return
        grouping.needed = True
        if group.args.get("all"):
            for index, item in enumerate(self.items):
                operand = self.item(index)
                if has_aggregate(operand.expr):
                    if has_column(operand.expr):
                        raise self.context.error("GROUP BY ALL cannot group by columns mixed with aggregates", operand.span)
                elif has_column(operand.expr):
                    grouping.add_key(item.name, operand)
            return
        for keys in grouping_sets(self.context, group.expressions):
            grouping.sets.append(frozenset([self._bind_key(grouping, node) for node in keys]))

    def _bind_key(self, grouping: Grouping, node: exp.Expr) -> int:
        position = self.position(node, "GROUP BY")
        if position is not None:
            return grouping.add_key(self.items[position].name, self.item(position))
        operand = self.binder.bind(node)
        name = node.name if isinstance(node, exp.Column) else expression_name(node, self.context.source)
        return grouping.add_key(operand.expr.name if isinstance(operand.expr, ColumnRef) else name, operand)

    def _finish(self, plan: Plan, outputs: list[NamedExpr], order: list[SortKey]) -> Plan:
        width = len(outputs)
        distinct = bool(self.select.args.get("distinct"))
        hidden: list[NamedExpr] = []
        keys: list[SortKey] = []
        for key in order:
            over_outputs = _over(key.expr, outputs)
            if over_outputs is None and distinct:
                self.context.unsupported(
                    "ORDER BY what SELECT DISTINCT does not give", self.context.source.find_words("ORDER BY")
                )
            elif over_outputs is None or not (distinct or isinstance(over_outputs, ColumnRef)):
                position = next((i for i, known in enumerate(hidden) if known.expr == key.expr), len(hidden))
                if position == len(hidden):
                    hidden.append(NamedExpr(f"order_{position + 1}", key.expr))
                keys.append(replace(key, expr=_output(width + position, hidden[position])))
            else:
                keys.append(replace(key, expr=over_outputs))
        plan = Project(plan, (*outputs, *hidden))
        if distinct:
            plan = Aggregate(plan, tuple(NamedExpr(out.name, _output(i, out)) for i, out in enumerate(outputs)), ())
        if keys:
            plan = Sort(plan, tuple(keys))
        plan = self._limit(plan)
        if hidden:
            plan = Project(plan, tuple(NamedExpr(out.name, _output(i, out)) for i, out in enumerate(outputs)))
        return plan

    def _limit(self, plan: Plan) -> Plan:
        count = bind_limit(self.context, self.binder, self.select.args.get("limit"), "LIMIT")
        offset = bind_limit(self.context, self.binder, self.select.args.get("offset"), "OFFSET") or 0
        return plan if count is None and not offset else Limit(plan, count, offset)


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
