"""The shell: scripts from stdin; typing, editing and interrupting through prompt_toolkit; its commands; completion."""

from __future__ import annotations

import os
import select
import stat
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from qtensor.cli.commands import COMMANDS
from qtensor.cli.completion import Known, SqlCompleter
from qtensor.cli.inputs import Inputs
from qtensor.cli.output import Output
from qtensor.cli.shell import Shell, history_file, open_history
from qtensor.cli.statements import split
from tests.cli.conftest import CommandLine

# --- statements ------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "statements", "rest"),
    [
        ("", [], ""),
        (";;  ;", [], ""),
        ("SELECT 1", [], "SELECT 1"),
        ("SELECT 1; SELECT 2;\nSELECT", ["SELECT 1", "SELECT 2"], "SELECT"),
        ("SELECT ';', \";\", 'it''s;';", ["SELECT ';', \";\", 'it''s;'"], ""),
        ("SELECT E'\\';';", ["SELECT E'\\';'"], ""),
        ("SELECT name'\\';", ["SELECT name'\\'"], ""),
        ("SELECT 'open;", [], "SELECT 'open;"),
        ('SELECT "open;', [], 'SELECT "open;'),
        ("SELECT 1 -- ; no\n;", ["SELECT 1 -- ; no"], ""),
        ("-- only a comment;", [], ""),
        ("/* ; */ -- nothing\n;", [], ""),
        ("/* open ; ", [], "/* open ;"),
        ("SELECT /* ; */ 1; /* done */", ["SELECT /* ; */ 1"], ""),
        ("SELECT $$;$$, $a$;$$;$a$;", ["SELECT $$;$$, $a$;$$;$a$"], ""),
        ("SELECT $$ open ;", [], "SELECT $$ open ;"),
        ("SELECT $least, $1;", ["SELECT $least, $1"], ""),
        ("SELECT 4 / 2; SELECT 3 - -1;", ["SELECT 4 / 2", "SELECT 3 - -1"], ""),
    ],
)
def test_split(text: str, statements: list[str], rest: str) -> None:
    assert split(text) == (statements, rest)


def test_split_takes_time_proportional_to_the_text() -> None:
    assert len(split("SELECT 'a';" * 20_000)[0]) == 20_000
    assert split("'" * 100_001)[1] != ""


# --- without a terminal ------------------------------------------------------------

SCRIPT = b"""
-- two statements over three lines; and a comment
SELECT count(*) AS n
FROM t;
SELECT g FROM t WHERE x > 1; SELECT ';' AS a
"""


def test_statements_from_stdin(qt: CommandLine) -> None:
    run = qt("shell", "--table", "t=t.csv", stdin=SCRIPT)
    assert (run.code, run.text, run.errors) == (0, "n\n4\ng\n2\na\n;\n", "")
    assert qt(stdin=b"SELECT 1 AS a;").text == "a\n1\n"
    assert qt(stdin=b" ").text == ""


def test_statements_that_are_no_queries(qt: CommandLine) -> None:
    script = b"""
        CREATE TABLE made AS SELECT g, x FROM 't.csv' WHERE x > 0; CREATE VIEW seen AS
        SELECT g * 10 AS ten FROM made;
        INSERT INTO made VALUES ($g, 7);
        .tables
        .schema
        SELECT sum(ten) AS s FROM seen;
        COPY (SELECT ten FROM seen ORDER BY ten) TO 'out.csv';
        SHOW TABLES;
        .explain INSERT INTO made VALUES (9, 9)
    """
    run = qt("shell", "--param", "g=5", stdin=script)
    assert run.code == 1
    assert "INSERT begins a statement" in run.errors
    described = "made (3 rows)\n  g BIGINT\n  x DOUBLE\nseen (a view)\n  ten BIGINT\n"
    assert run.text == f"made\nseen\n{described}s\n80\nname\nmade\nseen\n"
    assert Path("out.csv").read_text() == "ten\n10\n20\n50\n"


def test_created_tables_and_views_are_proposed(qt: CommandLine) -> None:
    shell = Shell(Inputs(), Output("csv"))
    shell.run_text(
        "CREATE TABLE customers (customer_key INTEGER); CREATE VIEW recent AS SELECT customer_key + 1 AS next FROM customers;"
    )
    assert shell.known() == Known({"customers": ["customer_key"], "recent": ["next"]}, [])
    shell.run_text("DROP TABLE customers")
    assert shell.known() == Known({"recent": []}, [])


def test_a_script_ends_at_its_first_error(qt: CommandLine) -> None:
    run = qt(stdin=b"SELECT 1 AS a;\nSELECT b;\nSELECT 2 AS c;")
    assert (run.code, run.text) == (1, "a\n1\n")
    assert run.errors.startswith('BindError: no column "b"')


