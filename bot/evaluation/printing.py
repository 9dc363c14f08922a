"""What `hotline eval` prints: tables for people (rich), or one JSON document."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from bot.evaluation.metrics import DIMENSIONS, METRICS, Metric, Result, Share, by_slice, shares
from bot.evaluation.scoring import MISTAKES, Row, scores_of, show, visible

MOST_TEXT = 60  # characters of a message in a table of failed rows
# A dialogue has a handful of turns: its own line would say less than the failed rows do.
PRINTED = [name for name in DIMENSIONS if name != "dialogue"]


def aim(metric: Metric) -> str:
    """The target as people read it."""
    if metric.target is None:
        return ""
    return f"{'≤' if metric.name in MISTAKES else '≥'} {metric.target:.0%}"


def print_result(console: Console, result: Result) -> None:
    """Headline figures, slices and failed rows of one file."""
    threads = len(result.file.threads)
    rows = f"{len(result.rows)} 行"
    size = f"{threads} 段对话，{len(result.rows)} 轮" if result.file.type == "dialogues" else rows
    table = Table("指标", "", "结果", "95% 区间", "条数", "目标", "")
    table.title = f"{result.file.path.name}  {size}"
    for name, share in shares(result.rows).items():
        metric = METRICS[name]
        interval = "{:.1%}–{:.1%}".format(*share.interval)
        reached = metric.reached(share)
        sign = Text("" if reached is None else "✓" if reached else "✗", "green" if reached else "red")
        count = f"{share.count}/{share.total}"
        table.add_row(name, metric.label, f"{share.value:.1%}", interval, count, aim(metric), sign)
    console.print(table)
    for dimension in PRINTED:
        if groups := by_slice(result, dimension):
            console.print(_slices(DIMENSIONS[dimension], groups))
    if result.wrong:
        console.print(_wrong(result.wrong))


def _slices(label: str, groups: dict[str, dict[str, Share]]) -> Table:
    names = [name for name in METRICS if any(name in metrics for metrics in groups.values())]
    table = Table(label, "行", *(Column(name, overflow="fold") for name in names))
    for value, metrics in groups.items():
        size = max(share.total for share in metrics.values())
        table.add_row(value, str(size), *(_cell(metrics.get(name)) for name in names))
    return table


def _cell(share: Share | None) -> str:
    return f"{share.value:.0%}" if share else ""


def _wrong(rows: Sequence[Row]) -> Table:
    head = [Column(name, overflow="fold") for name in ("编号", "问", "期望", "得到", "原因", "打分")]
    table = Table(*head, title=f"错 {len(rows)} 行", show_lines=True)
    for row in rows:
        # Text, so that brackets in a citizen's message are not read as markup.
        cells = [row.question.id, visible(row.question.text, MOST_TEXT), expected(row), got(row)]
        cells += ["；".join(row.reasons), visible(scores_of(row.outcome), 200)]
        table.add_row(*(Text(visible(cell)) for cell in cells))
    return table


def expected(row: Row) -> str:
    """What the file wants of a row: kind and measures, or the phrases."""
    question = row.question
    if question.must:
        wanted = " && ".join("|".join(group) for group in question.must)
        return wanted + (f"；不得含 {'|'.join(question.must_not)}" if question.must_not else "")
    return question.kind + (f" {show(question.measures)}" if question.measures else "")


def got(row: Row) -> str:
    """What the instance gave: kind, measures, and `?` with what it asked back."""
    outcome = row.outcome
    parts = [outcome.kind or "none"]
    if outcome.measures:
        parts.append(show([outcome.measures]))
    if outcome.offered:
        parts.append(f"?{show(outcome.offered)}")
    if outcome.unspecified:
        parts.append("未规定")
    return " ".join(parts)


def first_line(row: Row) -> str:
    """The first line of the reply."""
    return next((line for line in row.outcome.text.splitlines() if line.strip()), "")


def document(results: Sequence[Result], broken: Sequence[str], when: datetime) -> dict[str, Any]:
    """Everything as one JSON document; shares are from 0 to 1, `floors` says which do not hold."""
    return {
        "at": when.isoformat(timespec="seconds"),
        "files": [
            {
                "file": result.file.path.name,
                "type": result.file.type,
                "rows": len(result.rows),
                "metrics": _shares(shares(result.rows)),
                "slices": {
                    dimension: {value: _shares(metrics) for value, metrics in groups.items()}
                    for dimension in DIMENSIONS
                    if (groups := by_slice(result, dimension))
                },
                "failed": [_row(row) for row in result.wrong],
            }
            for result in results
        ],
        "floors": list(broken),
    }


def _shares(found: dict[str, Share]) -> dict[str, Any]:
    return {
        name: {
            "value": round(share.value, 4),
            "count": share.count,
            "total": share.total,
            "interval": [round(limit, 4) for limit in share.interval],
        }
        for name, share in found.items()
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "id": row.question.id,
        "text": visible(row.question.text),
        "expected": expected(row),
        "got": got(row),
        "reasons": list(row.reasons),
        "reply": visible(first_line(row)),
        "debug": row.outcome.debug,
    }
