"""What XLA:CPU is told when it compiles a program of ours; a user's own XLA_FLAGS hold beside it.

Measured (2 cores, jaxlib 0.10.1, TPC-H at scale 1, with and without the options of the backend in turns in one process): of
the 22 queries the median one compiles in 1.13 s instead of 1.94, the slowest in 3.6 instead of 4.2, and all run as fast (1.007
of the time).
"""

from __future__ import annotations

from jaxlib import xla_client

from qtensor.aot.protobuf import delimited, message

COMPILER_OPTIONS: dict[str, str | bool] = {
    # jaxlib 0.10.2 miscompiles a vectorised matrix-vector product with this fusion (jax issue 39103); emptying it mends that
    # version and is accepted by the others.
    "xla_cpu_experimental_ynn_fusion_type": "",
}

# Cutting every fusion in two for the cores costs more in hand-overs than it gains: shares already use the cores. Headline
# query, 2,000 rows: 146 µs with it, 80 without; 65,000 rows: 420 and 270; 4-16-4 at a million rows 14.9 ms and 13.1. It gains
# where a wide model has one share, of which one core would do all but the matrix products: 32-128-64-1, 10,000 rows: 1.2 ms
# with it, 1.5 without.
WHOLE_FUSIONS: dict[str, str | bool] = {"xla_disable_hlo_passes": "cpu-parallel-task-assigner"}

# Options of the backend alone; those that a version does not know it ignores.
BACKEND_OPTIONS: dict[str, str] = {
    # The older emitter of fusions, which compiles without MLIR (it is gone from jaxlib 0.12). Not for programs that call
    # libraries: those are models, whose many arguments and loops it compiles slower, not faster, and to slower code (a query with
    # an LSTM(32) of 20 steps: 2.5 s and 12.5 us a row with it, 1.8 s and 5.4 us without; a CNN of 784 arguments: 10.5 s, 5.9 s).
    "xla_cpu_disable_new_fusion_emitters": "",
}

# A loop becomes one kernel, not one for each fusion in it: most of the time to compile is the same for a kernel of any size.
# Within such a kernel there is no call of a library: a matrix product or a convolution would be three nested loops, 1 to 2
# GFLOP/s instead of 100 (131,072 rows through 20-64-32-1: 490 ms instead of 12). A module with any goes without.
ONE_KERNEL_LOOPS: dict[str, str] = {"xla_cpu_small_while_loop_byte_threshold": str(1 << 30)}
CALLS_OF_LIBRARIES = (b"dot_general", b"convolution")
# Nor does that of a large program: LLVM's time grows faster than a function (200 sums over several chunks: 60 s as one kernel,
# 7 as one for each fusion). Bytes of bytecode; no module of TPC-H has more than 22,000.
LARGEST_OF_ONE_KERNEL = 24_000

OPTIONS_KEY = (
    f"{COMPILER_OPTIONS} {WHOLE_FUSIONS} {BACKEND_OPTIONS} {ONE_KERNEL_LOOPS} {CALLS_OF_LIBRARIES} {LARGEST_OF_ONE_KERNEL}"
)
"""All that is told to XLA, as a part of the keys of what it compiles."""

# Numbers of fields in XLA's messages CompileOptionsProto, ExecutableBuildOptionsProto and DebugOptions.
EXECUTABLE_BUILD_OPTIONS, DEBUG_OPTIONS, BACKEND_EXTRA_OPTIONS = 3, 3, 500


def backend_options(bytecode: bytes) -> dict[str, str]:
    """The options of the backend for a program, as MLIR bytecode: the names of its operations stand in it as they are."""
    if any(name in bytecode for name in CALLS_OF_LIBRARIES):
        return {}
    return BACKEND_OPTIONS if len(bytecode) > LARGEST_OF_ONE_KERNEL else BACKEND_OPTIONS | ONE_KERNEL_LOOPS


def compile_options(bytecode: bytes, split_fusions: bool) -> xla_client.CompileOptions:
    """The options of one compilation, of which the caller still says for which device.

    split_fusions: whether XLA may cut fusions in parts for the cores.

    jaxlib has no attribute for the options of the backend: they are added to the serialised message, whose reader joins them with
    what is there.
    """
    written = xla_client.CompileOptions().SerializeAsString()
    for name, value in backend_options(bytecode).items():
        entry = message([delimited(1, name.encode()), delimited(2, value.encode())])
        for number in (BACKEND_EXTRA_OPTIONS, DEBUG_OPTIONS, EXECUTABLE_BUILD_OPTIONS):
            entry = delimited(number, entry).written()
        written += entry
    options = xla_client.CompileOptions.ParseFromString(written)
    options.env_option_overrides = list((COMPILER_OPTIONS if split_fusions else COMPILER_OPTIONS | WHOLE_FUSIONS).items())
    return options
