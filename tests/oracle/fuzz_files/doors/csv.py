"""CSV files: quotes, delimiters, line ends, rows of other lengths, values of other kinds, bytes that are no text."""

from __future__ import annotations

import functools
import gzip
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

from tests.oracle.fuzz_files.door import Door, Files
from tests.oracle.fuzz_files.mutations import mutated_bytes

FILE, PACKED = "t.csv", "t.csv.gz"

# What is put somewhere into a file, or in the place of a field.
MARKS = (
    ",",
    ";",
    "|",
    "\t",
    '"',
    "'",
    '""',
    "\n",
    "\r\n",
    "\r",
    " ",
    "#",
    "\\",
    '\\"',
    "\0",
    "\ufeff",
    "é",
    "-",
    ".",
    "0",
    "\n\n",
)
VALUES = (
    "", "NULL", "null", '""', '"a,b"', '"a\nb"', '"a""b"', " x ", '"x" ', "007", "-0", "1e400", "1e-400", "nan", "-inf", "0x1F",
    "9223372036854775808", "1.", ".5", "1_000", "true", "T", "2020-01-02", "2020-13-01", "01/02/2020", "2020-01-02 03:04:05",
    "2020-01-02T03:04:05Z", "10:20:30", "é", "\U0001f600", "x" * 300, "5%", "#a", "1,5",
)  # fmt: skip
OCTETS = (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\x00", b"\xfe\xff", b"\x80", b"\xf4\x90\x80\x80", b"\x1f\x8b")


@functools.cache
def oracle() -> Any:
    import duckdb

    return duckdb.connect(config={"threads": 1, "memory_limit": "1GB"})


class CsvDoor(Door):
    """Registered, and all its rows as they are stored; of texts and numbers DuckDB says what they are."""

    def import_libraries(self) -> None:
        import duckdb  # noqa: F401

        import qtensor.sources.csv_file  # noqa: F401

    def make_seeds(self, folder: Path) -> None:
        for name, text in seeds().items():
            (folder / name).mkdir()
            (folder / name / FILE).write_bytes(text.encode())

    def mutated(self, random: Random, seed: Files, others: Sequence[Files]) -> Files:
        content = seed[FILE]
        kind = random.random()
        if kind < 0.2:
            content = mutated_bytes(random, content, [other[FILE] for other in others])
        else:
            for _ in range(random.choice((1, 1, 1, 2, 3, 5))):
                content = changed(random, content)
        if random.random() < 0.03:
            packed = gzip.compress(content, mtime=0)
            return {PACKED: packed if random.random() < 0.5 else mutated_bytes(random, packed)}
        return {FILE: content}

    def answer(self, folder: Path) -> object:
        from qtensor.sources import open_table
        from qtensor.types import Unsupported
        from tests.sources.read_columns import arrays_of

        (path,) = folder.iterdir()
        table = open_table("t", path)
        arrays = arrays_of(table)
        columns = []
        for index, field in enumerate(table.fields):
            assert (index in arrays) is not isinstance(field.type, Unsupported)
            columns.append((str(field.type), arrays[index].to_pylist() if index in arrays else []))
        return [field.name for field in table.fields], columns

    def expected(self, folder: Path) -> object:
        """What DuckDB reads: each value, and its text.

        Where it takes the file for written in another way, nothing is known: of ways that fit, it chooses by a sample and by rules
        of its own. So does it with infinities, which are dates to it, depending on where they stand. Behind a comment it loses a
        row where lines end with CR LF, or where the comment stands behind the names. A space between CR and LF is an empty line to it, and two of them it refuses.
        """
        (path,) = folder.iterdir()
        duckdb = oracle()
        ((*marks, skipped, header),) = duckdb.execute(
            f"SELECT Delimiter, Quote, Comment, SkipRows, HasHeader FROM sniff_csv('{path}')"
        ).fetchall()
        described = duckdb.execute(f"FROM read_csv('{path}')").description
        rows = duckdb.fetchall()
        names = [name for name, *_ in described]
        delimiter, quote, comment = ("" if mark == "(empty)" else mark for mark in marks)
        way = Way(delimiter, quote, comment, skipped, tuple(names) if header else ())
        content = path.read_bytes()
        if (
            way.differs(way_of(path), content)
            or (comment and (b"\r" in content or comment.encode() in content.split(b"\n")[skipped]))
            or b"inf" in content.lower()
            or b"\r \n" in content
        ):
            raise ValueError(f"DuckDB takes it for written in another way: {way}")
        texts = duckdb.execute(f"FROM read_csv('{path}', all_varchar = true, header = {header})").fetchall()
        columns = [
            (str(type), [row[index] for row in rows], [row[index] for row in texts] if len(texts) == len(rows) else None)
            for index, (_, type, *_) in enumerate(described)
        ]
        return names, columns

    def same(self, found: Any, expected: Any) -> bool:
        """Whether names and values are DuckDB's; those of a column of another type as the texts that the file has."""
        (names, columns), (other_names, others) = found, expected
        return names == other_names and all(
            agrees(type, values, *other) for (type, values), other in zip(columns, others, strict=True)
        )


@dataclass(frozen=True)
class Way:
    """How a file is written; skipped: lines before its first row; header: what stands in that, if it has names."""

    delimiter: str
    quote: str
    comment: str
    skipped: int
    header: tuple[str, ...]

    def differs(self, other: Way, content: bytes) -> bool:
        """Whether two ways read `content` differently; delimiters and quotes that are not in it do not matter."""
        marks = {self.delimiter, self.quote} ^ {other.delimiter, other.quote}
        rows = (self.comment, self.skipped, self.header) != (other.comment, other.skipped, other.header)
        return rows or any(mark.encode() in content for mark in marks if mark)


def way_of(path: Path) -> Way:
    """How qtensor takes a file to be written."""
    from qtensor.sources.csv_file import read_csv, shape_of

    shape, _ = shape_of("t", path)
    skipped = shape.rows[0].lines - 1 if shape.rows else 0
    names = read_csv("t", path).column_names
    header = () if all(name.startswith("column") for name in names) else tuple(names)
    return Way(shape.dialect.delimiter, shape.dialect.quote, shape.dialect.comment, skipped, header)


def agrees(type: str, values: list[Any], other: str, others: list[Any], texts: list[Any] | None) -> bool:
    """Whether values are DuckDB's. Of a column that is text here and something else there, or the reverse, the text is."""
    if type in ELSEWHERE:
        return True
    if type == "VARCHAR" and other != "VARCHAR":
        return texts is None or values == texts
    if type == "DATE" and other == "TIMESTAMP":  # of ISO dates beside dates in another order
        return [value and datetime(value.year, value.month, value.day) for value in values] == others
    if type == "DOUBLE" and other == "VARCHAR":  # for 1e-400, say
        return [key(value) for value in values] == [key(None if text is None else float(text)) for text in others]
    if type == "NULL":
        return all(value is None for value in others) and len(values) == len(others)
    return type == other and [key(value) for value in values] == [key(value) for value in others]


ELSEWHERE = ("TIME", "TIMESTAMP WITH TIME ZONE")  # which only DuckDB has


def key(value: Any) -> str:
    """A value as a text by which it is compared: with its type, and the bits of a number."""
    return repr(math.nan) if isinstance(value, float) and math.isnan(value) else repr(value)


def changed(random: Random, content: bytes) -> bytes:
    """A file after one change that knows lines and fields."""
    lines = content.split(b"\n")
    row = random.randrange(len(lines))
    fields = lines[row].split(b",")
    place = random.randrange(len(fields))
    match random.randrange(12):
        case 0 | 1 | 2:
            fields[place] = random.choice(VALUES).encode()
        case 3:
            fields.insert(place, random.choice(VALUES).encode())
        case 4:
            del fields[place]
        case 5:
            at = random.randrange(len(fields[place]) + 1)
            fields[place] = fields[place][:at] + random.choice(MARKS).encode() + fields[place][at:]
        case 6:
            fields[place] = b'"' + fields[place].replace(b'"', b'""') + b'"'
        case 7:
            fields[place] += random.choice(OCTETS)
        case 8:
            return content.replace(b"\n", random.choice((b"\r\n", b"\r", b"\n\n", b",\n", b" \n")))
        case 9:
            return content.replace(b",", random.choice((b";", b"|", b"\t", b", ", b" ,", b",,", b":")))
        case 10:
            lines.insert(row, random.choice((b"", b"# comment", b"title", lines[random.randrange(len(lines))])))
            return b"\n".join(lines)
        case _:
            return b"\n".join(lines[:row] * random.choice((1, 1, 3)) + lines[row:])
    lines[row] = b",".join(fields)
    return b"\n".join(lines)


def seeds() -> dict[str, str]:
    """Small files of each kind."""
    rows = range(12)
    return {
        "numbers": "a,b,c\n" + "".join(f"{row},{row / 4},{row * 10**10}\n" for row in rows),
        "texts": "id,name\n" + "".join(f"{row},{'xyz'[row % 3] * (row % 4)}\n" for row in rows),
        "quotes": "id,text\n" + "".join(f'{row},"a ""b"", {row}\nc"\n' for row in rows),
        "dates": "d,t,z\n" + "".join(f"2020-01-{row + 10},2020-01-01 0{row % 10}:00:00,{row}:30:00\n" for row in rows),
        "days": "d,n\n" + "".join(f"{row + 1}/12/2020,{row}\n" for row in rows),
        "truth": "t,f\n" + "".join(f"{row % 2 == 0},{'yn'[row % 2]}\n" for row in rows).lower(),
        "no header": "".join(f"{row},{row * 2},x{row}\n" for row in rows),
        "one column": "h\n" + "".join(f"{row}\n" for row in rows),
        "comments": "# of them\na,b\n" + "".join(f"{row},{row}\n" for row in rows),
        "gaps": "a,b,c\n" + "".join(f"{'' if row % 3 else row},,{row}\n" for row in rows),
        "header": "a,b\n",
        "nothing": "",
    }


DOOR = CsvDoor()
