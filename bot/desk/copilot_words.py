"""The copilot's phrases (`copilot_phrases.yml`): read once, patterns compiled once."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any, TypedDict

import yaml


class Warn(TypedDict):
    """One warning for the agent: what to mind, why, and on which rule it rests (`mark` as in legal.yml)."""

    kind: str
    text: str
    reason: str
    source: str
    mark: str | None
    say: str
    call: list[str]


@lru_cache
def phrases() -> dict[str, Any]:
    """All of `copilot_phrases.yml`."""
    loaded: dict[str, Any] = yaml.safe_load(
        Path(__file__).with_name("copilot_phrases.yml").read_text("utf-8")
    )
    return loaded


@lru_cache
def pattern(expression: str) -> re.Pattern[str]:
    """A compiled expression of the phrases."""
    return re.compile(expression)


def source(key: str, **known: str) -> str:
    """Where something comes from, for people."""
    return str(phrases()["sources"][key]).format(**known)


def limit(key: str) -> int:
    """How many of something are shown at most."""
    return int(phrases()["limits"][key])


def act_label(act: str) -> str:
    """complaint → 投诉."""
    return str(phrases()["acts"].get(act, phrases()["acts"]["unknown"])["label"])


def case_of(act: str) -> str:
    """The record type that an act becomes, or empty."""
    return str(phrases()["acts"].get(act, {}).get("case", ""))


def why(reason: str) -> str:
    """The gate's reason in Chinese."""
    head, _, rest = reason.partition(": ")
    if rest and head == "interrupts the intake":
        return f"{phrases()['interrupts']}：{why(rest)}"
    return str(phrases()["reasons"].get(reason, phrases()["reasons"]["act"]))


def warning(kind: str, reason: str, *, say: str = "", call: tuple[str, ...] = (), **known: str) -> Warn:
    """A warning of `copilot_phrases.yml`; `known` fills its text."""
    entry = phrases()["warnings"][kind]
    return Warn(
        kind=kind,
        text=str(entry["text"]).format(**known),
        reason=reason,
        source=str(entry["basis"]),
        mark=entry["mark"],
        say=say,
        call=list(call),
    )
