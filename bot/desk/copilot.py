"""The copilot (座席助手): what an agent on the phone may need while typing what the caller says.

`suggest` reads and composes; it stores nothing, sends nothing and files nothing. The engine is asked to read only
(`read_only`: no action runs). Without the engine the rest is given, and a warning says so.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from datetime import datetime
from functools import lru_cache
from typing import Any

import structlog
from sqlalchemy.orm import Session, sessionmaker

from bot.cases import store, terms
from bot.cases.calendar import SHANGHAI
from bot.cases.fields import Entity
from bot.conversations.engine import Decision, Engine, EngineFailed
from bot.conversations.models import Conversation
from bot.conversations.switches import Switchboard, Switches
from bot.desk import copilot_case, copilot_measures, copilot_warnings
from bot.desk.copilot_measures import CLEAR
from bot.desk.copilot_similar import similar
from bot.desk.copilot_words import act_label, limit, phrases, source, warning, why
from bot.engine.text import normalise
from bot.errors import HotlineError, Problem
from bot.policy import Pack, answers, load
from bot.storage import StorageError

logger = structlog.get_logger(__name__)

MAX_CHARACTERS = 2000
_LONG = re.compile(r"(?<![0-9])[0-9]{15,18}[0-9Xx](?![0-9])")
CONTEXT = ("focus", "before", "facet", "last_kind", "options")


@lru_cache(maxsize=4)
def _switchboard(readers: sessionmaker[Session]) -> Switchboard:
    return Switchboard(readers)


def warm() -> None:
    """Load what is loaded at first use (pack, patterns, checksums of cards), so that no agent waits for it."""
    heard = normalise("我叫王建国，电话13904321187，身份证220102199003078515，电梯维保")
    pack = load()
    for number in pack.measures:
        copilot_measures.shown(pack, copilot_measures.Heard(heard, {"measures": [number]}))
    terms.warm()
    for said in (heard, "我要投诉他家，不给退钱，还要举报", "我们公司被拖欠货款，企业诉求"):
        told = copilot_case.tell(said, {}, [], said, None)
        copilot_warnings.of(said, said, {}, [], told, copilot_case.route(told) if told else None)
        if told:
            copilot_case.clocks_of(told, datetime(2026, 1, 5, tzinfo=SHANGHAI))
            copilot_case.shown(told)
            copilot_case.questions(told)


async def suggest(
    engine: Engine,
    readers: sessionmaker[Session],
    text: str,
    conversation_id: str | None,
    *,
    now: datetime,
    switches: Switches | None = None,
) -> dict[str, Any]:
    """Everything that the caller's words suggest, each with `reason` and `source`; see docs/copilot.md.

    Raises `HotlineError`: EMPTY, TOO_LONG, UNKNOWN_CONVERSATION. `switches`: those of a caller that holds them.
    """
    begun = time.perf_counter()
    text = text.replace("\x00", "").encode("utf-8", "ignore").decode("utf-8").strip()
    if not text:
        raise HotlineError(Problem.EMPTY)
    if len(text) > MAX_CHARACTERS:
        raise HotlineError(Problem.TOO_LONG)
    context, held = await asyncio.to_thread(_known, readers, conversation_id)
    decision = await _read(engine, text, context)
    if switches is None:
        switches = await asyncio.to_thread(_switchboard(readers).current)
    result = await asyncio.to_thread(_compose, readers, text, decision, held, switches, now)
    return result | {"took_ms": round((time.perf_counter() - begun) * 1000, 1)}


def _known(
    readers: sessionmaker[Session], conversation_id: str | None
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The conversation's context for the engine, and the data of its running draft."""
    if conversation_id is None:
        return {}, None
    with readers() as session:
        conversation = session.get(Conversation, conversation_id)
        if conversation is None:
            raise HotlineError(Problem.UNKNOWN_CONVERSATION)
        state = conversation.state or {}
        draft = store.current_draft(session, conversation_id)
        held = {k: v for k, v in draft.data.items() if k != "said"} if draft and draft.data else None
        return {key: state[key] for key in CONTEXT if state.get(key)}, held


async def _read(engine: Engine, text: str, context: dict[str, Any]) -> Decision | None:
    """The engine's reading; None when it does not answer."""
    ids = str(uuid.uuid4())
    try:
        decision = await engine.turn(f"copilot-{ids}", ids, text, context | {"read_only": True})
    except EngineFailed as error:
        logger.warning("copilot_without_engine", error=str(error))
        return None
    return decision if decision.reading.get("intent") else None


def _usable(text: str, entities: list[dict[str, Any]]) -> list[Entity]:
    """Entities with a place in the text; what has none cannot be shown to the agent."""
    return [
        {**e, "value": str(e["value"])}
        for e in entities
        if e.get("entity")
        and e.get("value")
        and isinstance(e.get("start"), int)
        and isinstance(e.get("end"), int)
        and 0 <= e["start"] < e["end"] <= len(text)
    ]


