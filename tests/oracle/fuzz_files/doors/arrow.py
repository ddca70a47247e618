"""Arrow's own format, in files and streams and through a pipe: numbers in messages and footers, offsets and texts in bodies."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from tests.oracle.fuzz_files.door import Door, Files
from tests.oracle.fuzz_files.flatbuffers import MAGIC, Number, changed_number, footer_numbers, messages_of, replaced
from tests.oracle.fuzz_files.mutations import NUMBERS, mutated_bytes

if TYPE_CHECKING:
    import pyarrow as pa

FILE, PIPED = "t.arrow", "piped"


class ArrowDoor(Door):
    """Opened by its path and read column by column, or read as it comes through a pipe."""

    def import_libraries(self) -> None:
        import tests.sources.read_columns  # noqa: F401

    def make_seeds(self, folder: Path) -> None:
        import pyarrow as pa

        for name, (table, options) in seeds().items():
            for kind, make in (("file", pa.ipc.new_file), ("stream", pa.ipc.new_stream)):
                if kind == "file" and options.get("emit_dictionary_deltas"):
                    continue
                (folder / f"{name} {kind}").mkdir()
                given = pa.ipc.IpcWriteOptions(unify_dictionaries=kind == "file", **options)
                with (
                    pa.OSFile(str(folder / f"{name} {kind}" / FILE), "wb") as file,
                    make(file, table.schema, options=given) as out,
                ):
                    out.write_table(table, max_chunksize=25)

    def mutated(self, random: Random, seed: Files, others: Sequence[Files]) -> Files:
        name = PIPED if random.random() < 0.3 else FILE
        (content,) = seed.values()
        kind = random.random()
        if kind < 0.2:
            return {name: mutated_bytes(random, content, [part for other in others for part in other.values()])}
        messages = messages_of(content)
        if kind < 0.7:
            numbers = [number for message in messages for number in message.numbers]
            if content.startswith(MAGIC) and random.random() < 0.5:
                numbers = footer_numbers(content)
            for _ in range(random.choice((1, 1, 1, 2, 3))):
                content = changed_number(random, content, numbers)
            return {name: content}
        bodies = [(message.body, message.end) for message in messages if message.body < message.end]
        if not bodies:
            return {name: mutated_bytes(random, content)}
        return {name: with_changed_body(random, content, *random.choice(bodies))}

    def answer(self, folder: Path) -> object:
        from qtensor.sources import open_table
        from qtensor.sources.pipe import read_pipe
        from tests.sources.read_columns import columns_of

        if (folder / FILE).exists():
            return columns_of(open_table("t", folder / FILE))
        with (folder / PIPED).open("rb") as pipe:
            return columns_of(open_table("t", read_pipe("stdin", pipe)))

    def expected(self, folder: Path) -> object:
        """What pyarrow reads, all of it valid; of what is in no format of Arrow's nothing is known."""
        return rows_of_pyarrow(next(folder.iterdir()))

    def same(self, found: Any, expected: Any) -> bool:
        from tests.sources.read_columns import difference

        return not difference(found, expected)


def with_changed_body(random: Random, content: bytes, start: int, end: int) -> bytes:
    """The content after a change in a message's body, whose length stays: of a number as offsets and keys are, or of any byte."""
    if random.random() < 0.6:
        width = random.choice((1, 4, 4, 4, 8))
        number = Number(random.randrange(start, max(start + 1, end - width + 1)) // width * width, width)
        if number.position + width > len(content):
            return content
        near = random.randrange(-2, 300)
        return replaced(content, number, random.choice((near, near, random.choice(NUMBERS))))
    body = mutated_bytes(random, content[start:end])[: end - start]
    return content[:start] + body + bytes(end - start - len(body)) + content[end:]


def rows_of_pyarrow(path: Path) -> pa.Table | Exception:
    import pyarrow as pa

    content = path.read_bytes()
    if not content.startswith((MAGIC, b"\xff\xff\xff\xff")):
        raise ValueError("not Arrow's format")
    opened = pa.ipc.open_file if content.startswith(MAGIC) else pa.ipc.open_stream
    try:
        table = opened(path.open("rb")).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError, struct.error) as error:
        return error
    return table


def seeds() -> dict[str, tuple[pa.Table, dict[str, Any]]]:
    """Tables of every type, and how each is written."""
    import datetime
    from decimal import Decimal

    import pyarrow as pa

    rows = range(40)
    texts = [None if row % 7 == 0 else "abcde"[row % 5] * (row % 4) for row in rows]
    table = pa.table({"i": pa.array(rows, pa.int32()), "s": texts, "j": [None if row % 5 == 0 else row * 10**9 for row in rows]})
    others = pa.table(
        {
            "x": [row / 8 for row in rows],
            "h": pa.array([row / 8 for row in rows], pa.float16()),
            "b": [row % 3 == 0 if row % 4 else None for row in rows],
            "d": [datetime.date(1970 + row, 1, 1) for row in rows],
            "t": pa.array([datetime.datetime(2000, 1, 1, row % 24) for row in rows], pa.timestamp("ms")),
            "p": pa.array([Decimal(row) / 4 for row in rows], pa.decimal128(15, 2)),
            "q": pa.array([Decimal(row) / 4 for row in rows], pa.decimal256(38, 2)),
            "u": pa.array([row * 3 % 256 for row in rows], pa.uint8()),
            "n": pa.nulls(40),
        }
    )
    strings = pa.table(
        {"l": pa.array(texts, pa.large_string()), "v": pa.array([text and text * 7 for text in texts], pa.string_view())}
    )
    codes = pa.DictionaryArray.from_arrays(pa.array([row % 5 for row in rows], pa.int8()), pa.array(list("abcde")))
    chunks = [pa.array(texts[:20]).dictionary_encode(), pa.array(["x", *texts[20:39]]).dictionary_encode()]
    nested = pa.table({"l": [[row] * (row % 3) for row in rows], "i": list(rows), "s": [{"a": row} for row in rows]})
    return {
        "plain": (table, {}),
        "others": (others, {}),
        "strings": (strings, {}),
        "dictionary": (pa.table({"k": codes, "i": list(rows)}), {}),
        "dictionaries": (pa.table({"k": pa.chunked_array(chunks)}), {}),
        "deltas": (pa.table({"k": pa.chunked_array(chunks)}), {"emit_dictionary_deltas": True}),
        "lz4": (pa.table({"s": texts * 20, "i": list(rows) * 20}), {"compression": "lz4"}),
        "zstd": (pa.table({"s": texts * 20, "i": list(rows) * 20}), {"compression": "zstd"}),
        "nested": (nested, {}),
        "nothing": (table.slice(0, 0), {}),
    }


DOOR = ArrowDoor()
