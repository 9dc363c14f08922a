"""From what was measured to the rows of the table, the notes and the whole report."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from tests.bench import accuracy, machine
from tests.bench.measuring import FILES, Measured, growth, names
from tests.bench.plan import Plan
from tests.bench.report import Row
from tests.bench.timing import Samples

LABELS = {
    "kind": "kind right",
    "any_hit": "policy, any hit",
    "exact": "policy, exact set",
    "false_answer": "out of scope answered with a measure",
    "false_refusal": "policy refused",
}


def _pair(found: dict[str, Any], of: Callable[[Any], float]) -> tuple[float | None, float | None]:
    """`of` applied to our figure and to the stock bot's; None where a bot was not measured."""
    return (
        of(found["ours"]) if "ours" in found else None,
        of(found["stock"]) if "stock" in found else None,
    )


def _ms(seconds: float) -> float:
    return seconds * 1000


def _p50(samples: Samples) -> float:
    return samples.p50 * 1000


def _p95(samples: Samples) -> float:
    return samples.p95 * 1000


def rows(found: Measured, plan: Plan) -> list[Row]:
    """The table. What must hold is from the issues “One command”, “Understand what people really say” and
    “Promises under fire”."""
    assert found.long is not None
    trained = _pair(found.trained, lambda some: statistics.median(one.seconds for one in some))
    memory = _pair(found.memory, lambda held: held.value)
    table = [
        Row("training", "training", "s", *trained, limit=90, times=4),
        Row("ready", "start to ready", "s", *_pair(found.ready, statistics.median), limit=45),
        Row("first", "start to the first answer", "s", *_pair(found.first, statistics.median)),
        Row("memory", "memory of all processes", "MB", *memory, limit=1536, times=1 / 0.7),
        Row(
            "engine",
            "memory of the engine, resident",
            "MB",
            *_pair(found.engine, float),
            limit=800,
            times=1 / 0.7,
        ),
        Row("parse_p50", "parse, p50", "ms", *_pair(found.parse, _p50), limit=15, times=2),
        Row("parse_p95", "parse, p95", "ms", *_pair(found.parse, _p95)),
    ]
    table.append(Row("parse_cpu", "parse, processor time", "ms", *_pair(found.parse_cpu, _ms)))
    table.append(Row("decide_p50", "parse and decide, p50", "ms", *_pair(found.decide, _p50)))
    table.append(Row("decide_p95", "parse and decide, p95", "ms", *_pair(found.decide, _p95)))
    turns = (
        ("early", plan.early, found.early),
        ("middle", plan.middle, found.long.middle),
        ("late", found.long.reached, found.long.late),
    )
    for key, turn, samples in turns:
        label = f"policy turn {turn}"
        table.append(Row(f"turn_{key}_p50", f"{label}, p50", "ms", *_pair(samples, _p50), limit=60))
        table.append(Row(f"turn_{key}_p95", f"{label}, p95", "ms", *_pair(samples, _p95)))
    grown = {name: some.p50 / found.early[name].p50 for name, some in found.long.late.items()}
    label = f"policy turn {found.long.reached} beside turn {plan.early}"
    table.append(Row("grown", label, "×", *_pair(grown, float), limit=1.3))
    early = f"policy turns 1 to {plan.early + 1}, processor time"
    table.append(Row("turn_cpu", early, "ms", *_pair(found.turn_cpu, _ms)))
    for at_once, rate in found.rate.items():
        label = f"turns a second, {at_once} at once"
        times = 4 if at_once == max(found.rate) else None  # where nobody waits for the talkers
        row = Row(f"rate_{at_once}", label, "/s", *_pair(rate, float), more_is_better=True, times=times)
        table.append(row)
    return table + _accuracy_rows(found)


def _accuracy_rows(found: Measured) -> list[Row]:
    table = []
    for file in found.scored["ours"]:
        shares = {name: accuracy.figures(files[file]) for name, files in found.scored.items()}
        for metric, share in shares["ours"].items():
            values = _pair({name: some[metric] for name, some in shares.items()}, lambda s: s.value * 100)
            label = f"{LABELS[metric]} ({file}, {share.total})"
            more = not metric.startswith("false_")
            table.append(Row(f"{file}.{metric}", label, "%", *values, more_is_better=more, better=True))
    return table


