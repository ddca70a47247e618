"""The modules form a DAG. Who may import whom is told in pyproject.toml and checked by lint-imports."""

from __future__ import annotations

import graphlib

import grimp
import pytest


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("qtensor", cache_dir=None, exclude_type_checking_imports=True)


def test_linked_packages_are_seen(graph):
    assert {"qtensor.lowering.models.model", "qtensor.datasets.usarrests", "qtensor.aot", "qtensor.types"} <= graph.modules


def test_no_import_cycle(graph):
    """Of modules, not of packages: qtensor.lowering and qtensor.aot may each import modules of the other."""
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))
