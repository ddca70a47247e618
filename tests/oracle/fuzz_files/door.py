"""What the harness asks of a door, and inputs as folders of files."""

from __future__ import annotations

import importlib
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TypeAlias

# An input: the content of each file by its path within the input's folder. Most doors have one file.
Files: TypeAlias = Mapping[str, bytes]


class Door(ABC):
    """A way by which files come in. See the docstring of the package."""

    @abstractmethod
    def make_seeds(self, folder: Path) -> None:
        """Write valid inputs, each into a folder of its own below `folder`. Runs in a child."""

    @abstractmethod
    def mutated(self, random: Random, seed: Files, others: Sequence[Files]) -> Files:
        """`seed`, changed; `others` are all seeds of the door, for splices. Equal states of `random` make equal inputs."""

    @abstractmethod
    def answer(self, folder: Path) -> object:
        """What qtensor finds in the input of this folder. Runs in a child."""

    @abstractmethod
    def expected(self, folder: Path) -> object:
        """What an independent reader finds. Any exception: it finds nothing. Runs in a child."""

    def import_libraries(self) -> None:
        """Import what `answer` and `expected` need: the time and memory for that are no input's."""
        importlib.import_module("qtensor")

    def same(self, found: object, expected: object) -> bool:
        """Whether qtensor's answer is right."""
        return repr(found) == repr(expected)


def write_files(folder: Path, files: Files) -> None:
    """Write an input into `folder`, in place of whatever is there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def read_files(folder: Path) -> dict[str, bytes]:
    """The input that a folder holds, in a fixed order."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
