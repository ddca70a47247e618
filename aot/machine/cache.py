"""Compiled executables on disk: shared by all processes of a user, safe against killed writers, limited in size.

An executable is native code. The folder belongs to the user and is readable by no one else; files are written whole
under another name and then renamed; a file whose digest is wrong, or that does not load, is recompiled.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import platform
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import jax

from qtensor.aot.machine.runtime import Code, load_executable
from qtensor.errors import DataError
from qtensor.files.folders import cache_folder

logger = logging.getLogger("qtensor")

MAGIC = b"qtensor executable 1\n"
SIZE_LIMIT = 512 << 20
ABANDONED_SECONDS = 3600  # no writer takes that long between its file's first byte and its renaming


@dataclass(frozen=True)
class CacheInfo:
    """How many executables a folder holds, how many bytes they have, and how many they may have."""

    folder: Path
    entries: int
    size: int
    limit: int


@functools.cache
def environment_key() -> str:
    """What an executable depends on beside its plan: the machine, and the text of the compiler itself."""
    digest = hashlib.sha256()
    here = Path(__file__).resolve().parent
    for path in sorted([*(here.parents[1] / "lowering").rglob("*.py"), *here.glob("*.py"), here.parent / "protobuf.py"]):
        digest.update(path.read_bytes())
    return f"{machine_key()} {digest.hexdigest()}"


@functools.cache
def machine_key() -> str:
    """What native code needs to run: the version of jaxlib and a CPU with the same instruction sets.

    And that subnormal numbers are kept: code of versions that flushed them is compiled anew.
    """
    return f"jaxlib {version('jaxlib')} {cpu_features()} subnormals"


def cpu_features() -> str:
    """A name for the instruction sets of this CPU."""
    text = platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "model name")):
                text += line
            if not line:
                break
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class ExecutableCache:
    """Executables by key (a hexadecimal digest) in a folder."""

    def __init__(self, folder: Path | None = None, size_limit: int = SIZE_LIMIT) -> None:
        self.folder = (folder or cache_folder()) / "executables"
        self.size_limit = size_limit

    def load(self, key: str) -> Code | None:
        """The executable of `key`, or None when there is none that can be used."""
        path = self.folder / key
        try:
            content = path.read_bytes()
        except OSError:
            return None
        if not self._is_private():
            logger.warning("the cache %s is not used: others than its owner can write to it", self.folder)
            return None
        head = len(MAGIC) + 32
        payload = content[head:]
        if not content.startswith(MAGIC) or hashlib.sha256(payload).digest() != content[len(MAGIC) : head]:
            logger.warning("the cached executable %s is damaged and will be compiled anew", path)
            return None
        try:
            code = load_executable(payload)
        except (jax.errors.JaxRuntimeError, ValueError, TypeError) as error:
            logger.warning("the cached executable %s does not load and will be compiled anew: %s", path, error)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # the least recently used are the first to go
        return code

    def save(self, key: str, code: Code) -> None:
        """Keep `code`; a cache that cannot be written is none."""
        if code.payload is None:
            return
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".", delete=False) as file:
                temporary = Path(file.name)
                try:  # not synchronised with the disk: what a power failure leaves has another digest, and is compiled anew
                    file.write(MAGIC + hashlib.sha256(code.payload).digest() + code.payload)
                    file.flush()
                    temporary.replace(self.folder / key)
                except BaseException:
                    temporary.unlink(missing_ok=True)
                    raise
            self.trim()
        except OSError as error:
            logger.info("the executable cache %s cannot be written: %s", self.folder, error)

    def share(self, known: str, key: str) -> None:
        """Keep what is kept as `known` as `key`, too."""
        try:
            (self.folder / key).hardlink_to(self.folder / known)
        except OSError as error:
            logger.info("an executable in %s cannot have two names: %s", self.folder, error)

    def trim(self) -> None:
        """Remove the least recently used files beyond the size limit, and what killed writers left."""
        entries = self._files()
        total = sum(status.st_size for _, status in entries)
        for path, status in sorted(entries, key=lambda entry: entry[1].st_mtime):
            abandoned = path.name.startswith(".") and status.st_mtime < time.time() - ABANDONED_SECONDS
            if total > self.size_limit or abandoned:
                path.unlink(missing_ok=True)
                total -= status.st_size

    def info(self) -> CacheInfo:
        """What the folder holds at the moment."""
        sizes = [status.st_size for path, status in self._files() if not path.name.startswith(".")]
        return CacheInfo(self.folder, len(sizes), sum(sizes), self.size_limit)

    def clear(self) -> CacheInfo:
        """Remove all executables; processes that run keep theirs in memory. Returns what there was.

        Raises DataError: the folder cannot be written.
        """
        before = self.info()
        try:
            for path, _ in self._files():
                path.unlink(missing_ok=True)
        except OSError as error:
            raise DataError(f"the cache {self.folder} cannot be cleared: {error}") from error
        return before

    def _files(self) -> list[tuple[Path, os.stat_result]]:
        """The files in the folder and what is known of them; another process may remove some meanwhile."""
        found = []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for path in self.folder.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    found.append((path, path.stat()))
        return found

    def _is_private(self) -> bool:
        """Whether nobody else can have put code into the folder."""
        if not hasattr(os, "getuid"):
            return True
        try:
            status = self.folder.stat()
        except OSError:
            return False
        return status.st_uid == os.getuid() and not status.st_mode & 0o022
