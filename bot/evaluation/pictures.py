"""A confusion matrix as an inline SVG picture; no namespace address, as HTML needs none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from html import escape

CELL = 30  # pixels
MARGIN = 96  # pixels for the labels
LETTER = 7  # pixels, about, of one Latin letter at 12 pixels


def matrix(pairs: Counter[tuple[str, str]], title: str, is_right: Callable[[str, str], bool]) -> str:
    """Rows: what was expected; columns: what was given; `is_right(row, column)` colours a cell.

    A cell's depth is its share of the row.
    """
    rows = order({expected for expected, _ in pairs})
    columns = order({given for _, given in pairs} | {row for row in rows if is_right(row, row)})
    totals = {row: sum(pairs[row, column] for column in columns) for row in rows}
    left = max(MARGIN, 12 + LETTER * max((len(row) for row in rows), default=0))
    width, height = left + CELL * len(columns) + 8, MARGIN + CELL * len(rows) + 8
    parts = [
        f'<svg class="matrix" role="img" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f"<title>{escape(title)}</title>",
    ]
    for y, row in enumerate(rows):
        parts.append(
            f'<text x="{left - 6}" y="{MARGIN + CELL * y + 20}" text-anchor="end">{escape(row)}</text>'
        )
    for x, column in enumerate(columns):
        turned = f"translate({left + CELL * x + 19} {MARGIN - 6}) rotate(-60)"
        parts.append(f'<text transform="{turned}">{escape(column)}</text>')
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            place = (left + CELL * x, MARGIN + CELL * y)
            tone = "right" if is_right(row, column) else "wrong"
            hint = f"{row} → {column}: {pairs[row, column]} / {totals[row]}"
            parts.append(_cell(place, tone, hint, pairs[row, column], totals[row]))
    return "".join([*parts, "</svg>"])


def order(names: set[str]) -> list[str]:
    """Numbers by size, then words by letter, `clarify` and `none` last."""
    last = {"clarify": 1, "none": 2}
    return sorted(names, key=lambda n: (last.get(n, 0), not n.isdigit(), int(n) if n.isdigit() else 0, n))


def _cell(at: tuple[int, int], tone: str, hint: str, count: int, total: int) -> str:
    x, y = at
    depth = 0.12 + 0.78 * count / total if count else 0
    size = f'width="{CELL - 1}" height="{CELL - 1}"'
    box = f'<rect class="{tone}" x="{x}" y="{y}" {size} fill-opacity="{depth:.2f}"/>'
    if not count:
        return box
    label = f'<text x="{x + CELL // 2}" y="{y + 20}" text-anchor="middle">{count}</text>'
    return f"<g><title>{escape(hint)}</title>{box}{label}</g>"
