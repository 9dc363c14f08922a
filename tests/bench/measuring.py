"""One run: trains, starts, asks and times both bots, turn about; ends every process it started."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bot.settings import ROOT
from tests.bench import accuracy, machine, timing, training
from tests.bench.instances import Instance, Memory, OurReading, Ours, Stock
from tests.bench.plan import BenchError, Plan
from tests.bench.stock_project import FALLBACK
from tests.bench.talking import Talk, TalkToOurs, TalkToStock
from tests.bench.training import HOME, Trained

FILES = (ROOT / "tests" / "eval" / "dev_messages.tsv", ROOT.parent / "shared" / "eval" / "messages.tsv")
THRESHOLDS = (0.3, 0.5, 0.7, 0.9)
FIRST = "电梯维保能延长吗"
QUESTIONS = 40  # different policy questions to time turns with
FEWEST = 8
AT_ONCE = (1, 8, 64)  # people talking at once, for the throughput


@dataclass
class Measured:
    """Everything one run found; dictionaries are by bot (`ours`, `stock`)."""

    trained: dict[str, list[Trained]] = field(default_factory=dict)
    ready: dict[str, list[float]] = field(default_factory=dict)
    first: dict[str, list[float]] = field(default_factory=dict)
    memory: dict[str, Memory] = field(default_factory=dict)
    engine: dict[str, float] = field(default_factory=dict)  # megabytes of the process that understands
    loads: dict[str, float] = field(default_factory=dict)  # load average when a part of the run began
    scored: dict[str, accuracy.Rows] = field(default_factory=dict)
    by_threshold: dict[float, accuracy.Rows] = field(default_factory=dict)
    questions: int = 0
    parse: dict[str, timing.Samples] = field(default_factory=dict)
    decide: dict[str, timing.Samples] = field(default_factory=dict)
    early: dict[str, timing.Samples] = field(default_factory=dict)
    long: timing.Long | None = None
    parse_cpu: dict[str, float] = field(default_factory=dict)  # seconds of processor time a parse
    turn_cpu: dict[str, float] = field(default_factory=dict)  # … a turn, over the early conversations
    rate: dict[int, dict[str, float]] = field(default_factory=dict)

    def say(self, text: str) -> None:
        """Tell how far the run is, and note how busy the machine is."""
        self.loads[text] = machine.load()
        print(f"== {time.strftime('%H:%M:%S')} {text} (load {self.loads[text]})", flush=True)


def run(plan: Plan, *, with_stock: bool, again: bool) -> Measured:
    """Measure; raises `BenchError`, `EvaluationError` or `SetupError` with a sentence for people."""
    found = Measured()
    _train(found, plan, with_stock=with_stock, again=again)
    model = found.trained["ours"][-1].model
    instances: list[Instance] = [Ours(model, HOME / "ours" / "home")]
    reading = OurReading(model, HOME / "ours" / "reading")
    if with_stock:
        instances.append(Stock(found.trained["stock"][-1].model, HOME / "stock" / "home"))
    try:
        _start(found, plan, instances)
        _score(found, instances)
        reading.start()
        asyncio.run(_time(found, plan, instances, reading))
        found.memory = {instance.name: instance.memory() for instance in instances}
        found.engine = {instance.name: instance.engine() for instance in instances}
    finally:
        for instance in [*instances, reading]:
            instance.stop()
    return found


def _train(found: Measured, plan: Plan, *, with_stock: bool, again: bool) -> None:
    home = HOME / "ours" / "training"
    shutil.rmtree(home / "models", ignore_errors=True)
    data, count = (
        training.write_sample(plan.sample)
        if plan.sample
        else (training.ALL, training.count_examples(training.ALL))
    )
    for number in range(plan.trainings):
        found.say(f"training ours, {number + 1} of {plan.trainings}")
        found.trained.setdefault("ours", []).append(training.train_ours(home, data, count))
        if number == 0 and with_stock:
            found.say(
                f"the stock model, {plan.epochs} epochs of DIET (long, unless an earlier run has made it)"
            )
            found.trained["stock"] = [training.train_stock(plan.epochs, plan.ted_epochs, data, again=again)]
    _check_sources(found, plan, data)


def _check_sources(found: Measured, plan: Plan, data: Path) -> None:
    """Both must have learned from the same files: a model's name holds a hash of them."""
    ours = {one.model.name for one in found.trained["ours"]}
    stock = {one.model.parent.parent.name for one in found.trained.get("stock", ())}
    same = training.write_stock(plan.epochs, plan.ted_epochs, data)[0].name
    if len(ours) > 1 or (stock and stock != {same}):
        raise BenchError("The data or the code changed while the models were trained: run it again.")


