"""20,000 turns through the real processes: does any of them grow? `python -m tests.bench.soak`.

Sixteen citizens (tests/load) talk without pause, a new conversation after about twenty messages; every 500 turns the
resident memory of each process is read. `--record` writes docs/bench/soak.md and its plot.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from bot.settings import ROOT
from tests.bench import machine
from tests.bench.plan import BenchError
from tests.load import scripts
from tests.load.citizens import Citizen, Stopped, Tally
from tests.load.running import Running, running

RECORD = ROOT / "docs" / "bench" / "soak.md"
SETTLED = 2_000  # turns after which a process may not grow any more
GROWTH = 0.05
EVERY = 500  # turns between two samples
LAST = 3  # The medians of so many samples are compared: one reading may fall into a moment of work.
COLOURS = ("#1f6fb2", "#c2571a", "#2f8f4e", "#8a4fa3", "#7a6a2f", "#5a5a5a", "#b03060")


@dataclass
class Soaked:
    """Samples of one run: (turns so far, megabytes by process)."""

    samples: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    seconds: float = 0.0
    turns: int = 0
    opened: int = 0
    troubles: int = 0
    faults: list[str] = field(default_factory=list)

    def ends(self, name: str) -> tuple[float, float]:
        """Megabytes of a process at `SETTLED` turns (or as soon after as was sampled) and at the end."""
        late = [sizes[name] for turns, sizes in self.samples if turns >= SETTLED and name in sizes]
        if len(late) < 2 * LAST:
            raise BenchError(
                f"{len(late)} samples after {SETTLED:,} turns are too few to tell whether {name} grows."
            )
        return statistics.median(late[:LAST]), statistics.median(late[-LAST:])

    @property
    def names(self) -> list[str]:
        """The processes."""
        return sorted({name for _, sizes in self.samples for name in sizes})


async def _talk(citizen: Citizen) -> None:
    with contextlib.suppress(Stopped):
        await scripts.live(citizen)


async def soak(hotline: Running, turns: int, at_once: int, seed: int) -> Soaked:
    """Talk until `turns` are answered."""
    chance, tally, found = random.Random(seed), Tally(), Soaked()
    citizens = [
        Citizen(
            hotline.url, tally, chance=random.Random(chance.random()), think=(0.0, 0.01), follow=n % 2 == 0
        )
        for n in range(at_once)
    ]
    begun = time.perf_counter()
    talking = [asyncio.create_task(_talk(citizen)) for citizen in citizens]
    answered = 0
    while answered < turns and not all(task.done() for task in talking):
        await asyncio.sleep(0.5)
        # Only the count is of use here; kept, it would make this program grow and not the hotline.
        answered += len(tally.seconds)
        tally.seconds.clear()
        for citizen in citizens:
            citizen.past.clear()
        if not found.samples or answered >= found.samples[-1][0] + EVERY:
            found.samples.append((answered, hotline.resident()))
            if len(found.samples) % 8 == 1:
                sizes = ", ".join(f"{name} {size:.0f}" for name, size in found.samples[-1][1].items())
                print(f"{time.strftime('%H:%M:%S')} {answered:6,} turns; MB: {sizes}", flush=True)
    for citizen in citizens:
        citizen.over.set()
        citizen.gone.set()
    ended = await asyncio.gather(*talking, return_exceptions=True)
    found.faults = [*(str(e) for e in ended if e is not None), *tally.faults]
    for citizen in citizens:
        await citizen.close()
    found.seconds, found.turns = time.perf_counter() - begun, answered
    found.opened, found.troubles = tally.opened, tally.troubles.total()
    return found


def verdicts(found: Soaked) -> list[tuple[str, bool]]:
    """A line a process: whether it stayed within `GROWTH`."""
    said = [(f"{found.troubles + len(found.faults)} errors (0)", not found.troubles and not found.faults)]
    for name in found.names:
        before, after = found.ends(name)
        growth = after / before - 1
        said.append(
            (f"{name}: {growth:+.1%} after the first {SETTLED:,} turns (≤ {GROWTH:.0%})", growth <= GROWTH)
        )
    return said


def table(found: Soaked) -> str:
    """Markdown: a row every few samples, megabytes."""
    step = max(1, len(found.samples) // 12)
    shown = [*found.samples[:-1:step], found.samples[-1]]
    lines = [["turns", *found.names], ["---:" for _ in range(len(found.names) + 1)]]
    lines += [[f"{turns:,}", *(f"{sizes.get(n, 0):,.0f} MB" for n in found.names)] for turns, sizes in shown]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plot(found: Soaked, width: int = 720, height: int = 300) -> str:
    """An SVG: each process relative to what it held at `SETTLED` turns."""
    left, bottom, top, right = 48, 34, 14, 90
    last = found.samples[-1][0] or 1
    bases = {name: found.ends(name)[0] for name in found.names}
    shares = [sizes[n] / bases[n] for _, sizes in found.samples for n in found.names if n in sizes]
    low, high = min(0.85, *shares), max(1.1, *shares)

    def at(turns: int, share: float) -> str:
        x = left + (width - left - right) * turns / last
        y = top + (height - top - bottom) * (high - share) / (high - low)
        return f"{x:.1f},{y:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for share, colour in ((1.0, "#999"), (1.0 + GROWTH, "#d33")):
        (x1, y1), (x2, _) = (at(t, share).split(",") for t in (0, last))
        parts.append(f'<path d="M{x1} {y1}H{x2}" stroke="{colour}" stroke-dasharray="4 3"/>')
        parts.append(f'<text x="4" y="{y1}">{share:.0%}</text>')
    for n, name in enumerate(found.names):
        points = " ".join(
            at(turns, sizes[name] / bases[name]) for turns, sizes in found.samples if name in sizes
        )
        colour = COLOURS[n % len(COLOURS)]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        parts.append(
            f'<text x="{width - right + 8}" y="{top + 14 * (n + 1)}" fill="{colour}">{escape(name)}</text>'
        )
    parts += [
        f'<text x="{left}" y="{height - 10}">0</text>',
        f'<text x="{width - right}" y="{height - 10}" text-anchor="end">{last:,} turns</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def page(found: Soaked, at_once: int) -> str:
    """docs/bench/soak.md."""
    about = machine.describe()
    held = "\n".join(f"- {'✓' if holds else '✗ missed:'} {what}" for what, holds in verdicts(found))
    return f"""# Soak: {found.turns:,} turns

