"""Kernel instructions to jax.numpy: the one place that says what each machine operation computes."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from qtensor.errors import InternalError
from qtensor.lowering.ir.kernel import Instruction, Kernel, Ref
from qtensor.lowering.models.model import Model, Prediction
from qtensor.lowering.program.predict import BLOCK, Rows, is_wide, predict_in_blocks
from qtensor.lowering.program.sinks.base import Result
from qtensor.lowering.program.sinks.prefix import positions
from qtensor.types import MICROSECONDS_PER_DAY

Array = jax.Array

REWRITTEN_IN_DIVISIONS = frozenset({"divide", "sqrt", "exp", "power"})


@dataclass(frozen=True)
class RuntimeInputs:
    """What every batch of a run shares: scalars int64[k] and float64[m], look-up tables, each model with its weights, and the
    results of earlier pipelines that rows are looked up in.
    """

    scalars: Array
    float_scalars: Array
    tables: Sequence[Array]
    models: Sequence[Model]
    weights: Sequence[Sequence[Array]]
    results: Mapping[int, Result] = field(default_factory=dict)


@dataclass(frozen=True)
class Pieces:
    """Parts of a batch, read without the rest of it: `block(first)` are the slots for `BLOCK` rows from `first` on,
    `gathered(numbers)` for rows by their numbers in the batch.
    """

    block: Callable[[Array], Sequence[Array]]
    gathered: Callable[[Array], Sequence[Array]]


@dataclass
class Evaluation:
    """The values of a kernel over a batch, computed when first asked for, each once.

    rows: the number of each row in the source, int64[length]. first: the number of the source's first row in its table. live:
    which rows are asked for from now on, and filtered: whether they may be anywhere, not only in front. Large models are called
    for these alone, by `pieces`.
    """

    kernel: Kernel
    slots: Sequence[Array]
    inputs: RuntimeInputs
    length: int
    rows: Callable[[], Array]
    live: Array | None = None
    first: Array | None = None
    filtered: bool = False
    pieces: Pieces | None = None
    values: dict[Ref, Array] = field(default_factory=dict)
    predictions: dict[tuple[Hashable, ...], Prediction] = field(default_factory=dict)

    def value(self, ref: Ref) -> Array:
        """[length]; a run-time or compile-time scalar comes as a scalar."""
        pending = [ref]  # a stack of our own: a thousand conditions are a chain that deep
        while pending:
            instruction = self.kernel[pending[-1]]
            missing = [operand for operand in instruction.operands if operand not in self.values]
            if missing:
                pending += reversed(missing)
                continue
            current = pending.pop()
            if current not in self.values:
                self.values[current] = self.compute(instruction)
        return self.values[ref]

    def column(self, ref: Ref) -> Array:
        """As `value`, always [length]."""
        return jnp.broadcast_to(self.value(ref), (self.length,))

    def compute(self, instruction: Instruction) -> Array:
        attribute, dtype = instruction.attribute, jnp.dtype(instruction.dtype)
        match instruction.op:
            case "load":
                assert isinstance(attribute, int)
                return self.slots[attribute]
            case "row":
                return self.rows()
            case "number":
                assert self.first is not None
                return (self.rows() + self.first).astype(dtype)
            case "scalar":
                assert isinstance(attribute, int)
                return self.inputs.scalars[attribute]
            case "float_scalar":
                assert isinstance(attribute, int)
                return self.inputs.float_scalars[attribute]
            case "constant":
                assert isinstance(attribute, str)
                value = attribute == "True" if dtype == jnp.bool_ else float(attribute) if dtype.kind == "f" else int(attribute)
                return jnp.asarray(value, dtype)
            case "table":
                assert isinstance(attribute, int)
                index = self.value(instruction.operands[0])
                return self.inputs.tables[attribute].at[index].get(mode="clip")
            case "among":
                assert isinstance(attribute, int)
                ascending, wanted = self.inputs.tables[attribute], self.value(instruction.operands[0])
                place = positions(ascending, wanted, after_equals=False)
                return ascending.at[place].get(mode="clip") == wanted
            case "fetch":
                found = self.result_column(attribute)
                return found.at[self.value(instruction.operands[0])].get(mode="clip")
            case "any_row":
                return self.result_column(attribute).any()
            case "search_left" | "search_right":
                words, wanted = self.result_column(attribute), self.value(instruction.operands[0])
                return positions(words, wanted, after_equals=instruction.op == "search_right")
            case "copy":
                return self.value(instruction.operands[0])
            case "convert":
                return self.value(instruction.operands[0]).astype(dtype)
            case "model":
                return self.predict(instruction).astype(dtype)
            case "divide":
                return divide(*(self.kept_apart(operand) for operand in instruction.operands))
            case op:
                if op not in OPERATIONS:
                    raise InternalError(f"unknown kernel operation {op}")
                return OPERATIONS[op](*(self.value(operand) for operand in instruction.operands))

    def kept_apart(self, ref: Ref) -> Array:
        """An operand of a division, of which XLA does not see how it was computed.

        It would make x / (y * z) of (x / y) / z, x * rsqrt(y) of x / sqrt(y) and the like, all of which round otherwise. What was
        selected is left alone. (NaN stays NaN.)
        """
        value, origin = self.value(ref), self.kernel[ref]
        while origin.op in ("copy", "convert"):
            origin = self.kernel[origin.operands[0]]
        if origin.op not in REWRITTEN_IN_DIVISIONS:
            return value
        return jnp.where(value == value, value, jnp.asarray(jnp.nan, value.dtype))

    def result_column(self, attribute: Hashable) -> Array:
        """A column of an earlier pipeline's result, or which of its rows are live."""
        assert isinstance(attribute, tuple)
        number, column = attribute
        result = self.inputs.results[number]
        return result.live if column is None else result.columns[column]

    def predict(self, instruction: Instruction) -> Array:
        assert isinstance(instruction.attribute, tuple)
        slot, element, *tables = instruction.attribute
        key = (slot, instruction.operands, tuple(tables))
        if key not in self.predictions:
            weights = [*self.inputs.weights[slot], *(self.inputs.tables[table] for table in tables)]
            self.predictions[key] = self.called(self.inputs.models[slot], weights, instruction.operands)
        prediction = self.predictions[key]
        if element == "failed":
            return jnp.zeros(self.length, bool) if prediction.failed is None else prediction.failed
        return prediction.value(element)

    def called(self, model: Model, weights: Sequence[Array], operands: tuple[Ref, ...]) -> Prediction:
        """A model's prediction, for all rows or, of a large one, for those that are asked for."""
        if self.live is None or self.pieces is None or not is_wide(model, self.length, self.filtered):
            return model.apply(weights, [self.column(operand) for operand in operands])
        pieces, rows = self.pieces, self.rows

        def columns(slots: Sequence[Array], numbers: Array) -> list[Array]:
            part = Evaluation(self.kernel, slots, self.inputs, numbers.shape[0], lambda: rows()[numbers])
            return [part.column(operand) for operand in operands]

        def block(first: Array) -> list[Array]:
            return columns(pieces.block(first), first + jnp.arange(BLOCK, dtype=jnp.int32))

        def gathered(numbers: Array) -> list[Array]:
            return columns(pieces.gathered(numbers), numbers)

        return predict_in_blocks(model, weights, Rows(self.length, self.live, self.filtered, block, gathered))


