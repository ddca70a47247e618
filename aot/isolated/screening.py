"""Whether StableHLO from a file may be compiled: it is read in a process of its own, since MLIR aborts over hostile bytes.

This file is also that process's program. It reads programs from its standard input, each after its length, and writes what is
wrong with them; it needs jaxlib only, and starts in a fifth of a second.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from qtensor.aot.isolated.child import command_of, environment

# A part of the keys under which compiled programs of strangers are cached: to be counted up when what is refused changes.
RULES = 3

# Operations of StableHLO that reach beyond the program: foreign code, other devices, the host.
CALLS_OUT = frozenset(
    ("custom_call", "infeed", "outfeed", "send", "recv", "all_gather", "all_reduce", "all_to_all", "collective_broadcast",
     "collective_permute", "reduce_scatter", "partition_id", "replica_id")
)  # fmt: skip
DIALECTS = frozenset(("builtin", "func", "stablehlo", "chlo"))
TRUSTED = "trusted"

_MAGIC = b"ML\xefR"
_LENGTH = struct.Struct("<Q")
_SECONDS = 60  # hundreds of times what the largest programs take
_MEMORY = 4 << 30  # bytes, as much beyond what the largest programs take


def check_programs(programs: Sequence[bytes], trusted: bool = False) -> None:
    """Raise ValueError if one is no portable StableHLO, or has what is not on the whitelist (`aot/isolated/whitelist.py`).

    trusted: of programs that this user exported or trusts nothing is asked but that they do not call out of themselves (host,
    other devices, foreign code): a JAX function may have loops and sorts of its own.
    """
    if not all(program.startswith(_MAGIC) for program in programs):  # MLIR also takes text, such as none at all
        raise ValueError("it is no StableHLO: it is no MLIR bytecode")
    framed = b"".join(_LENGTH.pack(len(program)) + program for program in programs)
    command = command_of("qtensor.aot.isolated.screening", *[TRUSTED][: int(trusted)])
    try:
        run = subprocess.run(command, input=framed, capture_output=True, env=environment(), timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ValueError(f"it cannot be checked: {error}") from error
    if run.returncode:
        raise ValueError("it is no StableHLO: reading it breaks MLIR")
    if run.stdout:
        raise ValueError(run.stdout.decode(errors="replace"))


def problem_of(program: bytes, trusted: bool = False) -> str | None:
    """What is wrong with a program. Hostile bytes may abort the process."""
    from jaxlib.mlir import ir
    from jaxlib.mlir.dialects import chlo as chlo_dialect
    from jaxlib.mlir.dialects import stablehlo as stablehlo_dialect

    from qtensor.aot.isolated.whitelist import RefusedError, check_module

    with ir.Context() as context:
        stablehlo_dialect.register_dialect(context)
        chlo_dialect.register_dialect(context)
        try:
            module = stablehlo_dialect.deserialize_portable_artifact(context, program)
        except ValueError as error:
            return f"it is no StableHLO: {error}"
        if trusted:
            refused = sorted(calls_out(module))
            return f"it has operations that no query needs: {', '.join(refused)}" if refused else None
        try:
            check_module(module)
        except RefusedError as error:
            return str(error)
        return None


def calls_out(module: Any) -> set[str]:
    """The operations of a program that reach beyond it, or are of no dialect that is known."""
    from jaxlib.mlir import ir

    found = set()

    def visit(operation: Any) -> ir.WalkResult:
        dialect, _, name = operation.name.partition(".")
        if dialect not in DIALECTS or name in CALLS_OUT:
            found.add(operation.name)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    return found


def programs_of(stream: BinaryIO) -> Iterator[bytes]:
    while head := stream.read(_LENGTH.size):
        yield stream.read(_LENGTH.unpack(head)[0])


def limit_memory() -> None:
    """Bytes that say they are a tensor of terabytes must not take them."""
    try:
        import resource
    except ImportError:  # not a Unix
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for limit in (resource.RLIMIT_DATA, resource.RLIMIT_AS):
        soft, hard = resource.getrlimit(limit)
        wanted = [_MEMORY, *(each for each in (soft, hard) if each != resource.RLIM_INFINITY)]
        resource.setrlimit(limit, (min(wanted), hard))


if __name__ == "__main__":
    limit_memory()
    found = next(filter(None, (problem_of(program, TRUSTED in sys.argv) for program in programs_of(sys.stdin.buffer))), None)
    if found is not None:
        sys.stdout.write(found)
