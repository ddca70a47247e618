"""XLA:CPU as qtensor uses it: a client of its own, whose programs run in the thread that calls them.

JAX's own client hands a program to another thread and waits for that. For the headline query over 2,000 rows the waiting
takes as long as the query (50 µs, and more the longer the thread had been asleep), and a user's settings of it would be ours.
"""

from __future__ import annotations

import functools
import io
import logging
import os
import threading
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxlib import xla_client
from jaxlib.mlir.dialects import stablehlo as stablehlo_dialect
from jaxlib.mlir.passmanager import PassManager
from numpy.typing import NDArray

from qtensor.aot.machine import subnormals
from qtensor.aot.machine.options import compile_options
from qtensor.aot.machine.slimming import is_slim, slimmed, whole_module
from qtensor.aot.machine.subnormals import keeping_subnormals
from qtensor.errors import DataError

KERNELS_UNKNOWN = 100

logger = logging.getLogger("qtensor")
_making = threading.Lock()
_made_in: list[int] = []  # the process that has the client


def client() -> Any:
    """The XLA client: jaxlib's Client, which has no public type. One for the process, made when first asked for.

    Raises DataError in a process forked from one that has it.
    """
    refuse_forked()
    with _making:  # a cached function may be called twice by threads that ask at once
        return _only_client()


def refuse_forked() -> None:
    """Raises DataError in a process forked from one that has the client: of its threads none is here, and a call would hang."""
    if _made_in and _made_in[0] != os.getpid():
        raise DataError(
            "this process was forked from one that used qtensor, whose threads it does not have: start it by "
            'multiprocessing.get_context("spawn"), or fork before the first query'
        )


@functools.cache
def _only_client() -> Any:
    _made_in.append(os.getpid())
    made = xla_client.make_cpu_client(asynchronous=False)
    subnormals.register()
    if subnormals.ENVIRONMENT is not None:
        compiled(made, subnormals.PREPARING_POOL, split_fusions=False).execute([])
    return made


def to_device(array: NDArray[Any] | np.generic) -> jax.Array:
    """The array as a buffer of its own dtype. The caller does not write to it any more."""
    with jax.enable_x64(True):
        buffer: jax.Array = jax.device_put(array, client().devices()[0], may_alias=True)
        return buffer


def stablehlo(lowered: jax.stages.Lowered) -> bytes:
    """A lowered program as MLIR bytecode, for `compile_stablehlo` of the same version of jaxlib.

    Without the places in our source that it comes from: they would be a third of an executable, and of the time to load it.
    """
    bytecode = io.BytesIO()
    module: Any = lowered.compiler_ir("stablehlo")
    with module.context:
        PassManager.parse("builtin.module(strip-debuginfo)").run(module.operation)
    module.operation.write_bytecode(bytecode)
    return bytecode.getvalue()


def portable_stablehlo(lowered: jax.stages.Lowered) -> bytes:
    """A lowered program as bytes that jaxlib of the last months and of years to come compiles."""
    version = stablehlo_dialect.get_version_from_compatibility_requirement(
        stablehlo_dialect.StablehloCompatibilityRequirement.WEEK_12
    )
    mlir: Any = vars(xla_client)["_xla"].mlir  # the one way to write it that also converts CHLO
    portable: bytes = mlir.serialize_portable_artifact(stablehlo(lowered), version)
    return portable


@dataclass(frozen=True)
class Code:
    """A program compiled for this CPU.

    executable: jaxlib's LoadedExecutable, which has no public type; its `execute` takes buffers and gives buffers; thread-safe.
    payload: what `load_executable` makes it of again, None if it cannot be written. is_slim: the executable was loaded without
    the HLO that it was compiled of, which is in the payload.
    """

    executable: Any
    payload: bytes | None
    is_slim: bool = False

    @property
    def kernels(self) -> int:
        """How many pieces of machine code it has, each with memory mappings of its own."""
        return (self.payload.count(b"\x7fELF") if self.payload else 0) or KERNELS_UNKNOWN

    def hlo_modules(self) -> list[Any]:
        """The optimised HLO, as jaxlib's HloModules."""
        modules: list[Any] = self.executable.hlo_modules()
        whole = whole_module(self.payload) if self.is_slim and self.payload else None
        return modules if whole is None else [type(modules[0]).from_serialized_hlo_module_proto(whole)]


def compile_stablehlo(bytecode: bytes, split_fusions: bool = False) -> Code:
    """Compile what `stablehlo` or `portable_stablehlo` wrote for this CPU. Raises jax.errors.JaxRuntimeError or ValueError.

    split_fusions: whether XLA may cut fusions in parts for the cores (`aot/machine/options.py` says when that helps).
    """
    executable = compiled(client(), keeping_subnormals(bytecode), split_fusions)
    try:  # before its first run: afterwards one that sorts does not serialise
        return Code(executable, slimmed(executable.serialize()))
    except jax.errors.JaxRuntimeError as error:
        logger.info("an executable cannot be serialised and is not cached: %s", error)
        return Code(executable, None)


def compiled(client: Any, program: bytes, split_fusions: bool) -> Any:
    """jaxlib's LoadedExecutable of a program."""
    device = client.devices()[0]
    assignment = xla_client.DeviceAssignment.create(np.array([[device.id]]))
    options = compile_options(program, split_fusions)
    for part in (options, options.executable_build_options):
        part.num_replicas, part.num_partitions, part.device_assignment = 1, 1, assignment
    return client.compile_and_load(program, xla_client.DeviceList((device,)), options)


def load_executable(payload: bytes) -> Code:
    """What `serialize` of an executable wrote, on a machine with the same jaxlib and CPU.

    It is native code: only for bytes that this user's own processes wrote. Raises jax.errors.JaxRuntimeError, ValueError or
    TypeError when it cannot be loaded.
    """
    with quiet_stderr:
        executable = client().deserialize_executable(payload, client().devices()[:1], None)
    return Code(executable, payload, is_slim(payload))


class QuietStderr:
    """Nothing on the process's standard error while any thread is within.

    XLA logs a false alarm whenever it loads an executable: tuning flags of the compiler (prefer-no-gather) are no
    features of the CPU. Its own log level can only be set before JAX is imported. What goes wrong in truth comes as
    an exception.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._within = 0
        self._kept: int | None = None  # the standard error, None if it is closed

    def __enter__(self) -> None:
        with self._lock:
            self._within += 1
            if self._within > 1:
                return
            try:
                self._kept = os.dup(2)
            except OSError:
                return
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._within -= 1
            if self._within or self._kept is None:
                return
            os.dup2(self._kept, 2)
            os.close(self._kept)
            self._kept = None


quiet_stderr = QuietStderr()
