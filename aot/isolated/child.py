"""How this package starts Python processes of its own: the same interpreter, finding the same modules."""

from __future__ import annotations

import os
import sys


def command_of(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this package."""
    return [sys.executable or "python", "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """This process's environment, with its module path: "" stands for the folder that it is in."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(path or os.getcwd() for path in sys.path))}  # noqa: PTH109
