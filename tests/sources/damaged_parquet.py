"""Run in a process of its own: a Parquet file with each of its bits flipped, as qtensor reads it and as pyarrow does.

    python -m tests.sources.damaged_parquet FILE SCRATCH [STEP]

Prints one line for each file that has other rows than pyarrow reads, or ends in another error than qtensor's, and at last how many
were the same and how many were refused. The number of the bit is on standard error before each try, for who looks for what killed it.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from qtensor.errors import DataError
from qtensor.sources import open_table
from tests.sources.read_columns import columns_of, difference


def outcome(path: Path) -> str:
    """same, refused, or what is wrong."""
    try:
        found = columns_of(open_table("t", path))
    except DataError:
        return "refused"
    return difference(found, rows_of_pyarrow(path)) or ("same" if found.whole else "refused")


def rows_of_pyarrow(path: Path) -> pa.Table | Exception:
    """What pyarrow reads of a Parquet file, or why it does not.

    By row groups: a page that claims more rows than its group has takes some of the next one, if pyarrow reads both at once.
    """
    try:
        file = pq.ParquetFile(path, coerce_int96_timestamp_unit="us", page_checksum_verification=True)
        groups = [file.read_row_group(group, use_threads=False) for group in range(file.num_row_groups)]
        return pa.concat_tables(groups) if groups else file.read()
    except (pa.ArrowException, OSError) as error:
        return error


def main() -> None:
    source, scratch = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
    counts: Counter[str] = Counter()
    for bit in range(0, len(source) * 8, int(sys.argv[3]) if len(sys.argv) > 3 else 1):
        print(bit, file=sys.stderr, flush=True)
        damaged = bytearray(source)
        damaged[bit >> 3] ^= 1 << (bit & 7)
        scratch.write_bytes(damaged)
        found = outcome(scratch)
        counts[found] += 1
        if found not in ("same", "refused"):
            print(f"bit {bit}: {found}")
    print(counts["same"], counts["refused"])


if __name__ == "__main__":
    main()
