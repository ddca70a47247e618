"""The modules form a DAG. Who may import whom is told in pyproject.toml and checked by lint-imports."""

from __future__ import annotations

import graphlib

import grimp
import pytest

# Expressions hold plans (`Subquery`), plans hold expressions: one recursive type, in two files.
ONE_TYPE = ("qtensor.expressions", "qtensor.logical")


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("qtensor", cache_dir=None, exclude_type_checking_imports=True)


def check_no_cycle(graph: grimp.ImportGraph) -> None:
    """Of modules, not of packages: qtensor.lowering and qtensor.aot may each import modules of the other."""
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


def test_linked_packages_are_seen(graph):
    assert {"qtensor.lowering.models.model", "qtensor.datasets.usarrests", "qtensor.aot", "qtensor.types"} <= graph.modules


def test_no_import_cycle(graph):
    check_no_cycle(graph)


def test_no_cycle_of_annotations():
    """A module that only annotations name is still one that a reader must know: a Protocol below both says what is asked of it."""
    graph = grimp.build_graph("qtensor", cache_dir=None, exclude_type_checking_imports=False)
    assert graph.direct_import_exists(importer=ONE_TYPE[0], imported=ONE_TYPE[1])
    graph.remove_import(importer=ONE_TYPE[0], imported=ONE_TYPE[1])
    check_no_cycle(graph)
