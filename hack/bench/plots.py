"""Pictures of the benchmarks, by matplotlib (`pip install nodeagent[bench]`). The file's suffix says what it is: .svg or .png."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

try:
    import matplotlib
except ImportError:
    raise SystemExit("plots need matplotlib: .venv/bin/pip install matplotlib") from None

matplotlib.use("agg")
# the same picture from the same figures: nothing but figures changes a file under version control
matplotlib.rcParams.update({"svg.hashsalt": "nodeagent", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3})
from matplotlib import pyplot  # noqa: E402  # after the backend is chosen


def ratios(result: Mapping[str, Any], path: Path) -> None:
    """`hack/bench/duel.py`: a point a pair, the median as a line; below 1 the first side is faster."""
    works = result["works"]
    figure, axes = pyplot.subplots(figsize=(7, 1 + 0.6 * len(works)))
    for row, (_, item) in enumerate(works.items()):
        axes.scatter(item["ratios"], [row] * len(item["ratios"]), s=14, alpha=0.6)
        axes.plot([item["ratio"]] * 2, [row - 0.3, row + 0.3], color="black")
    axes.axvline(1.0, color="grey", linestyle="--")
    axes.set_yticks(range(len(works)), list(works))
    axes.invert_yaxis()
    axes.set_xscale("log")
    for formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        formatter("{x:.2g}")
    axes.set_xlabel(f"time of {result['sides'][0]} / time of {result['sides'][1]}")
    _save(figure, path)


def curves(panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], x_label: str, path: Path) -> None:
    """A panel a title, with named curves of (x, y) points: how costs grow."""
    figure, row = pyplot.subplots(1, len(panels), figsize=(4 * len(panels), 3.2), squeeze=False)
    for axes, (title, lines) in zip(row[0], panels.items(), strict=True):
        for name, points in lines.items():
            axes.plot([x for x, _ in points], [y for _, y in points], marker="o", label=name)
        axes.set_title(title)
        axes.set_xlabel(x_label)
        axes.set_ylim(bottom=0)
        axes.legend()
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
