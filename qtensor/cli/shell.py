"""The interactive shell; and the same without a terminal: statements and commands from stdin, one after the other."""

from __future__ import annotations

import functools
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qtensor.cli.commands import COMMANDS, run_command
from qtensor.cli.inputs import Inputs
from qtensor.cli.options import input_options
from qtensor.cli.output import Output, choose_output, say_error
from qtensor.cli.statements import split
from qtensor.errors import QTensorError
from qtensor.version import __version__

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import History

    from qtensor.cli.completion import Known
    from qtensor.connection import Connection
    from qtensor.relation import Relation


@click.command()
@input_options
def shell(inputs: Inputs) -> None:
    """Ask one query after the other, with completion and history.

    Statements end with a semicolon and may span lines. Lines that begin with a dot are the shell's own commands: .help lists
    them. Ctrl-C clears what is typed or stops a query, Ctrl-D leaves.

    When stdin is no terminal, its statements are run one after the other, up to the first error.

    \b
    Examples:
      qtensor
      qtensor shell --table t=data.parquet --model risk=models/risk
      qtensor < queries.sql > rows.csv
    """
    running = Shell(inputs, choose_output(None, None, 40))
    if sys.stdin.isatty():
        running.interact()
    else:
        running.run_script()


class Shell:
    """What a session remembers. `connection` is made when first needed, so that the prompt is there at once."""

    def __init__(self, inputs: Inputs, output: Output) -> None:
        self.inputs = inputs
        self.output = output
        self.timer = False
        self.parameters = dict(inputs.parameters)
        self.reading: list[str] = []  # the files that .read is in

    @functools.cached_property
    def connection(self) -> Connection:
        return self.inputs.connection()

    def known(self) -> Known:
        """The names to complete; a table whose file is gone, or a view whose table is, has no columns."""
        from qtensor.cli.completion import Known

        registry = self.connection._registry
        tables: dict[str, list[str]] = {}
        for name in registry.table_names():
            try:
                fields = self.connection._fields(name)
            except QTensorError:
                fields = None
            tables[name] = [field.name for field in fields or ()]
        return Known(tables, [model.name for model in registry.models.values()])

    def values(self, sql: str) -> dict[str, object] | None:
        """Those of the parameters that a statement names."""
        used = {name.lower() for name in re.findall(r"\$(\w+)", sql)}
        return {name: value for name, value in self.parameters.items() if name.lower() in used} or None

    def query(self, sql: str) -> Relation:
        """A query; statements that are none are refused."""
        from qtensor.run.prepared import Query

        return self.connection._query(Query(sql, self.values(sql), self.inputs.dialect))

    def run_statement(self, sql: str) -> None:
        start = time.perf_counter()
        relation = self.connection.sql(sql, self.values(sql), dialect=self.inputs.dialect)
        result = relation.arrow()
        seconds = time.perf_counter() - start
        self.output.write_answer(relation, result)
        if self.timer:
            click.echo(f"{seconds * 1e3:.3f} ms", err=self.output.format != "table")

    def run_text(self, text: str) -> None:
        """Run statements and commands; the last statement needs no semicolon. The first error ends it.

        Raises QTensorError: the error. EOFError: .quit.
        """
        pending = ""
        for line in text.splitlines(keepends=True):
            if not pending.strip() and line.lstrip().startswith("."):
                run_command(self, line)
                continue
            statements, pending = split(pending + line)
            pending += "\n" if pending else ""
            for statement in statements:
                self.run_statement(statement)
        if pending.strip():
            self.run_statement(pending.strip())

    def run_script(self) -> None:
        """Everything on stdin."""
        try:
            self.run_text(sys.stdin.read())
        except EOFError:
            return

    def interact(self) -> None:
        """Prompt, run, print; until .quit or Ctrl-D. Errors are shown and forgotten."""
        if self.inputs.tables or self.inputs.models:
            _ = self.connection  # what is wrong with them is said before the first prompt
        click.echo(f"qtensor {__version__}. Statements end with a semicolon. .help lists commands, Ctrl-D leaves.")
        prompt = self.prompt()
        while True:
            try:
                self.run_text(prompt.prompt())
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            except QTensorError as error:
                say_error(error)

    def prompt(self) -> PromptSession[str]:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.application import get_app
        from prompt_toolkit.filters import Condition
        from prompt_toolkit.lexers import PygmentsLexer
        from pygments.lexers.sql import SqlLexer

        from qtensor.cli.completion import SqlCompleter

        return PromptSession(
            "qtensor> ",
            prompt_continuation="    ...> ",
            multiline=Condition(lambda: not is_complete(get_app().current_buffer.text)),
            lexer=PygmentsLexer(SqlLexer),
            completer=SqlCompleter(self.known, COMMANDS),
            complete_while_typing=False,
            history=open_history(history_file()),
        )


def is_complete(text: str) -> bool:
    """Whether Enter runs `text` instead of beginning another line.

    >>> is_complete("SELECT 1"), is_complete("SELECT 1;"), is_complete(".tables"), is_complete("")
    (False, True, True, True)
    """
    _, rest = split(text)
    return text.lstrip().startswith(".") or not rest


def history_file() -> Path:
    import platformdirs

    return platformdirs.user_state_path("qtensor", appauthor=False) / "history"


def open_history(path: Path) -> History:
    """The statements of earlier sessions, which only the user can read; of this one alone, where no file can be written."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))
