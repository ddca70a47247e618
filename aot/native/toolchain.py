"""What a native library is built with: the C++ compiler, the sources in TensorFlow's wheel, and the CPU it is built for."""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from qtensor.errors import NativeError

HERE = Path(__file__).parent

# Names that both GCC and LLVM know for sets of instructions, and what /proc/cpuinfo calls the instructions.
LEVELS = {
    "x86-64-v4": frozenset(("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")),
    "x86-64-v3": frozenset(("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe")),
    "x86-64-v2": frozenset(("cx16", "popcnt", "sse4_1", "sse4_2", "ssse3")),
}


@dataclass(frozen=True)
class Toolchain:
    """compiler: the C++ compiler, with its version. tensorflow: the package's folder. cpu: as GCC and LLVM call it.

    extra: more flags for the compiler, as those of a sanitizer.
    """

    compiler: str
    compiler_version: str
    tensorflow: Path
    tensorflow_version: str
    machine: str
    cpu: str
    extra: tuple[str, ...] = ()

    @property
    def triple(self) -> str:
        return f"{self.machine}-pc-linux"

    @property
    def flags(self) -> tuple[str, ...]:
        """How everything is compiled. Sections of their own let the linker drop what is not called."""
        return (
            "-std=c++17", "-O2", f"-march={self.cpu}", "-fPIC", "-fvisibility=hidden", "-ffunction-sections",
            "-fdata-sections", "-DNDEBUG", "-pthread", *self.extra,
        )  # fmt: skip

    @property
    def includes(self) -> tuple[str, ...]:
        """Where headers are: ours first, which stand for those of TensorFlow that need its libraries."""
        system = (self.tensorflow / "include", self.tensorflow / "xla_aot_runtime_src")
        return (f"-I{HERE / 'src'}", f"-I{HERE / 'xla' / 'include'}", *(f"-isystem{folder}" for folder in system))

    def compile(self, arguments: Sequence[str | os.PathLike[str]], what: str) -> None:
        """Run the compiler. Raises NativeError with what it said."""
        self.run([self.compiler, *arguments], what)

    def run(self, command: Sequence[str | os.PathLike[str]], what: str) -> None:
        """Run a tool. Raises NativeError with what it said."""
        words = [os.fspath(word) for word in command]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        except OSError as error:
            raise NativeError(f"{words[0]} does not run: {error}") from error
        if done.returncode:
            said = "\n".join(f"  {line}" for line in done.stderr.splitlines()[-20:])
            raise NativeError(f"{what} cannot be compiled:\n  {' '.join(words)}\n{said}")


@functools.cache
def toolchain() -> Toolchain:
    """The tools of this machine. The compiler is the environment variable CXX, else g++.

    Raises NativeError: something is missing; all that is missing, and how to get it.
    """
    missing = []
    compiler = shutil.which(os.environ.get("CXX") or "g++")
    if compiler is None:
        missing.append(f"a C++ compiler: {os.environ.get('CXX') or 'g++'} is not there (apt-get install g++)")
    found = importlib.util.find_spec("tensorflow")
    folders = [] if found is None else list(found.submodule_search_locations or ())
    folder = Path(folders[0]) if folders else None
    if folder is None:
        missing.append("TensorFlow, whose compiler makes the object files: pip install 'tensorflow>=2.21'")
    elif not (folder / "xla_aot_runtime_src").is_dir():
        missing.append(f"the sources of XLA's runtime, which TensorFlow's Linux wheels have: {folder / 'xla_aot_runtime_src'}")
    if platform.system() != "Linux":
        missing.append(f"Linux: native libraries are made on it alone, and this is {platform.system()}")
    if missing or compiler is None or folder is None:
        raise NativeError("a native library needs\n" + "\n".join(f"  {one}" for one in missing))
    machine = platform.machine()
    said = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout.partition("\n")[0]
    return Toolchain(compiler, said, folder, tensorflow_version(), machine, cpu_level(machine, cpu_flags()))


def tensorflow_version() -> str:
    for name in ("tensorflow", "tensorflow-cpu", "tf-nightly"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    raise NativeError("TensorFlow was not installed by pip: its version is not known")


def cpu_flags() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return next((frozenset(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), frozenset())


def cpu_level(machine: str, flags: frozenset[str]) -> str:
    """The widest set of instructions that this CPU has, by the name that GCC and LLVM know it by.

    >>> cpu_level("x86_64", frozenset(("cx16", "popcnt", "sse4_1", "sse4_2", "ssse3")))
    'x86-64-v2'
    """
    if machine != "x86_64":
        return "armv8-a" if machine == "aarch64" else "generic"
    needed: frozenset[str] = frozenset()
    best = "x86-64"
    for level, instructions in reversed(LEVELS.items()):
        needed |= instructions
        if needed <= flags:
            best = level
    return best
