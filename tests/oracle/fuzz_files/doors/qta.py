"""Artifacts: damaged, and taken apart, changed and sealed again, as somebody can do who knows the format."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from tests.oracle.fuzz_files.door import Door, Files, write_files
from tests.oracle.fuzz_files.mutations import mutated_bytes
from tests.oracle.fuzz_files.structures import mutated_json, mutated_parts, zip_parts, zipped

if TYPE_CHECKING:
    import pyarrow as pa

FILE, ORIGINAL, MANIFEST = "query.qta", "original", "manifest.json"
SEAL = b"qtensor artifact, sha256 of the bytes before this comment: "
SECONDS, MEMORY = 20.0, 1 << 30

VARIANTS = 40  # of each program of a seed

# What in a program is changed, and to what; to another of its kind in the same program if nothing is said.
PROGRAM_CHANGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"(?<=dense<)-?\d+(?=>)", ("0", "1", "-1", "7", "2147483647", "-2147483648", "9223372036854775807", "1000000")),
    (
        r"(?<=stablehlo\.)(?:add|subtract|multiply|divide|maximum|minimum|remainder)\b",
        ("add", "subtract", "multiply", "divide", "remainder"),
    ),
    (r"\b(?:LT|GT|LE|GE|EQ|NE)(?=,)", ("LT", "GT", "LE", "GE", "EQ", "NE")),
    (r"%[a-zA-Z]\w*(?:#\d+)?(?=[,)])|%\d+(?:#\d+)?(?=[,)])", ()),
    (r"(?<=\[)\d+(?=:)|(?<=:)\d+(?=\])", ("0", "1", "2", "1000")),
    (
        r"is_stable = true|indices_are_sorted = \w+|unique_indices = \w+",
        ("is_stable = false", "unique_indices = true", "indices_are_sorted = true"),
    ),
    (r"(?<=tensor<)\d+(?=x)", ("1", "0", "2", "65536", "1152921504606846976")),
)

QUERIES = {
    "row": "SELECT k, v + $a AS w, s FROM t WHERE s LIKE 'b%' OR x > 0.5",
    "agg": "SELECT k, sum(v) AS total, count(*) AS n, min(s) AS least FROM t WHERE v > $a GROUP BY k ORDER BY k",
    "sort": "SELECT k, s, x FROM t WHERE x < $a ORDER BY s, k",
    "model": "SELECT k, m(x, v) AS score FROM t WHERE k > $a",
    "none": "SELECT $a + 1 AS one, 'text' AS txt",
}


@functools.cache
def table() -> pa.Table:
    import numpy as np
    import pyarrow as pa

    rows = np.arange(300)
    texts = pa.array([None if row % 11 == 0 else "abcde"[row % 5] * (row % 3) for row in rows.tolist()])
    return pa.table({"k": rows, "v": rows * 7919 % 500, "x": rows / 300, "s": texts})


class ArtifactDoor(Door):
    """Loaded and called as an untrusted file is: in a process of its own, under limits."""

    def import_libraries(self) -> None:
        import qtensor.aot.artifact.artifact
        import qtensor.connection  # noqa: F401

    def make_seeds(self, folder: Path) -> None:
        import os

        import qtensor
        from qtensor.aot.artifact import forms

        forms.LADDER = forms.LADDER[:2]
        trust, os.environ["QTENSOR_TRUST"] = os.environ["QTENSOR_TRUST"], str(folder.parent / "of seeds")
        connection = qtensor.connect()
        connection.register("t", table())
        connection.create_function("m", lambda x, v: 2.0 * x + 0.25 * v)
        for name, sql in QUERIES.items():
            path = folder.parent / "exported.qta"
            connection.sql(sql, {"a": 1}).export(path)
            content = path.read_bytes()
            write_files(folder / name, {FILE: content, ORIGINAL: digest(content), **variants(name, content)})
        os.environ["QTENSOR_TRUST"] = trust

    def mutated(self, random: Random, seed: Files, others: Sequence[Files]) -> Files:
        content = seed[FILE]
        kind = random.random()
        if kind < 0.25:
            changed = mutated_bytes(random, content, [other[FILE] for other in others])
        else:
            parts = {name: part for name, part in zip_parts(content).items() if not name.startswith("native/")}
            manifest = json.loads(parts.pop(MANIFEST))
            manifest["executables"] = []
            if kind < 0.85:
                manifest = json.loads(mutated_json(random, json.dumps(manifest).encode()))
            elif kind < 0.92 and (programs := sorted(name for name in seed if name.endswith(".mlir"))):
                chosen = random.choice(programs)
                parts[chosen.partition(":")[2]] = seed[chosen]
            else:
                parts = mutated_parts(random, parts, lambda name, part: mutated_bytes(random, part))
            changed = sealed({MANIFEST: restated(manifest, parts), **parts})
        return {FILE: changed, ORIGINAL: seed[ORIGINAL]}

    def answer(self, folder: Path) -> object:
        import qtensor

        query = qtensor.load(folder / FILE, threads=1, memory_limit=MEMORY, timeout=SECONDS)
        try:
            found = query(*[table() for _ in query.tables[:1]])
            found.validate(full=True)
        finally:
            query.close()
        return query.sql, found.to_pylist()

    def expected(self, folder: Path) -> object:
        """What DuckDB says, as long as the file is the one that was exported."""
        import duckdb

        if digest((folder / FILE).read_bytes()) != (folder / ORIGINAL).read_bytes():
            raise ValueError("another artifact")
        sql = json.loads(zip_parts((folder / FILE).read_bytes())[MANIFEST])["sql"]
        with duckdb.connect() as connection:
            connection.register("t", table())
            connection.execute("CREATE MACRO m(x, v) AS 2.0::DOUBLE * x + 0.25::DOUBLE * v")
            return sql, connection.execute(sql, {"a": 1}).to_arrow_table().to_pylist()


def variants(query: str, content: bytes) -> Files:
    """Other programs for the parts of an artifact, valid StableHLO all of them: "number:part" to bytes."""
    from jaxlib.mlir import ir

    from tests.aot.programs import bytes_of, text_of

    found = {}
    for name, part in zip_parts(content).items():
        if not name.endswith(".mlir"):
            continue
        text = text_of(part)
        for number in range(VARIANTS):
            try:
                found[f"{number}:{name}"] = bytes_of(mutated_program(Random(f"{query} {name} {number}"), text))
            except (ir.MLIRError, ValueError):
                continue  # no program
    return found


def mutated_program(random: Random, text: str) -> str:
    """A program's text after one change: of a number, an operation, a direction, a type, an operand."""
    pattern, choices = random.choice(PROGRAM_CHANGES)
    places = list(re.finditer(pattern, text))
    if not places:
        return text
    place = random.choice(places)
    replacement = random.choice(choices) if choices else random.choice(places)[0]
    return text[: place.start()] + replacement + text[place.end() :]


def restated(manifest: Any, parts: Files) -> bytes:
    """The manifest with the sizes and digests that its parts have, unless it was changed beyond that."""
    if isinstance(manifest, dict):
        stated = [{"@": "Part", "name": n, "size": len(c), "sha256": hashlib.sha256(c).hexdigest()} for n, c in parts.items()]
        manifest = {**manifest, "parts": stated}
    return json.dumps(manifest).encode()


def sealed(parts: Files) -> bytes:
    """A file of these parts, with the digest of its bytes in the zip's comment."""
    content = zipped(parts, comment=SEAL + b"0" * 64)[:-64]
    return content + digest(content)


def digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


DOOR = ArtifactDoor()
