"""Plans as functions that JAX differentiates: what does not depend on weights is computed by the engine, the rest is traced here.

A plan is walked once, while JAX traces it. A part that nothing free goes into is run as any other query, and its rows are
constants. Above it, operators over rows with free columns are made of JAX's functions; which rows go together, in a filter, join
or group, is still the engine's to say, since it depends on fixed columns only. A condition on free columns takes no row away, but
part of its weight; a class of a model that is grouped by or compared makes of each row one for each class, with its probability.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

import jax.numpy as jnp
import numpy as np
import pyarrow as pa

from qtensor.errors import InternalError, UnsupportedError
from qtensor.expressions import (
    ColumnRef,
    Expr,
    Literal,
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
    NamedExpr,
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
from qtensor.lowering.gradients.aggregates import aggregated
from qtensor.lowering.gradients.choices import with_choices_made
from qtensor.lowering.gradients.expressions import Expressions, all_of, free_numbers
from qtensor.lowering.gradients.fixed import AT_HAND, FixedParts, parts_of, with_parts
from qtensor.lowering.gradients.given import Given
from qtensor.lowering.gradients.rows import Free, Number, Rows, times
from qtensor.lowering.gradients.together import first_columns, numbers_of, union
from qtensor.optimise.rewriting import conjunction, map_expressions, renumbered
from qtensor.types import BIGINT, INTEGER
from qtensor.types import Array as ArrayType

OTHER = "#others"


@dataclass
class Differentiable:
    """One walk over a plan."""

    given: Given
    definitions: Mapping[int, Plan]
    common: dict[int, Rows] = field(default_factory=dict)

    @property
    def parts(self) -> FixedParts:
        return FixedParts(self.given)

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

    # --- operators ------------------------------------------------------------------------------------------------------------

    def project(self, plan: Project) -> Rows:
        rows, exprs = with_choices_made(
            self.parts, self.rows(plan.input), [named.expr for named in plan.expressions], passed_on=True
        )
        evaluated = self.parts.expressions(rows, [expr for expr in exprs if self.given.is_free(expr, rows.free.keys())])
        fixed = [expr for expr in exprs if not self.given.is_free(expr, rows.free.keys())]
        computed = iter(self.parts.columns(rows, [expr for expr in fixed if not isinstance(expr, ColumnRef)]))
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
            truth = np.asarray(self.parts.column(rows, conjunction(fixed)).fill_null(False)).astype(np.bool_)
            rows = rows.taken(np.flatnonzero(truth))
        if free:
            rows, free = with_choices_made(self.parts, rows, free)
            evaluated = self.parts.expressions(rows, free)
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
        rows, exprs = with_choices_made(
            self.parts, rows, [key.expr for key in plan.keys] + [part for own in parts for part in own]
        )
        keys, rest = exprs[: len(plan.keys)], iter(exprs[len(plan.keys) :])
        calls = [with_parts(call, [next(rest) for _ in own]) for call, own in zip(calls, parts, strict=True)]
        for key in keys:
            if self.given.is_free(key, rows.free.keys()):
                what = f"not differentiable: to group by {key.type}s that depend on what is differentiated"
                raise UnsupportedError(what, "", [span] if (span := place_of(key)) else [])
        groups, key_columns = self.parts.groups(rows, keys)
        is_fixed = [
            rows.weight is None and not any(self.given.is_free(part, rows.free.keys()) for part in parts_of(call))
            for call in calls
        ]
        columns = iter(self.parts.aggregates(rows, groups, [call for call, fixed in zip(calls, is_fixed, strict=True) if fixed]))
        evaluated = self.parts.expressions(
            rows, [part for call, fixed in zip(calls, is_fixed, strict=True) if not fixed for part in parts_of(call)]
        )
        fixed_columns, free = list(key_columns), dict[int, Free]()
        for position, (call, fixed) in enumerate(zip(calls, is_fixed, strict=True), len(keys)):
            if fixed:
                fixed_columns.append(next(columns))
            else:
                free[position] = aggregated(call, evaluated, groups)
        return Rows.of(plan.schema, fixed_columns, free, groups.count, None)

    def join(self, plan: Join) -> Rows:
        left, left_keys = with_choices_made(self.parts, self.rows(plan.left), [key.left for key in plan.keys])
        right, right_keys = with_choices_made(self.parts, self.rows(plan.right), [key.right for key in plan.keys])
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
        found = self.parts.over(rows, lambda scan: Project(Sort(scan, keys), (NamedExpr("row", ColumnRef(last, BIGINT)),)))
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

        found = self.parts.over(rows, over)
        order = np.argsort(found.column(0).to_numpy())
        columns = [column.take(pa.array(order)) for column in found.columns[1:]]
        types = [function.call.type for function in plan.functions]
        return replace(rows.with_fixed(columns, types), fields=plan.schema)
