"""A door for tests of the harness: what its only file says decides what comes of it, one of each outcome."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from tests.oracle.fuzz_files.door import Door, Files, write_files
from tests.oracle.fuzz_files.mutations import mutated_bytes


class PlantedDoor(Door):
    """Rows are the words of the file; the independent reader reads upper case."""

    def make_seeds(self, folder: Path) -> None:
        write_files(folder / "0", {"input": b"A B"})
        write_files(folder / "1", {"input": b"refused"})

    def mutated(self, random: Random, seed: Files, others: Sequence[Files]) -> Files:
        return {"input": mutated_bytes(random, seed["input"], [other["input"] for other in others])}

    def answer(self, folder: Path) -> object:
        from qtensor.errors import DataError

        words = (folder / "input").read_bytes().split()
        match words:
            case [b"died"]:
                print("the last words", flush=True)
                os.abort()
            case [b"left"]:
                os._exit(0)
            case [b"hung"]:
                time.sleep(1_000)
            case [b"memory"]:
                held = bytearray(1 << 30)
                held[::4096] = b"x" * (len(held) // 4096)
                time.sleep(1_000)
            case [b"raw"]:
                raise KeyError("raw")
            case [b"wrote"]:
                Path("beside").write_text("x")
            case [b"refused"]:
                raise DataError("no words")
        return words

    def expected(self, folder: Path) -> object:
        text = (folder / "input").read_bytes()
        match text:
            case b"oracle died":
                os.abort()
            case b"oracle raised":
                raise ValueError("unreadable")
        return text.upper().split()


DOOR = PlantedDoor()
