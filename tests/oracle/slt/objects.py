"""The objects that SQL reads and those it makes, changes or removes: by its tree, since a word may also be an alias or a text."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath
from typing import Literal, TypeAlias

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

Kind: TypeAlias = Literal["table", "function", "type", "schema", "file"]
Name: TypeAlias = tuple[Kind, str]  # names in lower case, with their schema unless it is the usual one

NAME = r'((?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+))*)'
EXISTS = r"(?:IF\s+(?:NOT\s+)?EXISTS\s+)?"
MADE = re.compile(
    r"\s*(CREATE|DROP)\s+(?:OR\s+REPLACE\s+)?(?:(?:TEMP(?:ORARY)?|PERSISTENT|RECURSIVE|MATERIALIZED)\s+)*"
    rf"(TABLE|VIEW|MACRO|FUNCTION|SEQUENCE|TYPE|SCHEMA)\s+(?:TABLE\s+)?{EXISTS}{NAME}",
    re.IGNORECASE,
)
CHANGED = re.compile(
    r"\s*(?:ALTER\s+(?:TABLE|VIEW)|INSERT\s+(?:OR\s+\w+\s+)?INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO|TRUNCATE(?:\s+TABLE)?|COPY)\s+"
    rf"{EXISTS}{NAME}",
    re.IGNORECASE,
)
INDEXED = re.compile(rf"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\b.*?\bON\s+{NAME}", re.IGNORECASE | re.DOTALL)
WRITTEN = re.compile(r"\s*COPY\b.*\bTO\s+'([^']+)'", re.IGNORECASE | re.DOTALL)
ATTACHED = re.compile(r"\s*ATTACH\s+(?:DATABASE\s+)?(?:IF\s+NOT\s+EXISTS\s+)?'([^']*)'(?:\s+AS\s+\"?(\w+))?", re.IGNORECASE)
KINDS: dict[str, Kind] = {
    "table": "table",
    "view": "table",
    "type": "type",
    "schema": "schema",
    "macro": "function",
    "function": "function",
    "sequence": "function",
}


@dataclass(frozen=True)
class Target:
    """What a statement is about. action: what becomes of the object."""

    action: Literal["made", "removed", "changed", "indexed"]
    object: Name


def targets_of(sql: str) -> tuple[Target, ...]:
    """The target of each statement in the text. By its first words, which hold where sqlglot cannot read the rest."""
    found = (target_of(part) for part in sql.split(";"))
    return tuple(target for target in found if target is not None)


def target_of(sql: str) -> Target | None:
    sql = re.sub(r"^\s*--.*\n", "", sql)
    if made := MADE.match(sql):
        word = made[2].lower()
        kind = KINDS[word]
        return Target("made" if made[1].lower() == "create" else "removed", (kind, plain(made[3])))
    if indexed := INDEXED.match(sql):
        return Target("indexed", ("table", plain(indexed[1])))
    if written := WRITTEN.match(sql):
        return Target("made", ("file", written[1].lower()))
    if attached := ATTACHED.match(sql):
        return Target("made", ("schema", (attached[2] or PurePath(attached[1]).stem).lower()))
    if changed := CHANGED.match(sql):
        return Target("changed", ("table", plain(changed[1])))
    return None


def plain(name: str) -> str:
    """A name without quotes, in lower case, and without the schema and the database that are meant anyway."""
    return re.sub(r"^(memory\.)?(main|temp)\.", "", name.replace('"', "").lower())


@lru_cache(maxsize=256)
def tree_of(sql: str) -> exp.Expr | None:
    """The tree of a text's first statement; None if sqlglot cannot read it."""
    with quiet():
        try:
            trees = sqlglot.parse(re.sub(r"^\s*EXPLAIN\b(\s+ANALYZE\b)?", "", sql, flags=re.IGNORECASE), dialect="duckdb")
        except SqlglotError:
            return None
    return trees[0] if trees else None


@contextmanager
def quiet() -> Iterator[None]:
    """Without sqlglot's warnings of statements that it only takes apart into words."""
    logger = logging.getLogger("sqlglot")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def objects_of(sql: str) -> frozenset[Name]:
    """All objects that the first statement of a text refers to, also those that it makes or changes."""
    found: set[Name] = {target.object for target in targets_of(sql)}
    tree = tree_of(sql)
    if tree is None:
        return frozenset(found)
    for table in tree.find_all(exp.Table):
        if table.name and not is_cte(table):
            found.add(("table", plain(".".join(part.name for part in table.parts))))
            found.add(("file", table.name.lower()))
            found.update(("schema", part) for part in (table.db.lower(), table.catalog.lower()) if part)
        if isinstance(table.this, exp.Anonymous):
            found.add(("function", table.this.name.lower()))
    found.update(("function", call.name.lower()) for call in tree.find_all(exp.Anonymous))
    for type_ in tree.find_all(exp.DataType):
        if type_.this == exp.DataType.Type.USERDEFINED:
            found.add(("type", plain(type_.sql("duckdb"))))
    return frozenset(found)


def is_cte(table: exp.Table) -> bool:
    """Whether a name in FROM is that of a common table expression: within its own definition only if it is recursive."""
    if table.db:
        return False
    for cte in table.root().find_all(exp.CTE):
        inside = table.find_ancestor(exp.CTE) is cte
        recursive = cte.parent is not None and cte.parent.args.get("recursive")
        if cte.alias.lower() == table.name.lower() and (recursive or not inside):
            return True
    return False
