"""The engine, built once for all tests; with sanitizers where QTENSOR_SANITIZED is set (see test_engine_sanitized.py)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from engine_driver import Engine, build


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    sanitized = "QTENSOR_SANITIZED" in os.environ
    library = os.environ.get("QTENSOR_ENGINE") or build(tmp_path_factory.mktemp("engine"), sanitized=sanitized)
    engine = Engine(Path(library))
    engine.sanitized = sanitized
    return engine
