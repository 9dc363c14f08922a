"""Times both bots in turn, so that whatever else the machine does hits both alike. Seconds everywhere."""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

from tests.bench.plan import BenchError, Plan
from tests.bench.talking import Talk

WARM_UP = 20  # turns and parses of each bot before anything is timed
TURNS_OF_A_CONVERSATION = 10  # in the throughput rounds; opening it counts


@dataclass
class Samples:
    """Durations of one kind of call, and how many of its answers named a measure (turns only)."""

    seconds: list[float] = field(default_factory=list)
    policy: int = 0

    @property
    def p50(self) -> float:
        """The median."""
        return statistics.median(self.seconds)

    @property
    def p95(self) -> float:
        """The 95th percentile, nearest rank."""
        return sorted(self.seconds)[math.ceil(0.95 * len(self.seconds)) - 1]


async def timed(call: Awaitable[Any], into: Samples) -> None:
    """Time one call."""
    begun = time.perf_counter()
    named = await call
    into.seconds.append(time.perf_counter() - begun)
    into.policy += bool(named)


async def warm_up(talks: Sequence[Talk], questions: Sequence[str]) -> None:
    """Let every lazy part load."""
    for talk in talks:
        conversation = await talk.open()
        for text in islice(cycle(questions), WARM_UP):
            await talk.parse(text)
            await talk.decide(text)
            await talk.say(conversation, text)


async def parses(talks: Sequence[Talk], questions: Sequence[str], plan: Plan) -> dict[str, Samples]:
    """Parse each question with one bot and then the other."""
    found = {talk.name: Samples() for talk in talks}
    for text in islice(cycle(questions), plan.parses):
        for talk in talks:
            await timed(talk.parse(text), found[talk.name])
    return found


async def decisions(talks: Sequence[Talk], questions: Sequence[str], plan: Plan) -> dict[str, Samples]:
    """The same, and decide what to say."""
    found = {talk.name: Samples() for talk in talks}
    for text in islice(cycle(questions), plan.parses):
        for talk in talks:
            await timed(talk.decide(text), found[talk.name])
    return found


async def early_turns(talks: Sequence[Talk], questions: Sequence[str], plan: Plan) -> dict[str, Samples]:
    """Turns `early` - 1 to `early` + 1 of fresh conversations."""
    found = {talk.name: Samples() for talk in talks}
    texts = cycle(questions)
    for _ in range(plan.early_conversations):
        conversations = {talk.name: await talk.open() for talk in talks}
        for turn, text in enumerate(islice(texts, plan.early + 1), 1):
            for talk in talks:
                into = found[talk.name] if turn >= plan.early - 1 else Samples()
                await timed(talk.say(conversations[talk.name], text), into)
    return found


@dataclass
class Long:
    """One long conversation: the duration of every turn, and the turns around the late one."""

    turns: dict[str, list[float]]
    middle: dict[str, Samples]  # as many turns around the one on the way
    late: dict[str, Samples]
    reached: int  # the turn in the middle of `late`; smaller than planned when time ran out


async def long_conversation(talks: Sequence[Talk], questions: Sequence[str], plan: Plan) -> Long:
    """One conversation of each bot, turn by turn, until `late` is passed or `cap` seconds are over."""
    conversations = {talk.name: await talk.open() for talk in talks}
    every = {talk.name: Samples() for talk in talks}
    named: dict[str, list[int]] = {talk.name: [] for talk in talks}
    begun = time.perf_counter()
    for text in islice(cycle(questions), plan.late + plan.around // 2):
        for talk in talks:
            into = every[talk.name]
            await timed(talk.say(conversations[talk.name], text), into)
            named[talk.name].append(into.policy)
        if time.perf_counter() - begun > plan.cap:
            break
    last = len(named[talks[0].name])
    first = last - plan.around
    if first < plan.middle:
        raise BenchError(f"Only {last} turns in {plan.cap:.0f} s: too few to call any of them late.")
    late = {
        name: Samples(samples.seconds[first:], samples.policy - named[name][first - 1])
        for name, samples in every.items()
    }
    turns = {name: samples.seconds for name, samples in every.items()}
    half = plan.around // 2
    middle = {name: Samples(some[plan.middle - half : plan.middle + half]) for name, some in turns.items()}
    return Long(turns, middle, late, last - half)


async def throughput(
    talks: Sequence[Talk], questions: Sequence[str], plan: Plan, at_once: int
) -> dict[str, float]:
    """Turns a second with `at_once` people talking without pause: the median of the rounds."""
    rates: dict[str, list[float]] = {talk.name: [] for talk in talks}
    for _ in range(plan.rounds):
        for talk in talks:
            rates[talk.name].append(await _rate(talk, questions, plan.seconds, at_once))
    return {name: statistics.median(found) for name, found in rates.items()}


async def _rate(talk: Talk, questions: Sequence[str], seconds: float, at_once: int) -> float:
    begun = time.perf_counter()
    end = begun + seconds

    async def person(number: int) -> int:
        texts = islice(cycle(questions), number, None)
        done = 0
        while True:
            conversation = await talk.open()
            for text in islice(texts, TURNS_OF_A_CONVERSATION):
                if time.perf_counter() >= end:
                    return done
                await talk.say(conversation, text)
                done += 1

    turns = sum(await asyncio.gather(*(person(number) for number in range(at_once))))
    return turns / (time.perf_counter() - begun)
