"""Pictures of a benchmark's report, one a question, as SVG beside it. Runs in the engine's environment, which brings
matplotlib: `.venv-engine/bin/python -m tests.bench.plots docs/bench/latest.json`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

# The same report gives the same file.
matplotlib.rcParams.update({"svg.hashsalt": "bench", "font.size": 10, "axes.spines.top": False})
matplotlib.rcParams.update({"axes.spines.right": False, "figure.figsize": (6.4, 3.6)})

OURS, STOCK = "#07c160", "#8a8f98"
Report = dict[str, Any]


def _rows(report: Report, keys: list[str]) -> list[dict[str, Any]]:
    found = {row["key"]: row for row in report["rows"]}
    return [found[key] for key in keys if key in found and found[key]["stock"] is not None]


def _bars(axes: Any, rows: list[dict[str, Any]], labels: list[str], unit: str) -> None:
    places = range(len(rows))
    for shift, name, color in ((-0.2, "ours", OURS), (0.2, "stock", STOCK)):
        bars = axes.bar(
            [p + shift for p in places], [row[name] for row in rows], 0.38, color=color, label=name
        )
        axes.bar_label(bars, fmt="%.3g", fontsize=8)
    axes.set_xticks(list(places), labels)
    axes.set_ylabel(unit)
    axes.legend(frameon=False)


def parse(report: Report, axes: Any) -> None:
    """Understanding a sentence."""
    rows = _rows(report, ["parse_p50", "parse_p95", "decide_p50", "decide_p95"])
    _bars(axes, rows, ["parse p50", "parse p95", "decide p50", "decide p95"][: len(rows)], "ms")


def throughput(report: Report, axes: Any) -> None:
    """Turns a second."""
    rows = [r for r in report["rows"] if r["key"].startswith("rate_") and r["stock"] is not None]
    _bars(axes, rows, [f"{row['key'].removeprefix('rate_')} at once" for row in rows], "turns a second")


def length(report: Report, axes: Any) -> None:
    """A turn as the conversation grows."""
    lines = report["turn_by_length"]
    turns = [int(line["turns"].split("–")[1]) for line in lines]
    for name, color in (("ours", OURS), ("stock", STOCK)):
        if name in lines[0]["ms"]:
            axes.plot(turns, [line["ms"][name] for line in lines], color=color, label=name)
    axes.set(xlabel="turn", ylabel="ms, median of 20", ylim=(0, None))
    axes.legend(frameon=False)


def start(report: Report, axes: Any) -> None:
    """From the command to the first answer, and training."""
    rows = _rows(report, ["ready", "first", "training"])
    _bars(axes, rows, ["ready", "first answer", "training"][: len(rows)], "seconds, logarithmic")
    axes.set_yscale("log")


def memory(report: Report, axes: Any) -> None:
    """Memory."""
    rows = _rows(report, ["engine", "memory"])
    _bars(axes, rows, ["engine, resident", "all processes"][: len(rows)], "MB")


PLOTS: tuple[Callable[[Report, Any], None], ...] = (parse, throughput, length, start, memory)


def draw(path: Path) -> list[Path]:
    """Draw every plot of the report at `path` beside it; gives the pictures' paths."""
    report = json.loads(path.read_text("utf-8"))
    drawn = []
    for plot in PLOTS:
        figure, axes = plt.subplots(layout="constrained")
        plot(report, axes)
        axes.set_title((plot.__doc__ or "").rstrip("."), loc="left")
        drawn.append(path.with_name(f"{path.stem}-{plot.__name__}.svg"))
        figure.savefig(drawn[-1], metadata={"Date": None})
        plt.close(figure)
    return drawn


if __name__ == "__main__":
    for name in sys.argv[1:]:
        draw(Path(name))
