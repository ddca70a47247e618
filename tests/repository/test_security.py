"""SECURITY.md names a test for each promise, and names none that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def test_what_is_named_exists():
    named = set(re.findall(r"`(tests/[\w/.]+)`", TEXT))
    assert len(named) > 8
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_every_promise_names_a_test():
    promises = re.findall(r"^- \*\*.*?(?=^- \*\*|^\S|\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert len(promises) > 8
    assert [promise for promise in promises if "`tests/" not in promise] == []
