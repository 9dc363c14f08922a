"""Danger before everything else (domain.md 4.5): word signals that work even when the engine is down.

The engine's act `emergency` is the second net. Never claims that help was sent; names 110 / 119 / 120 only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from bot.engine.text import normalise


@dataclass(frozen=True)
class Topic:
    """One kind of danger: its signals and what is said."""

    name: str
    signals: tuple[re.Pattern[str], ...]
    say: str
    ask: str
    call: tuple[str, ...]
    always: bool = False  # also in the words of a story


@lru_cache
def _rules() -> tuple[tuple[re.Pattern[str], ...], dict[str, Topic]]:
    data = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text("utf-8"))
    topics = {
        name: Topic(
            name,
            tuple(re.compile(s) for s in entry["signals"]),
            entry["say"],
            entry["ask"],
            tuple(entry["call"]),
            bool(entry.get("always")),
        )
        for name, entry in data["topics"].items()
    }
    return tuple(re.compile(p) for p in data["past"]), topics


def topics() -> dict[str, Topic]:
    """All kinds of danger by name."""
    return _rules()[1]


def check(text: str) -> Topic | None:
    """The danger that the words of `text` signal as happening now, or None."""
    past, known = _rules()
    normal = normalise(text)
    story = any(p.search(normal) for p in past)
    for topic in known.values():
        if (topic.always or not story) and any(s.search(normal) for s in topic.signals):
            return topic
    return None
