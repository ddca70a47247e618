"""Calls that can be stopped: what may take long runs in a thread of its own, and whoever waits for it may stop waiting.

Neither XLA's compiler nor a running program can be interrupted, and Python hears of Ctrl-C only between its own instructions. So
the calling thread waits, which Ctrl-C, a time limit and `Connection.interrupt` end at once. What was abandoned ends by itself:
Python code at its next `check`, a program at its loops' next turn, which look at the call's `Signal`; a compilation runs to its
end. Work that nobody waits for changes nothing (`committing`).

The threads have deep stacks. A query that is nested so deeply that Python's limit of recursion stands in the way is tried again
with a higher one, which is as high only while that lasts, since it is one for the whole process.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from typing import Any, Generic, TypeVar

import jax
import numpy as np

from qtensor.aot.machine.runtime import to_device
from qtensor.errors import InterruptError, QueryTimeoutError, UnsupportedError
from qtensor.lowering.ir.physical import STOP_SLOTS

STACK = 512 << 20  # bytes of address space; pages are taken as they are touched
DEEP_RECURSION = 200_000

Result = TypeVar("Result")


class StoppedError(Exception):
    """Within a call that nobody waits for any more. It is never seen outside."""


class HandOverError(Exception):
    """What was meant to be short needs a thread of its own. It is never seen outside."""


class Signal:
    """Memory that running programs look at: their loops end when it is raised.

    buffer: int32[STOP_SLOTS], zeros until then.
    """

    def __init__(self) -> None:
        room = np.zeros(STOP_SLOTS + 16, np.int32)
        offset = (
            -room.ctypes.data % 64 // room.itemsize
        )  # XLA shares memory that lies at a multiple of 64 bytes, and copies other
        self._numbers = room[offset : offset + STOP_SLOTS]
        self.buffer: jax.Array = to_device(self._numbers)

    def set(self) -> None:
        self._numbers[:] = 1


class ThreadCall(Generic[Result]):
    """One piece of work in a thread of its own."""

    def __init__(self, work: Callable[[], Result]) -> None:
        self._work: list[Callable[[], Result]] = [work]
        self._results: list[Result] = []
        self._error: BaseException | None = None
        self._signal: Signal | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._interrupted = False
        self.stopped = False
        self.thread = threading.Thread(target=copy_context().run, args=(self._run,), name="qtensor-call", daemon=True)

    def wait(self, seconds: float | None) -> Result:
        """What the work gives. Raises what it raises; QueryTimeoutError, InterruptError."""
        try:
            start(self.thread)
            in_time = self._ended.wait(seconds)
        except BaseException:
            self.stop()
            raise
        if self._interrupted:
            raise InterruptError("the query was interrupted")
        if not in_time:
            self.stop()
            raise QueryTimeoutError(f"the query took longer than the {seconds:g} seconds of this connection's timeout")
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback holds this frame
        return self._results.pop()

    def stop(self) -> None:
        """Let the work end as soon as it can. What it did not commit until now it will not."""
        with self._lock:
            self.stopped = True
            if self._signal is not None:
                self._signal.set()

    def interrupt(self) -> None:
        """Stop, and let who waits know."""
        self._interrupted = True  # first: stopped work ends at once, and wakes who waits
        self.stop()
        self._ended.set()

    def signal(self) -> Signal:
        with self._lock:
            if self._signal is None:
                self._signal = Signal()
                if self.stopped:
                    self._signal.set()
            return self._signal

    @contextlib.contextmanager
    def committing(self) -> Iterator[None]:
        """While this lasts the call is not stopped. Raises StoppedError if it was."""
        with self._lock:
            if self.stopped:
                raise StoppedError
            yield

    def _run(self) -> None:
        _current.set(self)
        running.add(self)
        try:
            self._results.append(at_any_depth(self._work.pop()))
        except BaseException as error:  # noqa: BLE001, who waits raises it
            self._error = error
        finally:
            running.discard(self)
            self._ended.set()


_current: ContextVar[ThreadCall[Any] | None] = ContextVar("_current", default=None)
_stays: ContextVar[bool] = ContextVar("_stays", default=False)
_stacks = threading.Lock()
_depth = threading.RLock()
running: set[ThreadCall[Any]] = set()


class Calls:
    """The calls of a connection. timeout: the seconds that one may take; None: any."""

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._lock = threading.Lock()
        self._under_way: set[ThreadCall[Any]] = set()

    def run(self, work: Callable[[], Result]) -> Result:
        """What `work` gives, which runs in a thread of its own; as a part of the call under way if there is one.

        Raises HandOverError within `staying_here`.
        """
        if _current.get() is not None:
            check()
            return work()
        if _stays.get():
            raise HandOverError
        call = ThreadCall(work)
        del work  # for what it holds to go with the call
        with self._lock:
            self._under_way.add(call)
        try:
            return call.wait(self._timeout)
        finally:
            with self._lock:
                self._under_way.discard(call)

    def interrupt(self) -> None:
        """Stop all that is under way; who waits gets an InterruptError."""
        with self._lock:
            under_way = list(self._under_way)
        for call in under_way:
            call.interrupt()


@contextlib.contextmanager
def staying_here() -> Iterator[None]:
    """Within it, this thread may hold locks: work that begins a call of its own, and would wait for them, is a HandOverError."""
    token = _stays.set(True)
    try:
        yield
    finally:
        _stays.reset(token)


def check() -> None:
    """Raises StoppedError within a call that nobody waits for any more."""
    checker()()


def checker() -> Callable[[], None]:
    """`check` for other threads that do the work of the call under way."""
    call = _current.get()

    def check_call() -> None:
        if call is not None and call.stopped:
            raise StoppedError

    return check_call


def signal() -> jax.Array:
    """What the programs of the call under way look at: `Signal.buffer`."""
    call = _current.get()
    return never().buffer if call is None else call.signal().buffer


@contextlib.contextmanager
def committing() -> Iterator[None]:
    """Within it, what others see is changed, quickly. Raises StoppedError, before it, in a call that nobody waits for."""
    call = _current.get()
    with contextlib.nullcontext() if call is None else call.committing():
        yield


_never: list[Signal] = []


def never() -> Signal:
    """The signal of programs that nobody stops, since they are short."""
    if not _never:
        _never.append(Signal())
    return _never[0]


def start(thread: threading.Thread) -> None:
    """Start a thread with a deep stack. The size is the process's for threads to come, and what it was again after this one."""
    with _stacks:
        before = threading.stack_size(STACK)
        try:
            thread.start()
        finally:
            threading.stack_size(before)


def at_any_depth(work: Callable[[], Result]) -> Result:
    """What `work` gives, tried again with more recursion if Python's limit was in its way.

    Raises UnsupportedError: it still is.
    """
    try:
        return work()
    except RecursionError:
        pass
    except UnsupportedError as error:
        if not isinstance(error.__cause__, RecursionError):
            raise
    with _depth:
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(max(limit, DEEP_RECURSION))
        try:
            return work()
        except RecursionError as error:
            raise UnsupportedError("the query is nested too deeply") from error
        finally:
            sys.setrecursionlimit(limit)


def wait_for_abandoned() -> None:
    """Python ends threads within XLA by aborting the process, so a compilation under way is waited for; Ctrl-C ends all."""
    calls = list(running)
    try:
        for call in calls:
            call.stop()
        for call in calls:
            call.thread.join()
    except KeyboardInterrupt:
        os._exit(130)


atexit.register(wait_for_abandoned)
