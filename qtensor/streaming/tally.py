"""What a run over blocks has read and written so far: for those who want to know, and for those who wait."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TextIO

from qtensor.process.memory import shown_size

PATIENCE = 2.0  # seconds before anything is shown
_EVERY = 0.2  # seconds between two looks
_WIDTH = 32


@dataclass
class Tally:
    """Of one run: passes over tables, the blocks and rows read in them, bytes of their columns, and bytes spilled to disk.

    expected: the rows of all passes that were begun.
    """

    passes: int = 0
    blocks: int = 0
    rows: int = 0
    expected: int = 0
    read: int = 0
    spilled: int = 0
    waited: float = 0.0  # seconds for blocks that were not read yet
    started: float = field(default_factory=time.monotonic)
    show: Callable[[Tally], None] | None = None

    def begin(self, rows: int) -> None:
        """A pass over a table of so many rows."""
        self.passes += 1
        self.expected += rows

    def add(self, rows: int, size: int) -> None:
        """A block was read."""
        self.blocks += 1
        self.rows += rows
        self.read += size
        if self.show is not None:
            self.show(self)

    @property
    def done(self) -> float:
        """The share of the rows that were read of those that are known to be."""
        return min(self.rows / self.expected, 1.0) if self.expected else 0.0

    def text(self) -> str:
        """All of it, a line each."""
        import resource  # not on Windows

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        lines = {
            "passes": f"{self.passes:,}",
            "blocks": f"{self.blocks:,}",
            "rows read": f"{self.rows:,}",
            "bytes of columns": shown_size(self.read),
            "bytes spilled": shown_size(self.spilled),
            "waited for reads": f"{self.waited * 1e3:.3f} ms",
            "peak memory": f"{shown_size(peak)} (of the process)",
        }
        return "\n".join(f"{name:<16} {value}" for name, value in lines.items())


class Bar:
    """How far a run is, on a terminal or in a notebook, once it takes longer than PATIENCE; nothing anywhere else.

    `qtensor.progress = False` shows nothing at all.
    """

    def __init__(self) -> None:
        self._looked = time.monotonic()
        self._handle: Any = None
        self._shown = False

    def __call__(self, tally: Tally) -> None:
        now = time.monotonic()
        if now - tally.started < PATIENCE or now - self._looked < _EVERY or not is_wanted():
            return
        self._looked, self._shown = now, True
        if is_notebook():
            self._show_in_notebook(tally)
        elif sys.stderr is not None and sys.stderr.isatty():
            draw(tally, sys.stderr)

    def close(self) -> None:
        """Take away what was shown."""
        if not self._shown:
            return
        if self._handle is not None:
            self._handle.update({"text/html": "", "text/plain": ""}, raw=True)
        elif sys.stderr is not None and sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def _show_in_notebook(self, tally: Tally) -> None:
        from IPython.display import display

        text = said(tally)
        bundle = {"text/html": f'<progress value="{tally.done:.3f}" max="1"></progress> {text}', "text/plain": text}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, raw=True)


def draw(tally: Tally, file: TextIO) -> None:
    """One line of a terminal, in place of the last one."""
    full = round(tally.done * _WIDTH)
    print(f"\r[{'#' * full}{' ' * (_WIDTH - full)}] {said(tally)}\x1b[K", end="", file=file, flush=True)


def said(tally: Tally) -> str:
    """How far a run is, in words."""
    return f"{tally.done:.0%} of {tally.expected:,} rows, {time.monotonic() - tally.started:.0f} s"


def is_wanted() -> bool:
    """Whether the user has not said `qtensor.progress = False`."""
    return bool(getattr(sys.modules.get("qtensor"), "progress", True))


def is_notebook() -> bool:
    """Whether a Jupyter kernel runs this."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"
