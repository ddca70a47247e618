"""`python -m tests.oracle.slt FILE_OR_FOLDER ...`: what passed, failed in which way and is unsupported, file by file."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Literal

import click

from tests.oracle.slt.runner import FAILURES, OUTCOMES
from tests.oracle.slt.tally import Tally, files_of, run_file


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--oracle", type=click.Choice(["file", "duckdb"]), default="file", help="Who says what is right.")
@click.option("--seconds", type=float, default=None, help="How long a file may take; its other records are not run.")
@click.option("--reasons", default=10, help="How many of the most frequent reasons for `unsupported` to print; 0 for all.")
def main(paths: tuple[Path, ...], oracle: Literal["file", "duckdb"], seconds: float | None, reasons: int) -> None:
    """Run files of sqllogictest. The exit status is 1 if anything failed; what is unsupported is no failure.

    wrong: other rows (with --oracle duckdb also other names or types). accepted: an answer where there should be an error.
    refused: an error where there should be an answer, or another error.
    """
    tallies = []
    for path in files_of(list(paths)):
        tally = run_file(path, oracle=oracle, seconds=seconds)
        for failure in tally.failures:
            print(f"{failure}\n", flush=True)
        tallies.append(tally)
    print_table(tallies)
    why = sum((tally.reasons for tally in tallies), Counter[str]())
    for reason, count in why.most_common(reasons or None):
        print(f"{count:>8} x {reason}")
    sys.exit(any(tally.counts[outcome] for tally in tallies for outcome in FAILURES))


def print_table(tallies: list[Tally]) -> None:
    total = sum((tally.counts for tally in tallies), Counter[str]())
    rows = [(str(tally.path), tally.counts) for tally in tallies] + [(f"{len(tallies)} files", total)]
    width = max(len(name) for name, _ in rows)
    print(f"{'':{width}} " + " ".join(f"{name:>11}" for name in OUTCOMES))
    for name, counts in rows:
        print(f"{name:{width}} " + " ".join(f"{counts[outcome]:>11,}" for outcome in OUTCOMES))


if __name__ == "__main__":
    main()
