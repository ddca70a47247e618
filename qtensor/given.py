"""What a user gives to a method, checked: of a wrong type it is a DataError that says what is wanted, no error of Python's."""

from __future__ import annotations

import numbers
import os
from collections.abc import Iterable, Mapping
from typing import Any

from qtensor.errors import DataError


def given_text(value: object, what: str) -> str:
    """A text. what: what it is, for the error, as in "the name of a table"."""
    if not isinstance(value, str):
        raise wrong(value, what, "text")
    return value


def given_texts(values: object, what: str) -> tuple[str, ...]:
    """Several texts."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise wrong(values, what, "a list of texts")
    return tuple(given_text(value, f"each of {what}") for value in values)


def given_path(value: object, what: str) -> str | os.PathLike[str]:
    """A path, text or os.PathLike of text, that the system takes."""
    name = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(name, str):
        raise wrong(value, what, "a path")
    try:
        if b"\0" in os.fsencode(name):
            raise ValueError
    except ValueError as error:
        raise DataError(f"{what} holds a character that no path can have: {name!a}") from error
    return value  # type: ignore[return-value]


def given_count(value: object, what: str, least: int) -> int:
    """A whole number from `least` on."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise wrong(value, what, "a whole number")
    if value < least:
        raise DataError(f"{what} is at least {least}, not {value}")
    return int(value)


def given_mapping(values: object, what: str) -> Mapping[str, Any]:
    """Things by their names."""
    if not isinstance(values, Mapping):
        raise wrong(values, what, "a mapping by name")
    for name in values:
        given_text(name, f"each name of {what}")
    return values


def wrong(value: object, what: str, wanted: str) -> DataError:
    shown = "None" if value is None else f"of type {type(value).__name__}"
    return DataError(f"{what} must be {wanted}; it is {shown}")
