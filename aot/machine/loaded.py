"""Executables in memory: loaded when called, and let go of when together they hold too many of the process's mappings.

XLA maps each kernel by itself, as code, constants and the rest: a query of TPC-H takes up to a thousand mappings.
Linux grants a process 65,530 (`vm.max_map_count`), and one that asks for more crashes within the compiler.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable
from typing import Any

from qtensor.aot.machine.runtime import Code

KERNELS_KEPT = 10_000  # 3 mappings each: not half of what a process may have


class Loaded:
    """An executable that is in memory while it is in use, or was lately. Thread-safe."""

    def __init__(self, load: Callable[[], Code], code: Code | None = None) -> None:
        """load: gives the code again, each time it is needed and not there; code: what is there already."""
        self._load = load
        self._lock = threading.Lock()
        self._executable: Any | None = None
        self._is_slim = False
        self.kernels = 0
        self.used = 0
        if code is not None:
            self._keep(code)

    @property
    def executable(self) -> Any:
        """jaxlib's LoadedExecutable, which has no public type. Raises what loading raises."""
        self.used = next(_uses)
        executable = self._executable  # looked at once: another thread may let go of it at any time
        if executable is not None:
            return executable
        with self._lock:
            return self._executable or self._keep(self._load())

    def hlo_modules(self) -> list[Any]:
        """The optimised HLO, as jaxlib's HloModules. Raises what loading raises."""
        modules: list[Any] = self.executable.hlo_modules()
        return self._load().hlo_modules() if self._is_slim else modules

    @property
    def is_loaded(self) -> bool:
        return self._executable is not None

    def let_go(self) -> None:
        """Forget the executable; its mappings end with the last run in progress."""
        self._executable = None

    def _keep(self, code: Code) -> Any:
        self.used = next(_uses)
        self.kernels, self._is_slim = code.kernels, code.is_slim
        self._executable = code.executable
        _in_memory.make_room(self)
        return code.executable


class InMemory:
    """All loaded executables of the process, of all connections and artifacts."""

    def __init__(self) -> None:
        self._all: weakref.WeakSet[Loaded] = weakref.WeakSet()
        self._lock = threading.Lock()

    def make_room(self, newest: Loaded) -> None:
        """Let go of the least recently used until no more than KERNELS_KEPT are left, but never of `newest`."""
        with self._lock:
            self._all.add(newest)
            loaded = [one for one in self._all if one.is_loaded]
            total = sum(one.kernels for one in loaded)
            for one in sorted(loaded, key=lambda one: one.used):
                if total <= KERNELS_KEPT or one is newest:
                    return
                one.let_go()
                total -= one.kernels


_uses = itertools.count(1)
_in_memory = InMemory()