def test_commands_in_a_script(qt: CommandLine) -> None:
    Path("more.sql").write_text("SELECT $least AS a;\n.quit\nSELECT 3 AS never;")
    script = b"""
        .register t=t.parquet
        .tables
        .schema t
        .mode json
        .param least=0.5
        .param
        SELECT g
        FROM t WHERE x > $least;
        .mode csv
        .timer on
        .explain logical SELECT g FROM t;
        .read more.sql
        SELECT 4 AS never_either;
    """
    run = qt(stdin=script)
    assert run.code == 0
    assert run.text.startswith('t\nt (4 rows)\n  g BIGINT\n  x DOUBLE\n  s VARCHAR\n$least = 0.5\n[{"g":2}]\nbound\nProject g\n')
    assert run.text.endswith("\na\n0.5\n")
    assert run.errors.endswith(" ms\n")


def test_models_in_a_script(qt: CommandLine, tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.f = tf.function(lambda x: x * 2, input_signature=[tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "double"), signatures=module.f)
    run = qt(stdin=b".register t=t.csv\n.model twice=double\n.models\nSELECT twice(g) AS d FROM t LIMIT 1;")
    assert (run.text, run.errors) == ("twice(float32) FLOAT\nd\n2.0\n", "")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (".table", 'DataError: there is no command .table. Did you mean ".tables"? The command .help lists all.'),
        (".xyz", "DataError: there is no command .xyz. The command .help lists all."),
        (".schema nothing", "DataError: no table nothing."),
        (".register t", "DataError: a name, =, and what it stands for are needed: .register t=data.parquet"),
        (".open t=nowhere.csv", "DataError: nowhere.csv: no such file"),
        (".model m=nowhere", 'ModelError: model "m": there is no folder "nowhere"'),
        (".timer", "DataError: the timer is on or off: .timer on"),
        (".mode xml", "DataError: a mode is one of table, csv, json, arrow, parquet: .mode csv"),
        (".rows none", "DataError: a table shows at least one row: .rows 40"),
        (".param x=", "DataError: a name, =, and what it stands for are needed: .param least=0.5"),
        (".param x:day=1", "DataError: x: there is no type day: use int"),
        (".explain hlo", "DataError: say what to explain: .explain hlo SELECT ..."),
        (".read nowhere.sql", "DataError: nowhere.sql: cannot be read: "),
        (".read itself.sql", "DataError: itself.sql reads itself"),
    ],
)
def test_commands_that_cannot_be_done(qt: CommandLine, command: str, message: str) -> None:
    Path("itself.sql").write_text(".read itself.sql")
    run = qt(stdin=command.encode())
    assert run.code == 1
    assert run.errors.startswith(message)


def test_help_lists_every_command(qt: CommandLine) -> None:
    text = qt(stdin=b".help").text
    assert all(command.usage in text for command in COMMANDS.values())


# --- at a terminal ------------------------------------------------------------


@pytest.fixture
def keys(qt: CommandLine) -> Iterator[PipeInput]:
    """What is typed, in a folder with t.csv."""
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        yield pipe


def typed(
    keys: PipeInput, text: str, capsys: pytest.CaptureFixture[str], tables: tuple[tuple[str, str], ...] = ()
) -> tuple[str, str]:
    """Type `text`, then Ctrl-D on an empty line; what is printed to stdout (but for the greeting) and stderr."""
    keys.send_text(text + "\x04")
    Shell(Inputs(tables), Output("csv")).interact()
    shown = capsys.readouterr()
    greeting, _, rest = shown.out.partition("\n")
    assert greeting.startswith("qtensor ")
    return rest, shown.err


