"""Native code added to an artifact on another machine: kept beside that of the first, and used where it fits."""

from __future__ import annotations

import numpy as np
import pytest

import qtensor
from qtensor.aot.artifact import machine_code, programs
from qtensor.aot.artifact.container import read_container
from qtensor.aot.machine import cache

TABLE = {"x": np.arange(10.0)}


@pytest.fixture
def artifact(tmp_path, monkeypatch):
    monkeypatch.setenv("QTENSOR_TRUST", str(tmp_path / "trust"))
    path = tmp_path / "sum.qta"
    qtensor.sql("SELECT sum(x) AS s FROM t", t=TABLE).export(path)
    return path


def test_code_for_a_second_machine_joins_that_for_the_first(artifact, monkeypatch):
    first = {executable.environment for executable in read_container(artifact).manifest.executables}
    monkeypatch.setattr(machine_code, "machine_key", lambda: "another machine")
    digest = machine_code.add_machine_code(artifact)
    container = read_container(artifact)
    assert container.digest == digest
    by_machine = {executable.environment for executable in container.manifest.executables}
    assert by_machine == first | {"another machine"} == {cache.machine_key(), "another machine"}
    assert len({executable.part for executable in container.manifest.executables}) == len(container.manifest.executables)
    loaded = qtensor.load(artifact)
    assert loaded.trusted
    assert loaded(t=TABLE).to_pydict() == {"s": [45.0]}


def test_code_that_is_there_is_not_added_again(artifact):
    before = artifact.read_bytes()
    machine_code.add_machine_code(artifact)
    assert artifact.read_bytes() == before


def test_only_code_for_this_machine_is_loaded(artifact, monkeypatch):
    monkeypatch.setattr(programs, "machine_key", lambda: "another machine")
    monkeypatch.setattr(programs, "load_executable", lambda payload: pytest.fail("native code of another machine"))
    assert qtensor.load(artifact)(t=TABLE).to_pydict() == {"s": [45.0]}
