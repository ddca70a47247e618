"""Machine operations against Python's exact integers, Python's calendar and NumPy's floats."""

import calendar
import datetime

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtensor.lowering.ir.ranges import INT64_MAX, INT64_MIN, Range, literal_range, widened
from qtensor.lowering.program import evaluate

EDGES = [
    0,
    1,
    -1,
    2,
    3,
    INT64_MAX,
    INT64_MIN,
    INT64_MAX - 1,
    INT64_MIN + 1,
    1 << 31,
    -(1 << 31),
    1 << 32,
    3037000500,
    -3037000500,
]
EPOCH = datetime.datetime(1970, 1, 1)


@pytest.mark.parametrize(("op", "exact"), [("add", int.__add__), ("subtract", int.__sub__), ("multiply", int.__mul__)])
def test_wrapping_is_told(op, exact) -> None:
    pairs = [(a, b) for a in EDGES for b in EDGES]
    with jax.enable_x64(True):
        left, right = (jnp.asarray([pair[side] for pair in pairs], jnp.int64) for side in (0, 1))
        wraps = np.asarray(evaluate.OPERATIONS[f"{op}_wraps"](left, right)).tolist()
    assert wraps == [not INT64_MIN <= exact(a, b) <= INT64_MAX for a, b in pairs]


@pytest.mark.parametrize("months", [-25, -12, -1, 1, 2, 11, 12, 13, 48])
def test_months_follow_the_calendar(months: int) -> None:
    random = np.random.default_rng(3)
    moments = [
        EPOCH + datetime.timedelta(days=int(day), microseconds=int(day) % 977) for day in random.integers(-200_000, 200_000, 500)
    ]
    moments += [datetime.datetime(2024, 2, 29), datetime.datetime(1900, 2, 28), datetime.datetime(2000, 1, 31, 23, 59)]

    def moved(moment: datetime.datetime) -> datetime.datetime:
        year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
        last = calendar.monthrange(year, month + 1)[1]
        return moment.replace(year=year, month=month + 1, day=min(moment.day, last))

    def microseconds(moment: datetime.datetime) -> int:
        return (moment - EPOCH) // datetime.timedelta(microseconds=1)

    with jax.enable_x64(True):
        values = jnp.asarray([microseconds(moment) for moment in moments], jnp.int64)
        found = np.asarray(evaluate.add_months(values, jnp.int64(months))).tolist()
    assert found == [microseconds(moved(moment)) for moment in moments]


def test_a_scalar_divisor_divides_correctly_rounded() -> None:
    """XLA would multiply by the reciprocal: 13 % of these quotients would be off by one unit in the last place."""
    values = np.random.default_rng(0).integers(-(10**9), 10**9, 65_536).astype(np.float64)
    with jax.enable_x64(True):
        divided = jax.jit(evaluate.divide)(jnp.asarray(values), jnp.float64(100.0))
    assert (np.asarray(divided) == values / 100.0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_order_keys_order_as_sql_does(dtype) -> None:
    values = np.array([-np.inf, -1e30, -1.5, -1e-40, -0.0, 0.0, 1e-40, 2.5, 1e30, np.inf, np.nan], dtype)
    with jax.enable_x64(True):
        keys = evaluate.order_key(jnp.asarray(values))
        back = np.asarray(evaluate.from_order_key(keys))
    assert (np.diff(np.asarray(keys)) > 0).all()
    np.testing.assert_array_equal(back, values)


@given(st.integers(INT64_MIN, INT64_MAX), st.integers(INT64_MIN, INT64_MAX))
def test_ranges_are_widened_outward_and_little(a: int, b: int) -> None:
    low, high = min(a, b), max(a, b)
    wide = widened(low, high)
    assert Range(low, high) in wide
    assert wide.size <= (high - low + 1) * 1.25 + 1
    assert Range(a, a) in literal_range(a)
