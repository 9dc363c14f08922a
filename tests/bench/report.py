"""The figures as rows: what each is, what must hold, and the table in which they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Unit = Literal["s", "ms", "MB", "/s", "%", "×"]
DIGITS: dict[str, int] = {"s": 1, "ms": 1, "MB": 0, "/s": 1, "%": 1, "×": 2}


@dataclass(frozen=True)
class Row:
    """One figure of both bots. `ours` and `stock` are in `unit`; None: not measured in this run.

    What must hold: `limit` for ours (in `unit`, at most), `times` as fast or as small as stock, `better` than
    stock (equal is enough where nothing is left to win).
    """

    key: str
    label: str
    unit: Unit
    ours: float | None
    stock: float | None
    more_is_better: bool = False
    limit: float | None = None
    times: float | None = None
    better: bool = False

    @property
    def factor(self) -> float | None:
        """How many times better ours is; below 1 it is worse."""
        if not self.ours or not self.stock:
            return None
        return self.ours / self.stock if self.more_is_better else self.stock / self.ours

    @property
    def beside(self) -> str:
        """Ours beside stock, in words."""
        if self.ours is None or self.stock is None:
            return ""
        if self.unit == "%":
            return f"{self.ours - self.stock:+.1f} points"
        if self.factor is None or self.unit == "×":
            return ""
        if self.unit == "MB":
            return f"{1 / self.factor:.2f} of it"
        return f"{self.factor:.2g} × as {'many' if self.more_is_better else 'fast'}"

    @property
    def demands(self) -> list[tuple[str, bool]]:
        """What must hold, and whether it does; what cannot be judged is left out."""
        found: list[tuple[str, bool]] = []
        if self.limit is not None and self.ours is not None:
            found.append((f"≤ {self.limit:g} {self.unit}", self.ours <= self.limit))
        if self.times is not None and self.factor is not None:
            text = f"≤ {1 / self.times:.2g} of it" if self.unit == "MB" else f"≥ {self.times:g} ×"
            found.append((text, self.factor >= self.times))
        if self.better and self.ours is not None and self.stock is not None:
            won = self.ours > self.stock if self.more_is_better else self.ours < self.stock
            won |= self.ours == self.stock == (100.0 if self.more_is_better else 0.0)
            found.append(("better", won))
        return found

    def as_json(self) -> dict[str, Any]:
        """For `latest.json`."""
        return {
            "key": self.key,
            "label": self.label,
            "unit": self.unit,
            "ours": None if self.ours is None else round(self.ours, 3),
            "stock": None if self.stock is None else round(self.stock, 3),
            "factor": None if self.factor is None else round(self.factor, 3),
            "must": [{"what": what, "holds": holds} for what, holds in self.demands],
        }


def show(value: float | None, unit: Unit) -> str:
    """A figure with its unit; a dash where there is none."""
    return "–" if value is None else f"{value:,.{DIGITS[unit]}f} {unit}"


def head(learned: dict[str, str]) -> tuple[str, ...]:
    """The head of the table; `learned`: what each bot had learned when it was measured."""
    columns = {"ours": "ours", "stock": "stock Rasa"}
    named = [f"{title}, {learned[name]}" if name in learned else title for name, title in columns.items()]
    return ("", *named, "ours beside stock", "must hold")


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table."""
    must = "; ".join(f"{what} {'✓' if holds else '✗ missed'}" for what, holds in row.demands)
    return row.label, show(row.ours, row.unit), show(row.stock, row.unit), row.beside, must


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; every column but the first is right-aligned."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))


PICTURES = ("parse", "throughput", "length", "start", "memory")  # of tests/bench/plots.py


def document(report: dict[str, Any], rows: Sequence[Row], name: str) -> str:
    """`latest.md` or `sample.md`: the table, the pictures, the growth of a turn, the thresholds, how it was measured.

    `name` is the report's, under which its pictures lie beside it.
    """
    machine = report["machine"]
    parts = [
        "# Beside the stock Rasa pipeline",
        "",
        f"Measured {report['at']} in one run of `{report['command']}` at commit {report['commit']}; "
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB; "
        f"load average {machine['load_before']} before, {machine['load_after']} after, "
        f"{machine['load_most']} at most; with nothing else running it is about 1. "
        "What stands behind each row: [README.md](README.md). Written by `--record`, never by hand.",
        "",
        markdown(head(report["learned"]), [cells(row) for row in rows]),
        "",
        *(f"![{picture}]({name}-{picture}.svg)" for picture in PICTURES),
        "",
    ]
    if growth := report.get("turn_by_length"):
        titles = ["turns", *(f"{name}, median" for name in growth[0]["ms"])]
        lines = [[line["turns"], *(show(ms, "ms") for ms in line["ms"].values())] for line in growth]
        parts += ["## The same conversation as it grows", "", markdown(titles, lines), ""]
    if sweep := report.get("stock_by_threshold"):
        titles = ["stock, threshold", *sweep[0]["shares"]]
        lines = [[line["threshold"], *(show(v, "%") for v in line["shares"].values())] for line in sweep]
        parts += [
            "## The stock bot with other fallback thresholds",
            "",
            "The same readings, all files together, `ambiguity_threshold` unchanged.",
            "",
            markdown(titles, lines),
            "",
        ]
    parts += ["## Notes", "", *(f"- {note}" for note in report["notes"]), ""]
    return "\n".join(parts)
