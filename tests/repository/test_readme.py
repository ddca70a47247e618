"""The code that the README shows runs: its ```python blocks in one namespace and its ```sh blocks, from top to bottom."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_readme_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(README.parent))
    monkeypatch.setenv("QTENSOR_TRUST", str(tmp_path / "trust"))
    program = tmp_path / "bin" / "qtensor"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m qtensor "$@"\n')
    program.chmod(0o755)
    text = README.read_text(encoding="utf-8")
    namespace = {"__name__": "readme"}
    blocks = list(BLOCK.finditer(text))
    assert {block[1] for block in blocks} == {"python", "sh"}
    assert len(blocks) == text.count("```python") + text.count("```sh")
    for block in blocks:
        if block[1] == "sh":
            subprocess.run(["bash", "-euo", "pipefail", "-c", block[2]], check=True)
            continue
        # Blank lines put an error's line number where the README has it.
        code = "\n" * text.count("\n", 0, block.start(2)) + block[2]
        exec(compile(code, str(README), "exec"), namespace)  # noqa: S102
