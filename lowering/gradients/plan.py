"""Plans as functions that JAX differentiates: what does not depend on weights is computed by the engine, the rest is traced here.

A plan is walked once, while JAX traces it. A part that nothing free goes into is run as any other query, and its rows are
constants. Above it, operators over rows with free columns are made of JAX's functions; which rows go together, in a filter, join
or group, is still the engine's to say, since it depends on fixed columns only. A condition on free columns takes no row away, but
part of its weight; a class of a model that is grouped by or compared makes of each row one for each class, with its probability.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

import jax.numpy as jnp
import numpy as np
import pyarrow as pa

from qtensor.errors import InternalError, UnsupportedError
from qtensor.expressions import (
    AggregateCall,
    Call,
    Case,
    ColumnRef,
    Expr,
    Literal,
    Predict,
    SortKey,
    WindowCall,
    children,
    conjuncts,
    parts_of_window,
)
from qtensor.logical import (
    Aggregate,
    CommonScan,
    Definition,
    Filter,
    Join,
    JoinKey,
    Limit,
    NamedAggregate,
    NamedExpr,
    NamedWindow,
    OneRow,
    Plan,
    Project,
    Scan,
    Sort,
    Union,
    Window,
    With,
    definitions_of,
    inputs,
    with_inputs,
)
from qtensor.lowering.expressions.expressions import place_of
from qtensor.lowering.gradients.aggregates import Groups, aggregated
from qtensor.lowering.gradients.expressions import Expressions, all_of, free_numbers, taken_shares
from qtensor.lowering.gradients.given import Given
from qtensor.lowering.gradients.models import class_probabilities, output_of
from qtensor.lowering.gradients.rows import Choice, Free, Mask, Number, Places, Rows, chunks, times
from qtensor.lowering.storage import arrow_type
from qtensor.optimise.rewriting import columns_of, conjunction, map_expressions, renumbered, transform
from qtensor.types import BIGINT, INTEGER, Boolean, Decimal, Float, Integer, Schema, SqlType, Varchar
from qtensor.types import Array as ArrayType

AT_HAND, OTHER = "#rows", "#others"


@dataclass
class Differentiable:
    """One walk over a plan."""

    given: Given
    definitions: Mapping[int, Plan]
    common: dict[int, Rows] = field(default_factory=dict)

    @staticmethod
    def rows_of(plan: Plan, given: Given) -> Rows:
        """The rows of a plan. Raises UnsupportedError: a part of it has no derivative, at its place."""
        return Differentiable(given, definitions_of(plan)).rows(plan)

    def rows(self, plan: Plan) -> Rows:
        if isinstance(plan, With):
            return self.rows(plan.input)
        if not self.given.reads_free(plan, self.definitions):
            return self.fixed(plan)
        match plan:
            case CommonScan(number=number):
                if number not in self.common:
                    self.common[number] = self.rows(self.definitions[number])
                return self.common[number]
            case Project():
                return self.project(plan)
            case Filter():
                return self.filter(self.rows(plan.input), plan.predicate)
            case Aggregate():
                return self.aggregate(plan)
            case Join():
                return self.join(plan)
            case Sort():
                return self.sort(plan)
            case Limit():
                return self.limit(plan)
            case Union(branches=branches):
                return union([self.rows(branch) for branch in branches], plan.schema)
            case Window():
                return self.window(plan)
            case Scan() | OneRow():
                raise InternalError("a table depends on no weights")
            case _:
                assert_never(plan)

    # --- what the engine computes ---------------------------------------------------------------------------------------------

    def fixed(self, plan: Plan) -> Rows:
        """The rows of a plan that depends on nothing free. Scores, of which there are no columns in tables, are constants."""
        wanted = self.definitions_read(plan)
        whole = With(tuple(Definition(number, self.definitions[number]) for number in wanted), plan) if wanted else plan
        if not plan.schema:  # of rows without columns Arrow does not know how many there are
            whole = Project(whole, (NamedExpr("one", Literal(1, INTEGER)),))
        table = self.given.fixed_rows(whole, {})
        types = [one.type for one in plan.schema]
        free: dict[int, Free] = {
            position: free_numbers(table.column(position), type)
            for position, type in enumerate(types)
            if isinstance(type, ArrayType)
        }
        fixed = [table.column(position) for position in range(len(types)) if position not in free]
        return Rows.of(plan.schema, fixed, free, table.num_rows, None)

    def definitions_read(self, plan: Plan) -> list[int]:
        """The definitions that a plan reads, each behind those that it reads itself."""
        if isinstance(plan, CommonScan):
            return [*self.definitions_read(self.definitions[plan.number]), plan.number]
        return list(dict.fromkeys(number for part in inputs(plan) for number in self.definitions_read(part)))

    def over(self, rows: Rows, plan: Callable[[Scan], Plan]) -> pa.Table:
        """The rows of a plan above the fixed columns of rows at hand."""
        fields = rows.fixed_fields
        return self.given.fixed_rows(plan(Scan(AT_HAND, fields, tuple(range(len(fields))))), {AT_HAND: (fields, rows.fixed)})

    def expressions(self, rows: Rows, exprs: Sequence[Expr]) -> Expressions:
        """Evaluates expressions over rows, their fixed parts computed. One that not every row reaches is NULL where it fails."""
        wanted: dict[Expr, Expr] = {}
        columns = rows.free.keys()

        def collect(expr: Expr, guarded: bool) -> None:
            if self.given.is_free(expr, columns):
                inner = guarded or isinstance(expr, Case) or (isinstance(expr, Call) and expr.function in GUARDING)
                for child in children(expr):
                    collect(child, inner)
            elif not isinstance(expr, Literal | ColumnRef):
                wanted.setdefault(expr, Call("try", (expr,), expr.type) if guarded else expr)

        for expr in exprs:
            collect(expr, False)
        return Expressions(self.given, rows, dict(zip(wanted, self.fixed_columns(rows, list(wanted.values())), strict=True)))

    def fixed_columns(self, rows: Rows, exprs: Sequence[Expr]) -> list[pa.ChunkedArray]:
        """The values of expressions that depend on nothing free."""
        if not exprs:
            return []
        named = tuple(NamedExpr(f"e{number}", renumbered(expr, rows.places)) for number, expr in enumerate(exprs))
        columns: list[pa.ChunkedArray] = self.over(rows, lambda scan: Project(scan, named)).columns
        return columns

    def column(self, rows: Rows, expr: Expr) -> pa.Array | pa.ChunkedArray:
        """The values of one expression that depends on nothing free."""
        return rows.column(expr.index) if isinstance(expr, ColumnRef) else self.fixed_columns(rows, [expr])[0]

    # --- choices --------------------------------------------------------------------------------------------------------------

    def with_choices_made(self, rows: Rows, exprs: Sequence[Expr], passed_on: bool = False) -> tuple[Rows, list[Expr]]:
        """Rows in which each choice that expressions compute with is made: one row for each of its values, by its probability.

        Classes of models and texts of softened CASEs become columns first. passed_on: a column that is an expression by itself
        is left as it is.
        """
        made: dict[Expr, ColumnRef] = {}

        def placed(expr: Expr) -> Expr:
            nonlocal rows
            if not self.is_choice(expr, rows):
                return expr
            if expr not in made:
                choice = self.choice(rows, expr)
                made[expr] = ColumnRef(len(rows.fields), expr.type)
                rows = rows.with_free(choice, expr.type)
            return made[expr]

        exprs = [transform(expr, placed) for expr in exprs]
        used = [expr for expr in exprs if not (passed_on and isinstance(expr, ColumnRef))]
        for position in sorted(columns_of(*used)):
            if isinstance(rows.free.get(position), Choice):
                rows = rows.chosen(position)
        return rows, exprs

    def is_choice(self, expr: Expr, rows: Rows) -> bool:
        """Whether an expression chooses one of several values, and is no number."""
        if not self.given.is_free(expr, rows.free.keys()):
            return False
        match expr:
            case Predict(type=Integer() | Varchar()):
                output = output_of(self.given.models[expr.model], expr)
                return output.classes is not None or output.labels is not None
            case Case(type=type):
                return not is_number(type)
            case _:
                return False

    def choice(self, rows: Rows, expr: Expr) -> Choice:
        """What an expression chooses.

        Raises UnsupportedError: there is no temperature to soften it by.
        """
        span = place_of(expr)
        match expr:
            case Predict():
                if self.given.soft is None:
                    raise self.given.refuse(f'not differentiable: the class that the model "{expr.model}" gives', span)
                evaluated = self.expressions(rows, expr.arguments)
                arguments = [evaluated.number(argument) for argument in expr.arguments]
                probabilities, valid = class_probabilities(self.given, expr, arguments, rows.count)
                labels = output_of(self.given.models[expr.model], expr).labels
                mask = None if valid is None else ~valid
                values = [
                    constant(number if labels is None else labels[number], expr.type, rows.count, mask)
                    for number in range(len(probabilities))
                ]
                return Choice(tuple(probabilities), tuple(values))
            case Case(branches=branches, otherwise=otherwise):
                if any(self.given.is_free(value, rows.free.keys()) for value in (*(value for _, value in branches), otherwise)):
                    raise self.given.refuse(f"not differentiable: a CASE of {expr.type} over what is differentiated", span)
                evaluated = self.expressions(rows, [condition for condition, _ in branches])
                shares = taken_shares([evaluated.truth(condition) for condition, _ in branches])
                columns = [self.values(rows, value) for value in (*(value for _, value in branches), otherwise)]
                return Choice(tuple(jnp.broadcast_to(share, (rows.count,)) for share in shares), tuple(columns))
            case _:
                raise InternalError("no choice")

    def values(self, rows: Rows, expr: Expr) -> pa.Array:
        column = self.column(rows, expr)
        return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column

    # --- operators ------------------------------------------------------------------------------------------------------------

    def project(self, plan: Project) -> Rows:
        rows, exprs = self.with_choices_made(self.rows(plan.input), [named.expr for named in plan.expressions], passed_on=True)
        evaluated = self.expressions(rows, [expr for expr in exprs if self.given.is_free(expr, rows.free.keys())])
        fixed = [expr for expr in exprs if not self.given.is_free(expr, rows.free.keys())]
        computed = iter(self.fixed_columns(rows, [expr for expr in fixed if not isinstance(expr, ColumnRef)]))
        columns = [rows.column(expr.index) if isinstance(expr, ColumnRef) else next(computed) for expr in fixed]
        free: dict[int, Free] = {}
        for position, expr in enumerate(exprs):
            if self.given.is_free(expr, rows.free.keys()):
                free[position] = rows.free[expr.index] if isinstance(expr, ColumnRef) else self.spread(evaluated, expr)
        return Rows.of(plan.schema, columns, free, rows.count, rows.weight)

    def spread(self, evaluated: Expressions, expr: Expr) -> Number:
        """A number for each row, also where it is the same for all."""
        number, count = evaluated.number(expr), evaluated.rows.count
        if number.data.ndim == 0:
            number = replace(number, data=jnp.broadcast_to(number.data, (count,)))
        return number

    def filter(self, rows: Rows, predicate: Expr) -> Rows:
        """Fixed conditions take rows away, others weight."""
        fields = rows.fields
        fixed = [part for part in conjuncts(predicate) if not self.given.is_free(part, rows.free.keys())]
        free = [part for part in conjuncts(predicate) if self.given.is_free(part, rows.free.keys())]
        if fixed:
            truth = np.asarray(self.column(rows, conjunction(fixed)).fill_null(False)).astype(np.bool_)
            rows = rows.taken(np.flatnonzero(truth))
        if free:
            rows, free = self.with_choices_made(rows, free)
            evaluated = self.expressions(rows, free)
            share = all_of([evaluated.truth(part) for part in free])
            if isinstance(share, np.ndarray):
                rows = rows.taken(np.flatnonzero(share))
            else:
                rows = replace(rows, weight=times(rows.weight, share))
        return first_columns(rows, fields)

    def aggregate(self, plan: Aggregate) -> Rows:
        rows = self.rows(plan.input)
        calls = [named.call for named in plan.aggregates]
        parts = [parts_of(call) for call in calls]
        rows, exprs = self.with_choices_made(rows, [key.expr for key in plan.keys] + [part for own in parts for part in own])
        keys, rest = exprs[: len(plan.keys)], iter(exprs[len(plan.keys) :])
        calls = [with_parts(call, [next(rest) for _ in own]) for call, own in zip(calls, parts, strict=True)]
        for key in keys:
            if self.given.is_free(key, rows.free.keys()):
                what = f"not differentiable: to group by {key.type}s that depend on what is differentiated"
                raise UnsupportedError(what, "", [span] if (span := place_of(key)) else [])
        groups, key_columns = self.grouped(rows, keys)
        is_fixed = [
            rows.weight is None and not any(self.given.is_free(part, rows.free.keys()) for part in parts_of(call))
            for call in calls
        ]
        columns = iter(self.fixed_aggregates(rows, groups, [call for call, fixed in zip(calls, is_fixed, strict=True) if fixed]))
        evaluated = self.expressions(
            rows, [part for call, fixed in zip(calls, is_fixed, strict=True) if not fixed for part in parts_of(call)]
        )
        fixed_columns, free = list(key_columns), dict[int, Free]()
        for position, (call, fixed) in enumerate(zip(calls, is_fixed, strict=True), len(keys)):
            if fixed:
                fixed_columns.append(next(columns))
            else:
                free[position] = aggregated(call, evaluated, groups)
        return Rows.of(plan.schema, fixed_columns, free, groups.count, None)

    def grouped(self, rows: Rows, keys: Sequence[Expr]) -> tuple[Groups, list[pa.Array]]:
        """The group of each row, and each group's keys."""
        if not keys:
            return Groups(np.zeros(rows.count, np.int64), 1), []
        order = tuple(SortKey(renumbered(key, rows.places)) for key in keys)
        rank = NamedWindow("rank", WindowCall("dense_rank", (), BIGINT))
        named = tuple(NamedExpr(f"k{number}", renumbered(key, rows.places)) for number, key in enumerate(keys))

        def ranked(scan: Scan) -> Plan:
            window = Window(scan, (), order, (rank,))
            last = len(scan.schema)
            return Project(
                window, (*named, NamedExpr("row", ColumnRef(last - 1, BIGINT)), NamedExpr("rank", ColumnRef(last, BIGINT)))
            )

        found = self.over(rows, ranked)
        places, ranks = (found.column(position).to_numpy() for position in (len(keys), len(keys) + 1))
        numbers = np.empty(rows.count, np.int64)
        numbers[places] = ranks - 1
        _, first = np.unique(ranks, return_index=True)
        return Groups(numbers, len(first)), [found.column(number).take(pa.array(first)) for number in range(len(keys))]

    def fixed_aggregates(self, rows: Rows, groups: Groups, calls: Sequence[AggregateCall]) -> list[pa.ChunkedArray]:
        """Aggregates of what is fixed, in the order of the groups."""
        if not calls:
            return []
        with_group = rows.with_fixed([pa.array(groups.numbers)], [BIGINT])
        group = ColumnRef(with_group.places[len(with_group.fields) - 1], BIGINT)
        named = tuple(
            NamedAggregate(f"a{number}", with_parts(call, [renumbered(part, with_group.places) for part in parts_of(call)]))
            for number, call in enumerate(calls)
        )
        if groups.count == 1:
            columns: list[pa.ChunkedArray] = self.over(with_group, lambda scan: Aggregate(scan, (), named)).columns
            return columns
        table = self.over(
            with_group,
            lambda scan: Sort(Aggregate(scan, (NamedExpr("group", group),), named), (SortKey(ColumnRef(0, BIGINT)),)),
        )
        return list(table.columns[1:])

    def join(self, plan: Join) -> Rows:
        left, left_keys = self.with_choices_made(self.rows(plan.left), [key.left for key in plan.keys])
        right, right_keys = self.with_choices_made(self.rows(plan.right), [key.right for key in plan.keys])
        width = len(plan.left.schema)
        for key, rows in [*((key, left) for key in left_keys), *((key, right) for key in right_keys)]:
            if self.given.is_free(key, rows.free.keys()):
                what = f"not differentiable: to join by {key.type}s that depend on what is differentiated"
                raise UnsupportedError(what, "", [span] if (span := place_of(key)) else [])
        if right.weight is not None and plan.kind != "inner":
            raise UnsupportedError(f"not differentiable: a {plan.kind} join with rows that a softened condition weights")
        conditions = [] if plan.condition is None else conjuncts(plan.condition)
        free_columns = {*left.free, *(position + width for position in right.free)}
        free = [part for part in conditions if self.given.is_free(part, free_columns)]
        if free and plan.kind != "inner":
            span = place_of(free[0])
            what = f"not differentiable: the condition of a {plan.kind} join on what is differentiated"
            raise UnsupportedError(what, "", [span] if span else [])
        keys = tuple(
            JoinKey(renumbered(one, left.places), renumbered(other, right.places), key.null_safe)
            for one, other, key in zip(left_keys, right_keys, plan.keys, strict=True)
        )
        beside = len(left.fixed_fields)
        places = {
            **{position: place for position, place in left.places.items() if position < width},
            **{position + width: place + beside for position, place in right.places.items()},
        }
        fixed = [renumbered(part, places) for part in conditions if part not in free]
        rows = self.paired(plan, left, right, keys, conjunction(fixed) if fixed else None)
        return self.filter(rows, conjunction(free)) if free else rows

    def paired(self, plan: Join, left: Rows, right: Rows, keys: tuple[JoinKey, ...], condition: Expr | None) -> Rows:
        """The pairs of rows that the engine finds by fixed columns."""
        tables = {AT_HAND: (left.fixed_fields, left.fixed), OTHER: (right.fixed_fields, right.fixed)}
        scans = [Scan(name, fields, tuple(range(len(fields)))) for name, (fields, _) in tables.items()]
        joined = Join(scans[0], scans[1], plan.kind, keys, condition)
        width = len(left.fixed_fields)
        wanted = [width - 1] if plan.kind in ("semi", "anti") else [width - 1, len(joined.schema) - 1]
        named = tuple(NamedExpr(f"r{place}", ColumnRef(place, joined.schema[place].type)) for place in wanted)
        found = self.given.fixed_rows(Project(joined, named), tables)
        left = first_columns(left, plan.left.schema)
        numbers, there = numbers_of(found.column(0))
        kept = left.taken(numbers, there)
        if plan.kind in ("semi", "anti"):
            return kept
        if plan.kind == "mark":
            marked = kept.with_fixed([found.column(1)], [plan.schema[-1].type])
            return replace(marked, fields=plan.schema)
        partners, there = numbers_of(found.column(1))
        return kept.beside(first_columns(right, plan.right.schema).taken(partners, there), plan.schema)

    def sort(self, plan: Sort) -> Rows:
        rows = self.rows(plan.input)
        for key in plan.keys:
            if self.given.is_free(key.expr, rows.free.keys()):
                span = place_of(key.expr)
                raise UnsupportedError(
                    "not differentiable: an order of rows by what is differentiated", "", [span] if span else []
                )
        keys = tuple(replace(key, expr=renumbered(key.expr, rows.places)) for key in plan.keys)
        last = len(rows.fixed_fields) - 1
        found = self.over(rows, lambda scan: Project(Sort(scan, keys), (NamedExpr("row", ColumnRef(last, BIGINT)),)))
        return rows.taken(found.column(0).to_numpy())

    def limit(self, plan: Limit) -> Rows:
        rows = self.rows(plan.input)
        if rows.weight is not None:
            raise UnsupportedError("not differentiable: LIMIT of rows that a softened condition weights")
        end = rows.count if plan.count is None else min(rows.count, plan.offset + plan.count)
        return rows.taken(np.arange(min(plan.offset, end), end))

    def window(self, plan: Window) -> Rows:
        rows = self.rows(plan.input)
        parts = [*plan.partition, *(key.expr for key in plan.order)]
        parts += [part for function in plan.functions for part in parts_of_window(function.call)]
        free = next((part for part in parts if self.given.is_free(part, rows.free.keys())), None)
        if free is not None or rows.weight is not None:
            span = None if free is None else place_of(free)
            raise UnsupportedError("not supported yet: gradients through a window function", "", [span] if span else [])
        window = map_expressions(plan, lambda expr: renumbered(expr, rows.places))
        width = len(rows.fixed_fields)

        def over(scan: Scan) -> Plan:
            whole = with_inputs(window, [scan])
            wanted = range(width - 1, width + len(plan.functions))
            return Project(whole, tuple(NamedExpr(f"w{place}", ColumnRef(place, whole.schema[place].type)) for place in wanted))

        found = self.over(rows, over)
        order = np.argsort(found.column(0).to_numpy())
        columns = [column.take(pa.array(order)) for column in found.columns[1:]]
        types = [function.call.type for function in plan.functions]
        return replace(rows.with_fixed(columns, types), fields=plan.schema)


