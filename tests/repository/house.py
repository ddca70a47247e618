"""The modules of the house, each with the one job that its docstring names: `make house`."""

from __future__ import annotations

import ast
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("qtensor", "lowering", "aot", "datasets")
LINKS = {ROOT / "qtensor" / name for name in PACKAGES}


def modules() -> list[Path]:
    """Every module by its path below the root, those of the symlinked packages once, in the order of folders."""
    found = []
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if not LINKS.intersection(path.parents):
                found.append(path.relative_to(ROOT))
    return sorted(found, key=lambda path: (PACKAGES.index(path.parts[0]), path.parent.parts, path.name))


def job(path: Path) -> str:
    """The first paragraph of a module's docstring, on one line."""
    docstring = ast.get_docstring(ast.parse((ROOT / path).read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.partition("\n\n")[0].split())


def house() -> str:
    """Each folder with its job, below it its modules with theirs."""
    lines = []
    for folder, paths in groupby(modules(), key=lambda path: path.parent):
        lines.append(f"{folder.as_posix()}/ {job(folder / '__init__.py')}")
        lines += [f"  {path.name:24} {job(path)}" for path in paths if path.name != "__init__.py"]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(house())