def _documents(text: str) -> list[Entity]:
    """Numbers as long as an ID or bank card, for want of the engine's: people mistype their own."""
    return [
        {"entity": "id_card", "value": found[0], "start": found.start(), "end": found.end()}
        for found in _LONG.finditer(text)
    ]


def _compose(
    readers: sessionmaker[Session],
    text: str,
    decision: Decision | None,
    held: dict[str, Any] | None,
    switches: Switches,
    now: datetime,
) -> dict[str, Any]:
    pack = load()
    reading = decision.reading if decision else {}
    entities = _usable(text, decision.entities) if decision else _documents(text)
    normal = str(reading.get("text") or normalise(text))
    heard = copilot_measures.Heard(normal, reading, switches.withdrawn, switches.validity)
    told = copilot_case.tell(text, reading, entities, normal, held)
    route = copilot_case.route(told) if told else None
    warnings = copilot_warnings.of(text, normal, reading, entities, told, route)
    if decision is None:
        at = 1 if warnings and warnings[0]["kind"] == "emergency" else 0
        warnings.insert(at, warning("no_engine", "引擎没有在时限内应答"))
    measures = copilot_measures.shown(pack, heard)
    for one in measures:
        if one["withdrawn"]:
            known = {"number": str(one["measure"]), "because": one["withdrawn"]}
            warnings.append(warning("withdrawn", "值班人员停用了这一条", **known))
    asked = [*copilot_measures.questions(pack, heard), *(copilot_case.questions(told) if told else [])]
    if told and told.certain:
        asked.sort(key=lambda question: question["about"] != "case")
    notice = _notice(pack, reading)
    return {
        "act": _act(reading),
        "say": _say(reading, measures, asked, told, notice, warnings),
        "measures": measures,
        "notice": notice,
        "questions": asked[: limit("questions")],
        "case": copilot_case.shown(told) if told else None,
        "routing": route,
        "clocks": copilot_case.clocks_of(told, now) if told else [],
        "similar": _similar(readers, told, route),
        "warnings": warnings,
        "complete": decision is not None,
    }


def _act(reading: dict[str, Any]) -> dict[str, Any]:
    act = str(reading.get("intent") or "unknown")
    shown = str(reading.get("topic") or act) if act == "inform" else act
    ranking = [
        {"act": name, "label": act_label(name), "score": p} for name, p in (reading.get("acts") or {}).items()
    ]
    return {
        "act": shown,
        "label": act_label(shown),
        "score": reading.get("confidence"),
        "ranking": ranking,
        "reason": why(str(reading.get("reason", ""))) if reading else "引擎没有应答",
        "source": source("engine" if reading else "words"),
    }


def _notice(pack: Pack, reading: dict[str, Any]) -> dict[str, Any] | None:
    """A ready answer to a question about the document itself."""
    if reading.get("intent") != "notice":
        return None
    answer = answers.about(pack, str(reading.get("topic") or "topic"))
    return {
        "topic": answer.facets[0],
        "say": answer.text.splitlines()[0],
        "quotes": [citation.quote for citation in answer.citations],
        "specified": answer.specified,
        "validity": pack.notice.validity.sentence,
        "reason": why(str(reading.get("reason", ""))),
        "source": pack.notice.number,
    }


def _say(
    reading: dict[str, Any],
    measures: list[dict[str, Any]],
    asked: list[dict[str, Any]],
    told: copilot_case.Told | None,
    notice: dict[str, Any] | None,
    warnings: list[Any],
) -> dict[str, str]:
    """The one sentence to say next. The agent edits it; nothing is sent by itself."""
    words = phrases()["say"]
    about = [question for question in asked if question["about"] == "measures"]
    first = next(
        (one for one in measures if one["chosen"] or one["score"] is None or one["score"] >= CLEAR), None
    )
    danger = next((one for one in warnings if one["kind"] == "emergency"), None)
    if danger:
        return _line(f"{words['emergency']}{danger['say']}", danger["reason"], danger["source"])
    if told and told.certain:
        question = next((q for q in asked if q["about"] == "case"), None)
        return _line(words["case"] + (question["text"] if question else ""), told.reason, told.source)
    if notice:
        return _line(notice["say"], notice["reason"], notice["source"])
    if first:
        return _line(first["say"], first["reason"], first["source"])
    if about:
        return _line(words["clarify"] + about[0]["text"], about[0]["reason"], about[0]["source"])
    reason = why(str(reading.get("reason", ""))) if reading else "引擎没有应答"
    return _line(words["none"] if reading.get("intent") == "oos" else "", reason, source("engine"))


def _line(text: str, reason: str, origin: str) -> dict[str, str]:
    return {"text": text, "reason": reason, "source": origin}


def _similar(
    readers: sessionmaker[Session], told: copilot_case.Told | None, route: dict[str, Any] | None
) -> list[dict[str, Any]]:
    if told is None or route is None:
        return []
    try:
        with readers() as session:
            return similar(session, told.types[0], route["department"], told.facts)
    except StorageError as error:
        # What was read so far is worth more than nothing.
        logger.warning("copilot_without_database", error=str(error))
        return []
