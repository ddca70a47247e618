"""Commands about exported queries: write one, run it, look at it, trust it."""

from __future__ import annotations

import click


@click.command()
def export() -> None:
    pass


@click.command("exec")
def exec_command() -> None:
    pass


@click.command()
def inspect() -> None:
    pass


@click.command()
def trust() -> None:
    pass
