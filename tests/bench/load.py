"""Many citizens at once with time to think: `python -m tests.bench.load`.

The embedded default first, then with `--cluster` the cluster on the same machine. The citizens (tests/load) run on the
same cores and hold an event stream open each, as the chat widget does. `--record` writes docs/bench/load.md.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bot.settings import ROOT
from tests.bench import machine
from tests.bench.plan import BenchError
from tests.load import scripts
from tests.load.citizens import Citizen, Stopped, Tally
from tests.load.running import Running, running

RECORD = ROOT / "docs" / "bench" / "load.md"
THINK = (3.0, 8.0)  # seconds between an answer and the next message
WARM = 20.0  # seconds until everybody talks and every lazy part is loaded; not counted
P95 = 0.5  # seconds that 95 of 100 turns of the embedded default may take
CLUSTER_SHARE = 0.9  # of the embedded default's turns a second


@dataclass
class Found:
    """What one form did. Seconds, megabytes; `cpu` in processors (1.0: one core all the time)."""

    form: str
    seconds: float
    turns: list[float]
    opened: int
    kinds: Counter[str]
    errors: Counter[str]
    cpu: dict[str, float]
    memory: dict[str, float]
    load: tuple[float, float] = (0.0, 0.0)
    faults: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Turns a second."""
        return len(self.turns) / self.seconds

    def percentile(self, share: float) -> float:
        """Seconds within which this share of the turns was answered, nearest rank."""
        return sorted(self.turns)[max(0, math.ceil(share * len(self.turns)) - 1)]


async def _talk(citizen: Citizen, begins_after: float) -> None:
    with contextlib.suppress(Stopped):
        await asyncio.sleep(begins_after)
        await scripts.live(citizen)


async def measure(hotline: Running, conversations: int, seconds: float, seed: int) -> Found:
    """Talk for `WARM` + `seconds` and count what began in the latter."""
    chance, tally, before = random.Random(seed), Tally(), machine.load()
    citizens = [
        Citizen(hotline.url, tally, chance=random.Random(chance.random()), think=THINK, follow=True)
        for _ in range(conversations)
    ]
    talking = [asyncio.create_task(_talk(c, chance.uniform(0, THINK[1]))) for c in citizens]
    await asyncio.sleep(WARM)
    begun, used, own = time.time(), hotline.cpu(), time.process_time()
    tally.kinds.clear()
    await asyncio.sleep(seconds)
    ended = time.time()
    cpu = {name: (value - used.get(name, 0.0)) / (ended - begun) for name, value in hotline.cpu().items()}
    cpu["citizens"] = (time.process_time() - own) / (ended - begun)
    kinds, memory = Counter(tally.kinds), hotline.resident()
    for citizen in citizens:
        citizen.over.set()
        citizen.gone.set()
    faults = [str(e) for e in await asyncio.gather(*talking, return_exceptions=True) if e is not None]
    for citizen in citizens:
        await citizen.close()
    turns = [took for at, took in tally.seconds if begun <= at < ended]
    if not turns:
        raise BenchError(f"Nobody was answered: {dict(tally.troubles)} {faults[:3]}")
    loads = (before, machine.load())
    return Found(
        hotline.form, ended - begun, turns, tally.opened, kinds, tally.troubles, cpu, memory, loads,
        [*faults, *tally.faults],
    )  # fmt: skip


def verdicts(found: Sequence[Found]) -> list[tuple[str, bool]]:
    """The issue's demands: (what, whether it holds)."""
    said = []
    for one in found:
        errors = one.errors.total() + len(one.faults)
        said.append((f"{one.form}: {errors} errors (0)", errors == 0))
    first = found[0]
    p95 = first.percentile(0.95)
    said.append((f"{first.form}: p95 {p95 * 1000:.0f} ms (≤ {P95 * 1000:.0f} ms)", p95 <= P95))
    for other in found[1:]:
        share = other.rate / first.rate
        said.append(
            (f"{other.form}: {share:.2f} of the turns a second (≥ {CLUSTER_SHARE})", share >= CLUSTER_SHARE)
        )
    return said


