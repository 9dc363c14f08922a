"""The HTML page of a run: one file, nothing fetched from anywhere (its own policy forbids it)."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from string import Template

from bot.evaluation.metrics import (
    DIMENSIONS,
    METRICS,
    Result,
    Share,
    by_slice,
    kind_confusion,
    measure_confusion,
    shares,
)
from bot.evaluation.pictures import matrix
from bot.evaluation.printing import aim, expected, first_line, got
from bot.evaluation.scoring import Row, is_right_kind, scores_of, visible

MOST_TEXT = 400  # characters; a row of 5,000 letters would bury the others


def page(results: Sequence[Result], broken: Sequence[str], when: datetime) -> str:
    """The page as text; `broken` are the sentences of floors that do not hold."""
    template = Template((Path(__file__).parent / "page.html").read_text("utf-8"))
    sentences = "".join(f"<li>{_text(sentence)}</li>" for sentence in broken)
    return template.substitute(
        when=when.strftime("%Y-%m-%d %H:%M"),
        broken=f'<ul class="broken">{sentences}</ul>' if broken else "",
        files="\n".join(_file(result) for result in results),
    )


def _text(value: str, most: int = MOST_TEXT) -> str:
    return escape(visible(value, most))


def _table(head: Sequence[str], rows: Sequence[str]) -> str:
    cells = "".join(f"<th>{_text(name)}</th>" for name in head)
    return f'<div class="wide"><table><tr>{cells}</tr>{"".join(rows)}</table></div>'


def _file(result: Result) -> str:
    parts = [
        f"<h2>{_text(result.file.path.name)}</h2>",
        f"<p>{len(result.rows)} 行，{len(result.wrong)} 行有错。</p>",
    ]
    parts.append(_headline(result))
    for dimension, label in DIMENSIONS.items():
        if groups := by_slice(result, dimension):
            parts.append(f"<h3>按{label}</h3>{_slices(label, groups)}")
    pictures = (
        ("类别混淆矩阵", kind_confusion(result), is_right_kind),
        ("措施混淆矩阵", measure_confusion(result), operator.eq),
    )
    for title, pairs, is_right in pictures:
        if pairs:
            caption = f"<h3>{title}</h3><p>行：期望；列：得到。</p>"
            parts.append(f'{caption}<div class="wide">{matrix(pairs, title, is_right)}</div>')
    if result.wrong:
        head = ("编号", "问", "期望", "得到", "原因", "答复首行", "打分")
        parts.append(f"<h3>有错的行</h3>{_table(head, [_wrong(row) for row in result.wrong])}")
    return "\n".join(parts)


def _headline(result: Result) -> str:
    rows = []
    for name, share in shares(result.rows).items():
        metric = METRICS[name]
        reached = metric.reached(share)
        tone = "" if reached is None else " good" if reached else " bad"
        rows.append(
            f'<tr><td>{metric.label} <small>{name}</small></td><td class="n{tone}">{_share(share)}</td>'
            f'<td class="n">{share.count}/{share.total}</td><td class="n">{aim(metric)}</td></tr>'
        )
    return _table(("指标", "结果", "条数", "目标"), rows)


def _slices(label: str, groups: dict[str, dict[str, Share]]) -> str:
    names = [name for name in METRICS if any(name in metrics for metrics in groups.values())]
    rows = []
    for value, metrics in groups.items():
        size = max(share.total for share in metrics.values())
        cells = "".join(f'<td class="n">{_share(metrics[n]) if n in metrics else ""}</td>' for n in names)
        rows.append(f'<tr><td>{_text(value)}</td><td class="n">{size}</td>{cells}</tr>')
    return _table((label, "行", *(METRICS[name].label for name in names)), rows)


def _share(share: Share) -> str:
    low, high = share.interval
    return f"{share.value:.1%} <small>[{low:.0%}–{high:.0%}]</small>"


def _wrong(row: Row) -> str:
    question, why = _text(row.question.text), _text("；".join(row.reasons))
    reply, scores = _text(first_line(row)), _text(scores_of(row.outcome))
    return (
        f'<tr><td>{_text(row.question.id)}</td><td class="text">{question}</td>'
        f"<td>{_text(expected(row))}</td><td>{_text(got(row))}</td><td>{why}</td>"
        f'<td class="text">{reply}</td><td class="text">{scores}</td></tr>'
    )