GUARDING = frozenset(("and", "or", "coalesce", "try"))


def is_number(type: SqlType) -> bool:
    return isinstance(type, Integer | Decimal | Float | Boolean | ArrayType)


def constant(value: int | str, type: SqlType, count: int, mask: Any) -> pa.Array:
    """A column of one value, NULL where `mask`."""
    whole = pa.repeat(pa.scalar(value, arrow_type(type)), count)
    return whole if mask is None else whole.take(pa.array(np.zeros(count, np.int64), mask=mask))


def parts_of(call: AggregateCall) -> list[Expr]:
    """All expressions of an aggregate."""
    return [*call.arguments, *(() if call.filter is None else (call.filter,)), *(key.expr for key in call.order)]


def with_parts(call: AggregateCall, parts: Sequence[Expr]) -> AggregateCall:
    """An aggregate with other expressions in the places of its own."""
    rest = iter(parts)
    arguments = tuple(next(rest) for _ in call.arguments)
    condition = None if call.filter is None else next(rest)
    return replace(call, arguments=arguments, filter=condition, order=tuple(replace(key, expr=next(rest)) for key in call.order))


def numbers_of(column: pa.ChunkedArray) -> tuple[Places, Mask | None]:
    """Numbers of rows, and where there is one (None: everywhere)."""
    if not column.null_count:
        return column.to_numpy(), None
    there = np.asarray(column.is_valid())
    return column.fill_null(0).to_numpy(), there


