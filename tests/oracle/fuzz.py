"""`python -m tests.oracle.fuzz --seconds 600`: random queries without end, each put to its oracle; failures are printed, small.

A failure's seed asks it again: `python -m tests.oracle.fuzz --case 123`.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field

import click
import jax

from tests.oracle.checks import Case, Checker, Finding, quick_compiling, random_case
from tests.oracle.minimise import minimised, reproducer, signature

REPORT_SECONDS = 10.0


@dataclass
class Progress:
    """What has been asked, and what came of it."""

    started: float = field(default_factory=time.monotonic)
    cases: Counter[str] = field(default_factory=Counter)
    queries: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    failed: list[int] = field(default_factory=list)

    def add(self, seed: int, finding: Finding) -> None:
        self.cases[finding.outcome] += 1
        self.queries += finding.queries
        if finding.outcome in ("unsupported", "refused"):
            self.reasons[f"{finding.outcome}: {reason(finding.message)}"] += 1
        if finding.outcome == "different":
            self.failed.append(seed)

    def line(self, seed: int) -> str:
        seconds = time.monotonic() - self.started
        counts = ", ".join(f"{self.cases[name]:,} {name}" for name in ("same", "unsupported", "refused"))
        rate = self.queries / seconds
        return (
            f"{seconds:6.0f} s, seed {seed}: {self.queries:,} queries, {rate:.2f} a second, {counts}, {len(self.failed)} FAILED"
        )


def reason(message: str) -> str:
    """What is not supported, without the places: the same for all queries that use it."""
    lines = [line.strip() for line in message.splitlines()[:2]]
    return " ".join(lines) if lines and lines[0].endswith(":") else (lines or [""])[0]


@click.command()
@click.option("--seconds", default=600.0, help="How long.")
@click.option("--seed", default=None, type=int, help="Where the seeds begin; chosen by chance if not given.")
@click.option("--case", "only", default=None, type=int, help="Ask the one case of this seed.")
@click.option("--kind", default=None, help="One kind of query only.")
@click.option("--full", is_flag=True, help="Compile as users' queries are compiled: a third of the queries a second.")
@click.option("--minimise", "seconds_minimising", default=60.0, help="How many seconds to spend on making a failure small.")
def main(seconds: float, seed: int | None, only: int | None, kind: str | None, full: bool, seconds_minimising: float) -> None:
    """Random queries, their answers compared. The exit status is 1 if any failed."""
    jax.config.update("jax_numpy_dtype_promotion", "strict")  # type: ignore[no-untyped-call]
    jax.config.update("jax_numpy_rank_promotion", "raise")  # type: ignore[no-untyped-call]
    gc.freeze()  # looking through all modules' objects for rubbish takes an eighth of the time
    gc.set_threshold(200_000, 20, 20)
    first = only if only is not None else seed if seed is not None else random.randrange(10**6) * 10**6
    with tempfile.TemporaryDirectory() as cache, nullcontext() if full else quick_compiling():
        os.environ["QTENSOR_CACHE"] = cache
        progress = run(first, 0.0 if only is not None else seconds, kind, seconds_minimising)
    for why, count in progress.reasons.most_common(15):
        print(f"{count:>6} x {why}")
    print(f"failed: {progress.failed}" if progress.failed else "no failures")
    sys.exit(bool(progress.failed))


def run(first: int, seconds: float, kind: str | None, seconds_minimising: float) -> Progress:
    """Cases of the seeds from `first` on; at least one."""
    checker, progress = Checker(), Progress()
    seed, reported = first, progress.started
    while True:
        case = random_case(seed, kind)
        finding = checker.check(case)
        progress.add(seed, finding)
        if finding.outcome == "different":
            report(seed, case, finding, checker, seconds_minimising)
        now = time.monotonic()
        over = now - progress.started >= seconds
        if over or now - reported >= REPORT_SECONDS:
            print(progress.line(seed), flush=True)
            reported = now
        if over:
            checker.close()
            return progress
        seed += 1


def report(seed: int, case: Case, finding: Finding, checker: Checker, seconds: float) -> None:
    """Print a failure as it was drawn, then as small as it could be made."""
    print(f"\nFAILED seed {seed} ({case.kind}, {signature(finding)})\n{finding.message}\n{reproducer(case)}", flush=True)
    if seconds > 0:
        small, why = minimised(case, finding, checker.check, seconds)
        print(f"--- seed {seed} minimised\n{why.message}\n{reproducer(small)}\n", flush=True)


if __name__ == "__main__":
    faulthandler.enable()
    main()
