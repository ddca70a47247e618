"""ARCHITECTURE.md says of every module what its one job is, and names no file, folder or rule that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qtensor.optimizer import REQUIRED_RULES, RULES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PACKAGES = ("qtensor", "lowering", "aot", "datasets")
LINKS = {ROOT / "qtensor" / name for name in PACKAGES}
ENTRY = re.compile(r"\*\*`([^`]+)`\*\*")
PATH = re.compile(r"`([a-z_.]+(?:/[\w.]*)+|[a-z_]+\.(?:toml|md|py))`")


def files_chapter() -> str:
    """The chapter that has an entry for each file."""
    found = re.search(r"^## The files$(.*?)^## ", TEXT, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def modules() -> set[str]:
    """Every module by its path, those of the symlinked packages once; `__init__` files belong to their package."""
    found = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if path.name != "__init__.py" and not LINKS.intersection(path.parents):
                found.add(path.relative_to(ROOT).as_posix())
    return found


def test_modules_are_found():
    found = modules()
    assert {"qtensor/errors.py", "qtensor/bind/query.py", "lowering/sinks/base.py", "datasets/usarrests.py"} <= found
    assert not any(path.startswith("qtensor/lowering/") for path in found)


def test_every_module_has_an_entry_and_no_entry_is_left_over():
    entries = ENTRY.findall(files_chapter())
    assert sorted(entries) == sorted(modules())


def test_what_is_named_exists():
    """Modules, folders, tests, the project file; `__init__.py` alone stands for all of them."""
    named = set(PATH.findall(TEXT)) - {"__init__.py"}
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


@pytest.mark.parametrize("path", ["lowering/plan.py", "qtensor/bind/", "pyproject.toml"])
def test_paths_are_recognised(path):
    assert path in PATH.findall(TEXT)


def test_the_stages_of_the_story_are_chapters():
    """The table of stages and the sections below it tell the same story, in the same order."""
    table = re.findall(r"^\| ([a-z ]+) \|", TEXT.partition("|---|---|---|---|")[2].partition("\n\n")[0], re.MULTILINE)
    story = TEXT.partition("## The life of a query")[2].partition("\n## ")[0]
    told = [stage.lower() for heading in re.findall(r"^### (.+)$", story, re.MULTILINE) for stage in heading.split(", ")]
    assert told == table


def test_the_story_counts_the_rules_right():
    words = {
        3: "Three",
        4: "Four",
        5: "Five",
        6: "Six",
        7: "Seven",
        8: "Eight",
        9: "Nine",
        10: "Ten",
        11: "Eleven",
        12: "Twelve",
        13: "Thirteen",
        14: "Fourteen",
    }
    assert f"{words[len({*REQUIRED_RULES, *RULES})]} rules, each a function" in TEXT