def divide(left: Array, right: Array) -> Array:
    """The correctly rounded quotient.

    XLA rewrites x / scalar to x * (1 / scalar), which rounds twice; a divisor that looks like it differs by row is
    left alone. (NaN / 1 is NaN.)
    """
    if right.ndim == 0:
        right = jnp.where(left == left, right, jnp.ones_like(left))
    return left / right


def least_of(dtype: Any) -> Array:
    return jnp.asarray(np.iinfo(dtype).min, dtype)


def greatest_of(dtype: Any) -> Array:
    return jnp.asarray(np.iinfo(dtype).max, dtype)


def quotient(left: Array, right: Array) -> Array:
    return lax.div(*jnp.broadcast_arrays(left, right))


def remainder(left: Array, right: Array) -> Array:
    return lax.rem(*jnp.broadcast_arrays(left, right))


def rounded_quotient(left: Array, right: Array) -> Array:
    """Half away from zero; `right` is a positive power of ten."""
    whole, rest = quotient(left, right), remainder(left, right)
    away = (jnp.abs(rest) >= right - jnp.abs(rest)).astype(left.dtype)
    return whole + jnp.sign(left) * away


def multiply_wraps(left: Array, right: Array) -> Array:
    """Whether the int64 product is wrong: dividing it by a factor does not give the other back."""
    product = left * right
    minus_one = jnp.asarray(-1, left.dtype)
    least = least_of(left.dtype)
    divisor = jnp.where((left == 0) | (left == -1), jnp.ones_like(left), left)
    wrong = quotient(product, divisor) != right
    return jnp.where(left == minus_one, right == least, (left != 0) & wrong)