def _talk(instance: Instance, reading: OurReading | None = None) -> Talk:
    if isinstance(instance, Ours):
        return TalkToOurs(instance, reading)
    assert isinstance(instance, Stock)
    domain = yaml.safe_load((instance.model.parent.parent / "domain.yml").read_text("utf-8"))
    said = domain["responses"].items()
    clauses = frozenset(texts[0]["text"] for name, texts in said if name.startswith("utter_policy_"))
    return TalkToStock(instance, clauses)


async def _ask_first(instance: Instance) -> None:
    talk = _talk(instance)
    await talk.say(await talk.open(), FIRST)
    await talk.close()


def _start(found: Measured, plan: Plan, instances: Sequence[Instance]) -> None:
    """Start each in turn, one at a time; after the last round all stay."""
    for number in range(plan.starts):
        for instance in instances:
            found.say(f"starting {instance.name}, {number + 1} of {plan.starts}")
            begun = time.perf_counter()
            found.ready.setdefault(instance.name, []).append(instance.start())
            asyncio.run(_ask_first(instance))
            found.first.setdefault(instance.name, []).append(time.perf_counter() - begun)
            if number + 1 < plan.starts:
                instance.stop()


def _score(found: Measured, instances: Sequence[Instance]) -> None:
    files = [path for path in FILES if path.exists()]
    if not files:
        raise BenchError(f"None of the sample files is there: {', '.join(map(str, FILES))}")
    for instance in instances:
        found.say(f"accuracy of {instance.name}")
        if isinstance(instance, Ours):
            found.scored["ours"] = accuracy.ours(instance.url, files)
        else:
            ambiguity = FALLBACK["ambiguity_threshold"]
            rows, by_threshold = accuracy.stock(instance.url, files, THRESHOLDS, ambiguity)
            found.scored["stock"], found.by_threshold = rows, by_threshold


async def _time(found: Measured, plan: Plan, instances: Sequence[Instance], reading: OurReading) -> None:
    questions = accuracy.answered_by_all(list(found.scored.values()), QUESTIONS)
    if len(questions) < FEWEST:
        raise BenchError(
            f"Only {len(questions)} policy questions were answered by all: nothing to time turns with."
        )
    found.questions = len(questions)
    talks = [_talk(instance, reading) for instance in instances]
    try:
        found.say("warming up")
        await timing.warm_up(talks, questions)
        found.say(f"{plan.parses} parses")
        readers = [reading, *(instance for instance in instances if not isinstance(instance, Ours))]
        before = _cpu(readers)
        found.parse = await timing.parses(talks, questions, plan)
        found.parse_cpu = _each(before, _cpu(readers), plan.parses)
        found.say(f"{plan.parses} decisions")
        found.decide = await timing.decisions(talks, questions, plan)
        found.say(f"turn {plan.early} of {plan.early_conversations} conversations")
        before = _cpu(instances)
        found.early = await timing.early_turns(talks, questions, plan)
        turns = plan.early_conversations * (plan.early + 1)
        found.turn_cpu = _each(before, _cpu(instances), turns)
        found.say(f"one conversation of {plan.late} turns, at most {plan.cap:.0f} s")
        found.long = await timing.long_conversation(talks, questions, plan)
        for at_once in AT_ONCE:
            found.say(f"throughput, {at_once} at once")
            found.rate[at_once] = await timing.throughput(talks, questions, plan, at_once)
    finally:
        for talk in talks:
            await talk.close()


def _cpu(instances: Sequence[Instance]) -> dict[str, float]:
    return {instance.name: instance.cpu() for instance in instances}


def _each(before: dict[str, float], after: dict[str, float], count: int) -> dict[str, float]:
    return {name: (after[name] - before[name]) / count for name in before}


def growth(long: timing.Long, step: int = 20) -> list[dict[str, Any]]:
    """Median milliseconds of a turn in each `step` turns of the long conversation."""
    last = min(len(seconds) for seconds in long.turns.values())
    return [
        {
            "turns": f"{start + 1}–{start + step}",
            "ms": {
                name: round(timing.Samples(seconds[start : start + step]).p50 * 1000, 1)
                for name, seconds in long.turns.items()
            },
        }
        for start in range(0, last - step + 1, step)
    ]


def names(paths: Sequence[Path]) -> list[str]:
    """The sample files by name."""
    return [f"{path.parent.parent.name}/{path.parent.name}/{path.name}" for path in paths if path.exists()]
