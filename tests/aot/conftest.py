"""Exports shared by all tests of artifacts: each costs seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from qtensor.aot.artifact import forms
from tests.aot.exports import Exports
from tests.sql.tables import every_type


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exports]:
    """Queries that must see all rows at once are compiled for 2,048, 65,536 and 262,144 of them only: that is enough here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forms, "LADDER", forms.LADDER[:3])
        yield Exports(tmp_path_factory.mktemp("exports"))


@pytest.fixture(scope="session")
def rows() -> pa.Table:
    """A little more than one chunk of rows of every type; tests take slices."""
    return every_type(65_600)


@pytest.fixture(scope="session")
def schema(rows: pa.Table) -> pa.Schema:
    return rows.schema
