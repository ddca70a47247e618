"""Subnormal numbers, which XLA:CPU takes for zero and never gives: here they are kept, as SQL has them.

XLA compiles IEEE arithmetic, but its client has the processor flush subnormals to zero while a program runs in a caller's
thread, and always in the threads of its pool; it has no option against either. Both are undone:

- Each program begins with a call of libm's `fesetenv`, which sets the default environment, and all else depends on that call
  (`keeping_subnormals`). When the program has ended, XLA gives the caller's thread back as it was.
- XLA runs independent parts of larger programs in its pool, each of whose threads does the same once, when the client is made
  (`prepare_pool`).
"""

from __future__ import annotations

import ctypes
import io
import itertools
import logging
import platform
import sys
import threading
from typing import Any

import jax
from jax.interpreters.mlir import make_ir_context
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo as stablehlo_dialect

logger = logging.getLogger("qtensor")

SET_ENVIRONMENT = "qtensor_set_float_environment"
PREPARE_POOL = "qtensor_prepare_pool"
SECONDS = 10.0  # thousands of times what the threads of a pool take

# glibc's fenv_t with nothing flushed, no exception trapped and rounding to nearest, as words.
_X87 = (0xFFFF037F, 0xFFFF0000, 0xFFFFFFFF, 0, 0, 0, 0xFFFF0000)
_ENVIRONMENTS = {"x86_64": (*_X87, 0x1F80), "aarch64": (0, 0)}
ENVIRONMENT = _ENVIRONMENTS.get(platform.machine()) if sys.platform == "linux" else None
"""None: the layout of this system's fenv_t is not known, and subnormals are flushed."""

PREPARING_POOL = f"""
func.func public @main() -> tensor<i32> {{
  %nothing = stablehlo.custom_call @{PREPARE_POOL}() {{api_version = 4 : i32, has_side_effect = true}} : () -> tensor<i32>
  return %nothing : tensor<i32>
}}
""".encode()
"""A program to run once, with nothing else in the pool."""

_PRODUCER = b"StableHLO_v"  # who wrote it, in the head of a portable program

# libm's function gets a buffer that holds an environment: the operand's and the result's are the same. One word more, a 1 which
# stays, is what the rest depends on. The other branch is never taken, and needs no code for whatever it gives.
_MAIN = """
func.func private @{query}({types}) -> ({results})
func.func public @main({parameters}) -> ({results}) {{
  %environment = stablehlo.constant dense<[{words}, 1]> : tensor<{count}xui32>
  %set = stablehlo.custom_call @{target}(%environment) {{
    api_version = 3 : i32, has_side_effect = true,
    output_operand_aliases = [
      #stablehlo.output_operand_alias<output_tuple_indices = [], operand_index = 0, operand_tuple_indices = []>]
  }} : (tensor<{count}xui32>) -> tensor<{count}xui32>
  %last = stablehlo.slice %set [{last}:{count}] : (tensor<{count}xui32>) -> tensor<1xui32>
  %word = stablehlo.reshape %last : (tensor<1xui32>) -> tensor<ui32>
  %nothing = stablehlo.constant dense<0> : tensor<ui32>
  %is_set = stablehlo.compare NE, %word, %nothing, UNSIGNED : (tensor<ui32>, tensor<ui32>) -> tensor<i1>
  %result:{width} = "stablehlo.if"(%is_set) ({{
    %computed:{width} = func.call @{query}({arguments}) : ({types}) -> ({results})
    stablehlo.return {computed} : {results}
  }}, {{
    %never:{width} = stablehlo.custom_call @{target}() {{api_version = 3 : i32, has_side_effect = true}} : () -> ({results})
    stablehlo.return {never} : {results}
  }}) : (tensor<i1>) -> ({results})
  return {returned} : {results}
}}
"""


def register() -> None:
    """Make the functions that programs call known to XLA, once for the process and before the first is compiled."""
    if ENVIRONMENT is not None:
        for name, function, version in ((SET_ENVIRONMENT, libm().fesetenv, 0), (PREPARE_POOL, _handler, 1)):
            capsule = jax.ffi.pycapsule(function)  # type: ignore[no-untyped-call]
            jax.ffi.register_ffi_target(name, capsule, platform="cpu", api_version=version)


def keeping_subnormals(program: bytes) -> bytes:
    """A program that keeps subnormal numbers, of one as MLIR bytecode, portable or not. Raises ValueError: it is none."""
    if ENVIRONMENT is None:
        return program
    with make_ir_context() as context, ir.Location.unknown():
        try:
            portable = _PRODUCER in program[: len(_PRODUCER) + 16]
            module = stablehlo_dialect.deserialize_portable_artifact(context, program) if portable else ir.Module.parse(program)
            wrap(module, ENVIRONMENT)
        except (ir.MLIRError, KeyError) as error:
            raise ValueError(f"it is no program: {error}") from error
        written = io.BytesIO()
        module.operation.write_bytecode(written)
        return written.getvalue()


