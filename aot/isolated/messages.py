"""Messages between a process and the one that runs an untrusted artifact for it: JSON and buffers through two pipes, no pickle.

Either side believes nothing of the other: what comes is bounded in size and time, and is data whatever it is.
"""

from __future__ import annotations

import json
import os
import select
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_HEAD = struct.Struct("<II")  # bytes of the JSON, number of buffers
_LENGTH = struct.Struct("<Q")
_PIECE = 1 << 20  # written at once
_LONGEST_HEADER = 1 << 28
_MOST_BUFFERS = 1 << 16
_ALIGNMENT = 64


class ClosedError(Exception):
    """The other side is gone."""


class LateError(Exception):
    """The other side did not answer, or did not listen, in time."""


@dataclass(frozen=True)
class Message:
    """What is said, and the buffers that belong to it."""

    header: Mapping[str, Any]
    buffers: Sequence[memoryview]


class Channel:
    """One side's ends of the two pipes. Not for several threads at once."""

    def __init__(self, reading: int, writing: int, most: int) -> None:
        """reading, writing: file descriptors. most: how many bytes a message that comes may have."""
        self._reading, self._writing, self._most = reading, writing, most
        os.set_blocking(writing, False)

    def send(self, header: Mapping[str, Any], buffers: Sequence[Any] = (), end: float | None = None) -> None:
        """Say something. end: when to give up, by time.monotonic().

        Raises ClosedError; LateError: it was not read in time.
        """
        text = json.dumps(header).encode()
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        self._write(memoryview(_HEAD.pack(len(text), len(views)) + text), end)
        for view in views:
            self._write(memoryview(_LENGTH.pack(len(view))), end)
            self._write(view, end)

    def receive(self, end: float | None = None) -> Message:
        """What the other side says next; each buffer 64-byte aligned.

        Raises ClosedError; LateError: it did not come in time; ValueError: it is no message, or too long.
        """
        length, count = _HEAD.unpack(self._read(_HEAD.size, end))
        if length > _LONGEST_HEADER or count > _MOST_BUFFERS:
            raise ValueError("the message is too long")
        header = json.loads(bytes(self._read(length, end)))
        if not isinstance(header, dict):
            raise ValueError("the message is none")
        buffers, left = [], self._most
        for _ in range(count):
            (size,) = _LENGTH.unpack(self._read(_LENGTH.size, end))
            left -= size
            if left < 0:
                raise ValueError("the message is too long")
            buffers.append(self._read(size, end))
        return Message(header, buffers)

    def close(self) -> None:
        for descriptor in (self._reading, self._writing):
            os.close(descriptor)

    def _write(self, view: memoryview, end: float | None) -> None:
        while view:
            self._wait(self._writing, select.POLLOUT, end)
            try:
                view = view[os.write(self._writing, view[:_PIECE]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise ClosedError from None

    def _read(self, size: int, end: float | None) -> memoryview:
        room = np.empty(size + _ALIGNMENT, np.uint8)
        start = -room.ctypes.data % _ALIGNMENT
        view = room[start : start + size].data
        found = 0
        while found < size:
            self._wait(self._reading, select.POLLIN, end)
            count = os.readv(self._reading, [view[found:]])
            if count == 0:
                raise ClosedError
            found += count
        return view

    @staticmethod
    def _wait(descriptor: int, event: int, end: float | None) -> None:
        """Until something can be read or written, or the other side is gone."""
        poll = select.poll()  # not `select.select`, which knows no descriptors beyond 1,024
        poll.register(descriptor, event)
        left = None if end is None else max(0.0, 1_000 * (end - time.monotonic()))
        if not poll.poll(left):
            raise LateError
