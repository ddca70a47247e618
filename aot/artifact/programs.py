"""The programs of a loaded artifact: native code where it is trusted and fits this machine, else compiled from StableHLO."""

from __future__ import annotations

import functools
import hashlib
import logging
import threading
from collections.abc import Mapping, Sequence

import jax

from qtensor.aot.artifact.manifest import Executable, Form
from qtensor.aot.isolated.screening import RULES, check_programs
from qtensor.aot.machine.cache import ExecutableCache, machine_key
from qtensor.aot.machine.loaded import Loaded
from qtensor.aot.machine.options import OPTIONS_KEY
from qtensor.aot.machine.runtime import Code, compile_stablehlo, load_executable
from qtensor.errors import ArtifactError, CapacityError

logger = logging.getLogger("qtensor")


class Programs:
    """Loads each module when it is first called. Safe to use from several threads."""

    def __init__(
        self, parts: Mapping[str, bytes], executables: Sequence[Executable], cache: ExecutableCache | None, trusted: bool
    ) -> None:
        """executables: those whose code may run. trusted: whether programs may have what is not on the whitelist."""
        self._parts = parts
        here = machine_key()
        self._native = {executable.module: executable.part for executable in executables if executable.environment == here}
        self._cache = cache
        self._trusted = trusted
        self._screened = False
        self._loaded = {part: Loaded(functools.partial(self._load, part)) for part in parts if part.endswith(".mlir")}
        self._lock = threading.Lock()

    def call(self, form: Form, function: str, arguments: Sequence[jax.Array]) -> list[jax.Array]:
        """Run one function of a form. Raises ArtifactError: it does not take such arguments."""
        part = next(module.part for module in form.modules if module.function == function)
        executable = self._loaded[part].executable
        try:
            return executable.execute(arguments)  # type: ignore[no-any-return]
        except (jax.errors.JaxRuntimeError, ValueError) as error:
            if "RESOURCE_EXHAUSTED" in str(error):
                raise CapacityError(f"the program {part} needs more memory than there is: {error}") from error
            raise ArtifactError(f"the program {part} does not run: {error}") from error

    def are_loaded(self, form: Form) -> bool:
        """Whether a form's functions can run without being loaded or compiled before."""
        return all(self._loaded[module.part].is_loaded for module in form.modules)

    def ready(self, form: Form) -> None:
        """Load all functions of a form."""
        for module in form.modules:
            _ = self._loaded[module.part].executable

    def _load(self, part: str) -> Code:
        return self._native_code(part) or self._compiled(part)

    def _native_code(self, part: str) -> Code | None:
        if part not in self._native:
            return None
        try:
            return load_executable(self._parts[self._native[part]])
        except (jax.errors.JaxRuntimeError, ValueError, TypeError) as error:
            logger.warning("the native code of %s does not load, and is compiled anew: %s", part, error)
            return None

    def _compiled(self, part: str) -> Code:
        """Compiled here, or by an earlier process of this user."""
        bytecode = self._parts[part]
        asked = "trusted" if self._trusted else f"rules {RULES}"
        key = hashlib.sha256(f"{machine_key()}\n{OPTIONS_KEY}\n{asked}\n".encode() + bytecode).hexdigest()
        code = self._cache.load(key) if self._cache else None
        if code is None:
            try:
                self._screen()
                code = compile_stablehlo(bytecode)
            except (jax.errors.JaxRuntimeError, ValueError) as error:
                raise ArtifactError(f"the program {part} cannot be compiled: {error}") from error
            if self._cache:
                self._cache.save(key, code)
        return code

    def _screen(self) -> None:
        """Check all programs at once, before the first of them is compiled. Raises ValueError."""
        with self._lock:
            if not self._screened:
                check_programs([content for name, content in self._parts.items() if name.endswith(".mlir")], self._trusted)
                self._screened = True
