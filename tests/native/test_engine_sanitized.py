"""The engine's tests once more, with AddressSanitizer and UndefinedBehaviorSanitizer, in a process of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def preloaded() -> str | None:
    """AddressSanitizer, and the C++ library, whose exceptions it can only watch if it finds them when it starts."""
    compiler = shutil.which("g++")
    if compiler is None:
        return None
    names = ("libasan.so", "libstdc++.so.6")
    found = [
        subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout
        for name in names
    ]
    paths = [path.strip() for path in found]
    return " ".join(paths) if all(Path(path).is_absolute() for path in paths) else None


@pytest.mark.skipif("QTENSOR_SANITIZED" in os.environ, reason="this is that process")
@pytest.mark.skipif(preloaded() is None, reason="no AddressSanitizer")
def test_nothing_reads_or_writes_beyond_its_memory() -> None:
    environment = {
        **os.environ,
        "QTENSOR_SANITIZED": "1",
        "LD_PRELOAD": f"{preloaded()} {os.environ.get('LD_PRELOAD', '')}".strip(),
        # Python keeps memory until its end; what the engine must release, the tests count.
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    tests = [str(HERE / name) for name in ("test_engine.py", "test_engine_damaged.py")]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
