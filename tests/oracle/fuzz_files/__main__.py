"""The command: `python -m tests.oracle.fuzz_files --seconds 600 --seed 1 --door qta`. The exit status is 1 if any input failed."""

from __future__ import annotations

import itertools
import os
import random
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import click

from tests.oracle.fuzz_files import doors
from tests.oracle.fuzz_files.child import door_of
from tests.oracle.fuzz_files.door import Files, read_files, write_files
from tests.oracle.fuzz_files.harness import ROOT, Child, Limits, Verdict, input_of

KEPT = ROOT / "build" / "fuzz_files"
REPORT_SECONDS = 10.0
VERDICT = "verdict.txt"


@dataclass
class Progress:
    """What came of the inputs of one door."""

    door: str
    started: float = field(default_factory=time.monotonic)
    outcomes: Counter[str] = field(default_factory=Counter)
    failed: list[Path] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    reported: float = field(default_factory=time.monotonic)

    def add(self, folder: Path, files: Files, verdict: Verdict) -> None:
        with self.lock:
            self.outcomes[verdict.outcome] += 1
            if verdict.failed:
                write_files(folder / "files", files)
                (folder / VERDICT).write_text(f"{verdict.outcome}\n{verdict.message}\n", errors="replace")
                self.failed.append(folder)
                last = verdict.message.strip().splitlines()[-1:] or [""]
                print(f"FAILED {verdict.outcome}: {folder}: {last[0][:200]}", flush=True)
            if time.monotonic() - self.reported >= REPORT_SECONDS:
                self.report()

    def report(self) -> None:
        self.reported = time.monotonic()
        seconds, inputs = self.reported - self.started, sum(self.outcomes.values())
        counts = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        print(f"{self.door}: {seconds:.0f} s, {inputs:,} inputs, {inputs / seconds:.1f} a second: {counts}", flush=True)


def run(name: str, seed: int, seconds: float, inputs: int | None, workers: int, limits: Limits, kept: Path = KEPT) -> Progress:
    """Inputs of one door, for so many seconds or so many of them."""
    door, progress = door_of(name), Progress(name)
    with Child(name, limits) as child:
        seeds = child.seeds()
    progress.started = time.monotonic()
    numbers = itertools.count()

    def work() -> None:
        with Child(name, limits) as child:
            while True:
                with progress.lock:
                    number = next(numbers)
                over = time.monotonic() - progress.started >= seconds if inputs is None else number >= inputs
                if over and number:
                    return
                files = input_of(door, seeds, seed, number)
                progress.add(kept / f"{name}-{seed}-{number}", files, child.judged(files))

    with ThreadPoolExecutor(workers) as pool:
        for future in [pool.submit(work) for _ in range(workers)]:
            future.result()
    progress.report()
    return progress


@click.command()
@click.option("--seconds", default=600.0, help="How long, all doors together.")
@click.option("--inputs", default=None, type=int, help="How many inputs of each door, in place of --seconds.")
@click.option("--seed", default=None, type=int, help="Equal ones give equal inputs; chosen by chance if not given.")
@click.option("--door", "names", multiple=True, help=f"Only these doors, of {', '.join(doors.NAMES)}.")
@click.option("--workers", default=os.cpu_count() or 1, help="How many children at once.")
@click.option("--memory", default=Limits.memory >> 20, help="MiB that one input may take.")
@click.option("--limit", default=Limits.seconds, help="Seconds that one input may take.")
@click.option("--again", default=None, type=click.Path(exists=True, path_type=Path), help="Open a kept input once more.")
def main(
    seconds: float,
    inputs: int | None,
    seed: int | None,
    names: tuple[str, ...],
    workers: int,
    memory: int,
    limit: float,
    again: Path | None,
) -> None:
    """Files of strangers, mutated at random. The exit status is 1 if any did not end in right rows or a QTensorError."""
    limits = Limits(seconds=limit, memory=memory << 20)
    if again is not None:
        with Child(again.name.rsplit("-", 2)[0], limits) as child:
            verdict = child.judged(read_files(again / "files"))
        print(f"{verdict.outcome}\n{verdict.message}")
        sys.exit(verdict.failed)
    seed = random.randrange(10**6) if seed is None else seed
    names = names or doors.NAMES
    print(f"seed {seed}", flush=True)
    failed = [folder for name in names for folder in run(name, seed, seconds / len(names), inputs, workers, limits).failed]
    print(f"failed: {len(failed)}, kept in {KEPT}" if failed else "no failures")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
