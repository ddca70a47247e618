"""Both engines, without tables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.oracle import Engines


@pytest.fixture
def engines() -> Iterator[Engines]:
    opened = Engines.over(threads=2)
    yield opened
    opened.close()