def order_key(values: Array) -> Array:
    """See `lowering/expressions/comparison.py`: the bits of a float, made monotone; all NaNs are one."""
    integers = jnp.int32 if values.dtype == jnp.float32 else jnp.int64
    bits = lax.bitcast_convert_type(values, integers)
    ordered = jnp.where(bits < 0, bits ^ greatest_of(integers), bits)
    return jnp.where(jnp.isnan(values), greatest_of(integers), ordered)


def from_order_key(keys: Array) -> Array:
    """The float of an order key."""
    largest = greatest_of(keys.dtype)
    bits = jnp.where(keys < 0, keys ^ largest, keys)
    return lax.bitcast_convert_type(bits, jnp.float32 if keys.dtype == jnp.int32 else jnp.float64)


def civil_from_march(day: Array) -> tuple[Array, Array, Array, Array]:
    """Of days since 1970: the year beginning on 1 March, the month and the day of that year from 0, the day of the month from 1.

    Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    """
    shifted = day + 719_468
    era = shifted // 146_097
    day_of_era = shifted - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * day_of_year + 2) // 153
    return year_of_era + era * 400, month, day_of_year, day_of_year - (153 * month + 2) // 5 + 1


def civil_year(day: Array) -> Array:
    """The year of days since 1970; the year before 1 is 0."""
    year, month, _, _ = civil_from_march(day)
    return year + (month >= 10).astype(day.dtype)


def civil_month(day: Array) -> Array:
    """1 to 12."""
    _, month, _, _ = civil_from_march(day)
    return jnp.where(month < 10, month + 3, month - 9)


def civil_day(day: Array) -> Array:
    """1 to 31."""
    return civil_from_march(day)[3]


def days_from_civil(year: Array, month: Array, day: Array) -> Array:
    """Days since 1970 of a year, a month from 1 to 12 and a day of the month; the inverse of the three above."""
    from_march = jnp.where(month > 2, month - 3, month + 9)
    shifted = jnp.where(month > 2, year, year - 1)
    era = shifted // 400
    in_era = shifted - era * 400
    return era * 146_097 + in_era * 365 + in_era // 4 - in_era // 100 + (153 * from_march + 2) // 5 + day - 1 - 719_468


def add_months(moment: Array, months: Array) -> Array:
    """Microseconds since 1970 moved by calendar months, the day cut to the month's last, in proleptic Gregorian days.

    Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil and civil_from_days.
    """
    day, time = moment // MICROSECONDS_PER_DAY, moment % MICROSECONDS_PER_DAY
    march_year, from_march, _, day_of_month = civil_from_march(day)
    total = march_year * 12 + from_march + months
    year, month = total // 12, total % 12
    # The last day of a month counted from March: 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, and February at the end.
    civil = year + 1
    leap = ((civil % 4 == 0) & (civil % 100 != 0)) | (civil % 400 == 0)
    length = jnp.where(month == 11, 28 + leap.astype(day.dtype), 31 - ((month % 5) % 2))
    day_in_month = jnp.minimum(day_of_month, length) - 1
    era = year // 400
    in_era = year - era * 400
    days = era * 146_097 + in_era * 365 + in_era // 4 - in_era // 100 + (153 * month + 2) // 5 + day_in_month - 719_468
    return days * MICROSECONDS_PER_DAY + time


def round_away(value: Array) -> Array:
    """To the nearest integer, halves away from zero; exact also next to a half, where adding 0.5 would round."""
    whole = jnp.trunc(value)
    away = jnp.abs(value - whole) >= 0.5
    return jnp.where(away, whole + jnp.copysign(jnp.ones_like(value), value), whole)


def cube_root(value: Array) -> Array:
    """lax.cbrt, made exact where the root is an integer by one step of Newton's."""
    root = jnp.cbrt(value)
    better = root - (root * root * root - value) / (3 * root * root)
    return jnp.where(jnp.isfinite(better), better, root)


