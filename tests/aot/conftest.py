"""Artifacts exported once for all tests that call them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

import qtensor
from tests.aot.samples import exported_sample

Export: TypeAlias = Callable[..., Path]


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """`export(sql, table=None, params=None)`: the path of the artifact, over `t`, which is `exported_sample` or `table`."""
    folder = tmp_path_factory.mktemp("artifacts")
    made: dict[str, Path] = {}

    def exported(sql: str, table: Any = None, params: Any = None) -> Path:
        key = f"{sql} {params!r} {table!r}"
        if key not in made:
            path = folder / f"{len(made)}.qta"
            tables = {"t": exported_sample() if table is None else table}
            qtensor.export(sql, path, tables=tables, params=params)
            made[key] = path
        return made[key]

    return exported
