"""What the shell proposes at the cursor: commands, files, tables, columns, functions, models and keywords."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document

_KEYWORDS = """
    ALL AND AS ASC BETWEEN BY CASE CAST COPY CREATE DATE DEFAULT DELETE DESC DESCRIBE DISTINCT DROP ELSE END ESCAPE EXCLUDE
    EXPLAIN FALSE FILTER FIRST FROM GROUP HAVING ILIKE IN INSERT INTERVAL INTO IS LAST LIKE LIMIT NOT NULL NULLS OFFSET OR ORDER
    SELECT SET SUMMARIZE TABLE THEN TIMESTAMP TRUE TRY_CAST UPDATE VALUES VIEW WHEN WHERE WITH
"""
_FUNCTIONS = "abs avg coalesce count if ifnull max min nullif sum"
KEYWORDS = tuple(_KEYWORDS.split())
FUNCTIONS = tuple(_FUNCTIONS.split())

_WORD = re.compile(r'"?\w*$')
_NAME = re.compile(r"[A-Za-z_]\w*")
_AFTER_FROM = re.compile(r"\b(?:FROM|INTO|UPDATE|TABLE|VIEW|DESCRIBE|SUMMARIZE|COPY)\s+\"?\w*$", re.IGNORECASE)
_FILE = re.compile(r"\b(?:FROM|TO)\s+'([^']*)$", re.IGNORECASE)
_COMMAND = re.compile(r"\s*\.\w*$")
_COMMAND_FILE = re.compile(r"\s*\.(?:(?:register|open|model)\s+\w+=|read\s+)(\S*)$")


@dataclass(frozen=True)
class Known:
    """What names there are: the columns of each table, and models."""

    tables: dict[str, list[str]]
    models: list[str]


class SqlCompleter(Completer):
    """known: asked at each completion, since tables come and go. commands: the shell's own, with their dots."""

    def __init__(self, known: Callable[[], Known], commands: Iterable[str]) -> None:
        self._known = known
        self._commands = sorted(commands)
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        before = document.text_before_cursor
        if _COMMAND.match(before):
            yield from proposals(self._commands, before.lstrip())
        elif path := _COMMAND_FILE.match(before) or _FILE.search(before):
            yield from self._paths.get_completions(Document(path[1]), complete_event)
        else:
            found = _WORD.search(before)
            assert found is not None
            yield from self._words(document.text, before, found.group())

    def _words(self, text: str, before: str, prefix: str) -> Iterator[Completion]:
        known = self._known()
        if _AFTER_FROM.search(before):
            yield from proposals(map(quoted, known.tables), prefix, "table")
            return
        if not prefix.strip('"'):
            return  # a list of everything helps nobody
        named = {word.lower() for word in _NAME.findall(text)}
        nearest = [columns for table, columns in known.tables.items() if table.lower() in named] or list(known.tables.values())
        yield from proposals(dict.fromkeys(quoted(column) for columns in nearest for column in columns), prefix, "column")
        yield from proposals(map(quoted, known.models), prefix, "model")
        yield from proposals(map(quoted, known.tables), prefix, "table")
        yield from proposals(FUNCTIONS, prefix, "function")
        yield from proposals(map(str.lower, KEYWORDS) if prefix.islower() else KEYWORDS, prefix, "keyword")


def proposals(words: Iterable[str], prefix: str, kind: str = "") -> Iterator[Completion]:
    """Those of `words` that begin with `prefix`, letter case and a quote at its start ignored."""
    wanted = prefix.strip('"').lower()
    for word in words:
        if word.strip('"').lower().startswith(wanted):
            yield Completion(word, start_position=-len(prefix), display_meta=kind)


def quoted(name: str) -> str:
    """The name as SQL has to write it.

    >>> quoted("murder"), quoted("murder rate")
    ('murder', '"murder rate"')
    """
    return name if _NAME.fullmatch(name) and name.upper() not in KEYWORDS else '"' + name.replace('"', '""') + '"'
