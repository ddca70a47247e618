"""The command line's commands together, and how a run of it ends: messages and exit codes."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from qtensor.cli.artifacts import exec_command, export, inspect, trust
from qtensor.cli.caches import cache
from qtensor.cli.output import say_error
from qtensor.cli.query import bench, explain, run
from qtensor.cli.shell import shell
from qtensor.errors import QTensorError
from qtensor.version import __version__

OK, FAILED, MISUSED, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141

HELP = """SQL queries, and the TensorFlow models they call, compiled together into one XLA module.

Without a command: an interactive shell, or, when stdin is no terminal, every statement that stdin holds.

\b
Examples:
  qtensor run "SELECT count(*) FROM 'data.parquet' WHERE x > 1"
  qtensor run "SELECT g, sum(x) FROM t GROUP BY ALL" --table t=data.csv -o sums.parquet
  cat rows.arrow | qtensor run "SELECT id, score(a, b) AS s FROM t" --table t=- --model score=models/score
  qtensor explain "SELECT sum(x) FROM t" --table t=data.parquet --level hlo
  qtensor export "SELECT id, score(a, b) AS s FROM t" --table t=sample.parquet --model score=models/score -o score.qta
  qtensor exec score.qta --table t=data.parquet

\b
Exit codes:
    0  done
    1  the query or its data is at fault: the message on stderr says what, where and what to do
    2  the command line is at fault
  130  interrupted (Ctrl-C)
  141  whoever read the output went away
"""


class ReaderGoneError(Exception):
    """Whoever read the output went away: a BrokenPipeError, which click would end with exit code 1."""


class Commands(click.Group):
    """All commands."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError as error:
            raise ReaderGoneError from error
        return result


@click.group(
    cls=Commands,
    help=HELP,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.version_option(__version__, prog_name="qtensor", message="%(prog)s %(version)s")
@click.option("--verbose", "-v", is_flag=True, help="Write the log to stderr: cache entries that were damaged, and the like.")
@click.pass_context
def qtensor(context: click.Context, verbose: bool) -> None:
    if verbose:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        logging.getLogger("qtensor").addHandler(handler)
        logging.getLogger("qtensor").setLevel(logging.INFO)
    if context.invoked_subcommand is None:
        context.invoke(shell)


for command in (run, explain, export, exec_command, inspect, trust, bench, cache, shell):
    qtensor.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (default: those of this process). Returns the exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before JAX is imported, which sets it to let TensorFlow's notes through
    try:
        code = qtensor.main(arguments, prog_name="qtensor", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except QTensorError as error:
        say_error(error)
        return FAILED
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except ReaderGoneError:
        # Python flushes stdout once more at exit, into nothing now.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        click.echo(f"{click.style('OSError', fg='red', bold=True)}: {error}", err=True)
        return FAILED
    return code if isinstance(code, int) else OK
