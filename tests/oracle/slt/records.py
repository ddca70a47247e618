"""Files of sqllogictest read into records, conditions decided and loops unrolled.

Source: https://sqlite.org/sqllogictest/doc/trunk/about.wiki and https://duckdb.org/docs/dev/sqllogictest/overview
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

# Files that name other engines skip these records, files of DuckDB mean us too.
ENGINES = frozenset(("qtensor", "duckdb"))
# What `require` may ask for: formats that we read and write, the machine, and settings of DuckDB's test runs.
PROVIDED = frozenset(
    [
        "parquet",
        "json",
        "core_functions",
        "notmusl",
        "notwindows",
        "notmingw",
        "64bit",
        "longdouble",
        "strinline",
        "disk_space",
        "ram",
        "skip_reload",
        "vector_size",
        "block_size",
        "noforcestorage",
        "no_force_storage",
        "no_latest_storage",
        "no_alternative_verify",
        "no_vector_verification",
        "no_extension_autoloading",
        "vacuum_rebuild_indexes",
    ]
)
IGNORED = frozenset(("hash-threshold", "sleep", "set", "reset", "tags", "test-env", "template"))
SORTS = {"nosort": "nosort", "rowsort": "rowsort", "sort": "rowsort", "valuesort": "valuesort"}
INTEGERS = ("tinyint", "smallint", "integer", "bigint")
UNSIGNED = tuple(f"u{name}" for name in INTEGERS)
# What the names in angle brackets stand for in `foreach`.
COLLECTIONS: dict[str, Sequence[str]] = {
    "<signed>": (*INTEGERS, "hugeint"),
    "<unsigned>": (*UNSIGNED, "uhugeint"),
    "<integral>": (*INTEGERS, "hugeint", *UNSIGNED, "uhugeint"),
    "<numeric>": (*INTEGERS, "hugeint", *UNSIGNED, "uhugeint", "float", "double"),
    "<alltypes>": (*INTEGERS, "hugeint", *UNSIGNED, "uhugeint", "float", "double", "bool", "interval", "varchar"),
}

FOLDERS = ("TEST_DIR", "TEMP_DIR")  # what DuckDB's files call the folder of their own; older ones write __TEST_DIR__
DATA = "DATA_DIR"  # and the folder of the suite's data

Variables: TypeAlias = Mapping[str, str]


@dataclass(frozen=True)
class Statement:
    """SQL that must succeed ("ok"), fail ("error", as `message` says, if given), or may do either ("maybe").

    connection: the name of the connection that it is for, "" for the usual one.
    """

    line: int
    sql: str
    expected: Literal["ok", "error", "maybe"]
    message: str = ""
    for_us: bool = False
    connection: str = ""


@dataclass(frozen=True)
class Query:
    """SQL and its result: lines of values as they stand in the file, or None where nothing is said of it.

    types: a letter for each column: I, R, T, or any. sort: how both results are ordered before they are compared.
    """

    line: int
    sql: str
    types: str
    sort: Literal["nosort", "rowsort", "valuesort"]
    label: str
    expected: tuple[str, ...] | None
    connection: str = ""


@dataclass(frozen=True)
class Unknown:
    """From here on nothing in the file can be run, `records` of it: it needs something that we do not have."""

    line: int
    reason: str
    records: int


Record: TypeAlias = Statement | Query | Unknown


class SyntaxProblem(Exception):  # noqa: N818 - what is wrong is the file
    """A file that is not sqllogictest; the message says where."""


@dataclass(frozen=True)
class Block:
    """Neighbouring lines of a file that are not empty, comments left out; `line` is the number of the first one."""

    line: int
    lines: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        return self.lines[0].split()


@dataclass
class Reader:
    """What the records so far say of those to come."""

    skipping: bool = False
    halted: bool = False
    blocks: list[Block] = field(default_factory=list)

    def read(self, start: int, stop: int, variables: Variables) -> Iterator[Record]:
        """The records of the blocks from `start` to `stop`, for these values of the variables of the loops around."""
        at = start
        while at < stop and not self.halted:
            block = substituted(self.blocks[at], variables)
            match block.words[0]:
                case "halt":
                    self.halted = True
                case "mode":
                    self.skipping = block.words[1] == "skip" or (self.skipping and block.words[1] != "unskip")
                case (
                    "require"
                    | "require-env"
                    | "load"
                    | "restart"
                    | "reconnect"
                    | "unzip"
                    | "include"
                    | "concurrentloop"
                    | "concurrentforeach"
                ):
                    if block.words[1:2] and block.words[1] in PROVIDED and block.words[0] == "require":
                        at += 1
                        continue
                    shown = 2 if block.words[0].startswith("require") else 1
                    yield Unknown(block.line, " ".join(block.words[:shown]), self.records_from(at, stop))
                    return
                case "loop" | "foreach":
                    end = self.end_of_loop(at)
                    for value in loop_values(block):
                        yield from self.read(at + 1, end, {**variables, **assigned(block.words[1], value)})
                    at = end
                case word if word not in IGNORED and not self.skipping:
                    yield from record(block, variables)
                case _:
                    pass
            at += 1

    def records_from(self, start: int, stop: int) -> int:
        """How many records there are, loops taken once."""
        return sum(block.words[0] in ("statement", "query", "skipif", "onlyif") for block in self.blocks[start:stop])

    def end_of_loop(self, start: int) -> int:
        depth = 0
        for at in range(start, len(self.blocks)):
            depth += {"loop": 1, "foreach": 1, "endloop": -1}.get(self.blocks[at].words[0], 0)
            if depth == 0:
                return at
        raise SyntaxProblem(f"line {self.blocks[start].line}: no endloop")


def records_of(text: str, folder: str = "", data: str = "") -> Iterator[Record]:
    """The records of a file, in order, which may write to `folder` and read what lies in `data`. Raises SyntaxProblem."""
    reader = Reader(blocks=blocks_of(text))
    variables = dict.fromkeys(FOLDERS, folder) if folder else {}
    yield from reader.read(0, len(reader.blocks), {**variables, **({DATA: data} if data else {})})


ONE_LINE = frozenset(
    (
        "loop",
        "foreach",
        "endloop",
        "halt",
        "mode",
        "require",
        "require-env",
        "load",
        "restart",
        "reconnect",
        "unzip",
        "include",
        *IGNORED,
    )
)


def blocks_of(text: str) -> list[Block]:
    """Directives of one line are blocks of their own, even where no empty line follows.

    Within a result a line of spaces and one that begins with # are values, elsewhere they are nothing.
    """
    blocks: list[Block] = []
    lines: list[tuple[int, str]] = []

    result = False

    def close() -> None:
        if lines:
            blocks.append(Block(lines[0][0], tuple(line for _, line in lines)))
            lines.clear()

    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        result = bool(lines) and (result or line.strip() == "----")
        if not line or (not result and not line.strip()):
            close()
        elif not result and line.startswith("#"):
            continue
        else:
            lines.append((number, line))
            if len(lines) == 1 and line.split()[0] in ONE_LINE:
                close()
    close()
    return blocks


def substituted(block: Block, variables: Variables) -> Block:
    """Variables replaced by their values: ${name}, {name} as newer files write it, and __NAME__ of folders."""
    if not variables:
        return block
    forms = [rf"\$?\{{{re.escape(name)}\}}" for name in variables] + [
        f"__{name}__" for name in (*FOLDERS, DATA) if name in variables
    ]
    pattern = re.compile("|".join(forms))

    def value(found: re.Match[str]) -> str:
        name = found[0].strip("${}")
        return variables[name if name in variables else name.strip("_")]

    return Block(block.line, tuple(pattern.sub(value, line) for line in block.lines))


def loop_values(block: Block) -> Iterator[str]:
    words = block.words
    if words[0] == "loop":
        yield from map(str, range(int(words[2]), int(words[3])))
        return
    left_out = {word[1:] for word in words[2:] if word.startswith("!")}
    for word in words[2:]:
        for value in COLLECTIONS.get(word, (word,)):
            if not word.startswith("!") and value not in left_out:
                yield value


def assigned(names: str, value: str) -> Variables:
    """The variables of one turn of a loop: `a,b` takes as many values, with commas between them."""
    several = names.split(",")
    return dict(zip(several, value.split(","), strict=True)) if len(several) > 1 else {names: value}


def record(block: Block, variables: Variables) -> Iterator[Record]:
    """The record of a block, unless its conditions exclude us."""
    lines, line, for_us = list(block.lines), block.line, False
    while lines and lines[0].split()[0] in ("skipif", "onlyif"):
        condition, name = lines[0].split("#")[0].split()[:2]
        if holds(name, variables) == (condition == "skipif"):
            return
        for_us = for_us or (condition == "onlyif" and name.lower() == "qtensor")
        lines, line = lines[1:], line + 1
    words = lines[0].split("#")[0].split() if lines else []
    body = lines[1:]
    cut = next((at for at, text in enumerate(body) if text.strip() == "----"), None)
    sql, after = "\n".join(body[:cut]), None if cut is None else tuple(body[cut + 1 :])
    match words:
        case ["statement", "ok" | "error" | "maybe" as expected, *rest]:
            connection = rest[0] if rest and rest[0] not in SORTS else ""
            yield Statement(line, sql, expected, "\n".join(after or ()).strip(), for_us, connection)
        case ["query", *rest]:
            yield query(line, sql, rest, after)
        case _:
            raise SyntaxProblem(f"line {line}: expected statement or query, not {lines[0] if lines else 'nothing'!r}")


def query(line: int, sql: str, words: list[str], after: tuple[str, ...] | None) -> Query:
    """`query TYPES [SORT or CONNECTION] [LABEL]`; SQLite's files also have `query TYPES LABEL` with a hyphen in the label."""
    types, second, third, *_ = [*words, "", "", ""]
    sort = SORTS.get(second, "nosort")
    if second and second not in SORTS and "-" in second:
        return Query(line, sql, types, "nosort", second, after)
    return Query(line, sql, types, sort, third, after, "" if second in SORTS else second)  # type: ignore[arg-type]


def holds(condition: str, variables: Variables) -> bool:
    """Whether an engine's name is ours, or a comparison of a loop's variable is true, as in `skipif i>=3`."""
    found = re.fullmatch(r"(\w+)(<>|!=|<=|>=|=|<|>)(.+)", condition)
    if found is None:
        return condition.lower() in ENGINES
    name, operator, wanted = found.groups()
    value = variables.get(name, "")
    if operator in ("=", "<>", "!="):
        return (value == wanted) == (operator == "=")
    a, b = float(value), float(wanted)
    return {"<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}[operator]
