"""The notebooks run anew from top to bottom, and are stored with their outputs."""

import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert [path.name for path in NOTEBOOKS] == ["01_first_query.ipynb", "02_labels_from_counts.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell runs without an error, in a fresh kernel of this Python; what the stored notebook shows, the new one shows too."""
    monkeypatch.setenv("PYTHONPATH", str(path.parents[1]))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    stored = nbformat.read(path, as_version=4)
    fresh = nbformat.read(path, as_version=4)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    client = NotebookClient(fresh, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}})
    client.create_kernel_manager()
    client.km.kernel_spec.argv[0] = sys.executable
    client.execute()
    for old, new in zip(stored.cells, fresh.cells, strict=True):
        if old.cell_type == "code":
            assert old.execution_count, "stored without its outputs"
            assert kinds(new) >= kinds(old), old.source


def kinds(cell: nbformat.NotebookNode) -> set[str]:
    """What a cell shows: text, tables, pictures."""
    shown: set[str] = set()
    for output in cell.outputs:
        shown |= set(output.data) if "data" in output else {output.name} - {"stderr"}
    return shown
