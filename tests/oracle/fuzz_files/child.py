"""`python -m tests.oracle.fuzz_files.child DOOR`: a process that opens many inputs, one after the other, and says what came of each.

It reads requests from its standard input, a line of JSON each, and answers each in one or two lines: first what qtensor did, then,
if that was rows, what the independent reader says. What libraries print goes to standard error.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from tests.oracle.fuzz_files.door import Door

LARGEST_FILE = 1 << 30  # that anything here may write
LONGEST_MESSAGE = 4_000


def door_of(name: str) -> Door:
    door = importlib.import_module(name if "." in name else f"tests.oracle.fuzz_files.doors.{name}").DOOR
    assert isinstance(door, Door)
    return door


def opened(door: Door, folder: Path) -> Iterator[dict[str, str]]:
    """What comes of one input: the outcome of qtensor's turn, then whether its rows are right."""
    from qtensor.errors import QTensorError

    try:
        found = door.answer(folder)
    except QTensorError as error:
        yield {"outcome": "refused", "message": f"{type(error).__name__}: {error}"[:LONGEST_MESSAGE]}
        return
    except BaseException:  # noqa: BLE001 - whatever it is, it is what the harness looks for
        yield {"outcome": "raw", "message": traceback.format_exc()[-LONGEST_MESSAGE:]}
        return
    yield {"outcome": "rows", "message": ""}
    try:
        expected = door.expected(folder)
    except BaseException as error:  # noqa: BLE001
        yield {"outcome": "unconfirmed", "message": f"{type(error).__name__}: {error}"[:LONGEST_MESSAGE]}
        return
    right = door.same(found, expected)
    yield {
        "outcome": "same" if right else "wrong",
        "message": "" if right else f"{found}\nexpected\n{expected}"[:LONGEST_MESSAGE],
    }


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    door = door_of(sys.argv[1])
    for line in sys.stdin:
        request = json.loads(line)
        if "warm" in request:
            door.import_libraries()
            print(json.dumps({"outcome": "made", "message": ""}), file=answers)
        elif "seeds" in request:
            door.make_seeds(Path(request["seeds"]))
            print(json.dumps({"outcome": "made", "message": ""}), file=answers)
        else:
            for answer in opened(door, Path(request["folder"])):
                print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
