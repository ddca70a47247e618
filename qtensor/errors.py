"""Every error that qtensor raises for its users, and the caret that shows where in the SQL text it stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Self


@dataclass(frozen=True)
class Span:
    """A half-open range [start, end) of character offsets in the SQL text."""

    start: int
    end: int


class QTensorError(Exception):
    """Base of all errors that qtensor raises on purpose."""


class SQLError(QTensorError):
    """A query that cannot be run as written.

    Stages after binding know `spans` at most, and not the text: `shown_in` adds the carets where the error passes by.
    """

    def __init__(self, message: str, sql: str = "", spans: Sequence[Span] = (), hint: str = "") -> None:
        self.message, self.sql, self.spans, self.hint = message, sql, tuple(spans), hint
        parts = [message]
        if sql and spans:
            parts += [caret_lines(sql, span) for span in spans]
        if hint:
            parts.append(f"  {hint}")
        super().__init__("\n".join(parts))

    def shown_in(self, sql: str, span: Span | None = None) -> Self:
        """This error under the text of its query, and at `span` unless it knows its place already."""
        place = (span,) if span and not self.spans else self.spans
        return type(self)(self.message, self.sql or sql, place, self.hint)


class ParseError(SQLError):
    """Text that is not SQL of the chosen dialect."""


class BindError(SQLError):
    """SQL that names something unknown or combines types that do not go together."""


class UnsupportedError(SQLError):
    """SQL that is valid and not implemented; lists everything unsupported of the query at once."""


class ExecutionError(SQLError):
    """A value for which an expression has no result: overflow, division by zero, a cast that fails."""


class CapacityError(QTensorError):
    """More rows, groups or memory than a plan can hold."""


class ModelError(QTensorError):
    """A model that cannot be converted, or arguments that do not fit it."""


class DataError(QTensorError):
    """Input data that cannot be read or represented."""


class InterruptError(QTensorError):
    """A query that `Connection.interrupt` stopped."""


class QueryTimeoutError(QTensorError, TimeoutError):
    """A query that took longer than the `timeout` of its connection, or of the untrusted artifact that it is."""


class ArtifactError(QTensorError):
    """An exported query that is damaged, of another version, or used on data that breaks its assumptions."""


class NativeError(QTensorError):
    """A query that cannot be made a native library here: a tool that is missing, or code that does not compile."""


class InternalError(QTensorError):
    """A broken invariant of qtensor itself: a bug to report."""


def caret_lines(sql: str, span: Span) -> str:
    """The line of `sql` that holds `span`, and below it carets under the span (cut at the line's end).

    >>> print(caret_lines("SELECT shipdat FROM t", Span(7, 14)))
      SELECT shipdat FROM t
             ^^^^^^^
    """
    start = sql.rfind("\n", 0, span.start) + 1
    end = sql.find("\n", span.start)
    end = len(sql) if end < 0 else end
    width = max(1, min(span.end, end) - span.start)
    line = sql[start:end].replace("\t", " ")
    return f"  {line}\n  {' ' * (span.start - start)}{'^' * width}"


def with_article(noun: object) -> str:
    """`noun`, a type's name, behind its article.

    >>> with_article("INTERVAL"), with_article("UBIGINT"), with_article("DATE")
    ('an INTERVAL', 'a UBIGINT', 'a DATE')
    """
    return f"{'an' if str(noun)[:1].upper() in ('A', 'E', 'I', 'O') else 'a'} {noun}"


def suggestion(name: str, known: Iterable[str]) -> str:
    """`Did you mean "x"?` for the known name nearest to `name` (case ignored), or "" when none is near.

    >>> suggestion("shipdat", ["l_shipdate", "l_tax"])
    'Did you mean "l_shipdate"?'
    """
    by_lower = {candidate.lower(): candidate for candidate in known}
    near = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f'Did you mean "{by_lower[near[0]]}"?' if near else ""