def test_a_statement_over_several_lines(keys: PipeInput, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(keys, "SELECT 1 AS a,\n2 AS b\n;\nSELECT 3 AS c;\n", capsys) == ("a,b\n1,2\nc\n3\n", "")


def test_an_error_does_not_end_the_session(keys: PipeInput, capsys: pytest.CaptureFixture[str]) -> None:
    output, errors = typed(keys, "SELECT b;\nSELECT 1 AS a;\n", capsys)
    assert output == "a\n1\n"
    assert errors.startswith('BindError: no column "b"')
    assert errors.endswith("  SELECT b\n         ^\n")


def test_ctrl_c_clears_the_line(keys: PipeInput, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(keys, "SELECT nonsense,\n\x03SELECT 1 AS a;\n", capsys) == ("a\n1\n", "")


def test_quit_and_commands(keys: PipeInput, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(keys, ".tables\n\n.quit\nSELECT 1;\n", capsys, (("t", "t.csv"),)) == ("t\n", "")


def test_history_is_kept_for_the_next_session_and_private(keys: PipeInput, capsys: pytest.CaptureFixture[str]) -> None:
    typed(keys, "SELECT 1 AS a,\n2 AS b;\n", capsys)
    path = history_file()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert typed(keys, "\x1b[A\n", capsys) == ("a,b\n1,2\n", "")  # the up arrow


def test_history_where_no_file_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    history = open_history(tmp_path / "file" / "history")
    history.append_string("SELECT 1;")
    assert history.get_strings() == ["SELECT 1;"]


# --- completion ------------------------------------------------------------

KNOWN = Known({"crime": ["murder", "rape", "murder rate"], "Orders": ["id", "maximum"]}, ["my_model"])


def completed(text: str) -> list[str]:
    completer = SqlCompleter(lambda: KNOWN, COMMANDS)
    return [completion.text for completion in completer.get_completions(Document(text), CompleteEvent(completion_requested=True))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (".re", [".read", ".register"]),
        ("SELECT * FROM ", ["crime", "Orders"]),
        ("select * from o", ["Orders"]),
        ("SELECT m", ["murder", '"murder rate"', "maximum", "my_model", "max", "min"]),
        ("SELECT * FROM crime WHERE m", ["murder", '"murder rate"', "my_model", "max", "min"]),
        ('SELECT "murder', ["murder", '"murder rate"']),
        ("SELECT 1 WH", ["WHEN", "WHERE"]),
        ("select 1 wh", ["when", "where"]),
        ("SELECT ", []),
        ("INSERT INTO o", ["Orders"]),
        ("DESC", ["DESC", "DESCRIBE"]),
    ],
)
def test_completion(text: str, expected: list[str]) -> None:
    assert completed(text) == expected


def test_completion_of_files(qt: CommandLine) -> None:
    for text in ("SELECT * FROM 't.", "COPY crime TO 't.", ".register new=t.", ".read t.", ".open new=t.", ".model m=t."):
        assert completed(text) == ["arrow", "csv", "parquet"]


# --- a terminal, a process ------------------------------------------------------------


class Terminal:
    """`python -m qtensor` in a pseudo-terminal of 40 lines of 100 characters."""

    def __init__(self, *arguments: str, state: Path) -> None:
        self.master, slave = os.openpty()
        termios.tcsetwinsize(slave, (40, 100))
        root = str(Path(__file__).parents[2])
        environment = {**os.environ, "XDG_STATE_HOME": str(state), "TERM": "xterm", "PYTHONPATH": root}
        command = [sys.executable, "-m", "qtensor", *arguments]
        self.process = subprocess.Popen(command, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        self.shown = ""

    def expect(self, text: str) -> None:
        """Wait until `text` is shown after what was waited for before."""
        while text not in self.shown:
            readable, _, _ = select.select([self.master], [], [], 60)
            assert readable, f"{text!r} does not come after {self.shown!r}"
            self.shown += os.read(self.master, 4096).decode(errors="replace")
        self.shown = self.shown.partition(text)[2]

    def send(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self) -> int:
        """Wait for the end; the exit code."""
        try:
            while os.read(self.master, 4096):
                pass
        except OSError:  # how Linux says that nobody holds the other end
            pass
        os.close(self.master)
        return self.process.wait(60)


def test_in_a_pseudo_terminal(qt: CommandLine, tmp_path: Path) -> None:
    terminal = Terminal("shell", "--table", "data=t.csv", state=tmp_path)
    terminal.expect("Ctrl-D leaves")
    terminal.expect("qtensor>")
    terminal.send("SELECT 40 +\r")
    terminal.expect("...>")
    terminal.send("2 AS answer;\r")
    for text in ("answer", "int32", "42", "qtensor>"):
        terminal.expect(text)
    terminal.send("SELECT count(*) AS n FROM da\t")
    terminal.expect("data")
    terminal.send(";\r")
    for text in ("int64", "4", "qtensor>"):
        terminal.expect(text)
    terminal.send("SELECT y FROM data;\r")
    for text in ("BindError", 'no column "y" in data', "       ^", "qtensor>"):
        terminal.expect(text)
    terminal.send("\x04")
    assert terminal.end() == 0


def test_binary_output_to_a_pseudo_terminal_is_refused(qt: CommandLine, tmp_path: Path) -> None:
    terminal = Terminal("run", "SELECT 1", "--format", "parquet", state=tmp_path)
    terminal.expect("stdout is a terminal")
    assert terminal.end() == 2