def _by_threshold(found: Measured) -> list[dict[str, Any]]:
    lines = []
    for threshold, files in found.by_threshold.items():
        every = accuracy.figures([row for some in files.values() for row in some])
        shares = {LABELS[name]: round(share.value * 100, 2) for name, share in every.items()}
        lines.append({"threshold": f"{threshold:g}", "shares": shares})
    return lines


def notes(found: Measured, plan: Plan) -> list[str]:
    """What a reader of the figures must know about this run."""
    assert found.long is not None
    said = []
    if plan.sample:
        said.append(
            f"Both learned from the same {plan.sample:,} examples of all (`tests.bench.sample`: every act, measure and facet, "
            "in proportion), so that DIET could learn all its epochs; latest.md has all examples."
        )
    if plan.epochs < 100:
        said.append(
            f"A shortened run: DIET learnt {plan.epochs} of 100 epochs, since one takes minutes on all examples here; with "
            "all of them its accuracy would be higher and its training longer. Speed and memory do not depend on it; sample.md "
            "has a run with all epochs."
        )
    loads = ", ".join(f"{one.load:.1f}" for one in found.trained["ours"])
    said.append(
        f"Ours: {plan.trainings} trainings from nothing (load before: {loads}); medians of repetitions."
    )
    for one in found.trained.get("stock", ()):
        made = (
            "NOT trained in this run; time and load are those of"
            if one.earlier
            else "trained once in this run,"
        )
        what = f"{one.epochs} epochs of DIET and {one.ted_epochs} of TED on {one.examples:,} examples"
        said.append(f"Stock, {what}: {made} {one.at} (load before: {one.load:.1f}).")
    said.append(f"Turns are timed with {found.questions} questions that every bot answered with a measure.")
    for name, samples in [*found.early.items(), *found.long.late.items()]:
        if samples.policy < len(samples.seconds):
            said.append(f"{name}: {samples.policy} of {len(samples.seconds)} timed turns named a measure.")
    if found.long.reached < plan.late:
        said.append(f"The long conversation got to turn {found.long.reached}, not {plan.late}: time was up.")
    for name, files in found.scored.items():
        if failed := sum(row.marks["failed"] for some in files.values() for row in some):
            said.append(f"{name}: {failed} rows without a usable reply count as wrong.")
    if any(memory.shared_once is None for memory in found.memory.values()):
        said.append("Memory is RSS: this machine gives no proportional set size.")
    return said


def learned(found: Measured) -> dict[str, str]:
    """What each bot learned from, in words for the head of the table."""
    said = {}
    for name, some in found.trained.items():
        one = some[-1]
        epochs = f", DIET {one.epochs} epochs, TED {one.ted_epochs}" if one.epochs else ""
        said[name] = f"trained on {one.examples:,} examples{epochs}"
    return said


def _command(plan: Plan) -> str:
    options = [f"--sample {plan.sample}"] if plan.sample else []
    options += [f"--epochs {plan.epochs}"] if plan.epochs != 100 else []
    return " ".join(["python -m tests.bench.compare", *options])


def report(found: Measured, plan: Plan, host: dict[str, Any], table: list[Row]) -> dict[str, Any]:
    """Everything of the run, for `latest.json`; seconds in `training`, milliseconds in `turn_by_length`."""
    assert found.long is not None
    return {
        "at": machine.now(),
        "commit": machine.commit(),
        "command": _command(plan),
        "learned": learned(found),
        "machine": host | {"load_after": machine.load(), "load_most": max(found.loads.values())},
        "loads": found.loads,
        "plan": asdict(plan),
        "files": names(FILES),
        "rows": [row.as_json() for row in table],
        "training": {
            name: [asdict(one) | {"model": one.model.name} for one in some]
            for name, some in found.trained.items()
        },
        "memory_rss_mb": {name: round(memory.resident) for name, memory in found.memory.items()},
        "turn_by_length": growth(found.long),
        "stock_by_threshold": _by_threshold(found),
        "notes": notes(found, plan),
    }
