"""What every file of the repository promises: no machine's paths, no registry's addresses, one spelling of imports."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SKIPPED = {".git", "__pycache__", "build", "dist", ".hypothesis", "results"}
FORBIDDEN = {
    "a path of somebody's machine": re.compile(r"(?<![\w.])/(?:home|Users|root|work|mnt|scratch)/\w|[A-Z]:\\Users"),
    "a registry's address": re.compile(
        r"(?:https?|file)://[^\s\"'<>]*(?:pypi|pythonhosted|/simple\b|artifactory|nexus)", re.IGNORECASE
    ),
    "an index option": re.compile(r"--(?:extra-)?index-url|--find-links"),
}


def tracked_files() -> list[Path]:
    """Every text file that belongs to the repository; the symlinked folders once, under their own names."""
    files = []
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        hidden = any(part.endswith(("_cache", ".egg-info")) or part.startswith(".venv") or part in SKIPPED for part in parts)
        if path.is_file() and not hidden and not any(parent.is_symlink() for parent in path.parents):
            files.append(path)
    return files


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def test_some_files_are_found():
    found = {path.relative_to(ROOT).as_posix() for path in tracked_files()}
    assert {"pyproject.toml", "Makefile", ".ci/run", "qtensor/errors.py", "datasets/usarrests.py"} <= found
    assert "qtensor/datasets/usarrests.py" not in found


def test_all_files_are_text():
    """Compiled code and data that a run left behind are not."""
    assert [path.relative_to(ROOT).as_posix() for path in tracked_files() if path.stat().st_size and not text_of(path)] == []


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names(what):
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in tracked_files()
        if path != Path(__file__)
        for match in FORBIDDEN[what].finditer(text_of(path))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("what", "sample"),
    [
        ("a path of somebody's machine", "open('/home/ada/data.csv')"),
        ("a registry's address", "https://pypi.org/simple/jax"),
        ("an index option", "pip install --extra-index-url x"),
    ],
)
def test_the_patterns_find_what_they_are_for(what, sample):
    assert FORBIDDEN[what].search(sample)


def test_constraints_are_names_and_versions():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r'[a-z0-9-]+==[\w.+]+(; python_version (<|>=) "3\.\d+")?', line) for line in pins)
    names = [line.split("==")[0] for line in pins]
    assert names == sorted(names)


def test_every_dependency_is_constrained():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(entry for extra in project["optional-dependencies"].values() for entry in extra)]
    names = {re.split(r"[\[<>=!]", entry)[0] for entry in wanted} - {"qtensor-sql"}
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert names <= pinned
    assert "jaxlib>=0.10.1,!=0.10.2,<0.13" in wanted


def test_licence_is_apache_2():
    assert (ROOT / "LICENSE").read_text().lstrip().startswith("Apache License\n                           Version 2.0")
