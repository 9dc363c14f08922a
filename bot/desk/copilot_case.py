"""The case that a caller's words would become: record, what is missing, department, clocks. Pure.

Nothing is stored. Phone numbers are masked; `span` says where in the text a value stands, so that a form can take
it from what the agent typed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from bot.cases import clocks, fields, intake, record, replies, routing
from bot.cases.calendar import local_date
from bot.cases.models import CaseType
from bot.crypto import mask_phone, mask_text
from bot.desk.copilot_words import act_label, case_of, pattern, phrases, source

TYPES = {
    "complaint": CaseType.COMPLAINT,
    "request": CaseType.REQUEST,
    "report": CaseType.REPORT,
    "suggestion": CaseType.SUGGESTION,
}
# A message that wants its money back and the shop punished holds both (总局令第121号 Art 9: handle each).
_PUNISH = pattern(r"举报|查处|(去|得|要|来)查(查|一下|他|它)?|罚(他|款|它)|取缔")
_REDRESS = pattern(r"赔|退(钱|款|货|我|还)|换(一|个|新)|投诉")
HIDDEN = {"name": 1, "address": 3}  # characters of a stored value that are shown
SURE = 0.6  # Under this it may as well be an enquiry; an answer inside an intake is part of it in any case.
RIVAL = 0.25  # From here on the likeliest case is shown beside an enquiry.


@dataclass(frozen=True)
class Told:
    """A draft that takes in the caller's words, and how its type was found."""

    draft: record.Draft
    text: str
    entities: list[fields.Entity]
    reason: str
    source: str
    certain: bool  # False: an enquiry that may be a case

    @property
    def types(self) -> list[CaseType]:
        """The cases that it would become: two of a joint record."""
        both = self.draft.type == "complaint" and self.draft.also_report
        return [TYPES[self.draft.type], *([CaseType.REPORT] if both else [])]

    @property
    def facts(self) -> str:
        """What routing reads: all but the contact."""
        told = [value for name, value in self.draft.fields.items() if name not in record.CONTACT]
        return "\n".join([self.draft.note, *told]) or self.text

    @property
    def nameless(self) -> bool:
        """An anonymous report."""
        return bool(self.draft.anonymous)


def kind_of(reading: dict[str, Any], normal: str) -> tuple[str, str, bool]:
    """(record type or empty, why, certain). Without the engine by words alone."""
    if not reading:
        for kind, expression in phrases()["words"].items():
            if found := pattern(expression).search(normal):
                return kind, f"原话里有“{found[0]}”", True
        return "", "", False
    act = str(reading.get("intent", ""))
    if act == "inform":
        act = str(reading.get("topic", ""))
    if kind := case_of(act):
        sure = float(reading.get("confidence", 0))
        return kind, f"判断为{act_label(act)}，把握{sure:.0%}", sure >= SURE or act != reading["intent"]
    acts = {name: float(p) for name, p in (reading.get("acts") or {}).items() if case_of(name)}
    rival = max(acts, key=acts.__getitem__, default="")
    if rival and acts[rival] >= RIVAL:
        return case_of(rival), f"也可能是{act_label(rival)}，把握{acts[rival]:.0%}", False
    return "", "", False


def tell(
    text: str,
    reading: dict[str, Any],
    entities: list[fields.Entity],
    normal: str,
    held: dict[str, Any] | None,
) -> Told | None:
    """The draft after `text`: a new one, or the conversation's running one (`held`) advanced by it."""
    kind, reason, certain = kind_of(reading, normal)
    act = str(reading.get("topic" if reading.get("intent") == "inform" else "intent") or "inform")
    turn = record.Turn(text=text, act=act, entities=entities)
    if held:
        draft = record.Draft.model_validate(held)
        if not kind or kind == draft.type:
            step = intake.advance(draft, turn.model_copy(update={"act": "inform"}))
            return Told(step.draft, text, entities, "本会话正在登记", source("draft"), True)
    if not kind:
        return None
    both = bool(_PUNISH.search(text) and _REDRESS.search(text)) and kind in ("complaint", "report")
    chosen = cast(record.RecordType, "complaint" if both else kind)
    draft = intake.begin(chosen, turn, both).draft
    if draft.fee:
        reason += "；经营中的收费问题一般按举报（涉企收费）登记"
    return Told(draft, text, entities, reason, source("engine" if reading else "words"), certain)