def table(found: Sequence[Found]) -> str:
    """Markdown: a column a form."""

    def ms(share: float) -> list[str]:
        return [f"{one.percentile(share) * 1000:,.0f} ms" for one in found]

    rows = [
        ["turns", *(f"{len(one.turns):,}" for one in found)],
        ["turns a second", *(f"{one.rate:.1f}" for one in found)],
        ["turn, p50", *ms(0.50)], ["turn, p95", *ms(0.95)], ["turn, p99", *ms(0.99)], ["slowest turn", *ms(1.0)],
        ["errors", *(str(one.errors.total() + len(one.faults)) for one in found)],
        ["receipts", *(str(one.kinds["receipt"]) for one in found)],
        ["load average before / after", *(f"{one.load[0]} / {one.load[1]}" for one in found)],
    ]  # fmt: skip
    names = sorted({name for one in found for name in one.cpu})
    rows += [
        [f"processor, {n}", *(f"{one.cpu[n]:.2f}" if n in one.cpu else "" for one in found)] for n in names
    ]
    names = sorted({name for one in found for name in one.memory})
    rows += [
        [f"memory, {n}", *(f"{one.memory[n]:,.0f} MB" if n in one.memory else "" for one in found)]
        for n in names
    ]
    head = ["", *({"up": "embedded default", "cluster": "cluster"}[one.form] for one in found)]
    lines = [head, ["---", *("---:" for _ in found)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _intakes(one: Found) -> float:
    made = ("intake", "complaint", "report", "suggestion", "receipt")
    return sum(one.kinds[kind] for kind in made) / max(1, one.kinds.total())


def page(found: Sequence[Found], conversations: int) -> str:
    """docs/bench/load.md."""
    about = machine.describe()
    held = "\n".join(f"- {'✓' if holds else '✗ missed:'} {what}" for what, holds in verdicts(found))
    return f"""# Load: {conversations} conversations at once

Measured {machine.now()} by `python -m tests.bench.load` at commit {machine.commit()}; {about["cpu"]}, {about["cores"]} cores,
{about["memory_gb"]} GB, for {found[0].seconds / 60:.1f} minutes each after {WARM:.0f} s of warming up. Written by `--record`, never by hand.

{conversations} citizens (tests/load) with {THINK[0]:.0f} to {THINK[1]:.0f} s between an answer and the next message, each with an event stream open:
of a hundred matters {scripts.USUAL[0]} are questions about the measures, {scripts.USUAL[1]} whole intakes to the receipt with a look at the status, {scripts.USUAL[2]}
hand-overs, {scripts.USUAL[3]} small talk (of {found[0].kinds.total():,} replies {_intakes(found[0]):.0%} belong to an intake); a new conversation after about 20 messages. They run on the same cores (row “citizens”). A turn is timed from sending to the whole answer; any try that
failed is an error. Processor: cores in use on average. Memory: resident, of one name together; of forked processes
what they share counts once.

{table(found)}

{held}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when a demand is missed."""
    parser = argparse.ArgumentParser(description="many conversations at once")
    parser.add_argument("--minutes", type=float, default=5.0, help="measured time of each form")
    parser.add_argument("--conversations", type=int, default=200)
    parser.add_argument("--cluster", action="store_true", help="then the cluster on the same machine")
    parser.add_argument("--only-cluster", action="store_true", help="the cluster alone")
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.relative_to(ROOT)}")
    parser.add_argument("--seed", type=int, default=12315)
    given = parser.parse_args(arguments)
    forms = ["cluster"] if given.only_cluster else ["up", *(["cluster"] if given.cluster else [])]
    found = []
    try:
        for form in forms:
            print(f"== {time.strftime('%H:%M:%S')} hotline {form}", flush=True)
            with running(form) as hotline:
                found.append(
                    asyncio.run(measure(hotline, given.conversations, given.minutes * 60, given.seed))
                )
    except BenchError as error:
        print(error, file=sys.stderr)
        return 2
    print(table(found))
    for one in found:
        if one.errors or one.faults:
            print(f"{one.form}: {dict(one.errors)}", *one.faults[:10], sep="\n")
    held = verdicts(found)
    for what, holds in held:
        print("✓" if holds else "✗ missed:", what)
    if given.record:
        _write(RECORD, page(found, given.conversations))
    return 0 if all(holds for _, holds in held) else 1


def _write(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    print(f"written: {os.path.relpath(path)}")


if __name__ == "__main__":
    sys.exit(main())
