"""The benchmark as a picture: bars of the medians on a logarithmic scale, a panel for each section."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report import PARTS, Section, duration
from bench.targets import FIRST_CALL

COLOURS = {
    "PySpark, row UDF": "#8c4a2f",
    "PySpark, pandas UDF": "#c8794f",
    "Spark": "#c8794f",
    "DuckDB": "#e3b23c",
    "DuckDB, Arrow UDF": "#e3b23c",
    "DataFusion": "#7d8da1",
    "qtensor": "#137a63",
    "qtensor, relation.arrow()": "#137a63",
    "qtensor, sql(text).arrow()": "#5fb49c",
    FIRST_CALL: "#b9dccf",
    "TensorFlow": "#d9822b",
    "qtensor, in the session": "#137a63",
    "qtensor, Python artifact": "#5fb49c",
    "qtensor, native library": "#2b4c8c",
    "qtensor, native library, data kept": "#6f8fc9",
    "native executable": "#2b4c8c",
    "TensorFlow, stacked before": "#f0b87a",
    "XGBoost": "#d9822b",
    "XGBoost, stacked before": "#f0b87a",
    "LightGBM": "#d9822b",
    "LightGBM, stacked before": "#f0b87a",
    "scikit-learn": "#d9822b",
    "scikit-learn, stacked before": "#f0b87a",
    "ONNX Runtime": "#7d8da1",
    "Spark, predict_batch_udf": "#c8794f",
}
INCHES_PER_BAR = 0.27


def draw(sections: Sequence[Section], caption: str, path: Path) -> None:
    """Write the picture to `path` (PNG)."""
    heights = [max(2, bars(section)) for section in sections]
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9, INCHES_PER_BAR * sum(heights) + 1.1 * len(sections) + 0.4), layout="constrained")
        for axes, section in zip(panels(figure, heights), sections, strict=True):
            draw_section(axes, section)
        figure.supxlabel(caption, fontsize=7.5, color="#555555")
        figure.savefig(path, dpi=160)


def panels(figure: Figure, heights: Sequence[int]) -> list[Axes]:
    grid = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)
    return [row[0] for row in grid]


def bars(section: Section) -> int:
    """How many lines a panel needs: a bar for each figure, and one between contests."""
    return sum(1 + sum(one.name not in PARTS for one in contest.measured) for contest in section.contests)


def draw_section(axes: Axes, section: Section) -> None:
    measured = [one.median for contest in section.contests for one in contest.measured if one.name not in PARTS]
    place, centres, labelled = 0.0, [], set()
    for contest in section.contests:
        drawn = [one for one in contest.measured if one.name not in PARTS]
        for one in drawn:
            label = one.name if one.name not in labelled else None
            labelled.add(one.name)
            axes.barh(place, one.median * 1e3, height=0.86, color=COLOURS.get(one.name, "#999999"), label=label)
            axes.annotate(
                duration(one.median),
                (one.median * 1e3, place),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
            place += 1
        centres.append(place - (len(drawn) + 1) / 2)
        place += 1
    axes.set_yticks(centres, [contest.name for contest in section.contests])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xscale("log")
    shortest, longest = min(measured) * 1e3, max(measured) * 1e3
    axes.set_xlim(
        10 ** math.floor(math.log10(shortest) - 0.1), longest * 3
    )  # a bar starts where a power of ten is; room for text
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.grid(axis="x", which="major", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel("milliseconds, median, logarithmic: shorter is faster")
    axes.set_title(section.title, loc="left", fontweight="bold")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=8)
