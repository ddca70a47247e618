"""The table of all scalar functions that have a DuckDB name, by that name."""

from __future__ import annotations

from qtensor.functions.scalars.dates import DATES
from qtensor.functions.scalars.formats import FORMATS
from qtensor.functions.scalars.function import ScalarFunction
from qtensor.functions.scalars.numbers import NUMBERS
from qtensor.functions.scalars.patterns import PATTERNS
from qtensor.functions.scalars.texts import TEXTS

FUNCTIONS: tuple[ScalarFunction, ...] = (*DATES, *FORMATS, *NUMBERS, *PATTERNS, *TEXTS)
SCALARS: dict[str, ScalarFunction] = {name: function for function in FUNCTIONS for name in function.names}
