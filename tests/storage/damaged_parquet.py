"""Run in a process of its own: a Parquet file with each of its bits flipped, as qtensor reads it and as pyarrow does.

    python -m tests.storage.damaged_parquet FILE SCRATCH [STEP]

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
from qtensor.lowering.storage import ResultColumn, decode_column
from qtensor.sources import open_table
from qtensor.types import Unsupported
from tests.storage.arrays import stored


def outcome(path: Path) -> str:
    """same, refused, or what is wrong."""
    refused = False
    read: dict[int, pa.Array] = {}
    try:
        table = open_table("t", path)
    except DataError:
        return "refused"
    for index, field in enumerate(table.fields):
        if isinstance(field.type, Unsupported):
            continue
        try:
            column = table.column(index, threads=1)
        except DataError:
            refused = True
            continue
        valid = None if column.valid is None else column.valid.reshape(-1)[: table.rows]
        result = ResultColumn(column.type, column.data.reshape(-1)[: table.rows], None, valid, column.dictionary)
        read[index] = decode_column(result)
    if not read:
        return "refused"
    try:
        # By row groups: a page that claims more rows than its group has takes some of the next one, if pyarrow reads both at once.
        file = pq.ParquetFile(path, coerce_int96_timestamp_unit="us")
        groups = [file.read_row_group(group, use_threads=False) for group in range(file.num_row_groups)]
        expected = pa.concat_tables(groups) if groups else file.read()
    except (pa.ArrowException, OSError) as error:
        readable = all(not isinstance(field.type, Unsupported) for field in table.fields)
        return f"read, though pyarrow says {error}" if readable and not refused else "refused"
    for index, values in read.items():
        if stored(pa.chunked_array([values])) != stored(expected.column(index)):
            return f"column {index} has other rows"
    return "refused" if refused else "same"


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
