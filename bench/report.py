"""What a run of the benchmark leaves behind: tables on the screen, and a JSON file with every sample."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

import qtensor
from bench.cold_start import BEYOND_JAX
from bench.headline import EXECUTION
from bench.targets import COMPILING, Target
from bench.timing import Contest
from qtensor.process.cores import available_cores

LIBRARIES = ("jax", "jaxlib", "tensorflow", "numpy", "pyarrow", "pandas", "duckdb", "datafusion", "pyspark")
# Rows that are contained in the row above them.
PARTS = (EXECUTION, COMPILING, BEYOND_JAX)


@dataclass(frozen=True)
class Section:
    """Contests that share a table, a column each; `baseline` is the contestant that the others are compared with.

    remarks: what to know to read the figures rightly, a sentence or two each.
    """

    title: str
    contests: tuple[Contest, ...]
    baseline: str
    remarks: tuple[str, ...] = ()

    @property
    def contestants(self) -> list[str]:
        """Every contestant of any contest, in order of appearance."""
        return list(dict.fromkeys(one.name for contest in self.contests for one in contest.measured))


def section_table(section: Section) -> Table:
    """Medians, and how many times as long as the baseline they are."""
    table = Table(title=section.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for contest in section.contests:
        table.add_column(contest.name, justify="right")
    for name in section.contestants:
        cells = [cell(contest, name, section.baseline) for contest in section.contests]
        table.add_row(f"  {name}" if name in PARTS else name, *cells, style=row_style(name, section.baseline))
    return table


def cell(contest: Contest, name: str, baseline: str) -> Text:
    seconds = contest.median(name)
    if seconds is None:
        return Text("-", style="dim")
    ratio = contest.ratio(name, baseline)
    factor = f"{times(ratio):>8}" if ratio is not None and name != baseline and name not in PARTS else " " * 8
    return Text.assemble(duration(seconds), (factor, "dim"))


def row_style(name: str, baseline: str) -> str:
    if name in PARTS:
        return "dim"
    return "bold green" if name == baseline else "green" if name.startswith("qtensor") else ""


def duration(seconds: float) -> str:
    """Three significant digits in the unit that suits.

    >>> duration(0.000214), duration(0.0123), duration(4.5)
    ('0.214 ms', '12.3 ms', '4.50 s')
    """
    value, unit = (seconds, "s") if seconds >= 1 else (seconds * 1e3, "ms")
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f} {unit}"


def times(ratio: float) -> str:
    """A ratio as people say it.

    >>> times(1234.5), times(12.34), times(0.5)
    ('1,234x', '12x', '0.50x')
    """
    digits = 0 if ratio >= 10 else 1 if ratio >= 1 else 2
    return f"{ratio:,.{digits}f}x"


def target_table(targets: Sequence[Target]) -> Table:
    """Each target, what was measured, and whether it was reached."""
    table = Table(title="Targets", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    table.add_column("target", justify="right")
    table.add_column("measured", justify="right")
    table.add_column("")
    for target in targets:
        verdict = Text("reached", style="green") if target.reached else Text("missed", style="bold red")
        table.add_row(target.name, target.bound, target.found, verdict)
    return table


def machine() -> dict[str, Any]:
    """What the figures depend on: processor, cores, versions. No names or paths of this machine."""
    versions = {"qtensor": qtensor.__version__}
    for library in LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": processor(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "cores": available_cores(),
        "python": platform.python_version(),
        "versions": versions,
    }


def processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def as_json(sections: Sequence[Section], targets: Sequence[Target], **settings: object) -> dict[str, Any]:
    """Everything that was measured, in seconds."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": settings,
        "machine": machine(),
        "sections": [section_json(section) for section in sections],
        "targets": [
            {
                "name": target.name,
                "bound": target.bound,
                "measured": target.measured,
                "unit": target.unit,
                "reached": target.reached,
            }
            for target in targets
        ],
    }


def section_json(section: Section) -> dict[str, Any]:
    return {
        "title": section.title,
        "baseline": section.baseline,
        "remarks": section.remarks,
        "contests": [contest_json(contest) for contest in section.contests],
    }


def contest_json(contest: Contest) -> dict[str, Any]:
    return {
        "name": contest.name,
        "skipped": contest.skipped,
        "contestants": [
            {
                "name": one.name,
                "median": one.median,
                "samples": [round(value, 9) for value in one.seconds],
                **({"note": one.note} if one.note else {}),
            }
            for one in contest.measured
        ],
    }


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write `content` for people and programs."""
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
