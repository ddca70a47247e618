"""Whether HDF5's library can be trusted with a file: it reads the whole of it in a process of its own first.

Over some damaged files it never comes to an end, or ends the process; neither can be stopped in a thread of ours.
"""

from __future__ import annotations

import subprocess
import sys

SECONDS = 30.0

# What is in other files is not read, nor what a file only claims to have: that is refused afterwards.
PROBE = """
import io, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
except (ImportError, ValueError, OSError):
    pass
import h5py

def visit(name, found):
    dict(found.attrs)
    if isinstance(found, h5py.Dataset) and not found.external and not found.is_virtual and found.nbytes < 1 << 30:
        found[()]

content = io.BytesIO(sys.stdin.buffer.read())
with h5py.File(content, "r") as file:
    dict(file.attrs)
    file.visititems(visit)
"""


def problem_of_reading(content: bytes) -> str | None:
    """What HDF5 does over a file beside reading it; None: it reads it, or raises an error as it should."""
    command = [sys.executable or "python", "-I", "-c", PROBE]
    try:
        done = subprocess.run(command, input=content, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"HDF5 did not read it within {SECONDS:.0f} seconds"
    except OSError as error:
        return f"the process that looks at it cannot be started: {error}"
    return f"HDF5 ends with the signal {-done.returncode} over it" if done.returncode < 0 else None
