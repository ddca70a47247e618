"""The worked examples of CONTRIBUTING.md: the functions run, and what is quoted of an operator stands where it says."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qtensor
from qtensor.functions.scalars.registry import SCALARS
from qtensor.lowering.expressions import expressions

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MATCHES_OVER_PLANS = re.compile(r"assert_never\((self\.)?plan\)")


def blocks(title: str) -> list[str]:
    section = TEXT.split(f"## Worked: {title}\n")[1].split("\n## ")[0]
    found = re.findall(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    assert found
    return found


def test_add_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {}
    for block in blocks("add a function"):
        exec(compile(block, "CONTRIBUTING.md", "exec"), names)  # noqa: S102
    monkeypatch.setitem(SCALARS, "initials", names["INITIALS"])
    monkeypatch.setitem(SCALARS, "hypot", names["HYPOT"])
    monkeypatch.setitem(expressions.FUNCTIONS, "hypot", names["lower_hypot"])
    table = {"name": ["Ada Lovelace", "", "Alan Mathison Turing"], "a": [3.0, 1.0, math.inf], "b": [4.0, 1.0, 0.0]}
    with qtensor.connect() as connection:
        connection.register("t", {name: np.array(values) for name, values in table.items()})
        rows = connection.sql(
            "SELECT initials(name), hypot(a, b), initials(NULL), hypot(a, NULL), initials('x y') FROM t"
        ).fetchall()
    assert rows == [("AL", 5.0, None, None, "xy"), ("", math.sqrt(2), None, None, "xy"), ("AMT", math.inf, None, None, "xy")]


def test_add_an_operator() -> None:
    quoted: dict[str, list[str]] = {}
    for block in blocks("add an operator"):
        for line in block.splitlines():
            if line.startswith("# "):
                file = line.removeprefix("# ").split(":")[0]
                quoted.setdefault(file, [])
            else:
                quoted[file].append(line.strip())
    for name, lines in quoted.items():
        code = [line.strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
        assert lines
        assert not set(lines) - set(code), f"{name} no longer has what CONTRIBUTING.md quotes"
    # Every place that mypy would name is shown.
    places = {
        str(path.relative_to(ROOT))
        for folder in ("qtensor", "lowering", "aot")
        for path in (ROOT / folder).rglob("*.py")
        if MATCHES_OVER_PLANS.search(path.read_text(encoding="utf-8"))
    }
    reached_twice = ("qtensor/lowering", "qtensor/aot", "qtensor/datasets")
    assert {place for place in places if not place.startswith(reached_twice)} == set(quoted)