def first_columns(rows: Rows, fields: Schema) -> Rows:
    """Rows with their first columns only, those that were there before choices were made."""
    if len(rows.fields) == len(fields):
        return rows
    kept = [rows.column(position) for position in range(len(fields)) if position not in rows.free]
    free = {position: column for position, column in rows.free.items() if position < len(fields)}
    return Rows.of(fields, kept, free, rows.count, rows.weight)


def union(branches: Sequence[Rows], schema: Schema) -> Rows:
    """All rows of some, one behind the other; a column that is free in one is free in all."""
    count = sum(branch.count for branch in branches)
    free_positions = {position for branch in branches for position in branch.free}
    free: dict[int, Free] = {}
    columns = []
    for position, one in enumerate(schema):
        if position not in free_positions:
            columns.append(pa.chunked_array([part for branch in branches for part in chunks(branch.column(position))]))
            continue
        numbers = [
            branch.free[position] if position in branch.free else free_numbers(branch.column(position), one.type)
            for branch in branches
        ]
        free[position] = joined([number_of(number) for number in numbers], [branch.count for branch in branches])
    weight = None
    if any(branch.weight is not None for branch in branches):
        weight = jnp.concatenate([jnp.ones(one.count) if one.weight is None else one.weight for one in branches])
    return Rows.of(schema, columns, free, count, weight)


def number_of(column: Free) -> Number:
    if isinstance(column, Choice):
        raise UnsupportedError("not differentiable: classes of models in a UNION; count them in its branches")
    return column


def joined(numbers: Sequence[Number], counts: Sequence[int]) -> Number:
    """Columns one behind the other."""
    valid = None
    if any(number.valid is not None for number in numbers):
        valid = np.concatenate(
            [np.ones(count, np.bool_) if one.valid is None else one.valid for one, count in zip(numbers, counts, strict=True)]
        )
    present = None
    if any(number.present is not None for number in numbers):
        present = jnp.concatenate(
            [jnp.ones(count) if one.present is None else one.present for one, count in zip(numbers, counts, strict=True)]
        )
    return Number(jnp.concatenate([number.data for number in numbers], axis=-1), valid, present)
