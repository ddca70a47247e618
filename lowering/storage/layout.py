"""How the rows of a table are cut: shares for the cores, chunks for the steps of a scan."""

from __future__ import annotations

from dataclasses import dataclass, field

from qtensor.errors import InternalError

CHUNK = 65_536
"""Rows of a chunk of a large table: few enough for a scan step to stay in L2, enough to make its overhead vanish."""

_SMALLEST_CHUNK = 64  # the lanes of a reduction, and the bits that sinks pack: every batch's length is a multiple


@dataclass(frozen=True)
class Layout:
    """How `rows` rows are cut: `shares` shares, one for each core, each of `chunks` chunks of `chunk` rows.

    All shares have the same shape; rows fill them in order, so that the last shares may hold fewer rows or none. apart: from the
    first row of a share to that of the next, less than a share's room where shares are views of one chunk (see `split`).
    """

    rows: int
    shares: int
    chunks: int
    chunk: int
    apart: int | None = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """[shares, chunks, chunk], the shape of every column."""
        return self.shares, self.chunks, self.chunk

    @property
    def capacity(self) -> int:
        """The rows that fit without another layout."""
        return self.shares * self.chunks * self.chunk

    def rows_in_share(self, share: int) -> int:
        """How many of the table's rows share number `share` holds.

        >>> [layout_for(300_000, threads=2).rows_in_share(share) for share in (0, 1)]
        [196608, 103392]
        """
        size = self.first_row(1)
        return min(max(self.rows - share * size, 0), size)

    def first_row(self, share: int) -> int:
        """The number of a share's first row."""
        return share * (self.chunks * self.chunk if self.apart is None else self.apart)

    def split(self, shares: int) -> Layout:
        """The rows of one share as `shares` of equal parts of its room, each a view of it: of its chunks, or of its only chunk.

        Rows are spread evenly, which has the views overlap: a share ends behind its rows, within those of the next. It begins at
        a multiple of 64 rows, so that whatever a column's type is the view is aligned as buffers have to be.

        >>> cut = layout_for(10_000, threads=2).split(2)
        >>> [(cut.first_row(share), cut.rows_in_share(share), cut.chunk) for share in (0, 1)]
        [(0, 5056, 8192), (5056, 4944, 8192)]
        """
        if shares == self.shares:
            return self
        apart = -(-self.rows // (shares * _SMALLEST_CHUNK)) * _SMALLEST_CHUNK
        if self.shares == 1 and self.chunks > 1 and self.chunks % shares == 0:
            return Layout(self.rows, shares, self.chunks // shares, self.chunk, apart)
        if self.shares * self.chunks > 1 or self.chunk % (shares * _SMALLEST_CHUNK):
            raise InternalError(f"{self} cannot be cut into {shares} shares")
        return Layout(self.rows, shares, 1, self.chunk // shares, apart)


def layout_for(rows: int, threads: int) -> Layout:
    """The layout of a table of `rows` rows when `threads` cores scan it.

    A table of up to CHUNK rows is one chunk, its length a power of two. A larger one has a share for each core as long as
    every share gets two chunks. The number of chunks is rounded up, by at most 1/8, so that a growing table keeps its shape
    and with it its compiled programs.

    >>> layout_for(0, threads=2)
    Layout(rows=0, shares=1, chunks=1, chunk=64)
    >>> layout_for(2_000, threads=2)
    Layout(rows=2000, shares=1, chunks=1, chunk=2048)
    >>> layout_for(6_001_215, threads=2)
    Layout(rows=6001215, shares=2, chunks=48, chunk=65536)
    """
    if rows <= CHUNK:
        return Layout(rows, shares=1, chunks=1, chunk=1 << (max(rows, _SMALLEST_CHUNK) - 1).bit_length())
    needed = -(-rows // CHUNK)
    shares = max(1, min(threads, needed // 2))
    return Layout(rows, shares, _rounded_up(-(-needed // shares)), CHUNK)


def slots_for(rows: int) -> int:
    """The slots in which a pipeline's result of `rows` rows is read: one batch, or chunks where it is large.

    >>> slots_for(1), slots_for(65_600), slots_for(131_073)
    (64, 65600, 196608)
    """
    multiple = _SMALLEST_CHUNK if is_one_batch(rows) else CHUNK
    return -(-rows // multiple) * multiple


def is_one_batch(rows: int) -> bool:
    """Whether a pipeline's result of `rows` rows is read as one batch."""
    return rows <= 2 * CHUNK


def most_parts(chunk: int, threads: int) -> int:
    """Into how many shares a chunk, whose length is a power of two, may be cut for so many cores.

    >>> most_parts(2048, threads=6), most_parts(128, threads=8), most_parts(64, threads=2)
    (4, 2, 1)
    """
    return 1 << (min(threads, chunk // _SMALLEST_CHUNK).bit_length() - 1)


def _rounded_up(count: int) -> int:
    """The next number of at most four significant bits: 1 to 16 exactly, then 18, 20, ... 32, 36, 40, ...

    >>> [_rounded_up(count) for count in (1, 9, 16, 17, 33, 46)]
    [1, 9, 16, 18, 36, 48]
    """
    unit = 1 << max(count.bit_length() - 4, 0)
    return -(-count // unit) * unit
