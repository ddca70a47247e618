"""Files that are written whole or not at all: links, permissions, devices, failures, a writer that is killed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from qtensor.files.whole_file import whole_file


def write(path: Path, content: bytes) -> None:
    with whole_file(path) as file:
        file.write(content)


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        write(tmp_path / "file", b"content")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"content"]


def test_a_file_keeps_its_permissions_and_a_link_its_target(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"old")
    file.chmod(0o604)
    link.symlink_to("file")
    write(link, b"new")
    assert link.is_symlink()
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"new", 0o604)


def test_nothing_is_left_of_what_failed(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), whole_file(file) as new:
        new.write(b"half of it")
        raise KeyboardInterrupt
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "no folder" / "file", b"content")


def test_a_named_pipe_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    write(path, b"content")
    reader.join(10)
    assert read == [b"content"]
    assert path.is_fifo()


def test_a_writer_that_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    code = (
        "import os, pathlib, signal, sys\n"
        "from qtensor.files.whole_file import whole_file\n"
        "with whole_file(pathlib.Path(sys.argv[1])) as file:\n"
        "    file.write(b'half of it')\n"
        "    file.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", code, file], env=environment, check=False)
    assert file.read_bytes() == b"old"
    (left,) = [path for path in tmp_path.iterdir() if path != file]
    assert left.name.startswith(".file.qtensor-unfinished-")
    with whole_file(tmp_path / "one"):  # which the next writer leaves alone
        write(tmp_path / "two", b"new")
        assert not left.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "one", "two"]


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its name is, before the write is said to have ended."""
    done: list[str] = []
    original = os.fsync

    def record(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        done.append(f"{kind} {(tmp_path / 'file').exists()}")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    write(tmp_path / "file", b"content")
    assert done == ["file False", "folder True"]


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk."""
    code = (
        "import pathlib, resource, signal, sys\n"
        "import qtensor\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "connection = qtensor.connect()\n"
        "import numpy as np\n"
        "connection.register('t', {'a': np.arange(100000)})\n"
        "connection.sql('SELECT a FROM t').fetchall()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        "    connection.sql(f\"COPY t TO '{sys.argv[1]}'\")\n"
        "except qtensor.errors.QTensorError as error:\n"
        "    print(type(error).__name__)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "out.csv"], env=environment, capture_output=True, text=True)
    assert (done.stdout, list(tmp_path.iterdir())) == ("DataError\n", []), done.stderr
