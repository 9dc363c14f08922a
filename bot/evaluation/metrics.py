"""From marks to shares: headline figures, slices, Wilson intervals and the two confusion matrices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

from bot.evaluation.samples import Measures, SampleFile
from bot.evaluation.scoring import GENERAL, MISTAKES, Row

Z95 = 1.959963984540054  # standard normal quantile of 97.5 %


@dataclass(frozen=True)
class Metric:
    """A figure, its Chinese label and the target of the issue on understanding (None: told only)."""

    name: str
    label: str
    target: float | None = None

    def reached(self, share: Share) -> bool | None:
        """Whether the target is reached; None where there is no target."""
        if self.target is None:
            return None
        return share.value <= self.target if self.name in MISTAKES else share.value >= self.target


METRICS = {
    metric.name: metric
    for metric in (
        Metric("kind", "类别正确", 0.95),
        Metric("exact", "政策：措施完全一致", 0.92),
        Metric("any_hit", "政策：至少答对一条", 0.96),
        Metric("assisted", "政策：反问且含正确选项"),
        Metric("false_answer", "超范围却答了措施", 0.02),
        Metric("false_refusal", "政策问题被拒答", 0.03),
        Metric("unspecified_said", "未规定处说了未规定", 0.90),
        Metric("wrongly_denied", "有规定却说未规定"),
        Metric("emergency_found", "险情识别", 0.99),
        Metric("false_alarm", "险情误报", 0.02),
        Metric("facets", "要点正确", 0.95),
        Metric("turns", "对话轮次正确", 0.92),
        Metric("turn_kind", "轮次：类别正确"),
        Metric("turn_measures", "轮次：措施完全一致"),
        Metric("failed", "无可用回复"),
    )
}
DIMENSIONS = {
    "kind": "类别",
    "style": "文体",
    "measure": "措施",
    "set": "分集",
    "facet": "要点",
    "dialogue": "对话",
}


@dataclass(frozen=True)
class Share:
    """`count` of `total`; a value from 0 to 1 with its Wilson 95 % interval."""

    count: int
    total: int

    @property
    def value(self) -> float:
        """The share; a Share has at least one row."""
        return self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson score interval, 95 % (Wilson 1927)."""
        n, p, z = self.total, self.value, Z95
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class Result:
    """A file and its scored rows."""

    file: SampleFile
    rows: tuple[Row, ...]

    @property
    def wrong(self) -> list[Row]:
        """The rows in which something was wrong."""
        return [row for row in self.rows if row.wrong]


def shares(rows: Iterable[Row]) -> dict[str, Share]:
    """Each metric that at least one row counts for, in the order of `METRICS`."""
    counted: dict[str, list[bool]] = {}
    for row in rows:
        for name, mark in row.marks.items():
            counted.setdefault(name, []).append(mark)
    return {name: Share(sum(counted[name]), len(counted[name])) for name in METRICS if name in counted}


def by_slice(result: Result, dimension: str) -> dict[str, dict[str, Share]]:
    """The metrics of each value of a dimension (see `DIMENSIONS`), numbers in order."""
    groups: dict[str, list[Row]] = {}
    for row in result.rows:
        for value in row.slices.get(dimension, ()):
            groups.setdefault(value, []).append(row)
    ordered = sorted(groups, key=lambda value: (int(value) if value.isdigit() else 0, value))
    return {value: shares(groups[value]) for value in ordered}


def flat(result: Result) -> dict[str, Share]:
    """Every figure under the name floors use: `kind`, or `style/asr/any_hit` for a slice."""
    found = shares(result.rows)
    for dimension in DIMENSIONS:
        for value, metrics in by_slice(result, dimension).items():
            found |= {f"{dimension}/{value}/{name}": share for name, share in metrics.items()}
    return found


EXPECTED = {"policy_facet": "policy", "followup": "policy", "meta": "notice"}


def kind_confusion(result: Result) -> Counter[tuple[str, str]]:
    """(expected kind, kind of the answer) → rows; policy and policy_facet are one kind."""
    pairs = (
        (EXPECTED.get(row.question.kind, row.question.kind), row.outcome.kind or "none")
        for row in result.rows
        if row.question.kind
    )
    return Counter(pairs)


def measure_confusion(result: Result) -> Counter[tuple[str, str]]:
    """(measure expected, measure named) → times, over policy rows and out-of-scope rows.

    A measure that is missed is paired with each wrong one named instead, else with `clarify` or `none`; wrong
    ones beside a complete answer, or on an out-of-scope row, are paired with `none` expected.
    """
    pairs: Counter[tuple[str, str]] = Counter()
    for row in result.rows:
        got = row.outcome.measures
        if not row.question.measures and row.question.kind != "oos":
            continue
        best = _nearest(row.question.measures, got)
        extra = got - best - (GENERAL if row.question.broad else frozenset())
        missed = best - got
        pairs.update((str(m), str(m)) for m in best & got)
        nothing = "clarify" if row.outcome.kind == "clarify" else "none"
        instead = sorted(str(m) for m in extra) or [nothing]
        pairs.update((str(m), name) for m in missed for name in instead)
        if not missed:
            pairs.update(("none", str(m)) for m in extra)
    return pairs


def _nearest(wanted: Measures, got: frozenset[int]) -> frozenset[int]:
    return min(wanted, key=lambda one: (len(one ^ got), sorted(one))) if wanted else frozenset()
