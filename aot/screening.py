"""Whether StableHLO from a file may be compiled: it is read in a process of its own, since MLIR aborts over hostile bytes.

This file is also that process's program. It reads programs from its standard input, each after its length, and writes what is
wrong with them; it needs jaxlib only, and starts in a fifth of a second.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

# Operations of StableHLO that reach beyond the program: foreign code, other devices, the host.
CALLS_OUT = frozenset(
    ("custom_call", "infeed", "outfeed", "send", "recv", "all_gather", "all_reduce", "all_to_all", "collective_broadcast",
     "collective_permute", "reduce_scatter", "partition_id", "replica_id")
)  # fmt: skip
DIALECTS = frozenset(("builtin", "func", "stablehlo", "chlo"))

_MAGIC = b"ML\xefR"
_LENGTH = struct.Struct("<Q")
_SECONDS = 60  # hundreds of times what the largest programs take


def check_programs(programs: Sequence[bytes]) -> None:
    """Raise ValueError if one is no portable StableHLO, or calls out of itself: host, other devices, foreign code."""
    if not all(program.startswith(_MAGIC) for program in programs):  # MLIR also takes text, such as none at all
        raise ValueError("it is no StableHLO: it is no MLIR bytecode")
    framed = b"".join(_LENGTH.pack(len(program)) + program for program in programs)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable or "python", "-P", __file__]
    try:
        run = subprocess.run(command, input=framed, capture_output=True, env=environment, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ValueError(f"it cannot be checked: {error}") from error
    if run.returncode:
        raise ValueError("it is no StableHLO: reading it breaks MLIR")
    if run.stdout:
        raise ValueError(run.stdout.decode(errors="replace"))


def problem_of(program: bytes) -> str | None:
    """What is wrong with a program. Hostile bytes may abort the process."""
    from jaxlib.mlir import ir
    from jaxlib.mlir.dialects import chlo as chlo_dialect
    from jaxlib.mlir.dialects import stablehlo as stablehlo_dialect

    refused = set()

    def visit(operation: Any) -> ir.WalkResult:
        dialect, _, name = operation.name.partition(".")
        if dialect not in DIALECTS or name in CALLS_OUT:
            refused.add(operation.name)
        return ir.WalkResult.ADVANCE

    with ir.Context() as context:
        stablehlo_dialect.register_dialect(context)
        chlo_dialect.register_dialect(context)
        try:
            module = stablehlo_dialect.deserialize_portable_artifact(context, program)
        except ValueError as error:
            return f"it is no StableHLO: {error}"
        module.operation.walk(visit)
    return f"it has operations that no query needs: {', '.join(sorted(refused))}" if refused else None


def programs_of(stream: BinaryIO) -> Iterator[bytes]:
    while head := stream.read(_LENGTH.size):
        yield stream.read(_LENGTH.unpack(head)[0])


if __name__ == "__main__":
    found = next(filter(None, map(problem_of, programs_of(sys.stdin.buffer))), None)
    if found is not None:
        sys.stdout.write(found)
