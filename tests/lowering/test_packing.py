"""Packed sums against NumPy's, over ranges that fill words, are negative, or need two limbs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtensor.lowering.ir.ranges import Range
from qtensor.lowering.program.sinks.packing import WORD_BITS, Addend, pack, packed_sums
from qtensor.lowering.program.sinks.slots import Slots

LENGTH = 512

ranges = st.tuples(st.integers(-(2**40), 2**40), st.integers(0, 2**44)).map(lambda pair: Range(pair[0], pair[0] + pair[1]))


@settings(max_examples=25)
@given(
    bounds=st.lists(ranges | st.just(Range(0, 1)) | st.just(Range(0, 0)), min_size=1, max_size=6), seed=st.integers(0, 2**32 - 1)
)
@pytest.mark.parametrize("groups", [1, 5])
def test_sums_of_each_group_are_exact(groups: int, bounds: list[Range], seed: int) -> None:
    random = np.random.default_rng(seed)
    columns = [random.choice([b.low, b.high, (b.low + b.high) // 2], LENGTH).astype(np.int64) for b in bounds]
    code = random.integers(0, groups + 1, LENGTH).astype(np.int32) if groups > 1 else np.zeros(LENGTH, np.int32)
    with jax.enable_x64(True):
        addends = [Addend(index, jnp.asarray(column), b) for index, (column, b) in enumerate(zip(columns, bounds, strict=True))]
        slots = Slots(jnp.asarray(code) if groups > 1 else None, groups, LENGTH)
        sums = packed_sums(addends, slots)
        for index, column in enumerate(columns):
            expected = [int(column[code == group].sum()) for group in range(groups)]
            assert np.asarray(sums[index]).tolist() == expected


def test_words_are_filled_but_never_beyond_their_bits() -> None:
    addends = [Addend(index, jnp.zeros(4), Range(0, 1)) for index in range(5)]
    words = pack(addends, 65_536)  # a count of 65,536 rows takes 17 bits: three fit a word
    assert [len(word) for word in words] == [3, 2]
    assert all(sum(addend.bits(65_536) for addend in word) <= WORD_BITS for word in words)
