"""`qtensor cache`: what compiled code there is on disk, and removing it."""

from __future__ import annotations

import click


@click.group()
def cache() -> None:
    """Look at the cache of compiled code, or empty it.

    A query that was compiled once is not compiled again by any process of yours, while the versions of qtensor and XLA, the CPU
    and what is assumed of its tables are the same. QTENSOR_CACHE names another folder.
    """


@cache.command()
def info() -> None:
    """Where the cache is, and how full."""
    from qtensor.aot.machine.cache import ExecutableCache

    found = ExecutableCache().info()
    click.echo(f"path     {found.folder}")
    click.echo(f"entries  {found.entries:,}")
    click.echo(f"size     {found.size:,} bytes")
    click.echo(f"limit    {found.limit:,} bytes; the least recently used go first")


@cache.command()
def clear() -> None:
    """Remove all compiled code; queries are compiled anew."""
    from qtensor.aot.machine.cache import ExecutableCache

    before = ExecutableCache().clear()
    click.echo(f"removed {before.entries:,} entries, {before.size:,} bytes")
