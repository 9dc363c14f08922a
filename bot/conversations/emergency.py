"""Danger before everything else (domain.md 4.5): word signals that work even when the engine is down.

A certain signal is acted on before the engine is asked; a possible one needs the engine's view. The engine's act
`emergency` is a net of its own. Never claims that help was sent; names 110 / 119 / 120 only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import yaml

from bot.conversations.languages import language_of
from bot.engine.text import normalise

LIKELY_ENOUGH = 0.1  # The engine's probability of an emergency from which a possible signal is acted on.


@dataclass(frozen=True)
class Topic:
    """One kind of danger: what signals it and what is said."""

    name: str
    certain: re.Pattern[str]
    possible: re.Pattern[str]
    doubt: re.Pattern[str]  # words that make a certain signal a possible one and a possible one none
    say: str
    ask: str
    call: tuple[str, ...]


@dataclass(frozen=True)
class Signal:
    """The danger that words speak of; `certain`: as present, on their own."""

    topic: Topic
    certain: bool


@dataclass(frozen=True)
class _Rules:
    figures: re.Pattern[str]
    over: re.Pattern[str]
    now: re.Pattern[str]
    turn: re.Pattern[str]
    urgent: dict[str, str]
    topics: dict[str, Topic]


def _any_of(patterns: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{p})" for p in patterns))


@lru_cache
def _rules() -> _Rules:
    data = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text("utf-8"))
    topics = {
        name: Topic(
            name,
            _any_of(entry["certain"] + entry["foreign"]),
            _any_of(entry["possible"]),
            _any_of(entry.get("doubt") or data["doubt"]),
            entry["say"],
            entry["ask"],
            tuple(entry["call"]),
        )
        for name, entry in data["topics"].items()
    }
    figures, over, now, turn = (_any_of(data[name]) for name in ("figures", "over", "now", "turn"))
    return _Rules(figures, over, now, turn, data["urgent"], topics)


def topics() -> dict[str, Topic]:
    """All kinds of danger by name."""
    return _rules().topics


def in_language(topic: Topic, text: str) -> Topic:
    """`topic` as it is said to the writer of `text`: the numbers first in the language of the message."""
    line = _rules().urgent.get(language_of(text))
    return replace(topic, say=f"{line.format(numbers='/'.join(topic.call))}\n{topic.say}") if line else topic


def check(text: str) -> Signal | None:
    """What the words of `text` signal: the first topic with a certain signal, else with a possible one, or None."""
    rules = _rules()
    # A figure of speech leaves a gap, so that the words around it do not join into a signal.
    normal = rules.figures.sub("、", normalise(text))
    found = _signal(normal)
    if (found is None or not found.certain) and (turn := rules.turn.search(normal)):
        # 我要问证书，可车间里氯气漏了: the doubt that stands before the turn is about something else.
        later = _signal(normal[turn.end() :])
        found = later if later and later.certain else found
    return found and Signal(in_language(found.topic, text), found.certain)


def _signal(normal: str) -> Signal | None:
    rules = _rules()
    now = bool(rules.now.search(normal))
    if not now and rules.over.search(normal):
        return None
    possible = None
    for topic in rules.topics.values():
        certain = bool(topic.certain.search(normal))
        if not certain and not topic.possible.search(normal):
            continue
        doubted = not now and bool(topic.doubt.search(normal))
        if certain and not doubted:
            return Signal(topic, certain=True)
        if certain or not doubted:
            possible = possible or Signal(topic, certain=False)
    return possible


def decide(signal: Signal | None, probability: float | None) -> Topic | None:
    """The danger to act on, or None.

    `probability` is the engine's of an emergency, from 0 to 1; None: the engine is down, and whatever may be a
    danger is taken for one.
    """
    if signal is None:
        return None
    if signal.certain or probability is None or probability >= LIKELY_ENOUGH:
        return signal.topic
    return None
