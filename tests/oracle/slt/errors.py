"""Which of our errors may stand for a message of a file."""

from __future__ import annotations

import re

from qtensor.errors import BindError, DataError, ExecutionError, InternalError, ParseError, QTensorError, UnsupportedError

KINDS: dict[str, tuple[type[QTensorError], ...]] = {
    "Parser": (ParseError, BindError),
    "Binder": (BindError, ParseError, ExecutionError),
    "Catalog": (BindError,),
    "Conversion": (ExecutionError, BindError),
    "Out of Range": (ExecutionError, BindError),
    "Constraint": (ExecutionError,),
    "Invalid Input": (ExecutionError, BindError, DataError),
    "IO": (DataError, BindError, ExecutionError),
}
# Errors that say that a name is unknown are never those of a value.
UNKNOWN = re.compile(r"no (column|table|function|type|file|window|parameter)\b")
OF_VALUES = frozenset(("Conversion", "Out of Range", "Constraint", "Invalid Input"))
COLUMN = re.compile(r"the column \".*\" of type (.*?)(;.*)?$")
KIND = re.compile(rf"\b({'|'.join(KINDS)}) Error\b")


def is_crash(error: Exception) -> bool:
    return not isinstance(error, QTensorError) or isinstance(error, InternalError)


def describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def is_expected(error: Exception, message: str, for_us: bool) -> bool:
    """Whether an error is of the kind that a file's message names; its words count only in records that are for us alone."""
    if for_us:
        return matches(message, str(error))
    kind = KIND.search(message)
    if kind is None:
        return True
    if kind[1] in OF_VALUES and UNKNOWN.match(str(error)):
        return False
    return isinstance(error, KINDS[kind[1]])


def matches(expected: str, message: str) -> bool:
    if expected.startswith("<REGEX>:"):
        return re.search(expected.removeprefix("<REGEX>:"), message, re.DOTALL) is not None
    return expected in message


def reasons_of(found: object) -> tuple[str, ...]:
    """Each thing that is said not to be supported, one by one; () for answers and for other errors.

    >>> reasons_of(UnsupportedError("not supported yet:\\n  - arrays\\n  - structs"))
    ('arrays', 'structs')
    """
    if isinstance(found, DataError) and "the name must end in" in str(found):
        return ("files of a format that we do not read",)
    if not isinstance(found, UnsupportedError):
        return ()
    first, *listed = (COLUMN.sub(r"columns of type \1", line) for line in found.message.splitlines())
    items = [line.strip().removeprefix("- ") for line in listed if line.strip().startswith("- ")]
    return tuple(dict.fromkeys(items)) or (first.removeprefix("not supported yet: "),)
