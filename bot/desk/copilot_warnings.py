"""What the copilot warns of, the emergency first. Pure."""

from __future__ import annotations

from typing import Any

from bot.cases import fields, hearing
from bot.cases.models import CaseType
from bot.conversations import emergency
from bot.desk.copilot_case import Told, is_business
from bot.desk.copilot_words import Warn, pattern, phrases, source, warning

_CASES = ("complaint", "request", "report")
LIKELY = 0.2  # All case acts together: from here on an enquiry may be a complaint.
_ASIDE = pattern("（[^）]*）")  # What is meant for a chat (不用回我) is not said on the phone.


def danger(text: str, reading: dict[str, Any]) -> Warn | None:
    """An emergency: by the same rule as the bot, and by the engine's own decision."""
    signal = emergency.check(text)
    probability = float((reading.get("acts") or {}).get("emergency", 0.0)) if reading else None
    topic = emergency.decide(signal, probability)
    if topic:
        why = "原话里有险情的词" if signal and signal.certain else "原话里可能有险情的词"
        why += (
            "，引擎没有应答，按险情提醒" if probability is None else f"，引擎判断险情的把握{probability:.0%}"
        )
    elif reading.get("intent") == "emergency":
        known = emergency.topics()
        topic = signal.topic if signal else known.get(str(reading.get("topic")), known["injury"])
        why = f"引擎判断为险情，把握{float(reading.get('confidence', 0)):.0%}"
    else:
        return None
    return warning(
        "emergency", f"{why}（{topic.name}）", say=_ASIDE.sub("", f"{topic.say}{topic.ask}"), call=topic.call
    )


def of(
    text: str,
    normal: str,
    reading: dict[str, Any],
    entities: list[fields.Entity],
    told: Told | None,
    route: dict[str, Any] | None,
) -> list[Warn]:
    """All warnings about the caller's words, most pressing first."""
    found = [danger(text, reading), _documents(text, entities), _enquiry(normal, reading, told)]
    if told:
        found += [*_informant(told), _both(told), _business(told), _type(told, route)]
    return [one for one in found if one]


def _documents(text: str, entities: list[fields.Entity]) -> Warn | None:
    _, _, masked = fields.without_documents(text, entities)
    return warning("documents", "识别到18位身份证号或银行卡号") if masked else None


def _enquiry(normal: str, reading: dict[str, Any], told: Told | None) -> Warn | None:
    if told and told.certain:
        return None
    words = [m[0] for expression in phrases()["grievance"] if (m := pattern(expression).search(normal))]
    asks_how = pattern(phrases()["how_to"]).search(normal)
    likely = sum(float((reading.get("acts") or {}).get(act, 0.0)) for act in _CASES)
    if asks_how or (not words and likely < LIKELY):
        return None
    reason = (
        f"原话里有“{'”“'.join(dict.fromkeys(words))}”" if words else f"投诉、举报、诉求的把握合计{likely:.0%}"
    )
    return warning("enquiry_or_case", reason)


def _informant(told: Told) -> list[Warn]:
    if CaseType.REPORT not in told.types:
        return []
    own = hearing.own_contacts(told.text, told.entities)
    kinds = {e["entity"] for e in told.entities if told.text[e["start"] : e["end"]] in own}
    known = [
        word
        for kind, word in (("name", "姓名"), ("phone", "电话"))
        if kind in kinds or kind in told.draft.fields
    ]
    if not known:
        return []
    reason = f"话里有举报人的{'、'.join(known)}"
    return [warning("anonymous" if told.nameless else "informant", reason)]


def _both(told: Told) -> Warn | None:
    return warning("both", "既要求处理纠纷，又要求查处") if len(told.types) > 1 else None


def _business(told: Told) -> Warn | None:
    return warning("business", "原话像是企业或经营者的事") if is_business(told) else None


def _type(told: Told, route: dict[str, Any] | None) -> Warn | None:
    expected = route and route["expected_type"]
    if not route or not expected or expected in {type.value for type in told.types}:
        return None
    # A consumer may well complain of what is usually reported; a firm's complaint has its own warning.
    if told.types[0] is CaseType.SUGGESTION or (told.draft.type == "complaint" and expected == "J"):
        return None
    return warning(
        "type",
        f"{source('routing')}：{route['reason']}",
        expected=CaseType(expected).label,
        given=told.types[0].label,
    )
