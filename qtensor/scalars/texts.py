"""Functions of text: each says here all there is to say of it."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from qtensor.scalars.function import ScalarFunction, takes, vectorised
from qtensor.types import BIGINT, VARCHAR


def substring(texts: pa.Array, start: int, length: int | None = None) -> pa.Array:
    """`length` code points from `start` on, counted from 1; from the end if negative. A negative length goes to the left.

    >>> substring(pa.array(["abc"]), 2).to_pylist(), substring(pa.array(["abc"]), -2, 1).to_pylist()
    (['bc'], ['b'])
    """
    if start >= 0 and (length is None or length >= 0):
        first = max(start - 1, 0)
        last = None if length is None else max(start - 1 + length, 0)
        return pc.utf8_slice_codeunits(texts, first, last)
    return pa.array([None if text is None else cut(text, start, length) for text in texts.to_pylist()], pa.large_string())


def cut(text: str, start: int, length: int | None) -> str:
    """One text's part: see `substring`."""
    first = max(start - 1, 0) if start > 0 else start - 1 if start == 0 else len(text) + start
    if length is None:
        return text[max(first, 0) :]
    if length < 0:
        first, length = first + length, -length
    return text[max(first, 0) : max(first + length, 0)]


TEXTS: tuple[ScalarFunction, ...] = (
    ScalarFunction(
        ("substring", "substr"),
        (takes(VARCHAR, BIGINT, result=VARCHAR), takes(VARCHAR, BIGINT, BIGINT, result=VARCHAR)),
        vectorised(substring, VARCHAR),
    ),
)
