"""The TPC-H tables as Parquet files, made by the program tpchgen-cli and kept in the cache folder."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qtensor.errors import DataError
from qtensor.files.folders import cache_folder

PROGRAM = "tpchgen-cli"
TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")


def tpch(scale: float = 1.0, folder: str | os.PathLike[str] | None = None, parts: int | None = None) -> dict[str, Path]:
    """The eight TPC-H tables at a scale factor, generated when asked for the first time.

    The files of a scale appear all at once, by the renaming of a finished folder, so whoever is killed while generating
    leaves nothing that looks like data. Processes that ask for the same scale at the same time wait for the one that generates.

    Args:
        scale: the scale factor; at 1, lineitem has 6 million rows and all files together about 350 MB.
        folder: where to keep the data; without it, `tpch` in qtensor's cache folder (the environment variable QTENSOR_CACHE,
            else the user's cache folder). Each version of the generator has its own subfolder.
        parts: how many files each large table is cut into; without it, one.

    Returns:
        The path of the Parquet file of each table, by table name: {"customer": .../customer.parquet, ...}; with `parts` that of
        the folder of its files.

    Raises:
        DataError: scale or parts are no positive numbers, tpchgen-cli is missing or fails, or the folder cannot be written.
    """
    factor = _checked_scale(scale)
    if parts is not None and parts < 1:
        raise DataError(f"parts must be a positive number, it is {parts}")
    program = _find_program()
    root = cache_folder() / "tpch" if folder is None else Path(folder).absolute()
    data = root / _version(program) / (f"sf{factor}" if parts is None else f"sf{factor}-{parts}")
    if not _complete(data):
        try:
            data.parent.mkdir(parents=True, exist_ok=True)
            with _only_one(data.with_name(f"{data.name}.lock")) as lock:
                if not _complete(data):  # another process may have made it while this one waited
                    _generate(program, factor, data, lock, parts)
        except OSError as error:
            raise DataError(f"cannot keep TPC-H data in {root}: {error}") from error
    return _tables(data)


def _tables(data: Path) -> dict[str, Path]:
    """Where the tables are: files, or folders of them."""
    return {table: data / table if (data / table).is_dir() else data / f"{table}.parquet" for table in TABLES}


def _complete(data: Path) -> bool:
    return all(path.exists() for path in _tables(data).values())


def _generate(program: str, factor: str, data: Path, lock: int, parts: int | None) -> None:
    """Make the folder `data`. The caller holds `lock`, so any temporary folder beside `data` belongs to a dead process."""
    prefix = f"{data.name}.making-"
    for stale in data.parent.glob(f"{prefix}*"):
        shutil.rmtree(stale)
    cut = [] if parts is None else ["--parts", str(parts)]
    making = Path(tempfile.mkdtemp(prefix=prefix, dir=data.parent))
    try:
        # The program inherits the lock: should this process be killed, nobody comes in until the program too has ended.
        done = subprocess.run(
            [program, "parquet", "--quiet", "--scale-factor", factor, "--output-dir", str(making), *cut],
            pass_fds=(lock,),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0 or not _complete(making):
            reason = done.stderr.strip() or f"it ended with status {done.returncode} and without all tables"
            raise DataError(f"{PROGRAM} failed at scale {factor}: {reason}")
        for path in making.rglob("*.parquet"):
            _flush(path)
        if data.exists():  # and is incomplete, or this function would not have been called
            shutil.rmtree(data)
        making.chmod(0o755)  # mkdtemp makes a folder that nobody else may read
        making.rename(data)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _flush(path: Path) -> None:
    """Bring the file to the disk, lest a power cut keep the folder's new name and lose what is in it."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def _only_one(path: Path) -> Iterator[int]:
    """Wait until no other process is in here with the same path; the system lets a dead one go. Yields the lock's descriptor."""
    import fcntl  # not on Windows, where the rest of qtensor.datasets works

    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _checked_scale(scale: float) -> str:
    """The scale as the generator and the folder's name spell it: 1.0 is 1."""
    try:
        number = float(scale)
    except (TypeError, ValueError):
        raise DataError(f"scale must be a number, not {scale!r}") from None
    if not (math.isfinite(number) and number > 0):
        raise DataError(f"scale must be a positive number, it is {number}")
    return str(int(number)) if number.is_integer() else repr(number)


def _find_program() -> str:
    """The generator of this Python environment, else the first on the PATH."""
    places = [sysconfig.get_path("scripts"), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    program = shutil.which(PROGRAM, path=os.pathsep.join(places))
    if program is None:
        raise DataError(f"TPC-H data is made by the program {PROGRAM}, which is not installed: pip install tpchgen-cli")
    return program


def _version(program: str) -> str:
    """The program and its version as one word, such as tpchgen-cli-4.0.0; another version may write other data."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise DataError(f"{program} does not run: {error}") from error
    words = done.stdout.split()
    if len(words) != 2 or words[0] != PROGRAM or "/" in words[1]:
        raise DataError(f"{program} is not the generator of TPC-H data; asked for its version it says {done.stdout.strip()!r}")
    return "-".join(words)
