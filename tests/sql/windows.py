"""Queries whose plans need window functions."""

from __future__ import annotations

import pytest

from qtensor.errors import UnsupportedError
from tests.oracle import Engines


def check_if_windows_run(engines: Engines, query: str) -> None:
    """Compare with DuckDB; skip the test as long as no window function is executed."""
    try:
        engines.check(query)
    except UnsupportedError as error:
        if "window functions are not supported yet" not in str(error):
            raise
        pytest.skip(str(error))
