"""`python -m tests.oracle.slt FILE_OR_FOLDER ...`: what passed, failed and is unsupported, file by file."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import click

from tests.oracle.slt.runner import OUTCOMES, Tally, files_of, run_file


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--reasons", default=10, help="How many of the most frequent reasons for `unsupported` to print.")
def main(paths: tuple[Path, ...], reasons: int) -> None:
    """Run files of sqllogictest. The exit status is 1 if anything failed; what is unsupported is no failure."""
    tallies = []
    for path in files_of(list(paths)):
        tally = run_file(path)
        for failure in tally.failures:
            print(f"FAILED {failure}\n")
        tallies.append(tally)
    print_table(tallies)
    why = sum((tally.reasons for tally in tallies), Counter[str]())
    for reason, count in why.most_common(reasons):
        print(f"{count:>8} x {reason.splitlines()[0] if reason else ''}")
    sys.exit(any(tally.counts["failed"] for tally in tallies))


def print_table(tallies: list[Tally]) -> None:
    total = sum((tally.counts for tally in tallies), Counter[str]())
    rows = [(str(tally.path), tally.counts) for tally in tallies] + [(f"{len(tallies)} files", total)]
    width = max(len(name) for name, _ in rows)
    print(f"{'':{width}} " + " ".join(f"{name:>11}" for name in OUTCOMES))
    for name, counts in rows:
        print(f"{name:{width}} " + " ".join(f"{counts[outcome]:>11,}" for outcome in OUTCOMES))


if __name__ == "__main__":
    main()
