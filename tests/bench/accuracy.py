"""Accuracy of both on the same rows, by the same rules (`bot.evaluation`).

Ours is asked through the public API, a conversation a message. The stock bot's reading comes from
`POST /model/parse`; its intent stands for what it would say: `policy_NN` for a policy answer with that
measure, `nlu_fallback`, `oos` and whatever means nothing in a first message for a fallback.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from bot.evaluation.asking import Outcome
from bot.evaluation.command import measure
from bot.evaluation.metrics import Share, shares
from bot.evaluation.samples import read
from bot.evaluation.scoring import Row, score

SHOWN = ("kind", "any_hit", "exact", "false_answer", "false_refusal")
KINDS = {
    "notice": "notice",
    "match": "clarify",
    "complaint": "complaint",
    "request": "complaint",
    "report": "report",
    "suggestion": "suggestion",
    "status": "status",
    "handoff": "handoff",
    "emergency": "emergency",
    "chitchat": "chitchat",
}
"""Stock intent → kind of the contract; every other intent is a fallback."""

Rows = dict[str, list[Row]]
"""File stem → scored rows."""


def answered(kind: str, measures: Sequence[int] = ()) -> Outcome:
    """The outcome of a bot that answered with this kind and these measures."""
    return Outcome(({"author": "bot", "answer": {"kind": kind, "measures": list(measures)}},))


def stock_outcome(parsed: dict[str, Any]) -> Outcome:
    """What the stock bot makes of a message, from the body of `POST /model/parse`."""
    name = str((parsed.get("intent") or {}).get("name") or "nlu_fallback")
    if name.startswith("policy_"):
        return answered("policy", [int(name.removeprefix("policy_"))])
    return answered(KINDS.get(name, "fallback"))


def with_threshold(parsed: dict[str, Any], threshold: float, ambiguity: float) -> dict[str, Any]:
    """The same reading, had `FallbackClassifier` these thresholds: the models are not asked again."""
    ranking = [r for r in parsed.get("intent_ranking") or [] if r["name"] != "nlu_fallback"]
    if not ranking:
        return parsed
    best, second = ranking[0], ranking[1]["confidence"] if len(ranking) > 1 else 0.0
    sure = best["confidence"] >= threshold and best["confidence"] - second >= ambiguity
    return {"intent": best if sure else {"name": "nlu_fallback"}}


async def _parse_all(url: str, texts: Sequence[str]) -> list[dict[str, Any] | str]:
    """The parse of each text, or what went wrong with it."""
    found: list[dict[str, Any] | str] = []
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60.0) as client:
        for text in texts:
            # Escaped as ASCII: a lone surrogate of an injection row cannot be written as UTF-8.
            content = json.dumps({"text": text}).encode("ascii")
            try:
                response = await client.post("/model/parse", content=content)
                found.append(
                    response.json() if response.status_code == 200 else f"HTTP {response.status_code}"
                )
            except (httpx.HTTPError, ValueError) as error:
                found.append(repr(error))
    return found


def ours(url: str, files: Sequence[Path]) -> Rows:
    """Our rows."""
    return {result.file.stem: list(result.rows) for result in measure(files, url=url)}


def stock(
    url: str, files: Sequence[Path], thresholds: Sequence[float], ambiguity: float
) -> tuple[Rows, dict[float, Rows]]:
    """The stock bot's rows as configured, and as they would be with other thresholds."""
    samples = [read(path) for path in files]
    texts = [question.text for sample in samples for thread in sample.threads for question in thread]
    parsed = asyncio.run(_parse_all(url, texts))

    def scored(outcomes: list[Outcome]) -> Rows:
        rest = iter(outcomes)
        return {
            sample.stem: [score("messages", q, next(rest)) for t in sample.threads for q in t]
            for sample in samples
        }

    def outcomes(threshold: float | None) -> list[Outcome]:
        return [
            Outcome(problem=p)
            if isinstance(p, str)
            else stock_outcome(p if threshold is None else with_threshold(p, threshold, ambiguity))
            for p in parsed
        ]

    return scored(outcomes(None)), {t: scored(outcomes(t)) for t in thresholds}


def figures(rows: Sequence[Row]) -> dict[str, Share]:
    """The shares that are compared."""
    found = shares(rows)
    return {name: found[name] for name in SHOWN if name in found}


def answered_by_all(rows: Sequence[Rows], most: int) -> list[str]:
    """Policy questions that every bot answered with a measure: what a policy turn is timed with."""
    per_bot = [[row for found in some.values() for row in found] for some in rows]
    texts = [
        same[0].question.text
        for same in zip(*per_bot, strict=True)
        if same[0].question.kind == "policy" and all(row.outcome.kind == "policy" for row in same)
    ]
    return texts[:most]
