"""Opens inputs in child processes under limits, and says what came of each: the parent's side of the harness."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Literal, Self, TypeAlias

from tests.oracle.fuzz_files.door import Door, Files, read_files, write_files

Outcome: TypeAlias = Literal["same", "refused", "unconfirmed", "wrong", "raw", "died", "hung", "memory", "wrote"]
FAILURES: frozenset[Outcome] = frozenset(("wrong", "raw", "died", "hung", "memory", "wrote"))

ROOT = Path(__file__).parents[3]
PAGE = os.sysconf("SC_PAGE_SIZE")
POLL_SECONDS = 0.02
START_SECONDS = 300.0  # for a child's imports and a door's seeds


@dataclass(frozen=True)
class Limits:
    """What one input may take: seconds, and bytes of memory of the child beside what it had before. After `inputs` of them the child
    is replaced, so that leaks of libraries do not add up.
    """

    seconds: float = 60.0
    memory: int = 2 << 30
    inputs: int = 1_000


@dataclass(frozen=True)
class Verdict:
    """What came of an input. message: an error's text, or the last that the child wrote before it died."""

    outcome: Outcome
    message: str = ""

    @property
    def failed(self) -> bool:
        return self.outcome in FAILURES


class Child:
    """A child process of one door, started when it is needed; one that dies or is killed is replaced."""

    def __init__(self, door: str, limits: Limits) -> None:
        """door: a name of `doors.NAMES`, or the dotted name of a module."""
        self._door, self._limits = door, limits
        self._scratch = tempfile.TemporaryDirectory(prefix="fuzz-files-")
        self._folder = Path(self._scratch.name)
        self._process: subprocess.Popen[bytes] | None = None
        self._opened = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()
        self._scratch.cleanup()

    def seeds(self) -> list[Files]:
        """The door's seeds, in the order of their names."""
        folder = self._folder / "seeds"
        folder.mkdir()
        verdict = self._asked({"seeds": str(folder)}, replace(self._limits, seconds=START_SECONDS, memory=1 << 40))
        found = [read_files(seed) for seed in sorted(folder.iterdir())]
        if verdict.outcome in FAILURES or not found:
            raise RuntimeError(f"the door {self._door} makes no seeds: {verdict.message}")
        return found

    def judged(self, files: Files) -> Verdict:
        """What comes of an input."""
        if self._opened >= self._limits.inputs:
            self._stop()
        folder = self._folder / "input"
        write_files(folder, files)
        verdict = self._asked({"folder": str(folder)}, self._limits)
        self._opened += 1
        beside = read_files(self._folder / "cwd")
        strange = sorted({*read_files(folder), *beside} - set(files))
        for name in beside:
            (self._folder / "cwd" / name).unlink()
        return Verdict("wrote", f"it wrote {', '.join(strange)}") if strange else verdict

    def _asked(self, request: Mapping[str, str], limits: Limits) -> Verdict:
        process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        before = resident(process.pid)
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            return self._died()
        outcome, end = "", time.monotonic() + limits.seconds
        while outcome in ("", "rows"):
            try:
                answer = self._line(process, end, before + limits.memory)
            except TimeoutError:
                self._stop()
                return (
                    Verdict("hung", f"no answer within {limits.seconds:.0f} s") if not outcome else Verdict("unconfirmed", "hung")
                )
            except MemoryError:
                self._stop()
                return (
                    Verdict("memory", f"more than {limits.memory:,} bytes") if not outcome else Verdict("unconfirmed", "memory")
                )
            if answer is None:
                verdict = self._died()
                return verdict if not outcome else Verdict("unconfirmed", verdict.message)
            outcome, message = answer["outcome"], answer["message"]
        return Verdict("unconfirmed" if outcome == "made" else outcome, message)  # type: ignore[arg-type]

    def _line(self, process: subprocess.Popen[bytes], end: float, most: int) -> dict[str, str] | None:
        """The child's next answer, None if it died. Raises TimeoutError and MemoryError."""
        assert process.stdout is not None
        while not select.select([process.stdout], [], [], POLL_SECONDS)[0]:
            if time.monotonic() > end:
                raise TimeoutError
            if resident(process.pid) > most:
                raise MemoryError
        line = process.stdout.readline()
        answer: dict[str, str] | None = json.loads(line) if line.endswith(b"\n") else None
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        for name in ("cwd", "cache", "trust"):
            (self._folder / name).mkdir(mode=0o700, exist_ok=True)
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "QTENSOR_CACHE": str(self._folder / "cache"),
            "QTENSOR_TRUST": str(self._folder / "trust"),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.oracle.fuzz_files.child", self._door],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                env=environment, cwd=self._folder / "cwd", start_new_session=True, bufsize=0,  # so that `select` sees all there is
            )  # fmt: skip
        self._opened = 0
        # Imports are no input's fault: the first answer waits for them here.
        self._asked({"warm": ""}, replace(self._limits, seconds=START_SECONDS, memory=1 << 40))
        if self._process is None:
            raise RuntimeError(f"a child of the door {self._door} does not start: {self._log_tail()}")
        return self._process

    def _died(self) -> Verdict:
        assert self._process is not None
        try:
            status = self._process.wait(5)
        except subprocess.TimeoutExpired:
            status = 0
        self._stop()
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return Verdict("died", f"{how}: {self._log_tail()}")

    def _stop(self) -> None:
        """End the child and whatever it started."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):  # closing writes what is left to a child that is gone
                if stream is not None:
                    stream.close()
        self._process.wait()
        self._process = None

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _log_tail(self) -> str:
        return self._log.read_bytes()[-2_000:].decode(errors="replace")


def resident(pid: int) -> int:
    """The bytes of memory that a process holds; 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def input_of(door: Door, seeds: list[Files], seed: int, number: int) -> Files:
    """Input `number` of a run: the same for equal seeds of the run and of the door. Some are a seed as it is."""
    random = Random(f"{seed} {number}")
    chosen = seeds[number % len(seeds)] if number < len(seeds) else random.choice(seeds)
    return chosen if number < len(seeds) else door.mutated(random, chosen, seeds)
