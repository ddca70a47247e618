"""The table of all scalar functions that have a DuckDB name, by that name."""

from __future__ import annotations

from qtensor.scalars.dates import DATES
from qtensor.scalars.formats import FORMATS
from qtensor.scalars.function import ScalarFunction
from qtensor.scalars.numbers import NUMBERS
from qtensor.scalars.patterns import PATTERNS
from qtensor.scalars.texts import TEXTS

FUNCTIONS: tuple[ScalarFunction, ...] = (*DATES, *FORMATS, *NUMBERS, *PATTERNS, *TEXTS)
SCALARS: dict[str, ScalarFunction] = {name: function for function in FUNCTIONS for name in function.names}
