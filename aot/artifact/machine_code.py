"""The native code in an artifact: of each program, for each kind of CPU on which someone added it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import jax

from qtensor.aot.artifact.consistency import check_manifest
from qtensor.aot.artifact.container import part_of, read_container, write_container
from qtensor.aot.artifact.manifest import Executable
from qtensor.aot.artifact.trust import add_trust
from qtensor.aot.isolated.screening import check_programs
from qtensor.aot.machine.cache import machine_key
from qtensor.aot.machine.runtime import compile_stablehlo
from qtensor.errors import ArtifactError


def compile_programs(programs: Mapping[str, bytes]) -> tuple[tuple[Executable, ...], dict[str, bytes]]:
    """Native code of programs for this machine, where it can be serialised: the manifest's entries, and the parts.

    Raises jax.errors.JaxRuntimeError or ValueError: a program cannot be compiled.
    """
    here = machine_key()
    folder = f"native/{hashlib.sha256(here.encode()).hexdigest()[:16]}"
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        codes = dict(zip(programs, pool.map(compile_stablehlo, programs.values()), strict=True))
    names = {name: name.replace("programs/", f"{folder}/").replace(".mlir", ".bin") for name in programs}
    parts = {names[name]: code.payload for name, code in codes.items() if code.payload is not None}
    return tuple(Executable(name, here, part) for name, part in names.items() if part in parts), parts


def add_machine_code(path: str | os.PathLike[str]) -> str:
    """Compile an artifact's programs for this machine and keep the code in the file. Returns its digest, which is now trusted.

    Code for other machines stays in the file, but runs there only for who trusts the new file.

    Raises ArtifactError: the file is no artifact, is damaged, or cannot be written.
    """
    container = read_container(path)
    check_manifest(container.manifest)
    here = machine_key()
    manifest, parts = container.manifest, dict(container.parts)
    if all(executable.environment != here for executable in manifest.executables):
        programs = {name: content for name, content in parts.items() if name.endswith(".mlir")}
        try:
            check_programs(list(programs.values()), trusted=True)
            executables, native = compile_programs(programs)
        except (jax.errors.JaxRuntimeError, ValueError) as error:
            raise ArtifactError(f"{path}: a program cannot be compiled: {error}") from error
        parts |= native
        described = (*manifest.parts, *(part_of(name, content) for name, content in native.items()))
        manifest = replace(manifest, executables=(*manifest.executables, *executables), parts=described)
        digest = write_container(path, manifest, parts)
    else:
        digest = container.digest
    add_trust(digest)
    return digest