def shown(told: Told) -> dict[str, Any]:
    """The pre-filled record for the form."""
    draft = told.draft
    return {
        "type": TYPES[draft.type].value,
        "record": draft.type,
        "label": fields.type_name(draft.type),
        "also_report": draft.also_report and draft.type == "complaint",
        "anonymous": draft.anonymous,
        "fields": [_field(told, name, value) for name, value in draft.fields.items()],
        "missing": [
            {
                "field": name,
                "label": fields.label(name, draft.type),
                "optional": fields.optional(draft.type, name),
            }
            for name in record.missing(draft)
        ],
        "certain": told.certain,
        "reason": told.reason,
        "source": told.source,
    }


def _field(told: Told, name: str, value: str) -> dict[str, Any]:
    span = _span(told, name, value)
    if name == "phone":
        shown = mask_phone(value)
    elif span is None and name in HIDDEN:
        # Not from what the agent typed but from the stored draft: a look at it belongs into the audit log.
        shown = value[: HIDDEN[name]] + "***"
    else:
        shown = mask_text(value)
    return {
        "field": name,
        "label": fields.label(name, told.draft.type),
        "value": shown,
        "span": span,
        "source": source("intake"),
    }


def _span(told: Told, name: str, value: str) -> list[int] | None:
    """Where the value stands in the caller's words (characters), None if it is not there as a whole."""
    for entity in told.entities:
        if (
            name == "phone"
            and entity["entity"] == "phone"
            and fields.check_phone(str(entity["value"])).value == value
        ):
            return [entity["start"], entity["end"]]
    at = told.text.find(value)
    return [at, at + len(value)] if at >= 0 else None


def questions(told: Told) -> list[dict[str, Any]]:
    """What the record still needs, in the order of the intake's own questions."""
    asked = []
    for name in record.missing(told.draft):
        draft = told.draft.model_copy(update={"asked": "", "correcting": "", "again": ""})
        filled = {other: "" for other in record.missing(draft) if other != name}
        one = draft.model_copy(update={"fields": draft.fields | filled, "anonymous": draft.anonymous})
        # 匿名还是实名 has a question of its own for agents: the intake's comes with the citizen's summary.
        own = name != "anonymous" and record.missing(one)[:1] == [name]
        question = record.question(one) if own else None
        text = question.text if question else str(fields.of_field(name, "ask", draft.type))
        asked.append(
            {
                "text": text.splitlines()[-1],
                "about": "case",
                "measures": [],
                "field": name,
                "reason": f"{fields.type_name(draft.type)}要有“{fields.label(name, draft.type)}”",
                "source": source("intake"),
            }
        )
    return asked


def route(told: Told) -> dict[str, Any]:
    """The department that is proposed; a person confirms it."""
    found = routing.propose(told.types[0], told.facts)
    return {
        "department": found.department,
        "also": list(found.also),
        "caution": found.caution,
        "rule": found.rule,
        "expected_type": found.expected_type.value if found.expected_type else None,
        "mark": found.mark,
        "verified": found.verified,
        "reason": found.reason,
        "source": source("routing"),
    }


def clocks_of(told: Told, now: datetime) -> list[dict[str, Any]]:
    """The statutory clocks that registering it now would start; for staff, whatever their mark."""
    day = local_date(now)
    started = []
    for type in told.types:
        for clock in clocks.start_clocks("receipt", type, day, real_name=not told.nameless):
            started.append(
                {
                    "key": clock.key,
                    "name": clock.name,
                    "type": type.value,
                    "from_date": clock.from_date.isoformat(),
                    "due_on": clock.due_on.isoformat(),
                    "days": clock.days,
                    "unit": clock.unit,
                    "basis": clock.basis,
                    "mark": clock.mark,
                    "verified": clock.verified,
                    "provisional": clock.provisional,
                    "showable": clock.showable,
                    "reason": f"{type.label}登记次日起{clock.days}{clock.unit}",
                    "source": source("legal"),
                }
            )
    return started


def is_business(told: Told) -> bool:
    """A complaint that sounds like a purchase for a business (消费者权益保护法 Art 2)."""
    said = f"{told.text}\n{told.facts}"
    return told.draft.type == "complaint" and (replies.is_business(said) or "company" in told.draft.fields)
