"""Floors under the figures, kept in `tests/floors.yml`: they only get stricter.

The file holds `{file stem: {metric: floor}}`, shares from 0 to 1. A metric is a headline figure (`kind`) or a
slice (`style/asr/any_hit`). For metrics that count mistakes (`false_answer` …) the number is a ceiling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import yaml

from bot.evaluation.metrics import METRICS, Result, flat, shares
from bot.evaluation.samples import FormatError
from bot.evaluation.scoring import MISTAKES, NEUTRAL

MARGIN = 0.005  # half a percentage point between what was measured and what is guarded
TOLERANCE = 1e-9  # a share that equals its floor holds it, whatever the floating point says
HEAD = """\
# Floors of `hotline eval` (bot/evaluation/floors.py): file stem -> metric -> share from 0 to 1.
# Mistakes (false_answer, false_refusal, wrongly_denied, false_alarm, failed) have ceilings.
# A slice is named dimension/value/metric, such as style/asr/any_hit. Numbers only get stricter.
"""

Floors = dict[str, dict[str, float]]


def read_floors(path: Path) -> Floors:
    """The floors of a file; `FormatError` when it is missing, is no mapping of shares or names no metric."""
    try:
        held = yaml.safe_load(path.read_text("utf-8")) or {}
        floors = {str(stem): {str(k): float(v) for k, v in named.items()} for stem, named in held.items()}
    except (OSError, yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        raise FormatError(f"{path}: is no file of floors ({error})") from error
    for stem, named in floors.items():
        for name, floor in named.items():
            if _metric(name) not in METRICS or _metric(name) in NEUTRAL:
                raise FormatError(f"{path}: {stem}: {name} is no metric with a floor")
            if not 0 <= floor <= 1:
                raise FormatError(f"{path}: {stem}: {name}: {floor} is no share from 0 to 1")
    return floors


def check_floors(results: Sequence[Result], path: Path) -> list[str]:
    """One sentence for every floor that does not hold; empty when all hold."""
    floors = read_floors(path)
    broken = []
    for result in results:
        measured = flat(result)
        for name, floor in floors.get(result.file.stem, {}).items():
            head = f"{result.file.stem}: {name}"
            if name not in measured:
                broken.append(f"{head} has a floor of {floor:.1%}, but no row measures it.")
                continue
            share = measured[name]
            counted = f"{share.value:.1%} ({share.count} of {share.total})"
            if _is_ceiling(name) and share.value > floor + TOLERANCE:
                broken.append(f"{head} is {counted}, over its ceiling of {floor:.1%}.")
            elif not _is_ceiling(name) and share.value < floor - TOLERANCE:
                broken.append(f"{head} is {counted}, under its floor of {floor:.1%}.")
    return broken


def raise_floors(results: Sequence[Result], path: Path) -> list[str]:
    """Rewrite the file so that floors follow what was measured, never loosening one; returns the changes.

    Floors in the file and headline figures of the measured files are raised to the measured share less
    `MARGIN` (ceilings lowered to it plus `MARGIN`). A slice is guarded once somebody has named it.
    """
    floors = read_floors(path) if path.exists() else {}
    changes = []
    for result in results:
        guarded = floors.setdefault(result.file.stem, {})
        measured = flat(result)
        for name in [*guarded, *(n for n in shares(result.rows) if n not in guarded and n not in NEUTRAL)]:
            if name not in measured:
                continue
            old, new = guarded.get(name), _stricter(name, guarded.get(name), measured[name].value)
            if new != old:
                guarded[name] = new
                changes.append(f"{result.file.stem}: {name} {old if old is not None else '-'} → {new}")
    text = yaml.safe_dump(floors, allow_unicode=True, sort_keys=True)
    path.write_text(HEAD + text, "utf-8")
    return changes


def _stricter(name: str, old: float | None, value: float) -> float:
    # Rounded to the lenient side, so that the run that set a floor also holds it.
    if _is_ceiling(name):
        new = min(1.0, math.ceil((value + MARGIN) * 1000 - TOLERANCE) / 1000)
        return new if old is None else min(old, new)
    new = max(0.0, math.floor((value - MARGIN) * 1000 + TOLERANCE) / 1000)
    return new if old is None else max(old, new)


def _metric(name: str) -> str:
    return name.rpartition("/")[2]


def _is_ceiling(name: str) -> bool:
    return _metric(name) in MISTAKES