Measured {machine.now()} by `python -m tests.bench.soak` at commit {machine.commit()}; {about["cpu"]}, {about["cores"]} cores,
{about["memory_gb"]} GB. Written by `--record`, never by hand.

`hotline up`; {at_once} citizens (tests/load) without pause on the same cores, {found.opened:,} conversations in
{found.seconds / 60:.0f} minutes, {found.turns / found.seconds:.1f} turns a second. Resident memory of each process; a demand compares the medians
of {LAST} samples at {SETTLED:,} turns and at the end.

{table(found)}

![Memory relative to {SETTLED:,} turns](soak.svg)

{held}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak and print; 1 when a process grows."""
    parser = argparse.ArgumentParser(description="does a process grow over many turns?")
    parser.add_argument("--turns", type=int, default=20_000)
    parser.add_argument("--conversations", type=int, default=16, help="at once")
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.relative_to(ROOT)}")
    parser.add_argument("--seed", type=int, default=12315)
    given = parser.parse_args(arguments)
    try:
        with running("up") as hotline:
            found = asyncio.run(soak(hotline, given.turns, given.conversations, given.seed))
        print(table(found))
        print(
            f"{found.turns / found.seconds:.1f} turns a second; {found.troubles} tries failed",
            *found.faults[:5],
        )
        held = verdicts(found)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 2
    for what, holds in held:
        print("✓" if holds else "✗ missed:", what)
    if given.record:
        RECORD.write_text(page(found, given.conversations), "utf-8")
        RECORD.with_suffix(".svg").write_text(plot(found), "utf-8")
        print(f"written: {RECORD.relative_to(ROOT)}")
    return 0 if all(holds for _, holds in held) else 1


if __name__ == "__main__":
    sys.exit(main())
