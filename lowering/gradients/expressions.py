"""Expressions of free values as JAX computes them; what has no derivative is refused, or softened where the user wants that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TypeAlias, assert_never

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa

from qtensor.errors import InternalError, Span, UnsupportedError
from qtensor.expressions import MIRRORED, Call, Case, Cast, ColumnRef, Expr, Literal, OuterColumn, Predict, Subquery
from qtensor.lowering.expressions.expressions import place_of
from qtensor.lowering.gradients.given import Array, Failing, Given
from qtensor.lowering.gradients.models import predicted
from qtensor.lowering.gradients.rows import Choice, Mask, Number, Rows, both, dtype_of, times
from qtensor.types import Array as ArrayType
from qtensor.types import Boolean, Decimal, Float, Integer, Null, SqlType, scale_of

Truth: TypeAlias = Mask | Array  # of each row: whether a condition holds, or how much

INVERSE = {"less": "greater_equal", "less_equal": "greater", "greater": "less_equal", "greater_equal": "less"}

SMOOTH: dict[str, Callable[..., Array]] = {
    "add": jnp.add,
    "subtract": jnp.subtract,
    "multiply": jnp.multiply,
    "divide": jnp.divide,
    "negate": jnp.negative,
    "abs": jnp.abs,
    "sqrt": jnp.sqrt,
    "cbrt": jnp.cbrt,
    "exp": jnp.exp,
    "ln": jnp.log,
    "log2": jnp.log2,
    "log10": jnp.log10,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "tan": jnp.tan,
    "cot": lambda x: 1 / jnp.tan(x),
    "asin": jnp.arcsin,
    "acos": jnp.arccos,
    "atan": jnp.arctan,
    "atan2": jnp.arctan2,
    "sinh": jnp.sinh,
    "cosh": jnp.cosh,
    "tanh": jnp.tanh,
    "asinh": jnp.arcsinh,
    "acosh": jnp.arccosh,
    "atanh": jnp.arctanh,
    "degrees": jnp.degrees,
    "radians": jnp.radians,
    "power": jnp.power,
    "log_of_base": lambda base, x: jnp.log(x) / jnp.log(base),
}

# What arguments must not be, as the engine refuses it.
WRONG: dict[str, tuple[Callable[[Array], Array], str]] = {
    "sqrt": (lambda x: x < 0, "the square root of a negative number"),
    **{name: (lambda x: x <= 0, "the logarithm of a number that is not positive") for name in ("ln", "log2", "log10")},
}


def free_numbers(values: pa.Array | pa.ChunkedArray, type: SqlType, span: Span | None = None) -> Number:
    """A fixed column as numbers to compute with: float32 of FLOAT, else float64; at NULL a value of another row."""
    match type:
        case ArrayType(element, length):
            whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
            flat = np.asarray(whole.flatten() if not whole.null_count else whole.fill_null([0.0] * length).flatten())
            valid = None if not whole.null_count else np.asarray(whole.is_valid())
            return Number(jnp.asarray(flat.reshape(-1, length).T.astype(dtype_of(element))), valid)
        case Integer() | Decimal() | Float() | Boolean():
            numbers = values.cast(pa.int8()) if isinstance(type, Boolean) else values
            if isinstance(type, Integer | Decimal):
                numbers = numbers.cast(pa.float64())
            valid = None if not numbers.null_count else np.asarray(numbers.is_valid())
            if valid is not None:
                present = numbers.drop_null()
                numbers = numbers.fill_null(present[0] if len(present) else 0)
            return Number(jnp.asarray(np.asarray(numbers).astype(dtype_of(type))), valid)
        case Null():
            return Number(jnp.zeros(len(values)), np.zeros(len(values), np.bool_))
        case _:
            raise UnsupportedError(f"not differentiable: arithmetic with a {type}", "", [span] if span else [])


@dataclass(frozen=True)
class Expressions:
    """Evaluates expressions over `rows`. fixed: what the engine computed of their fixed parts, each a column."""

    given: Given
    rows: Rows
    fixed: Mapping[Expr, pa.Array | pa.ChunkedArray]

    def is_free(self, expr: Expr) -> bool:
        return self.given.is_free(expr, self.rows.free.keys())

    def column(self, expr: Expr) -> pa.Array | pa.ChunkedArray:
        """The values of a fixed expression."""
        return self.rows.column(expr.index) if isinstance(expr, ColumnRef) else self.fixed[expr]

    def refused(self, what: str, expr: Expr) -> UnsupportedError:
        place = place_of(expr)
        return UnsupportedError(f"not differentiable: {what}", "", [place] if place else [])

    # --- numbers --------------------------------------------------------------------------------------------------------------

    def number(self, expr: Expr) -> Number:
        """The values of an expression.

        Raises UnsupportedError: they have no derivative, at its place.
        """
        if isinstance(expr, Literal) and not self.is_free(expr):
            return self.literal(expr)
        if not self.is_free(expr):
            return free_numbers(self.column(expr), expr.type, place_of(expr))
        match expr:
            case Literal():
                return Number(self.given.parameter(expr).astype(dtype_of(expr.type)))
            case ColumnRef(index=index):
                column = self.rows.free[index]
                if isinstance(column, Choice):
                    raise InternalError("a choice was to be made before")
                return column
            case Predict(arguments=arguments):
                return predicted(self.given, expr, [self.number(part) for part in arguments], self.rows.count)
            case Cast():
                return self.cast(expr)
            case Case():
                return self.case(expr)
            case Call():
                return self.call(expr)
            case OuterColumn() | Subquery():
                raise InternalError("a subquery was left in the plan")
            case _:
                assert_never(expr)

    def literal(self, literal: Literal) -> Number:
        if literal.value is None:
            return Number(jnp.zeros((), dtype_of(literal.type)), np.zeros(self.rows.count, np.bool_))
        if not isinstance(literal.value, int | float):
            raise self.refused(f"arithmetic with a {literal.type}", literal)
        return Number(jnp.asarray(literal.value / 10 ** scale_of(literal.type), dtype_of(literal.type)))

    def cast(self, cast: Cast) -> Number:
        source, target = cast.operand.type, cast.type
        value = self.number(cast.operand)
        widens = scale_of(target) >= scale_of(source) and not isinstance(source, Float)
        match target:
            case Float():
                return replace(value, data=value.data.astype(dtype_of(target)))
            case Integer() | Decimal() if widens:
                return value
            case _:
                raise self.refused(f"a cast from {source} to {target}", cast)

    def case(self, case: Case) -> Number:
        """The values of the branches by how much each is taken. Where all conditions are fixed, one is."""
        conditions = [self.truth(condition) for condition, _ in case.branches]
        values = [self.number(value) for _, value in case.branches] + [self.number(case.otherwise)]
        if all(isinstance(condition, np.ndarray) for condition in conditions):
            chosen = values[-1]
            for condition, value in zip(reversed(conditions), reversed(values[:-1]), strict=True):
                assert isinstance(condition, np.ndarray)
                chosen = self.selected(condition, value, chosen)
            return chosen
        shares = taken_shares(conditions)
        return mixed(shares, values, self.rows.count, dtype_of(case.type))

    def selected(self, condition: Mask, then: Number, otherwise: Number) -> Number:
        valid = None
        if then.valid is not None or otherwise.valid is not None:
            ones = np.ones(self.rows.count, np.bool_)
            valid = np.where(condition, *(ones if one.valid is None else one.valid for one in (then, otherwise)))
        present = None
        if then.present is not None or otherwise.present is not None:
            shares = [jnp.ones(()) if one.present is None else one.present for one in (then, otherwise)]
            present = jnp.where(condition, shares[0], shares[1])
        dtype = jnp.result_type(then.data, otherwise.data)
        return Number(jnp.where(condition, then.data.astype(dtype), otherwise.data.astype(dtype)), valid, present)

    def call(self, call: Call) -> Number:
        match call:
            case Call(function="subscript", arguments=(array, Literal(value=int(place)))):
                found = self.number(array)
                if not 1 <= place <= found.data.shape[0]:
                    return self.literal(Literal(None, call.type))
                return replace(found, data=found.data[place - 1])
            case Call(function="coalesce", arguments=arguments):
                return reduce(self.coalesced, [self.number(argument) for argument in arguments])
            case Call(function="greatest" | "least", arguments=arguments):
                values = [self.number(argument) for argument in arguments]
                if any(value.valid is not None or value.present is not None for value in values):
                    raise self.refused(f"{call.function} of values that may be NULL", call)
                return Number(
                    reduce(jnp.maximum if call.function == "greatest" else jnp.minimum, [value.data for value in values])
                )
            case Call(function=name) if name in SMOOTH:
                return self.smooth(call)
        if isinstance(call.type, Boolean):
            return self.as_number(call)
        raise self.refused(f"{call.function}", call)

    def smooth(self, call: Call) -> Number:
        values, dtype = [self.number(argument) for argument in call.arguments], dtype_of(call.type)
        valid = reduce(both, [value.valid for value in values])
        present = [value.present for value in values if value.present is not None]
        if len({id(one) for one in present}) > 1:
            raise self.refused("arithmetic with several values that may be NULL by softened conditions", call)
        data = SMOOTH[call.function](*(value.data.astype(dtype) for value in values))
        if call.function in WRONG:
            is_wrong, message = WRONG[call.function]
            wrong = is_wrong(values[0].data)
            self.given.failing.append(Failing((wrong if valid is None else wrong & valid).any(), message, call.span))
        return Number(data, valid, present[0] if present else None)

    def coalesced(self, first: Number, then: Number) -> Number:
        """The first value where it is there, else the other."""
        if first.valid is None and first.present is None:
            return first
        dtype = jnp.result_type(first.data, then.data)
        if first.present is None:
            assert first.valid is not None
            return self.selected(first.valid, first, then)
        if then.valid is not None or then.present is not None:
            raise UnsupportedError("not differentiable: coalesce of several values that may be NULL by softened conditions")
        there = first.present if first.valid is None else jnp.where(first.valid, first.present, 0.0)
        data = there * first.data + (1 - there) * then.data
        return Number(data.astype(dtype))

    def as_number(self, condition: Expr) -> Number:
        """A condition as a value, with its NULLs; where there may be some, it is one comparison."""
        valid = self.valid_of(condition)
        truth = self.truth(condition)
        return Number(jnp.asarray(truth).astype(np.float64), valid)

    def valid_of(self, condition: Expr) -> Mask | None:
        match condition:
            case Call(function="and" | "or", arguments=arguments):
                if any(self.valid_of(argument) is not None for argument in arguments):
                    raise self.refused("AND and OR of conditions that may be NULL, as a value", condition)
                return None
            case Call(function="not", arguments=(argument,)):
                return self.valid_of(argument)
            case Call(function="is_null" | "is_not_null"):
                return None
            case Call(arguments=arguments) if condition.function in MIRRORED:
                return reduce(both, [self.number(argument).valid for argument in arguments])
            case _:
                return self.number(condition).valid

    # --- conditions -----------------------------------------------------------------------------------------------------------

    def truth(self, condition: Expr, negated: bool = False) -> Truth:
        """Where a condition (`negated`: its negation) is true, neither false nor NULL; of a free one how probably.

        Raises UnsupportedError: it is free, and not softened.
        """
        if not self.is_free(condition):
            return self.fixed_truth(condition, negated)
        match condition:
            case Call(function="not", arguments=(argument,)):
                return self.truth(argument, not negated)
            case Call(function="and" | "or" as name, arguments=arguments):
                parts = [self.truth(argument, negated) for argument in arguments]
                return all_of(parts) if (name == "and") != negated else opposite(all_of([opposite(part) for part in parts]))
            case Call(function="is_null" | "is_not_null" as name, arguments=(argument,)):
                return self.null_test(argument, (name == "is_null") != negated)
            case Call(function=name) if name in INVERSE:
                return self.compared(INVERSE[name] if negated else name, condition)
            case ColumnRef() | Case():
                value = self.number(condition)
                there = times(value.present, None if value.valid is None else jnp.asarray(value.valid, np.float64))
                share = times(1 - value.data if negated else value.data, there)
                assert share is not None
                return share
            case Call(function="equal" | "not_equal"):
                raise self.refused("an equality of what is differentiated, which holds almost nowhere", condition)
            case _:
                what = condition.function if isinstance(condition, Call) else "a condition"
                raise self.refused(f"{what} of what is differentiated", condition)

    def fixed_truth(self, condition: Expr, negated: bool) -> Mask:
        if isinstance(condition, Literal):
            return np.full(self.rows.count, condition.value is (not negated))
        values = self.column(condition)
        true = np.asarray(values.fill_null(negated))
        return ~true.astype(np.bool_) if negated else true.astype(np.bool_)

    def null_test(self, argument: Expr, is_null: bool) -> Truth:
        value = self.number(argument)
        valid = np.ones(self.rows.count, np.bool_) if value.valid is None else value.valid
        if value.present is None:
            return ~valid if is_null else valid
        there = jnp.where(valid, value.present, 0.0)
        return 1 - there if is_null else there

    def compared(self, name: str, condition: Call) -> Array:
        """By the logistic function of how much greater one side is, in units of the temperature."""
        if self.given.soft is None:
            raise self.given.refuse("not differentiable: a comparison with what is differentiated", condition.span)
        left, right = (self.number(argument) for argument in condition.arguments)
        if left.present is not None or right.present is not None:
            raise self.refused("a comparison of what may be NULL by a softened condition", condition)
        above = (left.data - right.data) / jnp.asarray(self.given.soft, left.data.dtype)
        share = jax.nn.sigmoid(above if name.startswith("greater") else -above).astype(np.float64)
        share = jnp.broadcast_to(share, (self.rows.count,))
        valid = both(left.valid, right.valid)
        return share if valid is None else jnp.where(valid, share, 0.0)


def opposite(truth: Truth) -> Truth:
    return ~truth if isinstance(truth, np.ndarray) else 1 - truth


def all_of(parts: Sequence[Truth]) -> Truth:
    """Where all conditions hold; of free ones how probably, as if they did not depend on each other."""
    fixed = [part for part in parts if isinstance(part, np.ndarray)]
    free = [part for part in parts if not isinstance(part, np.ndarray)]
    holds: Mask | None = np.logical_and.reduce(fixed) if fixed else None
    if not free:
        assert holds is not None
        return holds
    share = reduce(jnp.multiply, free)
    return share if holds is None else jnp.where(holds, share, 0.0)


def taken_shares(conditions: Sequence[Truth]) -> list[Array]:
    """How much each branch of a CASE is taken, and its ELSE."""
    shares, left = [], jnp.ones(())
    for condition in conditions:
        holds = jnp.asarray(condition, np.float64)
        shares.append(left * holds)
        left = left * (1 - holds)
    return [*shares, left]


def mixed(shares: Sequence[Array], values: Sequence[Number], count: int, dtype: np.dtype[np.floating]) -> Number:
    """The mean of branches by their shares, and how much of it is not NULL."""
    there, total = [], jnp.zeros((), np.float64)
    for share, value in zip(shares, values, strict=True):
        own = share if value.present is None else share * value.present
        own = own if value.valid is None else jnp.where(value.valid, own, 0.0)
        there.append(own)
        total = total + own * value.data.astype(np.float64)
    if all(value.valid is None and value.present is None for value in values):
        return Number(jnp.broadcast_to(total, (count,)).astype(dtype))
    present = reduce(jnp.add, there)
    divisor = jnp.where(present > 0, present, 1.0)
    return Number(jnp.broadcast_to(total / divisor, (count,)).astype(dtype), None, jnp.broadcast_to(present, (count,)))
