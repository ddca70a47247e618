"""Both engines over the same tables, made once for each number of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from qtensor.lowering.storage.layout import CHUNK
from tests.oracle import Engines
from tests.sql.tables import every_type

# In 300 rows every value that goes wrong occurs.
SMALL = [0, 1, 7, 300]
# Around one chunk, and more than two chunks for each of two cores, the last of them not full.
LARGE = [CHUNK - 1, CHUNK, CHUNK + 1, 4 * CHUNK + 4321]


@pytest.fixture(scope="session")
def engines_of() -> Iterator[Callable[[int], Engines]]:
    """Both engines over `t`, `every_type` of so many rows."""
    made: dict[int, Engines] = {}

    def of(rows: int) -> Engines:
        if rows not in made:
            made[rows] = Engines.over(threads=2, t=every_type(rows))
        return made[rows]

    yield of
    for engines in made.values():
        engines.close()


@pytest.fixture(params=SMALL)
def engines(request: pytest.FixtureRequest, engines_of: Callable[[int], Engines]) -> Engines:
    """Both engines over small tables."""
    return engines_of(request.param)


@pytest.fixture(params=[0, 300])
def row_engines(request: pytest.FixtureRequest, engines_of: Callable[[int], Engines]) -> Engines:
    """Both engines over tables for what is computed row by row: none, and every value that goes wrong."""
    return engines_of(request.param)


@pytest.fixture
def full(engines_of: Callable[[int], Engines]) -> Engines:
    """Both engines over the small table in which every value occurs."""
    return engines_of(300)


@pytest.fixture(params=LARGE)
def large(request: pytest.FixtureRequest, engines_of: Callable[[int], Engines]) -> Engines:
    """Both engines over tables of several chunks, or nearly."""
    return engines_of(request.param)