def exponential(value: Array) -> Array:
    """jnp.exp, and the subnormal numbers below e^-708, for which XLA gives 0: e^64 of them, divided by that."""
    tiny = (value < -708) & (value > -1000)
    return jnp.exp(jnp.where(tiny, value + 64, value)) * jnp.where(tiny, jnp.asarray(math.exp(-64), value.dtype), 1)


def even(value: Array) -> Array:
    """The next even integer away from zero."""
    return jnp.copysign(jnp.ceil(jnp.abs(value) / 2) * 2, value)


OPERATIONS: dict[str, Callable[..., Array]] = {
    "sqrt": jnp.sqrt,
    "cbrt": cube_root,
    "exp": exponential,
    "ln": jnp.log,
    "log2": lambda value: jnp.log(value) * (1 / math.log(2)),
    "log10": lambda value: jnp.log(value) * (1 / math.log(10)),
    "sin": jnp.sin,
    "cos": jnp.cos,
    "tan": jnp.tan,
    "cot": lambda value: 1 / jnp.tan(value),
    "asin": jnp.arcsin,
    "acos": jnp.arccos,
    "atan": jnp.arctan,
    "sinh": jnp.sinh,
    "cosh": jnp.cosh,
    "tanh": jnp.tanh,
    "asinh": jnp.arcsinh,
    "acosh": jnp.arccosh,
    "atanh": jnp.arctanh,
    "degrees": lambda value: value * (180 / math.pi),
    "radians": lambda value: value * (math.pi / 180),
    "even": even,
    "lgamma": lax.lgamma,
    "power": lambda base, exponent: lax.pow(*jnp.broadcast_arrays(base, exponent)),
    "atan2": lambda y, x: jnp.arctan2(y, x),
    "nextafter": jnp.nextafter,
    "round_away": round_away,
    "truncate": jnp.trunc,
    "floor": jnp.floor,
    "ceil": jnp.ceil,
    "is_nan": jnp.isnan,
    "is_infinite": jnp.isinf,
    "is_finite": jnp.isfinite,
    "sign_bit": jnp.signbit,
    # XLA:CPU (jaxlib 0.10.1) crashes over `and` and `or` of two int64 cut to int32 and the result to int8; not over De Morgan's.
    "bit_and": lambda left, right: ~(~left | ~right),
    "bit_or": lambda left, right: ~(~left & ~right),
    "bit_xor": lambda left, right: left ^ right,
    "shift_left": lambda value, places: value << places,
    "shift_right": lambda value, places: value >> places,
    "bit_count": lax.population_count,
    "gcd": jnp.gcd,
    "and": lambda left, right: left & right,
    "or": lambda left, right: left | right,
    "not": lambda value: ~value,
    "equal": lambda left, right: left == right,
    "not_equal": lambda left, right: left != right,
    "less": lambda left, right: left < right,
    "less_equal": lambda left, right: left <= right,
    "greater": lambda left, right: left > right,
    "greater_equal": lambda left, right: left >= right,
    "select": jnp.where,
    "add": lambda left, right: left + right,
    "subtract": lambda left, right: left - right,
    "multiply": lambda left, right: left * right,
    "negate": lambda value: -value,
    "abs": jnp.abs,
    "add_wraps": lambda left, right: ((left ^ (left + right)) & (right ^ (left + right))) < 0,
    "subtract_wraps": lambda left, right: ((left ^ right) & (left ^ (left - right))) < 0,
    "multiply_wraps": multiply_wraps,
    "quotient": quotient,
    "quotient_wraps": lambda left, right: (left == least_of(left.dtype)) & (right == -1),
    "ceiling_quotient": lambda left, right: left // right + (left % right != 0).astype(left.dtype),
    "floor_quotient": lambda left, right: left // right,
    "rounded_quotient": rounded_quotient,
    "remainder": remainder,
    "round_half_even": jnp.round,
    "round_half_away": lambda value: jnp.trunc(value + jnp.copysign(jnp.asarray(0.5, value.dtype), value)),
    "order_key": order_key,
    "from_order_key": from_order_key,
    "add_months": add_months,
    "civil_year": civil_year,
    "civil_month": civil_month,
    "civil_day": civil_day,
    "days_from_civil": days_from_civil,
}