def wrap(module: Any, environment: tuple[int, ...]) -> None:
    """Put a function around a program's `main` that sets the environment first."""
    functions = {ir.StringAttr(function.attributes["sym_name"]).value: function for function in module.body.operations}
    name = next(f"query{number}" for number in itertools.count() if f"query{number}" not in functions)
    main = functions["main"]
    type = ir.FunctionType(ir.TypeAttr(main.attributes["function_type"]).value)
    if not type.results:  # it computes nothing
        return
    around = ir.Module.parse(around_main(name, list(type.inputs), list(type.results), environment))
    main.attributes["sym_name"] = ir.StringAttr.get(name)
    main.attributes["sym_visibility"] = ir.StringAttr.get("private")
    for function in list(around.body.operations):
        if ir.StringAttr(function.attributes["sym_name"]).value == "main":
            function.operation.detach_from_parent()
            module.body.append(function)


def around_main(name: str, inputs: list[Any], results: list[Any], environment: tuple[int, ...]) -> str:
    """A `main` of the given types, as text, that calls the function `name`."""
    numbers = range(len(results))
    return _MAIN.format(
        query=name,
        target=SET_ENVIRONMENT,
        words=", ".join(map(str, environment)),
        count=len(environment) + 1,
        last=len(environment),
        types=", ".join(map(str, inputs)),
        parameters=", ".join(f"%argument{number}: {type}" for number, type in enumerate(inputs)),
        arguments=", ".join(f"%argument{number}" for number in range(len(inputs))),
        results=", ".join(map(str, results)),
        width=len(results),
        computed=", ".join(f"%computed#{number}" for number in numbers),
        never=", ".join(f"%never#{number}" for number in numbers),
        returned=", ".join(f"%result#{number}" for number in numbers),
    )


# --- the threads of XLA's pool ------------------------------------------------------------------------------------------------


class Frame(ctypes.Structure):
    """The first fields of XLA's XLA_FFI_CallFrame, which are the same in all versions of its C API."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("extension", ctypes.POINTER(ctypes.c_size_t)),
        ("api", ctypes.POINTER(ctypes.c_void_p)),
        ("context", ctypes.c_void_p),
    )


class PoolArguments(ctypes.Structure):
    """XLA_FFI_ThreadPool_Schedule_Args; of XLA_FFI_ThreadPool_NumThreads_Args the first four fields, `first` a pointer."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("extension", ctypes.c_void_p),
        ("context", ctypes.c_void_p),
        ("first", ctypes.c_void_p),
        ("second", ctypes.c_void_p),
    )


Handler = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(Frame))
Task = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
PoolFunction = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(PoolArguments))

# Where XLA_FFI_Api has what is used here, in words from its start: the numbers of its version, and two functions.
_VERSION, _SCHEDULE, _THREADS = 4, 17, 18


def _prepare_threads(frame: Any) -> int | None:
    """The handler of PREPARE_POOL: have every thread of the pool set the environment. XLA also asks it for its version."""
    call = frame.contents
    if call.extension:
        metadata = ctypes.cast(call.extension[3], ctypes.POINTER(ctypes.c_size_t))
        metadata[3] = call.api[_VERSION]
        return None
    try:
        prepare_threads(call)
    except threading.BrokenBarrierError:
        logger.warning("the threads of XLA's pool cannot be prepared: larger programs may take subnormal numbers for zero")
    return None


_handler = Handler(_prepare_threads)  # kept as long as XLA may call it


def prepare_threads(call: Frame) -> None:
    """Have each thread of the pool set the environment: it gets a task for each, none of which ends before all have begun.

    A second round, of C's function alone, sees all of them out of Python before this returns: a process that ends must not
    find them there.
    """
    count = ctypes.c_int64()
    PoolFunction(call.api[_THREADS])(PoolArguments(4 * 8, None, call.context, ctypes.addressof(count), None))
    assert ENVIRONMENT is not None
    words = (ctypes.c_uint32 * len(ENVIRONMENT))(*ENVIRONMENT)
    begun = threading.Barrier(count.value + 1, timeout=SECONDS)

    def set_environment(_: object) -> None:
        libm().fesetenv(words)
        begun.wait()

    def schedule(task: Any, data: Any) -> None:
        function, of = ctypes.cast(task, ctypes.c_void_p), ctypes.cast(data, ctypes.c_void_p)
        arguments = PoolArguments(5 * 8, None, call.context, function, of)
        for _ in range(count.value):
            PoolFunction(call.api[_SCHEDULE])(arguments)

    task = Task(set_environment)
    schedule(task, None)
    begun.wait()
    threads = ctypes.CDLL(None)
    threads.pthread_barrier_init(_out_of_python, None, count.value + 1)
    schedule(threads.pthread_barrier_wait, _out_of_python)
    threads.pthread_barrier_wait(_out_of_python)


_out_of_python = ctypes.create_string_buffer(64)  # a pthread_barrier_t, in which threads may be when this file is done


def libm() -> ctypes.CDLL:
    return ctypes.CDLL("libm.so.6")
