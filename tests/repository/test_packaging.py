"""What is built from this repository: a wheel and a source distribution that own the name qtensor and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
LINKS = ("lowering", "aot", "datasets")
IGNORED = shutil.ignore_patterns(".git", ".venv*", "__pycache__", "*.egg-info", "build", "dist", ".*_cache", ".hypothesis")


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the wheel and the source distribution, built from a copy as a fresh checkout would be."""
    copy = tmp_path_factory.mktemp("build") / "qtensor"
    shutil.copytree(ROOT, copy, symlinks=True, ignore=IGNORED)
    run(sys.executable, "-m", "build", "--no-isolation", "--sdist", "--wheel", cwd=copy)
    return copy / "dist"


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    (path,) = built.glob("*.whl")
    return path


def python_files(folder: str) -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*.py")}


def other_files(folder: str) -> set[str]:
    paths = [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(ROOT).as_posix() for path in paths if path.suffix != ".py"}


def names(wheel: Path) -> list[PurePosixPath]:
    return [PurePosixPath(name) for name in zipfile.ZipFile(wheel).namelist()]


@pytest.mark.parametrize("name", LINKS)
def test_packages_beside_qtensor_are_linked_into_it(name):
    link = ROOT / "qtensor" / name
    assert link.is_symlink()
    assert link.readlink() == Path("..") / name


def test_wheel_owns_only_qtensor(wheel):
    assert {name.parts[0] for name in names(wheel)} == {"qtensor", "qtensor_sql-0.1.0.dist-info"}


def test_wheel_has_every_module_and_the_data(wheel):
    packed = {str(name) for name in names(wheel)}
    linked = {f"qtensor/{path}" for folder in LINKS for path in python_files(folder)}
    own = {path.relative_to(ROOT).as_posix() for path in (ROOT / "qtensor").glob("**/*.py") if not set(path.parts) & set(LINKS)}
    data = {"qtensor/py.typed", "qtensor/datasets/data/usarrests.csv", "qtensor/datasets/data/README.md"}
    native = {f"qtensor/{path}" for path in other_files("aot/native")}
    assert len(linked) > 10
    assert {"qtensor/aot/native/src/engine.cc", "qtensor/aot/native/templates/main.c"} <= native
    assert own | linked | data | native == {name for name in packed if name.startswith("qtensor/")}


def test_source_distribution_builds_the_same_wheel(built, wheel, tmp_path):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", cwd=source)
    (again,) = (source / "dist").glob("*.whl")
    assert sorted(names(again)) == sorted(names(wheel))


def test_installed_wheel_leaves_the_name_datasets_to_others(wheel, tmp_path):
    """The wheel alone in a folder: its data can be read, and the names that others may own are not found."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    program = f"""
import importlib.util, sys
sys.path[:] = [path for path in sys.path if path not in ("", {str(ROOT)!r})]
sys.path.insert(0, {str(tmp_path)!r})
import qtensor.datasets
assert qtensor.datasets.__file__.startswith({str(tmp_path)!r}), qtensor.datasets.__file__
assert qtensor.datasets.crime(60).num_rows == 60
print(*(name for name in {LINKS!r} if importlib.util.find_spec(name)))
"""
    assert run(sys.executable, "-I", "-c", program, cwd=tmp_path).split() == []
