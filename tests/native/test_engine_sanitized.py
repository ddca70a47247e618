"""The engine's tests once more, with AddressSanitizer and UndefinedBehaviorSanitizer, in a process of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def libasan() -> str | None:
    compiler = shutil.which("g++")
    if compiler is None:
        return None
    path = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout.strip()
    return path if os.path.isabs(path) else None


@pytest.mark.skipif("QTENSOR_SANITIZED" in os.environ, reason="this is that process")
@pytest.mark.skipif(libasan() is None, reason="no AddressSanitizer")
def test_nothing_reads_or_writes_beyond_its_memory() -> None:
    preload = f"{libasan()} {os.environ.get('LD_PRELOAD', '')}".strip()
    environment = {
        **os.environ,
        "QTENSOR_SANITIZED": "1",
        "LD_PRELOAD": preload,
        # Python keeps memory until its end; what the engine must release, the tests count.
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    tests = [str(HERE / name) for name in ("test_engine.py", "test_engine_damaged.py")]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
