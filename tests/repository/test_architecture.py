"""ARCHITECTURE.md names no file, folder or rule that does not exist, and `make house` says of every module what its one job is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qtensor.optimise.driver import REQUIRED_RULES, RULES
from tests.repository.house import house, modules

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PATH = re.compile(r"`([a-z_.]+(?:/[\w.]*)+|[a-z_]+\.(?:toml|md|py))`")


def test_every_package_has_a_place_in_the_house():
    """Each folder of modules, or the one it is in, is a line of the table."""
    rows = set(re.findall(r"^\| `([a-z_/]+)/` \|", TEXT, re.MULTILINE))
    folders = {path.parent.as_posix() for path in modules()}
    assert {folder for folder in folders if not any(f"{folder}/".startswith(f"{row}/") for row in rows)} == {"aot", "lowering"}
    assert all((ROOT / row).is_dir() for row in rows)


def test_the_house_names_every_module_once():
    printed = [line.split()[0] for line in house().splitlines() if line.startswith("  ")]
    assert sorted(printed) == sorted(path.name for path in modules() if path.name != "__init__.py")
    assert "session.py" in printed
    assert all(line[:2] == "  " or line.partition("/ ")[2] for line in house().splitlines() if line)


def test_what_is_named_exists():
    """Modules, folders, tests, the project file; `__init__.py` alone stands for all of them."""
    named = set(PATH.findall(TEXT)) - {"__init__.py"}
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


@pytest.mark.parametrize("path", ["lowering/planner/plan.py", "qtensor/bind/", "pyproject.toml"])
def test_paths_are_recognised(path):
    assert path in PATH.findall(TEXT)


def test_the_stages_of_the_story_are_chapters():
    """The table of stages and the sections below it tell the same story, in the same order."""
    table = re.findall(r"^\| ([a-z ]+) \|", TEXT.partition("|---|---|---|---|")[2].partition("\n\n")[0], re.MULTILINE)
    story = TEXT.partition("## The life of a query")[2].partition("\n## ")[0]
    told = [stage.lower() for heading in re.findall(r"^### (.+)$", story, re.MULTILINE) for stage in heading.split(", ")]
    assert told == table


def test_the_story_counts_the_rules_right():
    assert f"{len({*REQUIRED_RULES, *RULES})} rules, each a function" in TEXT
