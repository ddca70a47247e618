"""Universal Binary JSON, draft 12, as XGBoost writes it: read into dictionaries, lists and, where it says one type, arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

NUMBERS = {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"}
WORDS = {b"Z": None, b"T": True, b"F": False}
DEEPEST = 64


def read_ubjson(content: bytes) -> Any:
    """What `content` says. Raises ValueError: it is damaged, or nested too deeply."""
    return Reader(content).value(0)


class Reader:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.content):
            raise ValueError("it ends too early")
        self.at += count
        return self.content[self.at - count : self.at]

    def marker(self) -> bytes:
        marker = self.take(1)
        while marker == b"N":  # says nothing
            marker = self.take(1)
        return marker

    def value(self, depth: int, marker: bytes | None = None) -> Any:
        marker = self.marker() if marker is None else marker
        if depth > DEEPEST:
            raise ValueError("it is nested too deeply")
        if marker in WORDS:
            return WORDS[marker]
        if marker in NUMBERS:
            dtype = np.dtype(NUMBERS[marker])
            return np.frombuffer(self.take(dtype.itemsize), dtype)[0].item()
        match marker:
            case b"C":
                return self.take(1).decode()
            case b"S":
                return self.text()
            case b"[":
                return self.array(depth)
            case b"{":
                return self.object(depth)
            case _:
                raise ValueError(f"it has a value of the unknown kind {marker!r}")

    def count(self) -> int:
        count = self.value(DEEPEST)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise ValueError("it has a length that is none")
        return count

    def text(self) -> str:
        return self.take(self.count()).decode()

    def header(self) -> tuple[bytes | None, int | None]:
        """The type of all values of a container and how many they are, where it says so."""
        kind = None
        if self.content[self.at : self.at + 1] == b"$":
            self.at += 1
            kind = self.take(1)
        if self.content[self.at : self.at + 1] == b"#":
            self.at += 1
            return kind, self.count()
        if kind is not None:
            raise ValueError("it has a type without a length")
        return None, None

    def array(self, depth: int) -> Any:
        kind, count = self.header()
        if kind in NUMBERS and count is not None:
            dtype = np.dtype(NUMBERS[kind])
            return np.frombuffer(self.take(count * dtype.itemsize), dtype).astype(dtype.newbyteorder("="))
        if kind is not None or (count is not None and count > len(self.content)):
            raise ValueError("it has a list that is longer than it")
        found: list[Any] = []
        while count is None or len(found) < count:
            marker = self.marker()
            if count is None and marker == b"]":
                break
            found.append(self.value(depth + 1, marker))
        return found

    def object(self, depth: int) -> dict[str, Any]:
        kind, count = self.header()
        if kind is not None:
            raise ValueError("it has an object of a kind that XGBoost does not write")
        found: dict[str, Any] = {}
        while count is None or len(found) < count:
            marker = self.marker()
            if count is None and marker == b"}":
                break
            self.at -= 1
            key = self.text()
            if key in found:
                raise ValueError(f"it says {key!r} twice")
            found[key] = self.value(depth + 1)
        return found
