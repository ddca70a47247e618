"""Random queries over tables that come in blocks of five rows, with room for next to nothing, against DuckDB."""

from __future__ import annotations

import pytest

from tests.oracle.checks import Checker, quick_compiling, random_case


@pytest.mark.parametrize("seed", range(5_057, 5_069))
def test_random_queries_over_streams(seed: int, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QTENSOR_CACHE", str(tmp_path))  # what is compiled fast is not for others
    checker = Checker()
    with quick_compiling():
        finding = checker.check(random_case(seed, "streams"))
    checker.close()
    assert finding.outcome != "different", finding.message
