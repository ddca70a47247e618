"""Both ways in which an imported graph is computed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qtensor.lowering.models.tensorflow import importer


@pytest.fixture(params=["features", "rows"], scope="module")
def orientation(request: pytest.FixtureRequest) -> Iterator[None]:
    """Models over features, as small ones are, and over rows, as large ones are, whatever their size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importer, "BY_ROWS", 0 if request.param == "rows" else 1 << 62)
        yield
